"""Write the words and table cells of a comparison, the same for a terminal and a page."""

from ... import formats
from ...analysis import search_methods, size_effect
from ...analysis.comparison import STRENGTHS, ComparedStudy, Comparison, Difference
from ...analysis.technique_verdicts import EARLY_STOPPING_ALONE, technique_verdicts
from ...analysis.verdicts import Verdict
from ...measure import CROSS_ENTROPY
from ...statistics import Interval
from ..verdict_notes import NOT_SETTLED, REFERENCES, over_seeds_note

_MILESTONES = (5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 100_000, 1_000_000)
_MOST_MILESTONES = 3
_WINNERS_TEST = "its test cross-entropy (nats per example)"
_NO_GAIN = {False: "the winner uses no regularization", True: "the winner uses the defaults"}
_WINNERS_GAIN = "gain in test cross-entropy (nats per example)"

MOST_COLUMNS = 6
"""The largest number of studies that get a column each; a comparison of search methods shows more studies as rows."""


def headline(comparison: Comparison) -> str:
    """Return the answer of the comparison in one short line."""
    return search_methods.headline(comparison) or size_effect.headline(comparison)


def sentence(comparison: Comparison) -> str | None:
    """Say what the studies show about their data sizes or search methods; None if they don't differ in these."""
    return size_effect.sentence(comparison) or search_methods.sentences(comparison)


def order_note(comparison: Comparison) -> str:
    """Return the order of the studies in words: "by name"."""
    return "fewest training examples first" if size_effect.differ_in_size(comparison) else "by name"


def notices(comparison: Comparison) -> list[str]:
    """Return a sentence for each difference between the studies, the most important one first."""
    sentences = []
    for one in comparison.differences:
        values = _values(comparison, one)
        if one.kind == "question":
            sentences.append(f"Not comparable, because {one.key} differs ({values}).")
        elif one.kind == "search":
            sentences.append(f"Comparable, although {one.key} differs ({values}).")
        elif one.kind == "way":
            sentences.append(f"The studies compare {one.key} ({values}).")
        elif one.kind == "budget":
            after = formats.count(search_methods.common_trials(comparison), "trial")
            sentences.append(f"Comparable after {after} but not at the end, because {one.key} differs ({values}).")
    if not sentences:
        have_sizes = any(difference.kind == "size" for difference in comparison.differences)
        exception = ", except for the number of training examples" if have_sizes else ""
        sentences.append(f"These studies are comparable: everything that decides results is the same{exception}.")
    reused = [study.name for study in comparison.studies if study.conclusion and study.conclusion.completed_looks > 1]
    if reused:
        whose = "this study" if len(reused) == 1 else "these studies"
        names = formats.listed(reused)
        sentences.append(f"In {names}, the test set was used more than once. So the intervals of {whose} are wider.")
    return sentences


def _values(comparison: Comparison, difference: Difference) -> str:
    """Return in words the value of each study; with many studies, return each different value and its studies."""
    names = [study.name for study in comparison.studies]
    values = [value or "not set" for value in difference.values]
    if len(names) <= MOST_COLUMNS:
        return ", ".join(f"{name}: {value}" for name, value in zip(names, values, strict=True))
    by_value: dict[str, list[str]] = {}
    for name, value in zip(names, values, strict=True):
        by_value.setdefault(value, []).append(name)
    return "; ".join(f"{value}: {', '.join(of_value)}" for value, of_value in by_value.items())


def overview_table(comparison: Comparison) -> list[list[str]]:
    """Return the overview with a header; each study is a column, or a row if search methods have many studies."""
    names = [study.name for study in comparison.studies]
    rows = [["", *names], *overview(comparison)]
    return (
        _transposed([row for row in rows if row[0] in _rows_for_many(comparison)])
        if _has_study_rows(comparison)
        else rows
    )


def techniques_table(comparison: Comparison) -> list[list[str]]:
    """Return the verdicts on techniques with a header; each study is a column or a row, as in `overview_table`."""
    rows = techniques(comparison)
    if not rows:
        return []
    rows = [["technique", *(study.name for study in comparison.studies)], *rows]
    return _transposed([["", *rows[0][1:]], *rows[1:]]) if _has_study_rows(comparison) else rows


def _has_study_rows(comparison: Comparison) -> bool:
    return len(comparison.studies) > MOST_COLUMNS and bool(search_methods.search_methods(comparison))


