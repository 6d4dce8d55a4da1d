"""A grid of listed values as an Optuna sampler."""

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
    """Visits each distinct point of a conditional grid once, in the order given.

    Optuna's GridSampler runs the whole product: it repeats a point for every value of a parameter that is off there.
    With several workers it also visits a point again while that point still runs.

    Args:
        points: of the grid.
        for_enqueued: proposes the values that an enqueued trial leaves open.
        key_of: gives points that train alike the same key, and one of them is visited; None: each point is.
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
        """Return the next point; raises SpaceExhaustedError if none is left."""
        others = [other for other in study.get_trials(deepcopy=False) if other.number != trial.number]
        visited = {other.system_attrs.get(_POINT_ATTR) for other in others}
        left = (text for text in self._points if text not in visited)
        if self._key_of is not None:
            tried, key_of = tried_keys(others, self._key_of), self._key_of
            left = (text for text in left if key_of(self._points[text]) not in tried)
        text = next(left, None)
        if text is None:
            raise SpaceExhaustedError
        study._storage.set_trial_system_attr(trial._trial_id, _POINT_ATTR, text)
        return self._points[text]
