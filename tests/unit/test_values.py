"""Seeds, events and progress: small things that everything leans on."""

import io
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from regsearch.search.run.progress import FinishedTrial, LineProgress, LiveProgress
from regsearch.search.seeds import derive_seed
from regsearch.search.training.setup import TrainerSetup
from regsearch.search.workers.protocol import (
    EpochFinished,
    TrialFailed,
    TrialFinished,
    from_line,
    setup_from_line,
    setup_to_line,
    to_line,
)
from regsearch.studies.spec import StudySpec
from regsearch.studies.trial import EpochMetrics, Purpose, TrainingId, TrialOutcome, TrialTask
from regsearch.studies.trial_files import TrialFiles

finite = st.floats(allow_nan=False, allow_infinity=False)
metrics = st.builds(
    EpochMetrics,
    epoch=st.integers(0, 99),
    train_loss=finite,
    stop_loss=finite,
    stop_cross_entropy=finite,
    stop_accuracy=finite,
    seconds=finite,
)


def test_seeds_differ_by_purpose_and_numbers_and_are_the_same_for_ever() -> None:
    seeds = [
        derive_seed(0, "order", 0),
        derive_seed(0, "order", 1),
        derive_seed(0, "weights", 0),
        derive_seed(1, "order", 0),
    ]
    assert len(set(seeds)) == 4
    assert derive_seed(0, "order", 0) == 1428798525
    assert all(0 <= seed < 2**32 for seed in seeds)


@given(st.integers(0, 10**6), st.integers(0, 3), metrics)
def test_events_travel_bit_by_bit(number: int, attempt: int, figures: EpochMetrics) -> None:
    event = EpochFinished(number=number, attempt=attempt, metrics=figures)
    line = to_line(event)
    assert line.endswith("\n")
    assert "\n" not in line[:-1]
    assert from_line(line) == event


def test_every_kind_of_event_travels() -> None:
    outcome = TrialOutcome(
        best_epoch=1,
        epochs=2,
        select_cross_entropy=0.1 + 0.2,
        select_accuracy=1 / 3,
        train_cross_entropy=0.1,
        train_accuracy=0.9,
        near_zero_share=0.0,
        seconds=1.5,
    )
    for event in (
        TrialFinished(number=3, attempt=1, outcome=outcome),
        TrialFailed(number=3, attempt=0, reason="naïve “quotes” and \\n"),
    ):
        assert from_line(to_line(event)) == event


def test_a_setup_travels() -> None:
    setup = TrainerSetup(spec=StudySpec(), source="/a b/é.npz", sha256="0" * 64)
    assert setup_from_line(setup_to_line(setup)) == setup


TASK = TrialTask(number=4, attempt=0, params={"regularizer": "l2", "l2": 1e-4, "batch_norm": "none"})


def test_without_a_terminal_there_is_one_line_a_finished_trial(capsys: object) -> None:
    progress = LineProgress()
    progress.begin("study mnist", 2, 5, 0.1)
    progress.trial_finished(FinishedTrial(task=TASK, state="COMPLETE", value=0.08, remark="", seconds=12.3), 0.08)
    progress.trial_finished(FinishedTrial(task=TASK, state="FAIL", value=None, remark="why", seconds=1.0), 0.08)
    assert capsys.readouterr().err.splitlines() == [  # type: ignore[attr-defined]
        "study mnist: 2 of 5 finished, resuming",
        "[3/5] trial 4 COMPLETE 0.08000, 12 s: L2 0.0001",
        "[4/5] trial 4 FAIL (why), 1 s: L2 0.0001",
    ]


def test_on_a_terminal_progress_shows_counts_best_pace_and_time_left() -> None:
    from rich.console import Console

    now = 0.0
    progress = LiveProgress(clock=lambda: now)
    progress.message("before the display is open")
    progress.begin("study mnist", 2, 6, 0.1)
    progress.trial_began(TASK)
    figures = EpochMetrics(
        epoch=2, train_loss=0.5, stop_loss=0.4, stop_cross_entropy=0.3, stop_accuracy=0.9, seconds=1.0
    )
    progress.epoch_finished(TASK, figures)
    other = TrialTask(number=5, attempt=0, params={})
    progress.trial_began(other)
    now = 60.0
    progress.trial_finished(FinishedTrial(task=other, state="PRUNED", value=None, remark="epoch 1", seconds=2), 0.1)
    shown = io.StringIO()
    Console(file=shown, width=200).print(progress._table())
    progress.end()
    progress.end()
    assert "study mnist: 3 of 6" in shown.getvalue()
    assert "best 0.10000" in shown.getvalue()
    assert "1.0 trials a minute, about 3 min left" in shown.getvalue()
    assert "trial 4" in shown.getvalue()
    assert "epoch 3, 0.3000" in shown.getvalue()


def test_a_training_of_a_finalist_has_one_number_for_its_files() -> None:
    training = TrainingId(finalist=2, seed=13)
    task = TrialTask(number=training.number, attempt=0, params={}, purpose=Purpose.TEST)
    assert (training.number, task.training) == (2013, training)
    assert str(task) == "finalist 2, seed 13, on the test examples"
    assert all(TrainingId.of_number(TrainingId(*pair).number) == pair for pair in ((0, 0), (0, 999), (7, 0)))
    assert TrialFiles.of(Path(), task.purpose).weights(task.number) == Path("finalist-2013.weights.npz")