def _rows_for_many(comparison: Comparison) -> set[str]:
    titles = {"", *(one.key for one in search_methods.varied(comparison)), "finished trials", "epochs trained"}
    return titles | {_best_title(comparison), "confirmed winner", _WINNERS_TEST, _WINNERS_GAIN}


def _transposed(rows: list[list[str]]) -> list[list[str]]:
    return [list(column) for column in zip(*rows, strict=True)]


def overview(comparison: Comparison) -> list[list[str]]:
    """Return the rows of the overview; a row is a name and a cell for each study."""
    studies = comparison.studies
    rows = [
        ["data", *(study.answer.study.dataset.name for study in studies)],
        ["training examples", *(f"{study.train_rows:,}" for study in studies)],
        ["finished trials", *(_trials(study) for study in studies)],
    ]
    if varied_keys := search_methods.varied(comparison):
        rows[1:1] = [[one.key, *(value.strip('"') or "not set" for value in one.values)] for one in varied_keys]
        rows.append(["epochs trained", *(f"{study.epochs:,}" for study in studies)])
    for count in _milestones(studies):
        rows.append([f"best after {count:,} trials", *(_best_after(study, count) for study in studies)])
    rows += [
        [_best_title(comparison), *(_best_after(study, None) for study in studies)],
        ["confirmed winner", *(_winner_in_words(study) for study in studies)],
        [_WINNERS_TEST, *(_test_figure_of_winner(study, False) for study in studies)],
        ["its test accuracy", *(_test_figure_of_winner(study, True) for study in studies)],
        [_WINNERS_GAIN, *(_gain_of_winner(study, False) for study in studies)],
        ["gain in test accuracy (pp)", *(_gain_of_winner(study, True) for study in studies)],
        [f"test cross-entropy {_baseline_in_words(comparison)}", *(_baseline(study) for study in studies)],
    ]
    for technique in STRENGTHS if any(study.is_of_regularization for study in studies) else ():
        rows.append([f"best {technique} alone", *(_strength(study, technique) for study in studies)])
    return rows


def techniques(comparison: Comparison) -> list[list[str]]:
    """Return a row for each technique: its name, and the verdict on it in each study."""
    names: list[str] = []
    for study in comparison.studies:
        for row in () if study.conclusion is None else study.conclusion.techniques:
            if row.technique not in names:
                names.append(row.technique)
    return [[name, *(_technique_verdict(comparison, study, name) for study in comparison.studies)] for name in names]


def gain_unit(comparison: Comparison) -> str:
    """Return the figure and the unit of the gains in the table of techniques."""
    return comparison.measure.titled("pp" if comparison.is_by_accuracy else "nats per example")


def strengths_note(comparison: Comparison) -> str:
    """Return the note that explains the strengths; "" if the overview has none."""
    if _has_study_rows(comparison) or not any(study.is_of_regularization for study in comparison.studies):
        return ""
    return (
        "Each strength comes from the best finalist that uses the technique alone, over fresh seeds. If there is none, "
        "the strength comes from the best trial with one seed, and ~ marks it."
    )


def _trials(study: ComparedStudy) -> str:
    return f"{study.answer.counts.finished:,} of {study.answer.study.spec.budget.trials:,}"


def _milestones(studies: tuple[ComparedStudy, ...]) -> list[int]:
    most = max(study.trials for study in studies)
    return [count for count in _MILESTONES if count < most][-_MOST_MILESTONES:]


def _best_title(comparison: Comparison) -> str:
    if not comparison.have_one_objective:
        return "best on the selection split"
    return f"best {formats.objective(comparison.studies[0].answer.study.spec)}"


def _best_after(study: ComparedStudy, count: int | None) -> str:
    """Return the best value of the first `count` trials, or of all trials if None; "" if there are fewer trials."""
    if count is not None and study.trials < count:
        return ""
    value = study.best_after(study.trials if count is None else count)
    if value is None:
        return "none yet"
    return formats.percent(value) if study.search.by_accuracy else formats.cross_entropy(value)


def _winner_in_words(study: ComparedStudy) -> str:
    if study.conclusion is None:
        return "not confirmed"
    name = formats.settings(study.conclusion.winner.finalist.params)
    if study.conclusion.claims_gain or study.conclusion.winner is study.conclusion.baseline:
        return name
    judgement = study.conclusion.winner_over_baseline
    if judgement is None:
        return f"{name} (its gain is not known)"
    settled = judgement.verdict is not Verdict.NOT_SETTLED
    return f"{name} ({judgement.verdict if settled else 'its gain is not settled'})"


