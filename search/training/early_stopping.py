"""Decides when a trial stops early and which epoch's weights it keeps; every trainer uses this rule."""

import math
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """The state of early stopping, which works like Keras's `EarlyStopping(restore_best_weights=True)`.

    Attributes:
        patience: how many epochs without improvement stop a trial, at least 1. None: the trial never stops early, and
            its last epoch counts as the best.
        best_loss: the loss on the stopping split in the best epoch.
        best_epoch: the epoch whose weights the trial keeps, counted from 0; None before the first epoch.
        wait: the number of epochs since the best epoch.

    Example:
        >>> state = EarlyStopping(patience=1).after(0, 0.5).after(1, 0.6)
        >>> state.is_over, state.best_epoch
        (True, 0)
    """

    patience: int | None
    best_loss: float = math.inf
    best_epoch: int | None = None
    wait: int = 0

    def after(self, epoch: int, stop_loss: float) -> "EarlyStopping":
        """Return the state after one more epoch.

        As in Keras, losses are compared in float32. A difference that float32 can't represent is not an improvement.

        Args:
            epoch: the number of the epoch, counted from 0.
            stop_loss: the loss on the stopping split, with the penalty; finite.
        """
        if self.patience is None or np.float32(stop_loss) < np.float32(self.best_loss):
            return replace(self, best_loss=stop_loss, best_epoch=epoch, wait=0)
        return replace(self, wait=self.wait + 1)

    @property
    def is_over(self) -> bool:
        """Whether early stopping ends the trial now."""
        return self.patience is not None and self.wait >= self.patience
