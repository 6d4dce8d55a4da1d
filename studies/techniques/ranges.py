"""Ranges of a technique's strength, as a study file gives them. They are validated, and can't be changed."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    """A table of a study file. It accepts only the keys that its class declares, and can't be changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Range(Section):
    """A range from `low` to `high`, with both ends included."""

    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low must not be above high; given were low = {self.low:g} and high = {self.high:g}")
        return self


class GatedRange(Range):
    """A range of a technique that may also be off: if `off` is true, "not at all" is one more choice."""

    off: bool = Field(True, description='whether "not at all" is a choice of its own')


class LearningRateRange(Range):
    """A range of learning rates of the optimizer, searched on a log scale, with both ends included."""

    low: float = Field(1e-4, gt=0, le=1e6)
    high: float = Field(1e-2, gt=0, le=1e6)
