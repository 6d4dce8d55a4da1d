"""Which way of searching finds more? What studies of one question say that were searched by other means.

A way is what the studies differ in beside their seeds: sampler, pruner, recipes, network. Studies of one way with
several seeds show how much of a difference is luck.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from regsearch.studies import formats
from regsearch.studies.analysis.comparison import ComparedStudy, Comparison, Difference
from regsearch.studies.statistics import Interval, difference, mean_interval

_FEWEST_SEEDS = 3


@dataclass(frozen=True, kw_only=True)
class SearchMethod:
    """Studies that were searched in one way.

    Attributes:
        label: what tells the way from the others: "tpe", "random, hyperband".
        studies: by seed.
    """

    label: str
    studies: tuple[ComparedStudy, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The studies' seeds."""
        return tuple(study.answer.study.spec.search.seed for study in self.studies)

    def best_after(self, trials: int) -> list[float]:
        """Return each study's best value after so many trials, where it has one."""
        found = (study.best_after(trials) for study in self.studies)
        return [value for value in found if value is not None]


@dataclass(frozen=True, kw_only=True)
class Advantage:
    """How much better the best way is than another one, after as many trials each; above 0 is better.

    Attributes:
        by: mean and interval, in the objective's own unit; None where there are fewer than three seeds each.
        is_paired: whether both ways had the same seeds, and were compared seed by seed.
    """

    best: SearchMethod
    other: SearchMethod
    by: Interval | None
    is_paired: bool

    @property
    def is_beyond_noise(self) -> bool:
        """Whether even the low end of the lead is above 0."""
        return self.by is not None and self.by.is_above(0)


def varied(comparison: Comparison) -> list[Difference]:
    """Return the keys in which ways of searching differ, where the studies train on as many rows."""
    return [one for one in comparison.differences if one.kind == "way"]


def obstacles(comparison: Comparison) -> list[str]:
    """Return why the ways can't be held against each other."""
    keys = [one.key for one in comparison.differences if one.kind == "question" or _is_of_one_network(comparison, one)]
    mixed = [f"{study.name} was searched by {' and '.join(study.samplers)}" for study in _mixed(comparison)]
    return [*([f"they differ in {formats.listed(keys)}"] if keys else []), *mixed]


def search_methods(comparison: Comparison) -> list[SearchMethod]:
    """Return the ways of searching, at least two; none where the studies don't compare any."""
    keys = _telling(varied(comparison))
    if not keys or obstacles(comparison):
        return []
    found: dict[str, list[ComparedStudy]] = {}
    for index, study in enumerate(comparison.studies):
        found.setdefault(_label(keys, index), []).append(study)
    return [
        SearchMethod(label=label, studies=tuple(sorted(studies, key=lambda study: study.answer.study.spec.search.seed)))
        for label, studies in found.items()
    ]


def common_trials(comparison: Comparison) -> int:
    """Return after how many trials all studies can be compared: as many as the shortest has."""
    return min(study.trials for study in comparison.studies)


def leads(comparison: Comparison) -> list[Advantage]:
    """Return the lead of the best way over each other one, the second first; none where any has no value yet."""
    trials = common_trials(comparison)
    sign = 1 if comparison.maximizes else -1
    values = [(way, way.best_after(trials)) for way in search_methods(comparison)]
    if not values or any(len(found) < len(way.studies) for way, found in values):
        return []
    ordered = sorted(values, key=lambda one: -sign * fmean(one[1]))
    best, most = ordered[0]
    return [_lead(best, [sign * x for x in most], way, [sign * x for x in found]) for way, found in ordered[1:]]


def headline(comparison: Comparison) -> str | None:
    """Return the answer in a few words; None where the studies don't compare ways of searching."""
    found = search_methods(comparison)
    if not found:
        return None
    count, lead = f"{len(found)} ways of searching", leads(comparison)
    if not lead:
        return f"{count}; which one finds more is not known yet"
    if all(one.is_beyond_noise for one in lead):
        others = formats.listed([one.other.label for one in lead])
        return f"{lead[0].best.label} found better settings than {others}"
    if any(one.by is None for one in lead):
        return f"{count}, on too few seeds to tell which one finds more"
    return f"{count}; noise hides which one finds more"


