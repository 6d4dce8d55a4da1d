"""What each rung of the ladder gave: the recipes that raise one technique's strength step by step."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .. import formats
from ..configuration import Regularization, configuration_of
from ..recipes import RECIPES
from ..records import TrialRecord
from ..search_space import untuned_learning_rate
from ..spec import StudySpec
from ..techniques import TECHNIQUES
from .conclusion import Conclusion

_FEWEST = 3  # with two there is no "too little, right, too much"
_TECHNIQUES = {technique.name: technique.key for technique in TECHNIQUES if technique.strengths}


@dataclass(frozen=True, kw_only=True)
class LadderStep:
    """One complete trial of a recipe: its strength, and its cross-entropy on the select rows, in nats per row."""

    strength: float
    cross_entropy: float
    trial: int


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What the same training gives without the technique.

    Attributes:
        name: which configuration that is.
        cross_entropy: on the select rows, in nats per row.
        is_of_search: whether one trial of the search gave it, with the rungs' own seed; else it is the mean over the
            confirmation's fresh seeds.
    """

    name: str
    cross_entropy: float
    is_of_search: bool


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """The rungs of one technique, the weakest first.

    Attributes:
        technique, parameter: its name and its key: L1 and l1.
    """

    technique: str
    parameter: str
    rungs: Sequence[LadderStep]

    @property
    def best(self) -> LadderStep:
        """The rung with the lowest cross-entropy."""
        return min(self.rungs, key=lambda rung: rung.cross_entropy)

    def too_much_from(self, level: Reference) -> LadderStep | None:
        """Return the weakest rung from which on all are worse than without; None where the strongest is not."""
        found = None
        for rung in reversed(self.rungs):
            if rung.cross_entropy <= level.cross_entropy:
                break
            found = rung
        return found


def ladders(trials: Iterable[TrialRecord]) -> list[Ladder]:
    """Return each technique's rungs, where at least three of them are complete."""
    names = {recipe.name: recipe for recipe in RECIPES["ladder"]}
    found: dict[str, list[LadderStep]] = {}
    for trial in trials:
        recipe, loss = names.get(trial.recipe or ""), formats.select_cross_entropy(trial)
        if recipe is None or loss is None:
            continue
        technique, _ = recipe.name.rsplit(maxsplit=1)
        strength = float(recipe.settings[_TECHNIQUES[technique]])
        found.setdefault(technique, []).append(LadderStep(strength=strength, cross_entropy=loss, trial=trial.number))
    return [
        Ladder(
            technique=technique,
            parameter=parameter,
            rungs=sorted(found[technique], key=lambda rung: rung.strength),
        )
        for technique, parameter in _TECHNIQUES.items()
        if len(found.get(technique, ())) >= _FEWEST
    ]


def reference(spec: StudySpec, trials: Sequence[TrialRecord], conclusion: Conclusion | None) -> Reference | None:
    """Return what early stopping alone gives, as the rungs have it beside their technique, else no regularization.

    A trial of the search comes first, since it has the rungs' seed. None where neither is known.
    """
    patience = next(iter(RECIPES["ladder"])).settings["patience"]
    rate = untuned_learning_rate(spec)  # that all recipes have
    wanted = (Regularization(patience=patience, learning_rate=rate), Regularization(learning_rate=rate))
    for regularization in wanted:
        trial = next((trial for trial in trials if _is(trial, regularization)), None)
        if trial is not None:
            loss = float(trial.metrics["select_cross_entropy"])
            return Reference(name=str(regularization), cross_entropy=loss, is_of_search=True)
    results = () if conclusion is None else conclusion.results
    for regularization in wanted:
        for result in results:
            if result.finalist.settings == regularization:
                return Reference(
                    name=str(regularization), cross_entropy=result.select_cross_entropy, is_of_search=False
                )
    return None


def sentences(spec: StudySpec, trials: Sequence[TrialRecord], conclusion: Conclusion | None) -> list[str]:
    """Return for each technique which rung is best, and from which one on it is too much."""
    without = reference(spec, trials, conclusion)
    return [_sentence(ladder, without) for ladder in ladders(trials)]


def _sentence(ladder: Ladder, without: Reference | None) -> str:
    best = ladder.best
    said = f"{ladder.technique} is best at {best.strength:g} ({formats.cross_entropy(best.cross_entropy)})"
    if without is None:
        return f"{said}."
    less = formats.signed(f"{best.cross_entropy - without.cross_entropy:+.5f}")
    said += f", {less} against {without.name}"
    too_much = ladder.too_much_from(without)
    if too_much is None:
        return f"{said}; its strongest rung, {ladder.rungs[-1].strength:g}, is not too much yet."
    if too_much is ladder.rungs[0]:
        return f"{said}; every rung is worse than without."
    return f"{said}; from {too_much.strength:g} on it is too much: worse than without."


def _is(trial: TrialRecord, regularization: Regularization) -> bool:
    if formats.select_cross_entropy(trial) is None:
        return False
    try:
        return configuration_of(trial.params) == regularization
    except (TypeError, ValueError, AttributeError):  # something else wrote them
        return False
