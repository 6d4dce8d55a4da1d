"""What a contest can't decide, said before it begins: a budget too small, a space with one technique or none."""

from collections import Counter

from regsearch.studies.contest.contestants import FEWEST, contestant_of
from regsearch.studies.contest.proposals import Contest, Entry
from regsearch.studies.spec import StudySpec
from regsearch.studies.techniques import TECHNIQUES

FEW_EXAMPLES = 100
"""With fewer, one wrong example is worth a percentage point, more than most techniques gain."""

NAMES = {technique.key: technique.name for technique in TECHNIQUES if technique.key in FEWEST}
"""How answers call each technique."""


def in_words(contestant: str) -> str:
    """Return a contestant's name in words.

    For example:
        >>> in_words("l1+l2")
        'L1+L2'
    """
    return "+".join(NAMES.get(key, key) for key in contestant.split("+"))


def notes(contest: Contest, total: int) -> list[str]:
    """Return a line for each thing that a contest of so many trials can't decide."""
    found = []
    if not contest.contestants:
        what = "nothing" if contest.patience is None else "only the patience of early stopping"
        found.append(f"NOTE: this study has no technique to compare: {what} is searched.")
    elif len(contest.contestants) == 1:
        name = in_words(contest.contestants[0])
        found.append(f"NOTE: this study compares {name} alone, with no other technique and no combination.")
    if contest.contestants and not contest.has_baseline:
        found.append(
            "NOTE: this study's space always has some regularization, so no technique can be compared with none. Let "
            "every technique be off in [space] for that."
        )
    if total < contest.fewest:
        short = ", ".join(map(in_words, too_few(contest, total)))
        verdict = (
            f"These techniques get fewer than they need, and so no verdict: {short}."
            if short
            else ("The learning rate is not tuned for all techniques.")
        )
        found.append(
            f"WARNING: {total} trials are {contest.fewest - total} too few for a fair contest. {verdict} "
            f"`--trials {contest.fewest}` is enough for all."
        )
    return found


def race_notes(spec: StudySpec, n_train: int, n_test: int) -> list[str]:
    """Return a line for each thing that the confirmation can hardly decide on data of that size.

    Args:
        spec: the study.
        n_train, n_test: rows of the data's training and test parts.
    """
    if not spec.confirm.seeds:
        return []
    found = []
    n_select = spec.data.held_back(n_train)[1]
    if spec.confirm.method == "race" and n_select < FEW_EXAMPLES:
        found.append(
            f"NOTE: only {n_select:,} selection examples on each seed: the race can hardly tell finalists apart, and "
            "drops few. A larger data.select_fraction gives more."
        )
    if n_test < FEW_EXAMPLES:
        found.append(
            f"NOTE: only {n_test:,} test examples: most verdicts will not be settled, however many seeds there are."
        )
    return found


def too_few(contest: Contest, total: int) -> list[str]:
    """Return the contestants that get fewer trials than they need, when there are so many trials in all."""
    entries: list[Entry] = []
    for number in range(total):
        settings = contest.propose(number, entries)
        if settings is None:
            break
        entries.append(Entry(settings=settings, loss=1.0))
    counts = Counter(contestant_of(entry.settings, contest.contestants) for entry in entries)
    return [name for name in contest.contestants if counts[name] < contest.fewest_of(name)]
