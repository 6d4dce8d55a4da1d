"""A run says how long it will take, and afterwards how long it took."""

import pytest

from regsearch.search.run.forecast import Forecast, in_words
from regsearch.studies.spec import StudySpec


def forecast(told: list[str], *, confirms: bool = True, workers: int = 2, trials: int = 40) -> Forecast:
    spec = StudySpec().changed(training={"max_epochs": 10}, confirm={"seeds": 8})
    return Forecast(spec=spec, workers=workers, trials=trials, confirms=confirms, message=told.append)


def test_the_first_epochs_give_the_pace_and_one_line() -> None:
    told: list[str] = []
    one = forecast(told)
    for seconds in (30.0, 30.0, 1.0, 1.0, 1.0):
        one.add_epoch(seconds)
    assert told == []
    for _ in range(10):
        one.add_epoch(1.0)
    (line,) = told
    assert line.startswith(f"expected: {in_words(one.epochs / 2)} for 40 trials, then about {one.trainings} trainings")


def test_a_search_alone_has_no_trainings_of_finalists() -> None:
    told: list[str] = []
    one = forecast(told, confirms=False, workers=1, trials=10)
    for _ in range(6):
        one.add_epoch(60.0)
    assert one.trainings == 0
    assert told == ["expected: about 70 minutes for 10 trials (60 s an epoch)"]
    one.compare(80 * 60)
    assert told[1:] == ["the run took about 80 minutes; the forecast was about 70 minutes"]


def test_a_short_run_is_not_held_against_its_forecast() -> None:
    told: list[str] = []
    one = forecast(told)
    for _ in range(6):
        one.add_epoch(0.001)
    one.compare(5.0)
    assert len(told) == 1


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(20, "less than a minute"), (61, "about 1 minute"), (600, "about 10 minutes"), (9000, "about 2.5 hours")],
)
def test_durations_are_rough(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_a_space_without_techniques_or_patience_has_fewer_finalists() -> None:
    usual = forecast([])
    lean = forecast([])
    lean.spec = lean.spec.changed(space={"regularizer": ["none", "l2"], "dropout": "off", "patience": "off"})
    assert lean.trainings < usual.trainings


def test_a_run_with_nothing_left_to_search_says_nothing() -> None:
    told: list[str] = []
    one = forecast(told, trials=0)
    for _ in range(20):
        one.add_epoch(1.0)
    assert told == []
