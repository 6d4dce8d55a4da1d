"""Write the report for a terminal: the answer, then tables of techniques, finalists, strengths and recipes."""

import io
from collections.abc import Iterable

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from .. import formats
from ..analysis.conclusion import Conclusion, FinalistResult
from ..analysis.failures import grouped_reasons
from ..analysis.ladder import sentences as rung_sentences
from ..analysis.technique_verdicts import EARLY_STOPPING_ALONE, TechniqueVerdict, technique_verdicts
from ..analysis.tuning import Tuning, shown, spanned
from ..records import StudySummary
from ..statistics import Interval
from .answer import as_text as unconfirmed
from .answer import counts_line, dataset_line
from .data import ReportData
from .summary import headline, sentences
from .table import column, terminal_table
from .tuned_strengths import objective, value
from .verdict_notes import dropped_in_words, needs_in_words, verdict_in_words, verdicts_note

_WIDEST = 120
_GAIN_WIDTH = 20  # the width of "[+0.00315, +0.00935]"
_LONGEST_NAME = 11  # the width of "combination"
_OTHER_COLUMNS = 2 * _LONGEST_NAME + 2 * _GAIN_WIDTH + 24  # the width of all columns of the techniques but the last
_WIDE = 100  # from this width on, an interval fits on one line of a cell
_TECHNIQUE_WIDTH = 9  # the width of "BatchNorm"
_STRENGTH_WIDTH = 8  # the width of "1.95e-05"
_VALUE_WIDTH = 7  # the width of "0.07499"
_UNBROKEN_SPACE = "\ue000"  # stands for a space at which no line may be broken; it has no other use
_TUNED = (
    "A technique gets a verdict only if it is tuned: enough of its strengths were trained. 'no, 2 of 5' means that 2 "
    "strengths were trained, and 5 are needed."
)


def as_text(content: ReportData, width: int) -> str:
    """Return the report as text that is at most `width` characters wide, except for the last command."""
    answer, conclusion = content.answer, content.conclusion
    parts: list[RenderableType] = [Text(dataset_line(answer.study.dataset)), Text(counts_line(answer))]
    if answer.study.spec.study.question:
        parts += ["", Text(answer.study.spec.study.question)]
    shown = sentences(answer, conclusion, _storage(conclusion))
    parts += ["", Text(headline(answer, conclusion)), "", *map(_sentence, shown)]
    parts += [Text(f"Note: {edge}") for edge in content.edges]
    if conclusion is not None:
        parts += [*techniques(conclusion, width), "", *_finalists(conclusion)]
    if content.strength_curves:
        parts += ["", _strengths(content)]
    if any(trial.recipe for trial in content.trials):
        parts += ["", _recipes(content)]
    rungs = rung_sentences(content.answer.study.spec, content.trials, content.conclusion)
    if rungs:
        parts += ["", Text("What each ladder step gives, in selection cross-entropy of one seed:"), *map(Text, rungs)]
    if content.importance:
        parts += ["", _importance(content)]
    elif content.importance_missing:
        parts += ["", Text(f"How much each technique matters is not known: {content.importance_missing}")]
    parts += ["", *_cost(content)]
    # the command stays on one line, so that users can paste it into a shell
    return f"{rendered(parts, width)}\n\nTo run it again: {content.command}"


def _storage(conclusion: Conclusion | None) -> tuple[str, ...]:
    return () if conclusion is None else conclusion.storage_option


def rendered(parts: Iterable[RenderableType], width: int) -> str:
    """Let Rich render the parts without colours, and return text that is at most `width` characters wide."""
    output = io.StringIO()
    Console(file=output, width=min(width, _WIDEST), color_system=None).print(Group(*parts))
    return "\n".join(line.rstrip() for line in output.getvalue().rstrip().replace(_UNBROKEN_SPACE, " ").split("\n"))


def _sentence(sentence: str) -> Text:
    """Return a sentence whose command stays on one line, so that users can paste it into a shell."""
    parts = sentence.split("`")
    return Text("`".join(part.replace(" ", _UNBROKEN_SPACE) if i % 2 else part for i, part in enumerate(parts)))


