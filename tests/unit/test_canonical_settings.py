"""Settings are equal exactly if they train the same network in the same way."""

import itertools
from typing import Any

import numpy as np
import pytest

from regsearch.search.training.early_stopping import EarlyStopping
from regsearch.studies.canonical_configuration import canonical, effective_patience
from regsearch.studies.finite_space import count_points, is_finite, points
from regsearch.studies.spec import SpaceSpec, StudySpec

OFF = {"regularizer": "none", "use_dropout": False, "batch_norm": "none", "early_stopping": False}


@pytest.mark.parametrize(
    "other",
    [
        {**OFF, "l1": 1e-3},
        {**OFF, "dropout": 0.3},
        {**OFF, "patience": 2},
        {"regularizer": "none", "batch_norm": "none"},
        {**OFF, "use_dropout": True, "dropout": 0.0},
    ],
)
def test_parameters_of_what_is_off_do_not_count(other: dict[str, Any]) -> None:
    assert canonical(other, 10) == canonical(OFF, 10)


@pytest.mark.parametrize(
    "other",
    [
        {**OFF, "regularizer": "l1", "l1": 1e-3},
        {**OFF, "use_dropout": True, "dropout": 0.3},
        {**OFF, "batch_norm": "before_activation"},
        {**OFF, "early_stopping": True, "patience": 100},
        {**OFF, "learning_rate": 0.1},
    ],
)
def test_parameters_of_what_is_on_count(other: dict[str, Any]) -> None:
    assert canonical(other, 10) != canonical(OFF, 10)


def test_l1_and_l1_l2_have_each_their_own_strength() -> None:
    both = {**OFF, "regularizer": "l1_l2", "l1": 1e-3, "l2": 1e-4}
    assert canonical(both, 10) != canonical({**both, "regularizer": "l1"}, 10)
    assert canonical({**both, "regularizer": "l1"}, 10) == canonical({**OFF, "regularizer": "l1", "l1": 1e-3}, 10)


def test_the_settings_of_a_hypermodel_are_compared_as_they_are() -> None:
    assert canonical({"b": 1, "a": 2}, None) == canonical({"a": 2, "b": 1}, None)
    assert canonical({**OFF, "patience": 2}, None) != canonical(OFF, None)


def trained(patience: int | None, losses: tuple[float, ...]) -> tuple[int, int | None]:
    """How many epochs a training has, and which one it restores."""
    state = EarlyStopping(patience=patience)
    for epoch, loss in enumerate(losses):
        state = state.after(epoch, loss)
        if state.is_over:
            return epoch + 1, state.best_epoch
    return len(losses), state.best_epoch


@pytest.mark.parametrize("max_epochs", range(1, 8))
def test_patiences_are_one_point_exactly_if_no_training_tells_them_apart(max_epochs: int) -> None:
    orders = itertools.product(range(3), repeat=max_epochs) if max_epochs < 6 else random_losses(max_epochs)
    losses = [tuple(map(float, order)) for order in orders]
    patiences = [None, *range(1, max_epochs + 3)]
    behaviour = {patience: [trained(patience, order) for order in losses] for patience in patiences}
    for one, other in itertools.combinations(patiences, 2):
        same_point = effective(one, max_epochs) == effective(other, max_epochs)
        assert same_point == (behaviour[one] == behaviour[other]), (one, other)


def effective(patience: int | None, max_epochs: int) -> int | None:
    return None if patience is None else effective_patience(patience, max_epochs)


def random_losses(max_epochs: int) -> np.ndarray:
    return np.random.default_rng(0).random((2000, max_epochs)).round(1)


def test_the_points_of_a_finite_space_come_once_each() -> None:
    space = discrete(patience={"low": 1, "high": 30})
    found = list(points(space, 5))
    assert len(found) == len({canonical(point, 5) for point in found}) == 3 * (1 + 4)
    assert count_points(space, 5) == 15
    assert [point["batch_norm"] for point in points(space, 5, {"early_stopping": False})] == list(space.batch_norm)


@pytest.mark.parametrize(
    ("space", "fixed", "finite"),
    [
        ({}, {}, True),
        ({"regularizer": ["none", "l1"]}, {}, False),
        ({"regularizer": ["none", "l1"], "l1": {"low": 1e-3, "high": 1e-3}}, {}, True),
        ({"regularizer": ["none", "l1"]}, {"regularizer": "none"}, True),
        ({"regularizer": ["none", "l1"]}, {"l1": 1e-3}, True),
        ({"dropout": {"low": 0.1, "high": 0.5, "off": True}}, {}, False),
    ],
)
def test_a_space_is_finite_if_no_strength_or_rate_is_a_range(
    space: dict[str, Any], fixed: dict[str, Any], finite: bool
) -> None:
    assert is_finite(discrete(**space), fixed) is finite
    assert (count_points(discrete(**space), 3) is not None) is (finite and not fixed)


def discrete(**space: Any) -> SpaceSpec:
    small = {"regularizer": ["none"], "dropout": "off"}
    return StudySpec().changed(space={**small, **space}).space
