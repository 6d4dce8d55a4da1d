"""The loss and the correctness of a network on each example of a split. All other figures are computed from these."""

import base64
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_COUNT_BYTES = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class PerExampleScores:
    """One network's scores for each example of a split, in the order of the examples, with dropout off.

    Attributes:
        losses: float32 of shape (examples,): cross-entropies in nats, without the penalty.
        hits: bool of shape (examples,): True if the class of the example has the largest logit.
    """

    losses: NDArray[np.float32]
    hits: NDArray[np.bool_]

    @property
    def cross_entropy(self) -> float:
        """The mean loss, in nats per example."""
        return float(self.losses.mean(dtype=np.float64))

    @property
    def accuracy(self) -> float:
        """The share of examples that are classified correctly, in [0, 1]."""
        return float(self.hits.mean())

    def to_bytes(self) -> bytes:
        """Return the bytes that the database stores: the number of examples (uint32), losses (float32), hits (bits).

        All numbers are little-endian. `numpy.packbits` packs the bits.
        """
        count = np.array(len(self.losses), "<u4").tobytes()
        return count + self.losses.astype("<f4").tobytes() + np.packbits(self.hits).tobytes()

    @classmethod
    def from_bytes(cls, content: bytes) -> "PerExampleScores":
        """Read scores from what `to_bytes` returned; raises ValueError for anything else."""
        count = int.from_bytes(content[:_COUNT_BYTES], "little")
        end = _COUNT_BYTES + 4 * count
        if count == 0 or len(content) != end + -(-count // 8):
            raise ValueError(f"{len(content)} bytes can't be the scores of a split")
        losses = np.frombuffer(content[_COUNT_BYTES:end], "<f4").astype(np.float32, copy=False)
        hits = np.unpackbits(np.frombuffer(content[end:], np.uint8), count=count).astype(bool)
        if not np.isfinite(losses).all():
            raise ValueError("a loss is NaN or infinite")
        return cls(losses=losses, hits=hits)

    def to_text(self) -> str:
        """Return the bytes of `to_bytes` as base64 text, which fits into a line of JSON."""
        return base64.b64encode(self.to_bytes()).decode()

    @classmethod
    def from_text(cls, text: str) -> "PerExampleScores":
        """Read scores from what `to_text` returned; raises ValueError for anything else."""
        return cls.from_bytes(base64.b64decode(text, validate=True))
