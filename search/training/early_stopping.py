"""When a trial stops early, and which epoch's weights it keeps: one rule for every trainer."""

import math
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """The state after some epochs, as Keras's `EarlyStopping(restore_best_weights=True)` counts.

    Attributes:
        patience: epochs without improvement that are allowed, at least 1; None: never stop, keep the last weights.
        best_loss: the lowest stop loss so far.
        best_epoch: the epoch, counted from 0, whose weights are to be kept; None before the first.
        wait: epochs since then.
    """

    patience: int | None
    best_loss: float = math.inf
    best_epoch: int | None = None
    wait: int = 0

    def after(self, epoch: int, stop_loss: float) -> "EarlyStopping":
        """Return the state after one more epoch, whose stop loss (with penalty) is finite.

        As in Keras, losses are compared in float32: what differs only beyond that is no improvement.
        """
        if self.patience is None or np.float32(stop_loss) < np.float32(self.best_loss):
            return replace(self, best_loss=stop_loss, best_epoch=epoch, wait=0)
        return replace(self, wait=self.wait + 1)

    @property
    def is_over(self) -> bool:
        """Whether the trial ends now."""
        return self.patience is not None and self.wait >= self.patience
