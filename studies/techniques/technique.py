"""What a regularization technique is: its name, its parameters, and the strengths that are tried."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from ..errors import InputError
from .dimension import Dimension, switch
from .ranges import GatedRange, Range
from .ways import Ways


class Technique(Ways):
    """One technique. To add another one, write a subclass with an `order` in a file of this package.

    A study's [space] has a range or "off" for the technique. A trial has two parameters for it: the switch `use_<key>`
    and the value `<key>`. For example:

        class MaxNorm(Technique):
            order, name, key = 60, "max-norm", "max_norm"
            among = MaxNormRange  # a GatedRange with defaults for low and high
            description = "largest norm of a unit's weights"

            def kernel_constraint(self, value):
                import keras
                return keras.constraints.MaxNorm(value)

            def code(self, values):  # for exported scripts
                return Code(kernel_constraint=f"keras.constraints.MaxNorm({values[self.key]!r})")

    Attributes:
        order: its position among the techniques; no two techniques have the same.
        name: its name in reports, such as "dropout".
        key: the name of its value among a trial's parameters, and of its range in a study's [space].
        among: the class of its range; the defaults of the class are the range of a new study.
        description: describes its key in [space], for the JSON schema.
        kind, is_log: the type of its value, and whether a float is searched on a log scale.
        off: the value that means that the technique is not used.
        strengths: the strengths of its recipes in the set "ladder", the weakest first; empty if it has none.
        fewest_trials: how many trials with it alone a contest needs before it tries any combination.
        accompanies: whether this technique may be added to another one without making a combination.
        is_added_later: False for the five techniques of the first release. Every stored configuration has the gates of
            these five; the gate of a later technique may be missing.
        has_compiled_code: whether the compiled trainer has its own code for it, and does not call its methods.
    """

    order: ClassVar[int]
    name: ClassVar[str]
    key: ClassVar[str]
    among: ClassVar[type[Range]]
    description: ClassVar[str] = ""
    kind: ClassVar[Literal["float", "int"]] = "float"
    is_log: ClassVar[bool] = False
    off: ClassVar[Any] = 0.0
    strengths: ClassVar[tuple[float, ...]] = ()
    fewest_trials: ClassVar[int] = 6
    accompanies: ClassVar[bool] = False
    is_added_later: ClassVar[bool] = True
    has_compiled_code: ClassVar[bool] = False

    @property
    def gate(self) -> str | None:
        """The name of the parameter that switches the technique on; None if the value alone does that.

        Techniques with the same gate get a joint name, such as "L1+L2".
        """
        return f"use_{self.key}"

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the technique's parameters, in the order in which they are suggested."""
        return (self.key,) if self.gate is None else (self.gate, self.key)

    def fields(self) -> dict[str, tuple[Any, Any]]:
        """Return the type and the default of each key that the technique has in [space]."""
        kind = self.among | Literal["off"]
        if self.is_added_later:
            extra: dict[str, Any] | None = {"addedLater": "off"}  # see regsearch.studies.added_keys
        else:
            extra = None
        return {self.key: (kind, Field(self.default_range(), description=self.description, json_schema_extra=extra))}

    def default_range(self) -> Range:
        """Return the range that a new study searches."""
        return self.among()  # type: ignore[call-arg]

    def is_searched(self, space: Any) -> bool:
        """Return whether a study's space contains this technique."""
        return bool(getattr(space, self.key) != "off")

    def dimensions(self, space: Any) -> tuple[Dimension, ...]:
        """Return the technique's parameters in a study's space, in the order in which they are suggested."""
        if not self.is_searched(space):
            return ()
        among = getattr(space, self.key)
        if self.gate is None or not (isinstance(among, GatedRange) and among.off):
            return (self._strength(among),)
        return (switch(self.gate), self._strength(among, self.gate, (True,)))

    def _strength(self, among: Range, parent: str | None = None, parent_values: tuple[Any, ...] = ()) -> Dimension:
        return Dimension(
            name=self.key,
            kind=self.kind,
            low=among.low,
            high=among.high,
            is_log=self.is_log,
            parent=parent,
            parent_values=parent_values,
        )

    def is_on(self, value: Any) -> bool:
        """Return whether the technique is used if it has this value."""
        return bool(value != self.off)

    def complexity(self, value: Any) -> int:
        """Return how much the technique adds to a configuration's complexity, if it is used with this value.

        Among equally good configurations, the simplest one wins.
        """
        return 1

    def words(self, value: Any) -> str:
        """Return the technique with this value in words, such as "L2 0.0001"."""
        return f"{self.name} {value:.3g}"

    def params(self, values: Mapping[str, Any], space: Any) -> dict[str, Any]:
        """Return a trial's parameters for this technique: the gate and, if the technique is on, the value.

        A gate that is off is left out if the technique was added later and the study's space doesn't contain it.
        `values` has the values of all techniques.
        """
        assert self.gate is not None
        if self.is_on(values[self.key]):
            return {self.gate: True, self.key: values[self.key]}
        return {self.gate: False} if self.is_searched(space) or not self.is_added_later else {}

    def settings(self, strength: float) -> dict[str, Any]:
        """Return the settings (name → value) of a recipe that uses this technique with this strength."""
        return {self.key: strength}

    def settings_off(self) -> dict[str, Any]:
        """Return the settings (name → value) of a recipe that does not use this technique."""
        return {self.key: "off"}

    def imply(self, given: Mapping[str, str], wanted: dict[str, Any]) -> None:
        """Add the gate to `wanted` if the user's settings `given` include the technique; "off" gives a gate of False.

        Raises InputError if the user gave a value and a gate that contradict each other.
        """
        if self.key not in given or self.gate is None:
            return
        is_on = given[self.key].lower() != "off"
        gate = wanted.setdefault(self.gate, is_on)
        if gate is not is_on and str(gate).lower() != str(is_on).lower():
            raise InputError(
                f"{self.key}={given[self.key]} and {self.gate}={given[self.gate]} contradict each other: give only one"
            )
        if not is_on:
            del wanted[self.key]
