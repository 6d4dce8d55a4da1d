"""Finds the strength at which a technique becomes too strong, with trials that raise the strength step by step.

These trials use the recipes of the set "ladder". The set has several strengths of L1, L2 and dropout, from weak to
strong. All strengths of one technique are its ladder, and one strength is a step (or rung).
"""

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

_FEWEST = 3  # steps of a ladder: two can't show too little, right and too much
_TECHNIQUES = {technique.name: technique.key for technique in TECHNIQUES if technique.strengths}


@dataclass(frozen=True, kw_only=True)
class LadderStep:
    """One step of a ladder: a complete trial with one strength of the technique.

    Attributes:
        strength: the L1 or L2 factor, or the dropout rate.
        cross_entropy: the cross-entropy on the selection split, in nats per example.
        trial: the number of the trial.
    """

    strength: float
    cross_entropy: float
    trial: int


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The result of a training without the technique; the steps are compared with it.

    Attributes:
        name: the name of the configuration, such as "early stopping (patience 2)".
        cross_entropy: the cross-entropy on the selection split, in nats per example.
        is_of_search: whether the value comes from one trial of the search, which has the same seed as the steps. If
            not, the value is the mean over the fresh seeds of the confirmation.
    """

    name: str
    cross_entropy: float
    is_of_search: bool


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """The steps of one technique.

    Attributes:
        technique: the name of the technique, such as L1.
        parameter: the name of the parameter that is the strength, such as l1.
        rungs: the steps, the weakest strength first.
    """

    technique: str
    parameter: str
    rungs: Sequence[LadderStep]

    @property
    def best(self) -> LadderStep:
        """The step with the lowest cross-entropy."""
        return min(self.rungs, key=lambda rung: rung.cross_entropy)

    def too_much_from(self, level: Reference) -> LadderStep | None:
        """Return the step from which on every step is worse than the reference.

        Returns None if the strongest step is not worse.
        """
        found = None
        for rung in reversed(self.rungs):
            if rung.cross_entropy <= level.cross_entropy:
                break
            found = rung
        return found


def ladders(trials: Iterable[TrialRecord]) -> list[Ladder]:
    """Return the ladder of each technique that has at least three complete steps."""
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
    """Return the result of early stopping alone, with the same patience as the steps, or else of no regularization.

    A trial of the search is preferred to the confirmation, since the trial has the same seed as the steps. Returns None
    if neither the search nor the confirmation has such a result.
    """
    patience = next(iter(RECIPES["ladder"])).settings["patience"]
    rate = untuned_learning_rate(spec)  # all recipes use this learning rate
    wanted = (Regularization(patience=patience, learning_rate=rate), Regularization(learning_rate=rate))
    for regularization in wanted:
        trial = next((trial for trial in trials if _has_result(trial, regularization)), None)
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
    """Return a sentence for each technique: its best strength, and the strength at which it becomes too strong."""
    without = reference(spec, trials, conclusion)
    return [_sentence(ladder, without) for ladder in ladders(trials)]


def _sentence(ladder: Ladder, without: Reference | None) -> str:
    """Return the sentence of one technique."""
    best = ladder.best
    result = f"{ladder.technique} is best at {best.strength:g} ({formats.cross_entropy(best.cross_entropy)})"
    if without is None:
        return f"{result}."
    change = formats.signed(f"{best.cross_entropy - without.cross_entropy:+.5f}")
    result += f", {change} against {without.name}"
    too_much = ladder.too_much_from(without)
    if too_much is None:
        return f"{result}; even its strongest step, {ladder.rungs[-1].strength:g}, is not too much."
    if too_much is ladder.rungs[0]:
        return f"{result}; every step is worse than without {ladder.technique}."
    return f"{result}; from {too_much.strength:g} on it is too much: worse than without {ladder.technique}."


def _has_result(trial: TrialRecord, regularization: Regularization) -> bool:
    """Return whether a trial has this configuration and a selection cross-entropy."""
    if formats.select_cross_entropy(trial) is None:
        return False
    try:
        return configuration_of(trial.params) == regularization
    except (TypeError, ValueError, AttributeError):  # another program wrote these parameters
        return False
