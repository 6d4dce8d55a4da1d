"""The answer of a study in one paragraph: what the winner is, what it gains over none, and how sure that is."""

from storage.queries import Answer
from storage.reports import formats
from storage.reports.conclusion import Conclusion, FinalistResult, Gain
from studies.settings import settings_of
from studies.statistics import Interval


def headline(answer: Answer, conclusion: Conclusion | None) -> str:
    """Return the answer in a few words."""
    if conclusion is not None:
        if conclusion.claims_gain:
            return formats.settings(conclusion.winner.finalist.params)
        if conclusion.baseline is None:
            return f"{formats.settings(conclusion.winner.finalist.params)}, with nothing to compare it with"
        if conclusion.beating and conclusion.winner.gain is None:
            best = formats.settings(_best_of(conclusion).finalist.params)
            chosen = "The defaults were chosen" if conclusion.is_over_defaults else "No regularization was chosen"
            return f"{chosen}, but {best} beats {'them' if conclusion.is_over_defaults else 'it'} on the test rows"
        if conclusion.beating:
            return f"{formats.settings(conclusion.winner.finalist.params)}, though its own gain may be luck"
        return f"{_nothing_beats(conclusion)} beyond noise"
    if answer.best is not None:
        return f"Not confirmed yet: {formats.settings(answer.best.params)}"
    return _nothing(answer)


def paragraph(answer: Answer, conclusion: Conclusion | None) -> str:
    """Return the whole answer, for a page and for a terminal."""
    if conclusion is not None:
        return " ".join(_confirmed(conclusion))
    if answer.best is not None:
        return " ".join(_unconfirmed(answer))
    counts = answer.counts
    if not counts.finished:
        return f"{_nothing(answer)}, so there is no answer yet."
    if counts.failed == counts.finished:
        return f"{_nothing(answer)}, so there is no answer; their reasons tell why."
    finished = formats.count(counts.finished, "finished trial")
    return (
        f"{_nothing(answer)}, so there is no answer: of {finished}, {counts.pruned:,} were pruned and "
        f"{counts.failed:,} failed."
    )


def _nothing(answer: Answer) -> str:
    counts = answer.counts
    if not counts.finished:
        return "No trial has finished yet"
    if counts.failed == counts.finished:
        return f"All {counts.failed:,} trials failed" if counts.failed > 1 else "The only trial failed"
    return "No trial is complete"


def _unconfirmed(answer: Answer) -> list[str]:
    best, counts = answer.best, answer.counts
    assert best is not None
    objective = formats.objective(answer.study.spec)
    figures = []
    if "select_cross_entropy" in best.metrics:
        figures.append(f"cross-entropy {formats.cross_entropy(best.metrics['select_cross_entropy'])} nats per row")
    if "select_accuracy" in best.metrics:
        figures.append(f"accuracy {formats.percent(best.metrics['select_accuracy'])}")
    measured = f" ({', '.join(figures)} on the select rows)" if figures else ""
    return [
        f"Not confirmed yet: of {formats.count(counts.complete, 'complete trial')}, trial {best.number} has the best "
        f"{objective}: {formats.settings(best.params)}{measured}.",
        "It was chosen for that figure, so it is a little lucky, and what it really gains over "
        f"{settings_of(best.params).baseline} is not known.",
        "Only a confirmation on fresh seeds and on the test rows can tell.",
    ]


def _confirmed(conclusion: Conclusion) -> list[str]:
    winner = conclusion.winner
    name = formats.settings(winner.finalist.params)
    over = f"over {formats.count(conclusion.seeds, 'fresh seed')} and {formats.count(conclusion.test_rows, 'test row')}"
    is_baseline = winner is conclusion.baseline
    of_defaults = conclusion.is_over_defaults
    with_it = "With the defaults, the" if of_defaults else "Without regularization, the"
    it_is = "they are" if of_defaults else "it is"
    place = "does best" if conclusion.winner_is_best else "is the simplest of those tied with the best"
    lines = []
    if conclusion.baseline is None:
        at_all = "" if of_defaults else " at all"
        has_failed = any(finalist.is_baseline for finalist, _ in conclusion.failed)
        lines.append(
            f"On the select rows, over {formats.count(conclusion.seeds, 'fresh seed')}, {name} {place}; what it gains "
            f"is not known, since {conclusion.over}{at_all} {'failed' if has_failed else 'were not confirmed'}."
        )
    elif conclusion.claims_gain and winner.gain is not None:
        lines.append(f"The winner is {name}. O{over[1:]} it gains {_gains(winner.gain)} over {conclusion.over}.")
        lines += _beside(conclusion, winner.gain) + _over_early_stopping(conclusion, winner)
    elif conclusion.beating:
        lines += _others(conclusion, f"{name} {place}")
    elif winner.gain is None:
        lines.append(
            f"{_nothing_beats(conclusion)} beyond noise: on the select rows {it_is} the best or tied with the "
            f"best, and {it_is} the simplest."
        )
        lines += _beaten_otherwise(conclusion)
    else:
        lines.append(
            f"{_nothing_beats(conclusion)} beyond noise. {name[0].upper()}{name[1:]} {place} on the select rows, "
            f"but what it gains may be luck: {over}, {_gains(winner.gain)}."
        )
        for figure, interval in zip(conclusion.figures, _both(conclusion, winner.gain), strict=True):
            if interval.high < 0:
                lines.append(f"In test {figure} it is even worse than {conclusion.over}, beyond noise.")
        lines += _beaten_otherwise(conclusion)
    whose = f"With {name}, the" if conclusion.beating and not conclusion.claims_gain else "Its"
    lines += _test_figures(winner, with_it if is_baseline else whose)
    tied = [
        result for result in conclusion.results if result.is_tied and result.finalist.index != winner.finalist.index
    ]
    if tied:
        what = "Another finalist is" if len(tied) == 1 else f"{len(tied):,} other finalists are"
        lines.append(f"{what} tied with the best on the select rows, too, but not simpler.")
    if conclusion.failed:
        how_many = "One finalist" if len(conclusion.failed) == 1 else f"{len(conclusion.failed):,} finalists"
        lines.append(f"{how_many} failed to train and could not be judged.")
    return [*lines, *_not_tuned(conclusion), _looks(conclusion)]


