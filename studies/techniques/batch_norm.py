"""BatchNorm: a layer's outputs are normalized by the moments of the batch, before or after the activation."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, Strict

from ..validation import check_choices
from .dimension import Dimension
from .technique import Technique

_Placement = Literal["none", "before_activation", "after_activation"]


class BatchNorm(Technique):
    """`keras.layers.BatchNormalization`. The value of this technique is a placement, such as "before_activation"."""

    order, name, key = 40, "BatchNorm", "batch_norm"
    off = "none"
    fewest_trials = 2
    is_added_later = False
    has_compiled_code = True

    @property
    def gate(self) -> None:
        """None: BatchNorm needs no switch, because its placement can be "none"."""
        return None

    def fields(self) -> dict[str, tuple[Any, Any]]:
        """Return the type and the default of `batch_norm` in [space], which lists the placements to choose from."""
        placements = Annotated[tuple[_Placement, ...], Strict(False), AfterValidator(check_choices)]
        default = ("none", "before_activation", "after_activation")
        return {self.key: (placements, Field(default, description="placements of BatchNormalization"))}

    def is_searched(self, space: Any) -> bool:
        """Return whether the space has a placement other than "none"."""
        return any(map(self.is_on, space.batch_norm))

    def dimensions(self, space: Any) -> tuple[Dimension, ...]:
        """Return the only parameter of BatchNorm, the placement."""
        return (Dimension(name=self.key, kind="choice", choices=space.batch_norm),)

    def words(self, value: Any) -> str:
        """Return the placement in words, such as "BatchNorm before activation"."""
        return f"{self.name} {value.replace('_', ' ')}"

    def params(self, values: Mapping[str, Any], space: Any) -> dict[str, Any]:
        """Return the placement as a parameter of a trial, even if the placement is "none"."""
        return {self.key: values[self.key]}

    def settings_off(self) -> dict[str, Any]:
        """Return the setting of a recipe without BatchNorm: the placement "none"."""
        return {self.key: self.off}

    def batch_norm_placement(self, value: Any) -> str:
        """Return the placement, which is the value of this technique."""
        return str(value)
