"""L2: the sum of a kernel's squares is added to the loss, which keeps weights small."""

from typing import Any

from .penalty import KernelPenalty


class L2(KernelPenalty):
    """`keras.regularizers.L2`."""

    order, name, key = 20, "L2", "l2"
    description = "strength of L2 on a log scale, if the regularizer is l2 or l1_l2"

    def kernel_penalty(self, value: Any) -> Any:
        """Return Keras's L2 penalty with this strength."""
        import keras

        return keras.regularizers.L1L2(l2=value)
