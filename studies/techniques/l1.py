"""L1: the sum of a kernel's absolute values is added to the loss, which drives weights to zero."""

from typing import Any

from .penalty import KernelPenalty


class L1(KernelPenalty):
    """`keras.regularizers.L1`."""

    order, name, key = 10, "L1", "l1"
    description = "strength of L1 on a log scale, if the regularizer is l1 or l1_l2"

    def kernel_penalty(self, value: Any) -> Any:
        """Return Keras's L1 penalty with this strength."""
        import keras

        return keras.regularizers.L1L2(l1=value)
