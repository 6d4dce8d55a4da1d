"""What L1 and L2 have in common: the parameter `regularizer`, and a penalty on the kernel."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, Strict

from ..validation import check_choices
from .dimension import Dimension
from .ranges import Range
from .technique import Technique
from .ways import Code

REGULARIZER = "regularizer"
"""The parameter that L1 and L2 share: it says which of them are on."""

_KEYS = ("l1", "l2")
_Regularizer = Literal["none", "l1", "l2", "l1_l2"]


class StrengthRange(Range):
    """A range of strengths of a penalty, searched on a log scale, with both ends included."""

    low: float = Field(1e-7, gt=0, le=1e6)
    high: float = Field(1e-2, gt=0, le=1e6)


class KernelPenalty(Technique):
    """A penalty on the kernel. A trial has a strength for it only if the trial's `regularizer` includes the penalty."""

    among = StrengthRange
    is_log = True
    strengths = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
    is_added_later = False
    has_compiled_code = True

    @property
    def gate(self) -> str:
        """The parameter `regularizer`, which says whether this penalty is on."""
        return REGULARIZER

    def fields(self) -> dict[str, tuple[Any, Any]]:
        """Return the type and the default of two keys in [space]: `regularizer`, and the range of this penalty."""
        regularizers = Annotated[tuple[_Regularizer, ...], Strict(False), AfterValidator(check_choices)]
        choices = Field(("none", "l1", "l2", "l1_l2"), description="kernel regularizers to choose from")
        strengths = Field(StrengthRange(), description=self.description)
        return {REGULARIZER: (regularizers, choices), self.key: (StrengthRange, strengths)}

    def is_searched(self, space: Any) -> bool:
        """Return whether any regularizer of the space includes this penalty."""
        return bool(self._regularizers(space))

    def dimensions(self, space: Any) -> tuple[Dimension, ...]:
        """Return the parameter `regularizer` and, if the space contains this penalty, its strength."""
        regularizer = Dimension(name=REGULARIZER, kind="choice", choices=space.regularizer)
        if not self.is_searched(space):
            return (regularizer,)
        return (regularizer, self._strength(getattr(space, self.key), REGULARIZER, self._regularizers(space)))

    def _regularizers(self, space: Any) -> tuple[str, ...]:
        return tuple(choice for choice in space.regularizer if self.key in choice.split("_"))

    def params(self, values: Mapping[str, Any], space: Any) -> dict[str, Any]:
        """Return a trial's parameters: the regularizer that names all penalties that are on, and this one's strength.

        The strength is left out if this penalty is off.
        """
        regularizer = "_".join(key for key in _KEYS if values[key]) or "none"
        return {REGULARIZER: regularizer} | ({self.key: values[self.key]} if values[self.key] else {})

    def settings(self, strength: float) -> dict[str, Any]:
        """Return the settings of a recipe with this penalty and no other one."""
        return {REGULARIZER: self.key, self.key: strength}

    def settings_off(self) -> dict[str, Any]:
        """Return the setting of a recipe without penalties: the regularizer "none"."""
        return {REGULARIZER: "none"}

    def imply(self, given: Mapping[str, str], wanted: dict[str, Any]) -> None:
        """Add the regularizer to `wanted`, if it is missing: it names the penalties whose strengths are in `given`."""
        if self.key in given:
            wanted.setdefault(REGULARIZER, "_".join(key for key in _KEYS if key in given))

    def code(self, values: Mapping[str, Any]) -> Code:
        """Return the code of Keras's regularizer; if both penalties are on, L1 returns one for both, and L2 none."""
        on = [key for key in _KEYS if values[key]]
        if on[0] != self.key:
            return Code()
        if len(on) == 2:
            regularizer = f"L1L2(l1={values['l1']!r}, l2={values['l2']!r})"
        else:
            regularizer = f"{self.key.upper()}({values[self.key]!r})"
        return Code(kernel_penalty=f"keras.regularizers.{regularizer}")
