"""The splits of a task: those of the study, or those that a finalist's fresh seed draws."""

from ...studies.spec import StudySpec
from ...studies.trial import TrialTask
from ..data.arrays import Dataset
from ..data.splits import Splits, make_splits, split_seed


class TaskSplits:
    """Gives the splits of each task of one study: a pure function of the study, the data and the task.

    Args:
        spec: the study.
        dataset: its data.
        own: the study's own splits, which all trials of the search use.
    """

    def __init__(self, spec: StudySpec, dataset: Dataset, own: Splits) -> None:
        self._spec, self._dataset, self._own = spec, dataset, own
        self._drawn: tuple[int, Splits] | None = None

    def of(self, task: TrialTask) -> Splits:
        """Return the splits of a task; those of the last fresh seed are cached.

        They have the sizes of the study's own splits, and every class that these have (see `make_splits`).
        """
        own_seed = self._spec.search.seed
        seed = own_seed if task.seed is None else split_seed(self._spec, task.seed)
        if seed == own_seed:
            return self._own
        if self._drawn is None or self._drawn[0] != seed:
            self._drawn = seed, make_splits(self._dataset, self._spec.data, seed)
        return self._drawn[1]
