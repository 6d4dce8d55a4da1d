"""Write a study's answer in words: a headline, and sentences on what to use, its gain, and how sure that is."""

from collections.abc import Sequence

from .. import formats
from ..analysis.conclusion import Conclusion
from ..analysis.technique_verdicts import EARLY_STOPPING_ALONE, technique_verdicts
from ..analysis.verdicts import Verdict
from ..configuration import configuration_of
from ..objectives import OURS, metric_of
from ..records import StudySummary
from .answer_sentences import best_beating, confirmed_sentences


def headline(answer: StudySummary, conclusion: Conclusion | None) -> str:
    """Return the answer in one short line."""
    if conclusion is not None:
        return _confirmed_headline(conclusion)
    if answer.best is not None:
        return f"Not confirmed yet: {formats.settings(answer.best.params)}"
    return _no_complete_trial(answer)


def sentences(answer: StudySummary, conclusion: Conclusion | None, storage: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the whole answer in short sentences, the most important first."""
    if conclusion is not None:
        return confirmed_sentences(answer.study.spec, answer.study.dataset, conclusion, storage)
    if answer.best is not None:
        return tuple(_unconfirmed_sentences(answer))
    counts = answer.counts
    if not counts.finished:
        return (f"{_no_complete_trial(answer)}, so there is no answer yet.",)
    if counts.failed == counts.finished:
        return (f"{_no_complete_trial(answer)}, so there is no answer. The list of trials says why.",)
    finished = formats.count(counts.finished, "finished trial")
    return (
        f"{_no_complete_trial(answer)}, so there is no answer: of {finished}, {counts.pruned:,} were pruned and "
        f"{counts.failed:,} failed.",
    )


def paragraph(answer: StudySummary, conclusion: Conclusion | None) -> str:
    """Return the sentences of the answer, joined to one text."""
    return " ".join(sentences(answer, conclusion))


def _confirmed_headline(conclusion: Conclusion) -> str:
    winner = conclusion.winner
    name = formats.settings(winner.finalist.params)
    if conclusion.baseline is None:
        return f"{name}, but there is no baseline to compare it with"
    if winner.gain is None and conclusion.others_beyond_noise:
        best = formats.settings(best_beating(conclusion).finalist.params)
        chosen = "The defaults were chosen" if conclusion.is_over_defaults else "No regularization was chosen"
        return f"{chosen}, but {best} beats {'them' if conclusion.is_over_defaults else 'it'} on the test examples"
    if winner.gain is None:
        chosen = "The defaults" if conclusion.is_over_defaults else "No regularization"
        helps = any(one.verdict is Verdict.HELPS for one in technique_verdicts(conclusion))
        what = "setting" if conclusion.is_over_defaults else "technique"
        return chosen if helps else f"{chosen}: no {what} is shown to help"
    over_early_stopping, over_baseline = conclusion.winner_over_early_stopping, conclusion.winner_over_baseline
    judgement, over = (
        (over_baseline, conclusion.baseline_name)
        if over_early_stopping is None
        else (over_early_stopping, EARLY_STOPPING_ALONE)
    )
    if judgement is None or judgement.verdict is Verdict.HELPS:
        return name
    if judgement.verdict is Verdict.NO_DIFFERENCE:
        return f"{over[0].upper()}{over[1:]}: compared with that, {name} makes no difference"
    if judgement.verdict is Verdict.HARMS:
        return f"{name}: compared with {over}, it harms"
    return f"{name}: its gain over {over} is not settled"


def _no_complete_trial(answer: StudySummary) -> str:
    counts = answer.counts
    if not counts.finished:
        return "No trial has finished yet"
    if counts.failed == counts.finished:
        return f"All {counts.failed:,} trials failed" if counts.failed > 1 else "The only trial failed"
    return "No trial is complete"


def _unconfirmed_sentences(answer: StudySummary) -> list[str]:
    best, counts = answer.best, answer.counts
    assert best is not None
    objective = formats.objective(answer.study.spec)
    figures = []
    metric = answer.study.spec.search.objective
    if metric not in OURS and best.value is not None:
        figures.append(f"{metric_of(metric)} {best.value:.5f}")
    if "select_cross_entropy" in best.metrics:
        figures.append(f"cross-entropy {formats.cross_entropy(best.metrics['select_cross_entropy'])} nats per example")
    if "select_accuracy" in best.metrics:
        figures.append(f"accuracy {formats.percent(best.metrics['select_accuracy'])}")
    measured = f" ({', '.join(figures)} on the selection split)" if figures else ""
    return [
        f"Not confirmed yet: of {formats.count(counts.complete, 'complete trial')}, trial {best.number} has the best "
        f"{objective}: {formats.settings(best.params)}{measured}.",
        "The trial was chosen for that figure, so the figure is a little optimistic. The real gain over "
        f"{configuration_of(best.params).baseline} is not known.",
        "Only a confirmation can measure this gain: it uses fresh seeds and the test set.",
    ]
