"""What a regularization technique is: its name, its parameters, how its strength is raised, and what it costs."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from ..errors import InputError
from .dimension import Dimension, switch
from .ranges import GatedRange, Range
from .ways import Ways


class Technique(Ways):
    """One technique; a subclass with an `order`, in a file of this package, is all that is needed to add one.

    Its space key takes a range or "off", and its parameters are a switch `use_<key>` and the value `<key>`. For
    example:

        class MaxNorm(Technique):
            order, name, key = 60, "max-norm", "max_norm"
            among = MaxNormRange  # a GatedRange with defaults for low and high
            description = "largest norm of a unit's weights"

            def kernel_constraint(self, value):
                import keras
                return keras.constraints.MaxNorm(value)

    Attributes:
        order: where it stands among the techniques, each with an order of its own.
        name: in words, as reports show it: "dropout".
        key: of its value among a trial's parameters, and of its range in a study's [space].
        among: the class of its range; its defaults are the range of a new study.
        description: of its space key, for the schema.
        kind, is_log: of its value; a float may be searched on a log scale.
        off: the value that means it is not used.
        strengths: start low and increase: the rungs of its ladder, the weakest first; none for no ladder.
        fewest_trials: how many a contest gives it alone before any combination.
        accompanies: whether it comes with any other technique without making a combination of it.
        is_added_later: False for the five of the first release, whose gates every stored configuration has.
        has_compiled_code: whether the compiled trainer has code of its own for it, and does not call its methods.
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
        """The parameter that switches it on; techniques of one gate are called by their names together, "L1+L2"."""
        return f"use_{self.key}"

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of its parameters, in the order in which they are suggested."""
        return (self.key,) if self.gate is None else (self.gate, self.key)

    def fields(self) -> dict[str, tuple[Any, Any]]:
        """Return type and default of each of its keys in [space]."""
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
        """Return whether a study's space has it at all."""
        return bool(getattr(space, self.key) != "off")

    def dimensions(self, space: Any) -> tuple[Dimension, ...]:
        """Return its parameters as a study's space has them, in the order in which they are suggested."""
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
        """Return whether a value means that it is used."""
        return bool(value != self.off)

    def complexity(self, value: Any) -> int:
        """Return how many things a value that is on needs; of configurations that do equally well the simplest wins."""
        return 1

    def words(self, value: Any) -> str:
        """Return a value that is on in words: "L2 0.0001"."""
        return f"{self.name} {value:.3g}"

    def params(self, values: Mapping[str, Any], space: Any) -> dict[str, Any]:
        """Return the parameters of a trial that has these values of all techniques, gates included.

        The gate of a technique that was added later is left out where a study's space does not have it.
        """
        assert self.gate is not None
        if self.is_on(values[self.key]):
            return {self.gate: True, self.key: values[self.key]}
        return {self.gate: False} if self.is_searched(space) or not self.is_added_later else {}

    def settings(self, strength: float) -> dict[str, Any]:
        """Return the settings NAME → value of a recipe that has it at a strength."""
        return {self.key: strength}

    def settings_off(self) -> dict[str, Any]:
        """Return the settings NAME → value of a recipe that does not have it."""
        return {self.key: "off"}

    def imply(self, given: Mapping[str, str], wanted: dict[str, Any]) -> None:
        """Add to the wanted parameters the gate that a user's setting implies; "off" closes it.

        Raises InputError for a setting that contradicts its gate.
        """
        if self.key not in given or self.gate is None:
            return
        is_on = given[self.key].lower() != "off"
        gate = wanted.setdefault(self.gate, is_on)
        if gate is not is_on and str(gate).lower() != str(is_on).lower():
            raise InputError(
                f"{self.key}={given[self.key]} and {self.gate}={given[self.gate]} contradict each other: give one"
            )
        if not is_on:
            del wanted[self.key]
