"""Dropout: each training step sets a random share of a layer's activations to 0."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from .ranges import GatedRange
from .technique import Technique
from .ways import Code


class DropoutRange(GatedRange):
    """A range of dropout rates, with both ends included; each rate is at least 0 and below 1."""

    low: float = Field(0.05, ge=0, lt=1)
    high: float = Field(0.6, ge=0, lt=1)
    off: bool = Field(True, description='whether "no dropout at all" is a choice of its own')


class Dropout(Technique):
    """`keras.layers.Dropout`."""

    order, name, key = 30, "dropout", "dropout"
    among = DropoutRange
    description = 'dropout rate, or "off": never'
    strengths = (0.1, 0.2, 0.3, 0.4, 0.5)
    is_added_later = False
    has_compiled_code = True

    def layer_after(self, value: Any, seed: int | None) -> Any:
        """Return Keras's dropout layer with this rate."""
        import keras

        return keras.layers.Dropout(value, seed=seed)

    def code(self, values: Mapping[str, Any]) -> Code:
        """Return the code of Keras's dropout layer."""
        return Code(layers_after=(f"keras.layers.Dropout({values[self.key]!r})",))
