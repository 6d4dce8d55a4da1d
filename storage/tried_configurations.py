"""The configurations that a study has tried already, so that no configuration is trained twice."""

from collections import defaultdict
from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution, json_to_distribution
from sqlalchemy import Connection, column, text

from ..studies.canonical_configuration import canonical
from ..studies.spec import StudySpec

BY_SETTINGS = "regsearch:failed_by_settings"
"""The system attribute of a trial that failed because of its settings, and so would fail again."""

# a running trial counts only if regsearch started it: another one may lack some of its parameters yet
_TRIALS = text(
    "select t.number, t.state, (t.state in ('COMPLETE', 'PRUNED') or t.state = 'RUNNING' and r.number is not null "
    "or t.state = 'FAIL' and a.trial_id is not null) as is_tried "
    "from trials t left join regsearch_trials r on r.study_uuid = :uuid and r.number = t.number "
    "left join trial_system_attributes a on a.trial_id = t.trial_id and a.key = :by_settings "
    "where t.study_id = :study_id and t.number >= :begin order by t.number"
).columns(column("number"), column("state"), column("is_tried"))
_PARAMS = text(
    "select t.number, p.param_name, p.param_value, p.distribution_json from trials t "
    "join trial_params p on p.trial_id = t.trial_id where t.study_id = :study_id and t.number >= :begin"
).columns(column("number"), column("param_name"), column("param_value"), column("distribution_json"))

_distribution = lru_cache(maxsize=1000)(json_to_distribution)


class TriedConfigurations:
    """The settings that need no new trial: those of trials that are running, complete or pruned.

    Settings that made their trial fail are included too, but not those of a trial that failed because its worker was
    lost. A finished trial never changes, so it is read only once.

    Args:
        study_uuid: regsearch's id of the study.
        study_id: Optuna's id of the study.
        spec: the definition of the study.
    """

    def __init__(self, study_uuid: str, study_id: int, spec: StudySpec) -> None:
        self._uuid, self._study_id = study_uuid, study_id
        self._max_epochs = spec.training.max_epochs if spec.model.hypermodel is None else None
        self._begin = 0  # all trials before this number are finished, and in _known
        self._known: dict[Hashable, int] = {}
        self._latest: dict[Hashable, int] = {}  # the settings of the trials from that number on
        self._distributions: dict[str, BaseDistribution] = {}

    def read(self, connection: Connection, *, leave_out: int | None = None) -> None:
        """Read the trials that started or finished since the last call, except for the trial number `leave_out`."""
        bound = {"study_id": self._study_id, "begin": self._begin}
        params: defaultdict[int, dict[str, Any]] = defaultdict(dict)
        for number, name, value, distribution_json in connection.execute(_PARAMS, bound):
            self._distributions[name] = _distribution(distribution_json)
            params[number][name] = self._distributions[name].to_external_repr(value)
        self._latest = {}
        known = self._known
        trials = connection.execute(_TRIALS, {**bound, "uuid": self._uuid, "by_settings": BY_SETTINGS})
        for number, state, is_tried in trials:
            if state in ("RUNNING", "WAITING"):
                known = self._latest
            if known is self._known:
                self._begin = number + 1
            if is_tried and params[number] and number != leave_out:
                known.setdefault(self._key(params[number]), number)

    def trial_of(self, params: Mapping[str, Any]) -> int | None:
        """Return the number of the first trial with these settings, as of the last `read`; None if there is none."""
        key = self._key(params)
        return self._known.get(key, self._latest.get(key))

    def _key(self, params: Mapping[str, Any]) -> Hashable:
        return canonical({name: self._rounded(name, value) for name, value in params.items()}, self._max_epochs)

    def _rounded(self, name: str, value: Any) -> Any:
        """Return a value rounded to the nearest step of its distribution: equal steps can differ in their last bits."""
        distribution = self._distributions.get(name)
        if isinstance(distribution, FloatDistribution) and distribution.step is not None:
            return distribution.low + round((value - distribution.low) / distribution.step) * distribution.step
        return value
