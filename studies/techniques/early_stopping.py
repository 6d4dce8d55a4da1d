"""Early stopping: training ends if the stopping loss doesn't improve for some epochs; the best weights are restored."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from .ranges import GatedRange
from .technique import Technique
from .ways import Code


class PatienceRange(GatedRange):
    """A range of patiences: how many epochs without improvement end a trial. Both ends are included."""

    low: int = Field(1, ge=1, le=1_000_000)
    high: int = Field(8, ge=1, le=1_000_000)
    off: bool = Field(True, description='whether "train max_epochs, keep the last weights" is a choice')


class EarlyStopping(Technique):
    """`keras.callbacks.EarlyStopping`; in a search, the trainers themselves count the epochs without improvement."""

    order, name, key = 50, "early stopping", "patience"
    among = PatienceRange
    description = 'early-stopping patience in epochs, or "off": never stop early'
    kind = "int"
    off = None
    accompanies = True
    is_added_later = False
    has_compiled_code = True

    @property
    def gate(self) -> str:
        """The switch that says whether training may end early."""
        return "early_stopping"

    def words(self, value: Any) -> str:
        """Return the patience in words, such as "early stopping (patience 4)"."""
        return f"{self.name} (patience {value})"

    def code(self, values: Mapping[str, Any]) -> Code:
        """Return the code of Keras's callback."""
        return Code(
            callbacks=(f"keras.callbacks.EarlyStopping(patience={values[self.key]}, restore_best_weights=True)",)
        )
