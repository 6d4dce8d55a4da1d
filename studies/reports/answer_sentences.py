"""Write a confirmed answer in short sentences: what to use, what it gains, and what is settled."""

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter

from .. import formats
from ..analysis.conclusion import Conclusion, FinalistResult, Gain
from ..analysis.technique_verdicts import EARLY_STOPPING_ALONE, TechniqueVerdict, technique_verdicts
from ..analysis.verdicts import Judgement, Verdict
from ..commands import resume_command
from ..measure import Measure, per_example
from ..records import DatasetInfo
from ..spec import StudySpec
from ..statistics import Interval
from .answer_limits import held_fixed, reservations


def confirmed_sentences(
    spec: StudySpec, dataset: DatasetInfo, conclusion: Conclusion, storage: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the sentences of a confirmed answer, the most important first.

    The first three to five say what to use, what that gains, and which techniques help, harm, make no difference or
    are not settled. The others say how to settle the open verdicts, what was held fixed, and what limits the answer.

    Args:
        spec, dataset: the spec and the data set of the study.
        conclusion: the conclusion that the sentences describe.
        storage: the option that names the database in a command; empty if the command doesn't need it.
    """
    return (
        *_choice(conclusion),
        *_gains(conclusion),
        *_settled(conclusion),
        *_not_settled(conclusion),
        *_how_to_settle(spec, conclusion, storage),
        held_fixed(spec, dataset, conclusion),
        *_contradictions(conclusion),
        *reservations(spec, conclusion),
    )


def verdicts_in_words(verdicts: Sequence[TechniqueVerdict], measure: Measure) -> str:
    """Write the settled verdicts as a clause: "each of L1 and dropout helps, and BatchNorm harms"."""
    parts = []
    for verdict in (Verdict.HELPS, Verdict.HARMS, Verdict.NO_DIFFERENCE):
        of_verdict = [one for one in verdicts if one.verdict is verdict]
        if of_verdict:
            names = formats.listed([one.name for one in of_verdict])
            part = f"{'each of ' if len(of_verdict) > 1 else ''}{names} {verdict}"
            if verdict is Verdict.NO_DIFFERENCE:
                part += f" ({measure.no_difference(of_verdict[0].smallest_gain)})"
            parts.append(part)
    return ", and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def _choice(conclusion: Conclusion) -> Iterator[str]:
    """Yield sentences on which configuration to use, and why it was chosen."""
    winner = conclusion.winner
    name = formats.settings(winner.finalist.params)
    judgement = conclusion.winner_over_early_stopping or conclusion.winner_over_baseline
    verdict = None if judgement is None else judgement.verdict
    simpler = EARLY_STOPPING_ALONE if conclusion.winner_over_early_stopping is not None else conclusion.baseline_name
    if verdict is Verdict.NO_DIFFERENCE and not _is_winner(conclusion, _early_stopping(conclusion)):
        use = f"Use {simpler}: {name} did best, but makes no difference"
    elif verdict is Verdict.HARMS:
        use = f"The selection split favours {name}"
    elif winner.finalist.is_baseline and conclusion.is_over_defaults:
        use = f"Keep the defaults, {name}"
    else:
        alone = " alone" if _is_winner(conclusion, _early_stopping(conclusion)) else ""
        use = f"Use {name}{alone}{' for now' if verdict is Verdict.NOT_SETTLED else ''}"
    yield f"{use}."
    if len(conclusion.results) < 2:
        yield "No other setting finished its training."
        return
    most = "up to " if any(result.dropped is not None for result in conclusion.results) else ""
    over = f"over {most}{formats.count(conclusion.seeds, 'seed')} ({_what_a_seed_draws(conclusion)})"
    if conclusion.winner_is_best:
        raced = " in a race" if conclusion.is_race else ""
        yield f"On the selection split, it was the best of {len(conclusion.results):,} settings{raced} {over}."
        return
    tied = sum(result.is_tied for result in conclusion.results)
    yield f"It is the simplest of {tied:,} settings that did about equally well {over}."


def _what_a_seed_draws(conclusion: Conclusion) -> str:
    return "random starts and splits of the data" if conclusion.has_drawn_splits else "random starts"


def _early_stopping(conclusion: Conclusion) -> FinalistResult | None:
    return next((row.result for row in conclusion.techniques if row.technique == "early stopping"), None)


def _is_winner(conclusion: Conclusion, result: FinalistResult | None) -> bool:
    return result is not None and result.finalist.index == conclusion.winner.finalist.index


def _gains(conclusion: Conclusion) -> Iterator[str]:
    """Yield sentences on the winner's gain over each baseline, and on why a gain is not known."""
    over_stopping, over_none = conclusion.winner_over_early_stopping, conclusion.winner_over_baseline
    if _is_winner(conclusion, _early_stopping(conclusion)):
        over_stopping = None
    known_gains = [
        (judgement, over)
        for judgement, over in ((over_stopping, EARLY_STOPPING_ALONE), (over_none, conclusion.baseline_name))
        if judgement is not None
    ]
    before: Judgement | None = None
    for judgement, over in known_gains:
        yield _gain(judgement, over, conclusion.measure, before)
        before = judgement
    if conclusion.baseline is None:
        has_failed = any(finalist.is_baseline for finalist, _ in conclusion.failed)
        why = "failed to train" if has_failed else "was not confirmed"
        subject = "the defaults" if conclusion.is_over_defaults else "training without regularization"
        if conclusion.is_over_defaults and not has_failed:
            why = "were not confirmed"
        yield f"What it gains over {conclusion.baseline_name} is not known, since {subject} {why}."


def _gain(judgement: Judgement, over: str, measure: Measure, before: Judgement | None) -> str:
    """Return a sentence on a gain, without the unit and level that the sentence on `before` has already given."""
    interval, verdict = judgement.gain, judgement.verdict
    if verdict is Verdict.HARMS:
        interval = Interval(mean=-interval.mean, low=-interval.high, high=-interval.low, level=interval.level)
    is_known = before is not None and formats.level(before.gain.level) == formats.level(interval.level)
    level = "" if is_known else f", with {formats.level(interval.level)} confidence"
    if verdict is Verdict.NO_DIFFERENCE:
        measured = f" {'of' if measure.unit else 'in'} {measure.figure}" if before is None else ""
        least = measure.no_difference(judgement.smallest_gain)
        return f"Compared with {over}, it makes no difference: {least}{measured}{level}."
    unit = f" {measure.in_sentence}" if before is None else ""
    ends = f"{'probably ' if is_known else ''}between {measure.ends_of(interval)}"
    if verdict is Verdict.NOT_SETTLED:
        return f"Its gain over {over} is not settled: {ends}{unit}{level}."
    amount = f"{measure.mean_of(interval)}{unit} ({ends}{level})"
    is_same = before is not None and before.verdict is verdict
    if verdict is Verdict.HELPS:
        return f"Over {over}, it gains {amount}." if is_same else f"It helps: over {over}, it gains {amount}."
    compared = f"ompared with {over}, it loses {amount}."
    return f"C{compared}" if is_same else f"It harms: c{compared}"


def _settled(conclusion: Conclusion) -> Iterator[str]:
    """Yield a sentence for each baseline, which says which techniques help, harm or make no difference."""
    settled = [one for one in technique_verdicts(conclusion) if one.verdict not in (None, Verdict.NOT_SETTLED)]
    settled = [one for one in settled if not _is_of_winner(conclusion, one)]
    for over in dict.fromkeys(one.over for one in settled):
        verdicts = verdicts_in_words([one for one in settled if one.over == over], conclusion.measure)
        yield f"Compared with {over}, {verdicts}."


def _is_of_winner(conclusion: Conclusion, verdict: TechniqueVerdict) -> bool:
    """Return whether the sentences on the winner already contain this verdict."""
    return _is_winner(conclusion, verdict.result) and verdict.technique in ("combination", "early stopping")


def _open_verdicts(conclusion: Conclusion) -> list[TechniqueVerdict]:
    return [one for one in technique_verdicts(conclusion) if one.verdict is Verdict.NOT_SETTLED]


def _not_settled(conclusion: Conclusion) -> Iterator[str]:
    """Yield a sentence that names the techniques whose verdict is not settled."""
    names = [one.name for one in _open_verdicts(conclusion) if not _is_of_winner(conclusion, one)]
    if names:
        yield f"Not settled: {formats.listed(names)} may help or harm."


def _how_to_settle(spec: StudySpec, conclusion: Conclusion, storage: Sequence[str]) -> Iterator[str]:
    """Yield sentences on how to settle the open verdicts: first by longer trainings, then by more seeds."""
    needs, need_examples = _seeds_and_data_needed(conclusion)
    if need_examples:
        examples, names = f"{conclusion.test_rows:,} test examples", formats.listed(need_examples)
        yield f"The {examples} are probably too few to settle {names}, with any number of seeds."
    if conclusion.still_improving:
        longer = f"raise `training.max_epochs` (now {spec.training.max_epochs}) in a new study"
        yield f"These trainings may be too short, so train longer first: {longer}."
    by_seeds: dict[int, list[str]] = {}
    for name, seeds in needs.items():
        by_seeds.setdefault(seeds, []).append(name)
    if by_seeds:
        parts = [f"{formats.listed(names)} ({seeds:,} in all)" for seeds, names in sorted(by_seeds.items())]
        command = resume_command(spec, "confirm", "--seeds", str(max(by_seeds)), *storage)
        more = "With trainings of the present length, more" if conclusion.still_improving else "More"
        yield f"{more} seeds would probably settle {formats.listed(parts)}: run `{command}`."


def _seeds_and_data_needed(conclusion: Conclusion) -> tuple[dict[str, int], list[str]]:
    """Return how many seeds would settle each open verdict, and which verdicts need more test examples."""
    verdicts = _open_verdicts(conclusion)
    seeds = {one.name: one.seeds_needed for one in verdicts}
    need_examples = [one.name for one in verdicts if one.needs_test_examples]
    of_winner = conclusion.winner_over_early_stopping or conclusion.winner_over_baseline
    is_listed = any(_is_winner(conclusion, one.result) for one in verdicts)
    if of_winner is not None and of_winner.verdict is Verdict.NOT_SETTLED and not is_listed:
        seeds["what the chosen setting gains"] = of_winner.seeds_needed
        if of_winner.needs_test_examples:
            need_examples.append("what the chosen setting gains")
    return {name: needed for name, needed in seeds.items() if needed is not None}, need_examples


def _contradictions(conclusion: Conclusion) -> Iterator[str]:
    """Yield sentences on test results that contradict the choice of the winner."""
    yield from _worse_in_other_figures(conclusion)
    if conclusion.claims_gain or conclusion.baseline is None:
        return
    if conclusion.others_beyond_noise:
        best = best_beating(conclusion)
        gain = conclusion.gain_of(best)
        assert gain is not None
        yield (
            f"On the test set, however, {formats.settings(best.finalist.params)} gains "
            f"{conclusion.measure.mean_of(gain)} over {conclusion.baseline_name}."
        )
        yield "The choice was made on the selection split alone."
        return
    for other, gain_in in _other_figures(conclusion):
        gains = [gain_in(result.gain) for result in conclusion.results if result.gain is not None]
        count = sum(gain.is_above(0) for gain in gains)
        if count:
            gain_ = "gains" if count == 1 else "gain"
            objective = conclusion.measure.name
            settings = formats.count(count, "setting")
            over = conclusion.baseline_name
            yield f"In test {other}, however, {settings} {gain_} over {over}; this study decides by {objective}."
            return


def _worse_in_other_figures(conclusion: Conclusion) -> Iterator[str]:
    """Yield a sentence if the winner is worse than the baseline in a figure that does not decide verdicts."""
    gain = conclusion.winner.gain
    if gain is None:
        return
    worse = [(other, of(gain)) for other, of in _other_figures(conclusion) if of(gain).high < 0]
    if not worse:
        return
    by = ""
    if conclusion.metric is None:
        measure = per_example(not conclusion.by_accuracy)
        by = f", by {measure.mean_of(worse[0][1])} {measure.unit}"
    others = formats.listed([other for other, _ in worse])
    yield f"In test {others}, however, it is worse than {conclusion.baseline_name}{by}."


def _other_figures(conclusion: Conclusion) -> list[tuple[str, Callable[[Gain], Interval]]]:
    """Return the name of each figure that does not decide verdicts, with a function that reads it from a gain."""
    if conclusion.metric is None:
        return [(conclusion.figures[1], conclusion.other_metric)]
    return [("cross-entropy", attrgetter("cross_entropy")), ("accuracy", attrgetter("accuracy"))]


def best_beating(conclusion: Conclusion) -> FinalistResult:
    """Return the finalist whose gain over the baseline is largest, among those that beat it on the test set."""
    gains = [
        (gain.mean, result)
        for result in conclusion.others_beyond_noise
        if (gain := conclusion.gain_of(result)) is not None
    ]
    return max(gains, key=lambda one: one[0])[1]