def _nothing_beats(conclusion: Conclusion) -> str:
    """Say that no finalist gains; of techniques that were not tuned, only the settings that were tried can be meant."""
    who = "No setting that was confirmed" if conclusion.not_tuned else "Nothing"
    return f"{who} beats {conclusion.over}"


def _not_tuned(conclusion: Conclusion) -> list[str]:
    """Say which techniques have no verdict, since the search tried too few strengths of them."""
    told = [f"{row.technique} ({row.tuning.tried})" for row in conclusion.not_tuned if row.tuning is not None]
    return [f"Not tuned, and so without a verdict: {formats.listed(told)}."] if told else []


def _others(conclusion: Conclusion, chosen: str) -> list[str]:
    """Say that what was chosen, and why, has no gain beyond noise, and others have."""
    beating, best = conclusion.beating, _best_of(conclusion)
    assert best.gain is not None
    others = "Another finalist beats" if len(beating) == 1 else f"{len(beating):,} other finalists beat"
    told = f"{formats.settings(best.finalist.params)}: {_gains(best.gain)}."
    if len(beating) > 1:
        told = f"above all {told}"
    if conclusion.winner.gain is None:
        said = f"On the select rows {chosen}. On the test rows, though, {others[0].lower()}{others[1:]} it beyond noise"
    else:
        said = (
            f"On the select rows {chosen}, but on the test rows no gain over {conclusion.over} can be claimed for it. "
            f"{others} {conclusion.over} beyond noise"
        )
    return [f"{said}, {told}", *_beside(conclusion, best.gain), *_over_early_stopping(conclusion, best)]


def _best_of(conclusion: Conclusion) -> FinalistResult:
    """Return which of those that beat the baseline gains most on the test rows."""
    return max(
        conclusion.beating, key=lambda result: 0.0 if result.gain is None else conclusion.judged(result.gain).mean
    )


def _both(conclusion: Conclusion, gain: Gain) -> tuple[Interval, Interval]:
    return conclusion.judged(gain), conclusion.beside(gain)


def _beside(conclusion: Conclusion, gain: Gain) -> list[str]:
    """Say where a gain in the objective has none beside it in the other figure."""
    figure, interval = conclusion.figures[1], conclusion.beside(gain)
    if interval.high < 0:
        return [f"In test {figure}, though, it is worse than {conclusion.over}, beyond noise."]
    return [] if interval.is_above(0) else [f"Its gain in {figure} alone is not beyond noise."]


def _over_early_stopping(conclusion: Conclusion, result: FinalistResult) -> list[str]:
    """Say what is left of a gain where early stopping alone is taken for the comparison."""
    if result.over_early_stopping is None:
        return []
    gained = conclusion.judged(result.over_early_stopping)
    how_sure = (
        ""
        if gained.is_above(0)
        else ": it is worse, beyond noise"
        if gained.high < 0
        else ", which is not beyond noise"
    )
    told = _accuracy(gained) if conclusion.by_accuracy else _cross_entropy(gained)
    return [f"Over early stopping alone it gains {told}{how_sure}."]


def _beaten_otherwise(conclusion: Conclusion) -> list[str]:
    """Say how many gain in the figure that the study does not go by, where none does in its objective."""
    count = sum(result.gain is not None and conclusion.beside(result.gain).is_above(0) for result in conclusion.results)
    if not count:
        return []
    who = "one finalist beats" if count == 1 else f"{count:,} finalists beat"
    objective, other = conclusion.figures
    return [f"In test {other}, though, {who} {conclusion.over} beyond noise; the study goes by {objective}."]


def _gains(gain: Gain) -> str:
    return f"{_cross_entropy(gain.cross_entropy)} and {_accuracy(gain.accuracy)}"


def _cross_entropy(interval: Interval) -> str:
    return _gain(interval, 1, 5, "nats of test cross-entropy per row")


def _accuracy(interval: Interval) -> str:
    return _gain(interval, 100, 2, "percentage points of test accuracy")


def _gain(interval: Interval, scale: float, digits: int, unit: str) -> str:
    ends = (interval.mean, interval.low, interval.high)
    mean, low, high = (formats.signed(f"{scale * value:.{digits}f}") for value in ends)
    return f"{mean} {unit} ({formats.level(interval.level)} interval {low} to {high})"


def _test_figures(result: FinalistResult, whose: str) -> list[str]:
    loss, accuracy = result.test_cross_entropy, result.test_accuracy
    return [
        f"{whose} test cross-entropy is {loss.mean:.5f} ({loss.low:.5f} to {loss.high:.5f}), the test accuracy "
        f"{100 * accuracy.mean:.2f} % ({100 * accuracy.low:.2f} to {100 * accuracy.high:.2f} %)."
    ]


def _looks(conclusion: Conclusion) -> str:
    said = (
        "The test rows were looked at once."
        if conclusion.whole_looks == 1
        else f"The test rows were looked at {conclusion.whole_looks:,} times, so they are not fresh any more and "
        "the figures are somewhat too good."
    )
    if not conclusion.unfinished_looks:
        return said
    further = "A further look has" if conclusion.unfinished_looks == 1 else "Further looks have"
    return f"{said} {further} begun, but not ended: in the ledger, not yet in these figures."
