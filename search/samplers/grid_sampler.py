"""An Optuna sampler that visits the points of a grid."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from ...studies.errors import SpaceExhaustedError
from .point_sampler import KeyOf, PointSampler, tried_keys

_POINT_ATTR = "regsearch:grid_point"


class GridSampler(PointSampler):
    """Visits each distinct point of a conditional grid once, in the given order.

    Optuna's GridSampler visits every combination of all values. So it repeats a point for every value of a parameter
    that the point does not use. With several workers, it may also visit a point again while that point still runs.

    Args:
        points: the points of the grid; each maps parameter names to values.
        for_enqueued: the sampler that draws the values that an enqueued trial does not fix.
        key_of: returns the same key for points that lead to the same training; only one of these points is visited.
            If None, every point is visited.
    """

    def __init__(
        self,
        points: Sequence[Mapping[str, Any]],
        for_enqueued: BaseSampler,
        key_of: KeyOf | None = None,
    ) -> None:
        super().__init__(for_enqueued)
        self._points = {json.dumps(point, sort_keys=True): point for point in points}
        self._key_of = key_of

    def next_point(self, study: optuna.Study, trial: FrozenTrial) -> Mapping[str, Any]:
        """Return the next point. Raises SpaceExhaustedError if every point was visited."""
        others = [other for other in study.get_trials(deepcopy=False) if other.number != trial.number]
        visited = {other.system_attrs.get(_POINT_ATTR) for other in others}
        candidates = (text for text in self._points if text not in visited)
        if self._key_of is not None:
            tried, key_of = tried_keys(others, self._key_of), self._key_of
            candidates = (text for text in candidates if key_of(self._points[text]) not in tried)
        text = next(candidates, None)
        if text is None:
            raise SpaceExhaustedError
        study._storage.set_trial_system_attr(trial._trial_id, _POINT_ATTR, text)
        return self._points[text]