def _test_figure_of_winner(study: ComparedStudy, of_accuracy: bool) -> str:
    if study.conclusion is None:
        return ""
    winner = study.conclusion.winner
    if of_accuracy:
        return _in_two_lines(formats.accuracy_interval(winner.test_accuracy))
    return _in_two_lines(formats.cross_entropy_interval(winner.test_cross_entropy))


def _gain_of_winner(study: ComparedStudy, of_accuracy: bool) -> str:
    conclusion = study.conclusion
    if conclusion is None:
        return ""
    if conclusion.winner.gain is None:
        return _NO_GAIN[conclusion.is_over_defaults] if conclusion.winner is conclusion.baseline else "not known"
    gain = conclusion.winner.gain
    if of_accuracy:
        return _in_two_lines(formats.accuracy_gain(gain.accuracy))
    return _in_two_lines(formats.cross_entropy_gain(gain.cross_entropy))


def _baseline_in_words(comparison: Comparison) -> str:
    """Return in words the baseline of the gains: "without regularization"."""
    each = dict.fromkeys(one.conclusion.baseline_phrase for one in comparison.studies if one.conclusion is not None)
    return " or ".join(each) or "without regularization"


def _baseline(study: ComparedStudy) -> str:
    baseline = None if study.conclusion is None else study.conclusion.baseline
    return "" if baseline is None else _in_two_lines(formats.cross_entropy_interval(baseline.test_cross_entropy))


def _strength(study: ComparedStudy, technique: str) -> str:
    if not study.is_of_regularization:
        return ""
    strength = study.strengths.get(technique)
    if strength is None:
        return "not tried"
    row = study.row_of(technique)
    untuned = "" if row is None or row.is_judged else "\nnot tuned"
    return f"{'' if strength.is_confirmed else '~'}{strength.value:.3g}{untuned}"


def techniques_note(comparison: Comparison) -> str:
    """Return the note that explains the verdicts on the techniques."""
    conclusions = [study.conclusion for study in comparison.studies if study.conclusion is not None]
    verdicts = [verdict for conclusion in conclusions for verdict in technique_verdicts(conclusion)]
    parts = []
    if any(one.over == EARLY_STOPPING_ALONE for one in verdicts):
        parts.append(REFERENCES)
    measures = {
        study.name: study.conclusion.measure.no_difference(study.conclusion.smallest_gain)
        for study in comparison.studies
        if study.conclusion is not None and study.conclusion.smallest_gain
    }
    if measures and any(one.verdict is Verdict.NO_DIFFERENCE for one in verdicts):
        each = dict.fromkeys(measures.values())
        measure = next(iter(each)) if len(each) == 1 else formats.listed([f"{m} in {n}" for n, m in measures.items()])
        parts.append(f"No difference means {measure}.")
    if any(one.verdict is Verdict.NOT_SETTLED for one in verdicts):
        parts.append(NOT_SETTLED)
    parts += dict.fromkeys(filter(None, map(over_seeds_note, conclusions)))
    return " ".join(parts)


def _technique_verdict(comparison: Comparison, study: ComparedStudy, technique: str) -> str:
    """Return a verdict and, on the next line, the gain that it is based on."""
    if study.conclusion is None:
        return "not confirmed"
    verdict = study.verdict_on(technique)
    if verdict is None:
        return "not tried"
    if verdict.verdict is None or verdict.gain is None:
        return verdict.reason
    measure = study.conclusion.measure
    gain = measure.gain(verdict.gain)
    is_other = measure not in (comparison.measure, CROSS_ENTROPY)
    unit = f" {measure.symbol or f'in {measure.name}'}" if is_other else ""
    is_usual = verdict.over == EARLY_STOPPING_ALONE or technique == "early stopping"
    return f"{verdict.verdict}\n{gain}{unit}{'' if is_usual else f' over {verdict.over}'}"


def gain_in_unit(comparison: Comparison, interval: Interval) -> str:
    """Format a gain in the unit of the table of techniques."""
    return comparison.measure.gain(interval)


def _in_two_lines(mean_and_interval: str) -> str:
    return mean_and_interval.replace(" [", "\n[", 1)
