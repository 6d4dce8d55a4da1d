"""Notes that are printed before a search: what its contest can't decide, for example with too few trials."""

from collections import Counter

from ..spec import StudySpec
from ..techniques import TECHNIQUES
from .contestants import FEWEST, contestant_of
from .proposals import Contest, Entry

FEW_EXAMPLES = 100
"""With fewer examples, one wrong answer costs a percentage point, more than most techniques gain."""

NAMES = {technique.key: technique.name for technique in TECHNIQUES if technique.key in FEWEST}
"""The name of each technique in answers, by its key."""


def in_words(contestant: str) -> str:
    """Return a contestant's name in words.

    Example:
        >>> in_words("l1+l2")
        'L1+L2'
    """
    return "+".join(NAMES.get(key, key) for key in contestant.split("+"))


def notes(contest: Contest, total: int) -> list[str]:
    """Return a line for each thing that a contest can't decide with this total of trials."""
    lines = []
    if not contest.contestants:
        searched = "nothing" if contest.patience is None else "only the patience of early stopping"
        lines.append(f"NOTE: this study has no technique to compare: {searched} is searched.")
    elif len(contest.contestants) == 1:
        name = in_words(contest.contestants[0])
        lines.append(f"NOTE: this study compares {name} alone, with no other technique and no combination.")
    if contest.contestants and not contest.has_baseline:
        lines.append(
            "NOTE: this study's space always has some regularization, so no technique can be compared with none. Let "
            "every technique be off in [space] for that."
        )
    if total < contest.fewest:
        undecided = ", ".join(map(in_words, too_few(contest, total)))
        verdict = (
            f"These techniques get fewer than they need, so they get no verdict: {undecided}."
            if undecided
            else "The learning rate is not tuned for all techniques."
        )
        lines.append(
            f"WARNING: {total} trials are {contest.fewest - total} too few for a fair contest. {verdict} "
            f"`--trials {contest.fewest}` is enough for all."
        )
    return lines


def race_notes(spec: StudySpec, n_train: int, n_test: int) -> list[str]:
    """Return a line for each thing that a confirmation can hardly decide with these data.

    Args:
        spec: the study.
        n_train, n_test: how many training and test examples the data have.
    """
    if not spec.confirm.seeds:
        return []
    lines = []
    n_select = spec.data.held_back(n_train)[1]
    if spec.confirm.method == "race" and n_select < FEW_EXAMPLES:
        lines.append(
            f"NOTE: only {n_select:,} selection examples on each seed: the race can hardly tell finalists apart, and "
            "drops few. A larger data.select_fraction gives more."
        )
    if n_test < FEW_EXAMPLES:
        lines.append(
            f"NOTE: only {n_test:,} test examples: most verdicts will not be settled, however many seeds there are."
        )
    return lines


def too_few(contest: Contest, total: int) -> list[str]:
    """Return the contestants that get fewer trials than they need, with this total of trials."""
    entries: list[Entry] = []
    for number in range(total):
        settings = contest.propose(number, entries)
        if settings is None:
            break
        entries.append(Entry(settings=settings, loss=1.0))
    counts = Counter(contestant_of(entry.settings, contest.contestants) for entry in entries)
    return [name for name in contest.contestants if counts[name] < contest.fewest_of(name)]