def _keep_interval_whole(gain: str) -> str:
    """Return a gain as text in which a line can be broken only before the interval."""
    mean, _, ends = gain.partition(" [")
    return f"{mean} [{ends.replace(' ', _UNBROKEN_SPACE)}"


def answer_as_text(answer: StudySummary, conclusion: Conclusion | None, width: int) -> str:
    """Return the text that a run prints at its end: the confirmed answer, or the best trial if there is no answer."""
    if conclusion is None:
        return unconfirmed(answer)
    parts: list[RenderableType] = [
        Text(dataset_line(answer.study.dataset)),
        Text(counts_line(answer)),
        "",
        Text(f"Answer: {headline(answer, conclusion)}"),
        *map(_sentence, sentences(answer, conclusion, conclusion.storage_option)),
        *(techniques(conclusion, width) or _gains(conclusion)),
    ]
    return rendered(parts, width)


def techniques(conclusion: Conclusion, width: int) -> list[RenderableType]:
    """Return a table of each technique's verdict and gain on the test set; no table without techniques."""
    if not conclusion.techniques:
        return []
    has_early_stopping = conclusion.has_early_stopping_alone
    references = [EARLY_STOPPING_ALONE] if has_early_stopping else []
    most = _LONGEST_NAME if width < _WIDEST else None
    fewest = _GAIN_WIDTH if width >= _WIDE else None
    header = [
        column("technique", max_width=most),
        column("verdict", max_width=most),
        *(column(f"gain over {name}", min_width=fewest) for name in (*references, conclusion.baseline_name)),
        column("seeds"),
        column("configuration", max_width=width - _OTHER_COLUMNS if _WIDE <= width < _WIDEST else None),
    ]
    rows = []
    for verdict in technique_verdicts(conclusion):
        gains = [verdict.gain_over_early_stopping] if has_early_stopping else []
        rows.append(
            [
                verdict.technique,
                "\n".join(filter(None, [verdict_in_words(verdict), needs_in_words(verdict)])),
                *(_gain(conclusion, gain, width) for gain in (*gains, verdict.over_baseline)),
                f"{verdict.seeds:,}" if verdict.seeds else "",
                _configuration(verdict),
            ]
        )
    title = f"Each technique on the test set; gains in {conclusion.measure.title}, higher is better"
    return ["", terminal_table(title, header, rows, note=verdicts_note(conclusion))]


def _gain(conclusion: Conclusion, interval: Interval | None, width: int) -> str:
    if interval is None:
        return ""
    gain = conclusion.measure.gain(interval)
    return _keep_interval_whole(gain) if width >= _WIDE else gain


def _configuration(verdict: TechniqueVerdict) -> str:
    return "" if verdict.result is None else formats.settings(verdict.result.finalist.params)


def _gains(conclusion: Conclusion) -> list[RenderableType]:
    """Return a table of each finalist's gain on the test set; no table if no finalist has a gain."""
    rows = [
        [
            _mark(conclusion, result),
            formats.settings(result.finalist.params),
            formats.cross_entropy_gain(result.gain.cross_entropy),
            formats.accuracy_gain(result.gain.accuracy),
        ]
        for result in conclusion.ranked
        if result.gain is not None
    ]
    if not rows:
        return [""]
    title = f"Each finalist compared with {conclusion.baseline_name} on the test set; * winner, = tied with the best"
    header = ("", "configuration", "gain in cross-entropy", "in accuracy (points)")
    return ["", terminal_table(title, header, rows, note=formats.shared_risk(conclusion.level))]


def _finalists(conclusion: Conclusion) -> list[RenderableType]:
    rows = [
        [
            _mark(conclusion, result),
            formats.settings(result.finalist.params),
            str(result.seeds),
            formats.percent(result.select_accuracy)
            if conclusion.by_accuracy
            else formats.cross_entropy(result.select_cross_entropy),
            formats.cross_entropy_interval(result.test_cross_entropy),
            formats.accuracy_interval(result.test_accuracy),
            formats.cross_entropy(result.generalization_gap),
        ]
        for result in conclusion.ranked
    ]
    title = "Finalists: first those with the most fresh seeds, then the best; * winner, = tied with the best"
    header = ("", "configuration", "seeds", "selection", "test cross-entropy", "test accuracy", "gap")
    failed = [Text(f"Failed: {formats.settings(finalist.params)} ({reason})") for finalist, reason in conclusion.failed]
    return [terminal_table(title, header, rows), *map(Text, dropped_in_words(conclusion)), *failed]


