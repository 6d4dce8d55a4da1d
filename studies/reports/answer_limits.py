"""Describe the limits of an answer: what was held fixed, which techniques have no verdict, and other limits."""

from collections.abc import Iterator

from .. import formats
from ..analysis.conclusion import Conclusion
from ..analysis.technique_verdicts import technique_verdicts
from ..analysis.tuning import Attempt, Tuning, shown
from ..objectives import OURS
from ..recipes import RECIPES
from ..records import DatasetInfo
from ..spec import StudySpec
from .verdict_notes import over_seeds_note

_NOT_TUNED = "not tuned: "
_MOST_WORDS = 24  # of a sentence that lists techniques
_CLEARLY = 3  # a strength is bad if it loses more than 3 smallest gains; less may be luck, as it has only one seed
_ORDERED = ("L1", "L2", "dropout", "early stopping")
_COURSE = {recipe.name for recipe in RECIPES["course"]} | {f"course: {recipe.name}" for recipe in RECIPES["course"]}


def held_fixed(spec: StudySpec, dataset: DatasetInfo, conclusion: Conclusion) -> str:
    """Return a sentence on what the study held fixed; with another network or training, the answer may differ."""
    training, model = spec.training, spec.model
    examples = formats.count(spec.data.train_rows(dataset.n_train), "training example")
    if model.hypermodel is not None:
        name = model.hypermodel.rpartition(":")[2]
        searched = "the hyperparameters that were searched" if conclusion.is_over_defaults else "its regularization"
        return f"All this holds for {examples}, with the network and training of {name}: only {searched} varied."
    is_rate_fixed = spec.space.learning_rate == "fixed"
    rate = [f"learning rate {training.learning_rate:g}"] if is_rate_fixed else []
    parts = [
        *rate,
        f"at most {formats.count(training.max_epochs, 'epoch')}",
        f"batches of {training.batch_size:,}",
        f"{formats.listed([f'{units:,}' for units in model.hidden])} hidden units",
        examples,
    ]
    return f"All this holds for {formats.listed(parts)}."


def reservations(spec: StudySpec, conclusion: Conclusion) -> Iterator[str]:
    """Yield sentences on the limits of the answer, except for what the study held fixed."""
    yield from _too_strong(spec, conclusion)
    yield from _without_verdict(conclusion)
    if note := over_seeds_note(conclusion):
        yield note
    if conclusion.still_improving:
        yield "Most trainings with early stopping alone were still improving in their last epoch."
        yield "A training that is too short hardly needs regularization."
    if conclusion.failed:
        failed = [formats.settings(finalist.params) for finalist, _ in conclusion.failed]
        yield (
            f"One setting failed to train: {failed[0]}."
            if len(failed) == 1
            else f"{len(failed):,} settings failed to train."
        )
    yield from _looks(conclusion)


def _too_strong(spec: StudySpec, conclusion: Conclusion) -> Iterator[str]:
    """Yield a sentence for each technique whose strength in a recipe is clearly too weak or too strong."""
    stopping = next((row.tuning for row in conclusion.techniques if row.technique == "early stopping"), None)
    if stopping is None or stopping.best is None or spec.search.objective not in OURS:
        return
    if not conclusion.smallest_gain:
        return
    margin = _CLEARLY * conclusion.smallest_gain
    for tuning in (row.tuning for row in conclusion.techniques):
        if tuning is None or tuning.best is None or tuning.technique not in _ORDERED:
            continue
        for attempt in (one for one in tuning.complete if one.recipe is not None):
            lost = tuning.loss_of(attempt) - tuning.loss_of(tuning.best)
            behind = tuning.loss_of(attempt) - stopping.loss_of(stopping.best)
            if lost > margin and behind > margin and attempt.position != tuning.best.position:
                yield _bad_strength(tuning, tuning.best, attempt)
                break


def _bad_strength(tuning: Tuning, best: Attempt, attempt: Attempt) -> str:
    is_over = attempt.position > best.position
    owner = "the course's " if attempt.recipe in _COURSE else ""
    strength = shown(attempt.strength)
    better = shown(best.strength)
    if tuning.technique == "early stopping":
        subject = f"Early stopping with {owner}patience {strength} is too {'long' if is_over else 'short'}"
        return f"{subject}: patience {better} did better in the search."
    how = "strong" if is_over else "weak"
    return f"{tuning.technique} at {owner}{strength} is too {how}: {better} did better in the search."


def _without_verdict(conclusion: Conclusion) -> Iterator[str]:
    """Yield sentences that name each technique without a verdict and the reason, if the study asks about it."""
    asked = {row.technique for row in conclusion.techniques if row.tuning is not None and row.tuning.is_asked}
    untuned: list[str] = []
    others: list[str] = []
    for one in technique_verdicts(conclusion):
        if one.verdict is None and one.technique in asked:
            reason = one.reason.removeprefix(_NOT_TUNED)
            (others if reason == one.reason else untuned).append(f"{one.name} ({reason})")
    for words, techniques in (("Not tuned, and so without a verdict", untuned), ("Without a verdict", others)):
        for i, part in enumerate(_in_parts(techniques)):
            yield f"{words if i == 0 else 'Also without a verdict'}: {formats.listed(part)}."


def _in_parts(words: list[str]) -> list[list[str]]:
    """Split a list into parts that are each short enough for a sentence."""
    parts: list[list[str]] = []
    for word in words:
        if parts and len(" ".join([*parts[-1], word]).split()) <= _MOST_WORDS:
            parts[-1].append(word)
        else:
            parts.append([word])
    return parts


def _looks(conclusion: Conclusion) -> Iterator[str]:
    if conclusion.completed_looks > 1:
        yield f"The test set was used {conclusion.completed_looks:,} times."
        yield "The risk of a wrong claim is divided among these uses, so the intervals are wider than after one use."
    if conclusion.unfinished_looks:
        is_one = conclusion.unfinished_looks == 1
        uses = "Another use" if is_one else f"{conclusion.unfinished_looks:,} other uses"
        whose = "that use" if is_one else "those uses"
        yield f"{uses} of the test set did not finish. This answer leaves out the evaluations of {whose}."
