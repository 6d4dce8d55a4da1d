"""What a comparison says in words and cells, the same in text and on a page."""

from storage.reports import formats
from storage.reports.comparison.value import STRENGTHS, ComparedStudy, Comparison
from studies.statistics import Interval

_MILESTONES = (5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 100_000, 1_000_000)
_MOST_MILESTONES = 3


def notices(comparison: Comparison) -> list[str]:
    """Return a sentence for each way in which the studies differ, the one that matters most first."""
    names = [study.name for study in comparison.studies]
    said = []
    for one in comparison.differences:
        values = ", ".join(f"{name}: {value or 'not given'}" for name, value in zip(names, one.values, strict=True))
        if one.kind == "question":
            said.append(f"Not comparable, since {one.key} differs ({values}).")
        elif one.kind == "search":
            said.append(f"Comparable, though {one.key} differs ({values}).")
    if not said:
        rest = "but for their training rows" if any(d.kind == "size" for d in comparison.differences) else "in all keys"
        said.append(f"These studies are comparable: what decides their results is the same {rest}.")
    looks = [study.name for study in comparison.studies if study.conclusion is not None and study.conclusion.looks > 1]
    if looks:
        said.append(f"The test rows were looked at more than once in {', '.join(looks)}: figures somewhat too good.")
    return said


def overview(comparison: Comparison) -> list[list[str]]:
    """Return rows of a table: what it is, then a cell for each study, in which mean and interval are two lines."""
    studies = comparison.studies
    rows = [
        ["data", *(study.answer.study.dataset.name for study in studies)],
        ["training rows", *(f"{study.train_rows:,}" for study in studies)],
        ["finished trials", *(_trials(study) for study in studies)],
    ]
    for count in _milestones(studies):
        rows.append([f"best after {count:,} trials", *(_best_after(study, count) for study in studies)])
    rows += [
        [_best_title(comparison), *(_best_after(study, None) for study in studies)],
        ["confirmed winner", *(_winner(study) for study in studies)],
        ["gain in test cross-entropy (nats per row)", *(_winner_gain(study, False) for study in studies)],
        ["gain in test accuracy (pp)", *(_winner_gain(study, True) for study in studies)],
        ["test cross-entropy without regularization", *(_baseline(study) for study in studies)],
    ]
    for technique in STRENGTHS:
        rows.append([f"best {technique} alone", *(_strength(study, technique) for study in studies)])
    return rows


def techniques(comparison: Comparison) -> list[list[str]]:
    """Return rows of a table: each technique, and what it gains alone in each study."""
    names: list[str] = []
    for study in comparison.studies:
        for row in () if study.conclusion is None else study.conclusion.techniques:
            if row.technique not in names:
                names.append(row.technique)
    return [[name, *(_technique_gain(comparison, study, name) for study in comparison.studies)] for name in names]


def gain_unit(comparison: Comparison) -> str:
    """Return in what the techniques' gains are."""
    return "test accuracy (pp)" if comparison.is_by_accuracy else "test cross-entropy (nats per row)"


def strengths_note() -> str:
    """Return what it takes to read the strengths."""
    return (
        "A strength is that of the best configuration with that technique alone, over fresh seeds, or where that is "
        "not confirmed (~) the best trial, of one seed."
    )


def _trials(study: ComparedStudy) -> str:
    return f"{study.answer.counts.finished:,} of {study.answer.study.spec.budget.trials:,}"


def _milestones(studies: tuple[ComparedStudy, ...]) -> list[int]:
    most = max((study.last or 0) + 1 for study in studies)
    return [count for count in _MILESTONES if count < most][-_MOST_MILESTONES:]


def _best_title(comparison: Comparison) -> str:
    if not comparison.have_one_objective:
        return "best on the select rows"
    return f"best select {'accuracy' if comparison.is_by_accuracy else 'cross-entropy'}"


def _best_after(study: ComparedStudy, count: int | None) -> str:
    """Return the best value of the first so many trials; empty where the study hasn't so many."""
    if count is not None and (study.last is None or study.last + 1 < count):
        return ""
    values = [value for number, value in study.best_so_far if count is None or number < count]
    if not values:
        return "none yet"
    by_accuracy = study.answer.study.spec.search.objective == "accuracy"
    return formats.percent(values[-1]) if by_accuracy else formats.cross_entropy(values[-1])


def _winner(study: ComparedStudy) -> str:
    if study.conclusion is None:
        return "not confirmed"
    name = formats.settings(study.conclusion.winner.finalist.params)
    if study.conclusion.claims_gain or study.conclusion.winner is study.conclusion.baseline:
        return name
    return f"{name} (its gain may be luck)"


def _winner_gain(study: ComparedStudy, of_accuracy: bool) -> str:
    conclusion = study.conclusion
    if conclusion is None:
        return ""
    if conclusion.winner.gain is None:
        return "the winner is none" if conclusion.winner is conclusion.baseline else "not known"
    gain = conclusion.winner.gain
    if of_accuracy:
        return _in_two_lines(formats.accuracy_gain(gain.accuracy))
    return _in_two_lines(formats.cross_entropy_gain(gain.cross_entropy))


def _baseline(study: ComparedStudy) -> str:
    baseline = None if study.conclusion is None else study.conclusion.baseline
    return "" if baseline is None else _in_two_lines(formats.cross_entropy_interval(baseline.test_cross_entropy))


def _strength(study: ComparedStudy, technique: str) -> str:
    found = study.strengths.get(technique)
    return "not tried" if found is None else f"{'' if found.is_confirmed else '~'}{found.value:.3g}"


def _technique_gain(comparison: Comparison, study: ComparedStudy, technique: str) -> str:
    if study.conclusion is None:
        return "not confirmed"
    gain = study.gain_of(technique)
    if gain is None:
        tried = (row.technique for row in study.conclusion.techniques if row.result is not None)
        return "not known" if technique in tried else "not tried"
    return _in_two_lines(told(comparison, comparison.interval_of(gain)))


def told(comparison: Comparison, interval: Interval) -> str:
    """Return a gain in the unit of the techniques' table."""
    return formats.accuracy_gain(interval) if comparison.is_by_accuracy else formats.cross_entropy_gain(interval)


def _in_two_lines(mean_and_interval: str) -> str:
    return mean_and_interval.replace(" [", "\n[", 1)