def _mark(conclusion: Conclusion, result: FinalistResult) -> str:
    if result is conclusion.winner:
        return "*"
    return "=" if result.is_tied else ""


def _strengths(content: ReportData) -> Table:
    """Return a table that says how the search tuned each technique alone."""
    search = content.answer.study.spec.search
    rows = []
    for curve in content.strength_curves:
        tuning, regions = curve.tuning, curve.regions
        best, good = tuning.best, None if regions is None else regions.good
        rows.append(
            [
                tuning.technique,
                "yes" if tuning.is_tuned else f"no, {len(tuning.trained)} of {tuning.fewest}",
                f"{tuning.trials:,}",
                spanned(tuning.strengths),
                _pruned(tuning),
                "" if best is None else shown(best.strength),
                "" if best is None or best.value is None else value(search, best.value),
                "" if good is None else spanned(tuple(dict.fromkeys(good))),
            ]
        )
    header = [
        column("technique", min_width=_TECHNIQUE_WIDTH),
        column("tuned"),
        column("trials"),
        column("tried", min_width=_STRENGTH_WIDTH),
        column("pruned"),
        column("best", min_width=_STRENGTH_WIDTH),
        column(objective(search).replace("-", "-\n"), min_width=_VALUE_WIDTH),
        column("good", min_width=_STRENGTH_WIDTH),
    ]
    title = "Each technique alone by its strength, on the selection split, one seed each"
    return terminal_table(title, header, rows, note=_TUNED)


def _pruned(tuning: Tuning) -> str:
    """Return how many trials were pruned, and after how many epochs: "3, after 2–6"."""
    after = tuning.pruned_after
    if not after:
        return f"{len(tuning.pruned):,}"
    return f"{len(tuning.pruned):,}, after {'–'.join(map(str, dict.fromkeys((after[0], after[-1]))))}"


def _recipes(content: ReportData) -> Table:
    rows = []
    for trial in content.trials:
        if trial.recipe is not None:
            loss, accuracy = formats.select_cross_entropy(trial), trial.metrics.get("select_accuracy")
            rows.append(
                [
                    trial.recipe,
                    formats.settings(trial.params),
                    trial.state if loss is None else formats.cross_entropy(loss),
                    "" if accuracy is None else formats.percent(accuracy),
                    str(trial.metrics.get("epochs", "")),
                ]
            )
    header = ("recipe", "configuration", "cross-entropy", "accuracy", "epochs")
    return terminal_table("Recipes, one trial each, on the selection split", header, rows)


def _importance(content: ReportData) -> Table:
    rows = [
        [one.technique, f"{100 * one.share:.0f}", f"{100 * one.low:.0f} to {100 * one.high:.0f}"]
        for one in content.importance
    ]
    title = "How much each technique matters for being among the best trials, in per cent"
    return terminal_table(title, ("technique", "share", "95 % interval"), rows)


def _cost(content: ReportData) -> list[RenderableType]:
    seconds = sum(map(formats.trial_seconds, content.trials))
    epochs = sum(trial.metrics.get("epochs", 0) for trial in content.trials)
    started = sum(trial.state != "waiting" for trial in content.trials)
    cost = f"Cost: {formats.duration(seconds)} of training in {started:,} trials, {epochs:,} epochs"
    confirmed = content.confirmation_cost
    if confirmed is not None:
        trainings, trained = formats.count(confirmed.trainings, "training"), formats.count(confirmed.epochs, "epoch")
        cost += f"; {formats.duration(confirmed.seconds)} in {trainings} of finalists, {trained}"
    failed = [trial for trial in content.trials if trial.state == "failed"]
    return [Text(cost), *(Text(f"Failed, {count} ×: {reason}") for reason, count in grouped_reasons(failed))]
