"""L1: the sum of a kernel's absolute values is added to the loss, which drives weights to zero."""

from typing import Any

from .penalty import KernelPenalty


class L1(KernelPenalty):
    """`keras.regularizers.L1`."""

    order, name, key = 10, "L1", "l1"
    description = "strength of L1, log scale, where there is an L1 part"

    def kernel_penalty(self, value: Any) -> Any:
        """Return Keras's penalty."""
        import keras

        return keras.regularizers.L1L2(l1=value)
