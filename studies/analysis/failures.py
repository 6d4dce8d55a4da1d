"""Why trials failed."""

import re
from collections import Counter
from collections.abc import Sequence

from ..records import TrialRecord

NO_REASON = "no reason is recorded"
LONGEST_REASON = 300
"""Characters in which reasons are told apart and shown."""


def grouped_reasons(failed: Sequence[TrialRecord]) -> list[tuple[str, int]]:
    """Return an example of each reason and how many trials have it, the most frequent first.

    Reasons that differ only in their numbers count as one.
    """
    examples: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for trial in failed:
        reason = " ".join((trial.reason or NO_REASON).split())
        kind = re.sub(r"\d+", "#", reason)[:LONGEST_REASON]
        examples.setdefault(kind, reason)
        counts[kind] += 1
    return [(examples[kind], count) for kind, count in counts.most_common()]
