"""Answers which search method finds better settings, from studies that differ only in their search method and seed.

A search method is a sampler with a pruner, recipes and a network. Several studies with one method and different seeds
show how much of a difference is luck.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from .. import formats
from ..statistics import Interval, difference, mean_interval
from .comparison import ComparedStudy, Comparison, Difference

_FEWEST_SEEDS = 3


@dataclass(frozen=True, kw_only=True)
class SearchMethod:
    """A search method with its studies.

    Attributes:
        label: what distinguishes the method from the others, such as "tpe" or "random, hyperband".
        studies: the studies that used the method, ordered by seed.
    """

    label: str
    studies: tuple[ComparedStudy, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the studies."""
        return tuple(study.answer.study.spec.search.seed for study in self.studies)

    def best_after(self, trials: int) -> list[float]:
        """Return the best value among the first `trials` trials of each study; a study without a value is left out."""
        values = (study.best_after(trials) for study in self.studies)
        return [value for value in values if value is not None]


@dataclass(frozen=True, kw_only=True)
class Advantage:
    """How much better the best method is than another method, after the same number of trials.

    Attributes:
        best: the method with the best mean.
        other: the method that `best` is compared with.
        difference: how much better `best` is than `other`, as a mean with its interval, in the unit of the objective.
            None if either method has fewer than three seeds.
        is_paired: whether both methods have the same seeds, so that they are compared seed by seed.
    """

    best: SearchMethod
    other: SearchMethod
    difference: Interval | None
    is_paired: bool

    @property
    def is_beyond_noise(self) -> bool:
        """Whether the whole interval of the difference is above 0."""
        return self.difference is not None and self.difference.is_above(0)


def varied(comparison: Comparison) -> list[Difference]:
    """Return the keys in which the search methods differ; none if the studies have different numbers of examples."""
    return [key for key in comparison.differences if key.kind == "way"]


def obstacles(comparison: Comparison) -> list[str]:
    """Return the reasons why the search methods can't be compared; an empty list if they can be compared."""
    keys = [key.key for key in comparison.differences if key.kind == "question" or _is_of_one_network(comparison, key)]
    mixed = [f"{study.name} was searched by {' and '.join(study.samplers)}" for study in _mixed(comparison)]
    return [*([f"they differ in {formats.listed(keys)}"] if keys else []), *mixed]


def search_methods(comparison: Comparison) -> list[SearchMethod]:
    """Return the search methods, at least two; an empty list if the studies can't compare search methods."""
    keys = _without_options(varied(comparison))
    if not keys or obstacles(comparison):
        return []
    by_label: dict[str, list[ComparedStudy]] = {}
    for index, study in enumerate(comparison.studies):
        by_label.setdefault(_label(keys, index), []).append(study)
    return [
        SearchMethod(label=label, studies=tuple(sorted(studies, key=lambda study: study.answer.study.spec.search.seed)))
        for label, studies in by_label.items()
    ]


def common_trials(comparison: Comparison) -> int:
    """Return the number of trials of the shortest study; all studies are compared after that many trials."""
    return min(study.trials for study in comparison.studies)


def leads(comparison: Comparison) -> list[Advantage]:
    """Return the advantage of the best method over each other method, the second best method first.

    Returns an empty list if any study has no complete trial among its first `common_trials`.
    """
    trials = common_trials(comparison)
    sign = 1 if comparison.maximizes else -1
    scored = [(method, [sign * value for value in method.best_after(trials)]) for method in search_methods(comparison)]
    if not scored or any(len(scores) < len(method.studies) for method, scores in scored):
        return []
    (best, best_scores), *others = sorted(scored, key=lambda one: -fmean(one[1]))
    return [_advantage(best, best_scores, method, scores) for method, scores in others]


def headline(comparison: Comparison) -> str | None:
    """Return the answer in a few words; None if the studies can't compare search methods."""
    methods = search_methods(comparison)
    if not methods:
        return None
    count, advantages = f"{len(methods)} search methods", leads(comparison)
    if not advantages:
        return f"{count}; which one finds better settings is not known yet"
    if all(advantage.is_beyond_noise for advantage in advantages):
        others = formats.listed([advantage.other.label for advantage in advantages])
        return f"{advantages[0].best.label} found better settings than {others}"
    if any(advantage.difference is None for advantage in advantages):
        return f"{count}, on too few seeds to tell which one finds better settings"
    return f"{count}; noise hides which one finds better settings"


def sentences(comparison: Comparison) -> str | None:
    """Return the answer to "Which search method finds better settings?"; None if the methods do not differ."""
    question = "Which search method finds better settings?"
    if not varied(comparison):
        return None
    if causes := obstacles(comparison):
        return f"{question} These studies can't tell, since {formats.listed(causes)}."
    advantages, trials = leads(comparison), common_trials(comparison)
    if not advantages:
        return f"{question} Not known yet: not every study has a complete trial among its first {trials:,}."
    parts = [f"{method.label} {_values(comparison, method.best_after(trials))}" for method in _ranked(advantages)]
    best = f"After {formats.count(trials, 'trial')} each, the best {_objective(comparison)}: {'; '.join(parts)}."
    differences = [_sentence(comparison, one, one.difference) for one in advantages if one.difference is not None]
    return " ".join([question, best, *differences, *_caveats(advantages)])


