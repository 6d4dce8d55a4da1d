"""A worker that hangs is noticed; one that was asleep with us is not."""

from regsearch.search.run.hang_detector import HangDetector


def hung(watch: HangDetector, start: float, seconds: float, step: float = 1.0) -> list[tuple[int, float]]:
    """Look round every `step` seconds; return who was found to be hung."""
    found = []
    for look in range(int(seconds / step) + 1):
        found += list(watch.hung(start + look * step))
    return found


def test_a_silent_worker_is_stuck_once() -> None:
    watch = HangDetector("30s")
    watch.beat(3, None)
    assert hung(watch, 0, 30) == []
    assert hung(watch, 31, 30) == [(3, 30.0)]


def test_each_epoch_begins_anew() -> None:
    watch = HangDetector("30s")
    for start in (0, 20, 40, 60):
        watch.beat(3, 1.0)
        assert hung(watch, start, 19) == []


def test_the_limit_follows_the_slowest_epoch_seen() -> None:
    watch = HangDetector(None)
    watch.beat(0, None)
    assert hung(watch, 0, 1800) == []
    watch.beat(0, 10.0)
    watch.beat(0, 2.0)
    assert hung(watch, 1801, 198) == []
    assert hung(watch, 2000, 3) == [(0, 200.0)]


def test_short_epochs_are_allowed_a_minute() -> None:
    watch = HangDetector(None)
    watch.beat(0, 0.01)
    assert hung(watch, 0, 60) == []
    assert hung(watch, 61, 1) == [(0, 60.0)]


def test_time_in_which_this_process_was_stopped_does_not_count() -> None:
    watch = HangDetector("30s")
    watch.beat(0, None)
    assert hung(watch, 0, 3600, step=600) == []


def test_who_runs_no_more_is_not_watched() -> None:
    watch = HangDetector("30s")
    watch.beat(0, None)
    watch.forget(0)
    assert hung(watch, 0, 100) == []


def test_a_workers_start_is_no_silence() -> None:
    watch = HangDetector("30s")
    watch.beat(4, None)
    for second in range(0, 120):
        assert list(watch.hung(float(second), starting=[4])) == []
    assert hung(watch, 120, 30) == []
    assert hung(watch, 151, 30) == [(4, 30.0)]
    watch.beat(5, None)
    found = [each for second in range(200, 2100) for each in watch.hung(float(second), starting=[5])]
    assert found == [(5, 1800.0)]


def test_time_in_which_all_were_stopped_costs_no_attempt() -> None:
    for limit in ("1s", "3s", "5s"):
        watch = HangDetector(limit)
        watch.beat(3, None)
        assert hung(watch, 0, 0.9, step=0.3) == []
        assert list(watch.hung(3600.0)) == []  # everything was stopped for an hour
        watch.beat(3, 0.2)
        assert hung(watch, 3600.1, 0.6, step=0.3) == []


def test_a_coordinator_that_is_always_slow_notices_a_worker_that_hangs() -> None:
    watch = HangDetector("5s")
    watch.beat(3, None)
    assert hung(watch, 0, 1000, step=10.0) == [(3, 5.0)]
