"""Notes that are printed before a search: what its contest can't decide, for example with too few trials."""

from collections import Counter

from ..spec import StudySpec
from ..techniques import TECHNIQUES
from .contestants import FEWEST, contestant_of
from .proposals import Contest, Entry

FEW_EXAMPLES = 100
"""With fewer examples than this, one wrong answer costs over 1 % of accuracy; most techniques gain less."""

NAMES = {technique.key: technique.name for technique in TECHNIQUES if technique.key in FEWEST}
"""The name of each technique in answers, by the technique's key."""


def in_words(contestant: str) -> str:
    """Return a contestant's name in words.

    Example:
        >>> in_words("l1+l2")
        'L1+L2'
    """
    return "+".join(NAMES.get(key, key) for key in contestant.split("+"))


def notes(contest: Contest, total: int) -> list[str]:
    """Return a line about each thing that a contest can't decide with `total` trials."""
    lines = []
    if not contest.contestants:
        patience = [] if contest.patience is None else ["the patience of early stopping"]
        rate = [] if contest.learning_rate is None else ["the learning rate"]
        searched = " and ".join([*patience, *rate])
        what = f"only {searched}" if searched else "nothing"
        lines.append(f"NOTE: this study has no technique to compare: it searches {what}.")
    elif len(contest.contestants) == 1:
        name = in_words(contest.contestants[0])
        lines.append(f"NOTE: this study tries only {name}, so it compares no techniques and tries no combination.")
    if contest.contestants and not contest.has_baseline:
        lines.append(
            "NOTE: every configuration in this study's space has some regularization, so there is no baseline to "
            "measure gains against. To get a baseline, allow every technique to be off in [space]."
        )
    if total < contest.fewest:
        undecided = ", ".join(map(in_words, too_few(contest, total)))
        verdict = (
            f"These techniques get fewer trials than they need, and so no verdict: {undecided}."
            if undecided
            else "For some techniques, the learning rate will not be tuned."
        )
        lines.append(
            f"WARNING: {total} trials are {contest.fewest - total} too few for a fair contest. {verdict} "
            f"`--trials {contest.fewest}` is enough for all."
        )
    return lines


def race_notes(spec: StudySpec, n_train: int, n_test: int) -> list[str]:
    """Return a line about each thing that a confirmation can hardly decide with so few data.

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
            f"NOTE: the race has only {n_select:,} selection examples on each seed. So it can hardly tell finalists "
            "apart, and few of them drop out. A larger data.select_fraction gives more examples."
        )
    if n_test < FEW_EXAMPLES:
        lines.append(
            f"NOTE: with only {n_test:,} test examples, most verdicts will not be settled, with any number of seeds."
        )
    return lines


def too_few(contest: Contest, total: int) -> list[str]:
    """Return the contestants that get fewer trials than they need, if the study has `total` trials."""
    entries: list[Entry] = []
    for number in range(total):
        settings = contest.propose(number, entries)
        if settings is None:
            break
        entries.append(Entry(settings=settings, loss=1.0))
    counts = Counter(contestant_of(entry.settings, contest.contestants) for entry in entries)
    return [name for name in contest.contestants if counts[name] < contest.fewest_of(name)]