def _advantage(
    best: SearchMethod, best_scores: Sequence[float], other: SearchMethod, scores: Sequence[float]
) -> Advantage:
    """Return the advantage of one method over another, from the scores of their studies; larger scores are better."""
    is_paired = best.seeds == other.seeds and len(set(best.seeds)) == len(best.seeds)
    interval = None
    if min(len(best_scores), len(scores)) >= _FEWEST_SEEDS:
        if is_paired:
            interval = mean_interval([one - another for one, another in zip(best_scores, scores, strict=True)])
        else:
            interval = difference(mean_interval(best_scores), mean_interval(scores))
    return Advantage(best=best, other=other, difference=interval, is_paired=is_paired)


def _ranked(advantages: Sequence[Advantage]) -> list[SearchMethod]:
    """Return all methods, the best first."""
    return [advantages[0].best, *(advantage.other for advantage in advantages)]


def _without_options(keys: Sequence[Difference]) -> list[Difference]:
    """Return the keys without the options that differ only because the samplers or the pruners differ."""
    values = {key.key: key.values for key in keys}

    def is_telling(key: Difference) -> bool:
        owners = values.get(key.key.removesuffix("_options"))
        if owners is key.values or owners is None:
            return True
        return len(set(zip(owners, key.values, strict=True))) > len(set(owners))

    return [key for key in keys if is_telling(key)]


def _label(keys: Sequence[Difference], index: int) -> str:
    """Return the label of the method that the study at `index` used: the study's values of the keys."""
    parts = []
    for key in keys:
        name, value = key.key.partition(".")[2], key.values[index].strip('"')
        is_named = name in ("sampler", "pruner", "hypermodel")
        if value:  # a study with a HyperModel has no value for the keys of the built-in network
            parts.append(value if is_named else f"{name.replace('_', ' ')} {value}")
    return ", ".join(parts)


def _mixed(comparison: Comparison) -> list[ComparedStudy]:
    """Return the studies that more than one sampler searched."""
    return [study for study in comparison.studies if len(study.samplers) > 1]


def _is_of_one_network(comparison: Comparison, key: Difference) -> bool:
    """Return whether studies with the same network differ in this key of the search space.

    Studies with different networks may differ in it, since each network has its own search space.
    """
    if not key.key.startswith("space."):
        return False
    networks = [other.values for other in comparison.differences if other.key.startswith("model.")]
    with_values = set(zip(*networks, key.values, strict=True))
    return len(with_values) > len({values[:-1] for values in with_values})


def _objective(comparison: Comparison) -> str:
    """Return the name of the objective with its unit."""
    spec = comparison.studies[0].answer.study.spec
    unit = " (nats per example)" if spec.search.objective == "cross_entropy" else ""
    return f"{formats.objective(spec)}{' (%)' if comparison.is_by_accuracy else unit}"


def _number(comparison: Comparison, value: float) -> str:
    """Return a value of the objective as text: an accuracy in percent, any other value with five decimal places."""
    return f"{100 * value:.2f}" if comparison.is_by_accuracy else f"{value:.5f}"


def _values(comparison: Comparison, values: Sequence[float]) -> str:
    """Return the mean of a method's best values, with the number of seeds and the smallest and largest value."""
    mean = _number(comparison, fmean(values))
    if len(values) == 1:
        return f"{mean} (one seed)"
    ends = f"{_number(comparison, min(values))} to {_number(comparison, max(values))}"
    return f"{mean} (mean of {len(values)} seeds, {ends})"


def _sentence(comparison: Comparison, advantage: Advantage, interval: Interval) -> str:
    """Return a sentence with the advantage, its interval, and whether it is beyond noise."""
    low, high = (formats.signed(_number(comparison, end)) for end in (interval.low, interval.high))
    pairing = ", seed by seed" if advantage.is_paired else ""
    verdict = "beyond noise" if advantage.is_beyond_noise else "within noise"
    return (
        f"{advantage.best.label} is better than {advantage.other.label} by {_number(comparison, interval.mean)} "
        f"({formats.level(interval.level)} interval {low} to {high}{pairing}): {verdict}."
    )


def _caveats(advantages: Sequence[Advantage]) -> list[str]:
    """Return a warning if there are too few seeds, or if several methods are compared with the best one."""
    if any(advantage.difference is None for advantage in advantages):
        return [f"With fewer than {_FEWEST_SEEDS} seeds of each method, this order may be luck."]
    return ["The best of several methods is a little lucky."] if len(advantages) > 1 else []
