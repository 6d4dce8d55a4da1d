"""Detects workers that hang, which means that they report nothing for longer than an epoch can take."""

from collections.abc import Iterable, Iterator

from ...studies.validation import parse_duration

_LONGEST_GAP_SECONDS = 2.0  # between two checks; a longer one means that this process was stopped or the machine slept
_COUNTED_SHARE, _COUNTED_SECONDS = 0.02, 5.0  # of the limit, and at most: what counts of a longer gap
_FIRST_SECONDS = 30 * 60.0  # for TensorFlow's start, reading the data, and the first epoch
_LEAST_SECONDS = 60.0
_TIMES_THE_SLOWEST = 20.0


class HangDetector:
    """Counts for how many seconds each running trial is silent, and finds the trials that are silent for too long.

    Hardly any time counts while this process is stopped or the machine sleeps.

    Args:
        epoch_timeout: how long a worker may be silent, such as "10m". None means 20 times the slowest epoch so far,
            but at least a minute. Until the first epoch has ended, None means half an hour. The start of a worker may
            always take half an hour.

    Example:
        >>> detector = HangDetector("3s")
        >>> detector.beat(7)
        >>> [list(detector.hung(now=now)) for now in (0.0, 2.0, 4.0)]
        [[], [], [(7, 3.0)]]
    """

    def __init__(self, epoch_timeout: str | None) -> None:
        self._limit = None if epoch_timeout is None else parse_duration(epoch_timeout)
        self._slowest: float | None = None
        self._silence: dict[int, float] = {}
        self._starting: frozenset[int] = frozenset()
        self._checked_at: float | None = None

    def beat(self, number: int, epoch_seconds: float | None = None) -> None:
        """Record a heartbeat of a trial; `epoch_seconds` is how long its last epoch took, if it finished one."""
        self._silence[number] = 0.0
        if epoch_seconds is not None:
            self._slowest = max(epoch_seconds, self._slowest or 0.0)

    def forget(self, number: int) -> None:
        """Stop watching a trial, because it has ended."""
        self._silence.pop(number, None)

    def hung(self, now: float, starting: Iterable[int] = ()) -> Iterator[tuple[int, float]]:
        """Yield the number of each trial that has been silent for longer than its limit, and this limit in seconds.

        A trial is yielded only once.

        Args:
            now: seconds on a clock that never goes back.
            starting: the numbers of the trials that wait until their workers have started.
        """
        were_starting, self._starting = self._starting, frozenset(starting)
        gap = 0.0 if self._checked_at is None else now - self._checked_at
        self._checked_at = now
        for number in list(self._silence):
            has_started = number in were_starting - self._starting
            limit = _FIRST_SECONDS if number in self._starting else self._limit_seconds()
            counted = gap if gap <= _LONGEST_GAP_SECONDS else min(_COUNTED_SHARE * limit, _COUNTED_SECONDS)
            self._silence[number] = 0.0 if has_started else self._silence[number] + counted
            if self._silence[number] > limit:
                self.forget(number)
                yield number, limit

    def _limit_seconds(self) -> float:
        if self._limit is not None:
            return self._limit
        if self._slowest is None:
            return _FIRST_SECONDS
        return max(_TIMES_THE_SLOWEST * self._slowest, _LEAST_SECONDS)
