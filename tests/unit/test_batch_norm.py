"""The momentum of BatchNormalization's averages: the rule, and what a study may say in its place."""

import doctest
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import regsearch.studies.batch_norm
from regsearch.studies.batch_norm import (
    KERAS_MOMENTUM,
    batch_norm_momentum,
    momentum_for,
    momentum_in_words,
    steps_per_epoch,
)
from regsearch.studies.spec import StudySpec


def test_the_examples_of_its_functions_hold() -> None:
    assert doctest.testmod(regsearch.studies.batch_norm).failed == 0


@given(st.integers(1, 10**7))
def test_after_an_epoch_the_initial_averages_weigh_a_twentieth(steps: int) -> None:
    momentum = momentum_for(steps)
    assert 0 < momentum <= KERAS_MOMENTUM
    if momentum < KERAS_MOMENTUM:
        assert momentum**steps == pytest.approx(0.05, abs=0.01)
    else:
        assert KERAS_MOMENTUM**steps < 0.06


def test_mnist_keeps_the_momentum_of_keras_to_the_bit() -> None:
    spec = StudySpec()
    assert steps_per_epoch(spec.training, spec.data.train_rows(60_000)) == 1500
    assert batch_norm_momentum(spec, spec.data.train_rows(60_000)) == 0.99


@pytest.mark.parametrize(("rows", "batch_size", "steps"), [(200, 32, 7), (192, 32, 6), (20, 10**9, 1), (0, 32, 1)])
def test_a_last_smaller_batch_is_a_step(rows: int, batch_size: int, steps: int) -> None:
    assert steps_per_epoch(StudySpec().changed(training={"batch_size": batch_size}).training, rows) == steps


def test_a_study_may_give_another_one_and_an_older_one_has_that_of_keras() -> None:
    older = StudySpec.from_json('{"spec_version": 1}')
    assert batch_norm_momentum(older, 200) == KERAS_MOMENTUM
    assert momentum_in_words(older, 200) is None
    given = StudySpec().changed(model={"batch_norm_momentum": 0.0})
    assert batch_norm_momentum(given, 200) == 0
    assert momentum_in_words(given, 200) == "0, as given"
    assert momentum_in_words(StudySpec(), 1149) == "0.92, derived from 36 steps an epoch"


@pytest.mark.parametrize("value", [1, 1.0, -0.1, float("nan"), "0.9", True, None])
def test_what_is_no_momentum_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError, match="batch_norm_momentum"):
        StudySpec().changed(model={"batch_norm_momentum": value})
