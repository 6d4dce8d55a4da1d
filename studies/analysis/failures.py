"""Groups failed trials by the reason of their failure."""

import re
from collections import Counter
from collections.abc import Sequence

from ..records import TrialRecord

NO_REASON = "no reason is recorded"
LONGEST_REASON = 300
"""Only this many characters of a reason are compared and shown."""


def grouped_reasons(failed: Sequence[TrialRecord]) -> list[tuple[str, int]]:
    """Return each reason with the number of trials that failed for it, the most frequent reason first.

    Reasons that differ only in their numbers count as one. The reason of the first such trial is returned.
    """
    examples: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for trial in failed:
        reason = " ".join((trial.reason or NO_REASON).split())
        kind = re.sub(r"\d+", "#", reason)[:LONGEST_REASON]
        examples.setdefault(kind, reason)
        counts[kind] += 1
    return [(examples[kind], count) for kind, count in counts.most_common()]