def sentences(comparison: Comparison) -> str | None:
    """Return what the searches say of each other; None where the studies don't compare ways of searching."""
    question = "Which way of searching finds more?"
    if not varied(comparison):
        return None
    if against := obstacles(comparison):
        return f"{question} These studies can't tell, since {formats.listed(against)}."
    lead, trials = leads(comparison), common_trials(comparison)
    if not lead:
        return f"{question} Not known yet: not every study has a complete trial among its first {trials:,}."
    parts = [f"{way.label} {_found(comparison, way.best_after(trials))}" for way in _ranked(lead)]
    said = f"After {formats.count(trials, 'trial')} each, the best {_what(comparison)}: {'; '.join(parts)}."
    told = [_told(comparison, one) for one in lead if one.by is not None]
    return " ".join([question, said, *told, *_caveats(lead)])


def _lead(best: SearchMethod, most: Sequence[float], other: SearchMethod, values: Sequence[float]) -> Advantage:
    is_paired = best.seeds == other.seeds and len(set(best.seeds)) == len(best.seeds)
    by = None
    if min(len(most), len(values)) >= _FEWEST_SEEDS:
        if is_paired:
            by = mean_interval([one - another for one, another in zip(most, values, strict=True)])
        else:
            by = difference(mean_interval(most), mean_interval(values))
    return Advantage(best=best, other=other, by=by, is_paired=is_paired)


def _ranked(lead: Sequence[Advantage]) -> list[SearchMethod]:
    return [lead[0].best, *(one.other for one in lead)]


def _telling(keys: Sequence[Difference]) -> list[Difference]:
    """Leave out options that go with the name of their sampler or pruner."""
    values = {one.key: one.values for one in keys}
    told = []
    for one in keys:
        owners = values.get(one.key.removesuffix("_options"))
        if owners is one.values or owners is None or len(set(zip(owners, one.values, strict=True))) > len(set(owners)):
            told.append(one)
    return told


def _label(keys: Sequence[Difference], index: int) -> str:
    parts = []
    for one in keys:
        name, value = one.key.partition(".")[2], one.values[index].strip('"')
        is_named = name in ("sampler", "pruner", "hypermodel")
        if value:  # else it is a key of the built-in network's, and this one is a HyperModel's
            parts.append(value if is_named else f"{name.replace('_', ' ')} {value}")
    return ", ".join(parts)


def _mixed(comparison: Comparison) -> list[ComparedStudy]:
    return [study for study in comparison.studies if len(study.samplers) > 1]


def _is_of_one_network(comparison: Comparison, one: Difference) -> bool:
    """Return whether studies of one network differ in a key of the space; another network has a space of its own."""
    if not one.key.startswith("space."):
        return False
    networks = [other.values for other in comparison.differences if other.key.startswith("model.")]
    with_values = set(zip(*networks, one.values, strict=True))
    return len(with_values) > len({values[:-1] for values in with_values})


def _what(comparison: Comparison) -> str:
    spec = comparison.studies[0].answer.study.spec
    unit = {"cross_entropy": " (nats per row)"}.get(spec.search.objective, "")
    return f"{formats.objective(spec)}{' (%)' if comparison.is_by_accuracy else unit}"


def _number(comparison: Comparison, value: float) -> str:
    return f"{100 * value:.2f}" if comparison.is_by_accuracy else f"{value:.5f}"


def _found(comparison: Comparison, values: Sequence[float]) -> str:
    mean = _number(comparison, fmean(values))
    if len(values) == 1:
        return f"{mean} (one seed)"
    ends = f"{_number(comparison, min(values))} to {_number(comparison, max(values))}"
    return f"{mean} (mean of {len(values)} seeds, {ends})"


def _told(comparison: Comparison, lead: Advantage) -> str:
    assert lead.by is not None
    low, high = (formats.signed(_number(comparison, end)) for end in (lead.by.low, lead.by.high))
    how = f"{formats.level(lead.by.level)} interval {low} to {high}{', seed by seed' if lead.is_paired else ''}"
    verdict = "beyond noise" if lead.is_beyond_noise else "within noise"
    by = _number(comparison, lead.by.mean)
    return f"{lead.best.label} is better than {lead.other.label} by {by} ({how}): {verdict}."


def _caveats(lead: Sequence[Advantage]) -> list[str]:
    if any(one.by is None for one in lead):
        return [f"With fewer than {_FEWEST_SEEDS} seeds of each way, such an order may be luck."]
    return ["Several are compared, so the best is a little lucky."] if len(lead) > 1 else []
