"""The lines between coordinator and worker: every value comes back as it was, and nothing else is a message."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regsearch.search.training.setup import TrainerSetup
from regsearch.search.workers.protocol import (
    READY_LINE,
    EpochFinished,
    LookFinished,
    SuggestReply,
    SuggestRequest,
    TrialFailed,
    TrialFinished,
    TrialNotice,
    WorkerMessage,
    from_line,
    reply_from_line,
    reply_to_line,
    setup_from_line,
    setup_to_line,
    task_from_line,
    task_to_line,
    to_line,
)
from regsearch.studies import trial
from regsearch.studies.example_scores import PerExampleScores
from regsearch.studies.spec import StudySpec
from regsearch.studies.trial import EpochMetrics, Purpose, TrialOutcome, TrialTask

EPOCH = EpochMetrics(epoch=0, train_loss=0.5, stop_loss=0.4, stop_cross_entropy=0.4, stop_accuracy=0.9, seconds=1.2)
OUTCOME = TrialOutcome(
    best_epoch=1,
    epochs=2,
    select_cross_entropy=0.1 + 0.2,
    select_accuracy=1 / 3,
    train_cross_entropy=5e-324,
    train_accuracy=-0.0,
    near_zero_share=None,
    seconds=1.5,
    weights_sha256="0" * 64,
)
SCORES = PerExampleScores(losses=np.ones(3, np.float32), hits=np.ones(3, bool)).to_text()
VALUES = [True, False, 0, 1, 1.0, -0.0, 5e-324, 10**30, math.inf, -math.inf, math.nan, "", "naïve\n\u2028", "\udcff"]


def message(name: str, **fields: Any) -> str:
    return json.dumps({"event": name, "number": 1, "attempt": 0, **fields})


@pytest.mark.parametrize(
    "event",
    [
        EpochFinished(number=3, attempt=1, metrics=EPOCH),
        SuggestRequest(number=3, attempt=1, name="l2", distribution="{}", default=1e-4),
        TrialFinished(number=3, attempt=1, outcome=OUTCOME),
        LookFinished(number=3, attempt=1, outcome=trial.TestEvaluation(rows=SCORES, objective=0.1)),
        TrialFailed(number=3, attempt=0, reason="naïve “quotes” and \\n", by_settings=True),
        TrialNotice(number=3, attempt=0, text="a\x00b"),
    ],
)
def test_every_message_comes_back_as_it_was(event: WorkerMessage) -> None:
    line = to_line(event)
    assert json.loads(line)["event"] == type(event).__name__
    assert line.index("\n") == len(line) - 1
    assert repr(from_line(line)) == repr(event)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_every_value_keeps_its_type_and_bits(value: Any) -> None:
    request = SuggestRequest(number=1, attempt=0, name="x", distribution="{}", default=value)
    task = TrialTask(number=1, attempt=0, params={"x": value, "y": None}, purpose=Purpose.TEST, seed=2**70)
    for sent, received in (
        (request, from_line(to_line(request))),
        (SuggestReply(value=value), reply_from_line(reply_to_line(SuggestReply(value=value)))),
        (task, task_from_line(task_to_line(task))),
    ):
        assert repr(received) == repr(sent)


@given(st.floats())
def test_floats_come_back_bit_by_bit(value: float) -> None:
    received = reply_from_line(reply_to_line(SuggestReply(value=value)))
    assert isinstance(received, SuggestReply)
    assert isinstance(received.value, float)
    assert np.float64(received.value).tobytes() == np.float64(value).tobytes() or math.isnan(value)


def test_replies_without_a_value_come_back() -> None:
    for reply in (True, False, SuggestReply(refusal="the space changed")):
        assert reply_from_line(reply_to_line(reply)) == reply
        assert type(reply_from_line(reply_to_line(reply))) is type(reply)


def test_a_path_that_is_not_utf_8_comes_back() -> None:
    setup = TrainerSetup(spec=StudySpec(), source="/data/\udcff.npz", sha256="0" * 64)
    assert setup_from_line(setup_to_line(setup)) == setup


def test_a_result_of_the_first_release_is_still_read() -> None:
    """Files of results outlive an upgrade: they have the keys in this order."""
    line = '{"event": "TrialFailed", "number": 4, "attempt": 1, "reason": "why", "log": "", "by_settings": true}\n'
    assert from_line(line) == TrialFailed(number=4, attempt=1, reason="why", by_settings=True)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "Expecting value"),
        ("null", "valid dictionary"),
        ("[1]", "valid dictionary"),
        ("{}", "discriminator 'event'"),
        (READY_LINE, "tag 'Ready'"),
        (message("WorkerLost", reason="why"), "tag 'WorkerLost'"),
        (message("TrialNotice"), r"TrialNotice\.text: Field required"),
        (message("TrialNotice", text="a", more=1), r"TrialNotice\.more: Unexpected"),
        (message("EpochFinished", metrics={**vars(EPOCH), "train_loss": math.nan}), "train_loss is nan"),
        (message("EpochFinished", metrics={**vars(EPOCH), "more": 1}), r"metrics\.more: Unexpected"),
    ],
)
def test_any_other_line_is_refused_in_one_line(line: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as error:
        from_line(line)
    assert "\n" not in str(error.value)
