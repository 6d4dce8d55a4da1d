"""The splits for a task: the study's own splits, or new ones that are drawn with a finalist's fresh seed."""

from ...studies.spec import StudySpec
from ...studies.trial import TrialTask
from ..data.arrays import Dataset
from ..data.splits import Splits, make_splits, split_seed


class TaskSplits:
    """Returns the splits for each task of one study; they depend only on the study, the data and the task.

    Args:
        spec: the study.
        dataset: the study's data.
        own: the study's own splits, which all trials of the search use.
    """

    def __init__(self, spec: StudySpec, dataset: Dataset, own: Splits) -> None:
        self._spec, self._dataset, self._own = spec, dataset, own
        self._cached: tuple[int, Splits] | None = None

    def of(self, task: TrialTask) -> Splits:
        """Return the splits for a task; the splits of the fresh seed that was last used are cached.

        New splits have the same sizes as the study's own splits, and contain the same classes (see `make_splits`).
        """
        own_seed = self._spec.search.seed
        seed = own_seed if task.seed is None else split_seed(self._spec, task.seed)
        if seed == own_seed:
            return self._own
        if self._cached is None or self._cached[0] != seed:
            self._cached = seed, make_splits(self._dataset, self._spec.data, seed)
        return self._cached[1]
