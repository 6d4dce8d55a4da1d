"""A best setting on an edge of its range is noticed, and what is proposed is a study that reaches further."""

from typing import Any

import pytest

from regsearch.studies.analysis.range_limits import AtRangeLimit, range_limits
from regsearch.studies.configuration import Regularization
from regsearch.studies.spec import StudySpec
from regsearch.studies.study_file import read_study

SPEC = StudySpec()


def only(spec: StudySpec, **best: Any) -> AtRangeLimit:
    (edge,) = range_limits(spec, Regularization(**best))
    return edge


@pytest.mark.parametrize(
    ("best", "side", "setting"),
    [
        ({"l1": 1e-2}, "high", "space.l1={ low = 1e-07, high = 0.1 }"),
        ({"l1": 1.3e-7}, "low", "space.l1={ low = 1e-08, high = 0.01 }"),
        ({"l2": 8e-3}, "high", "space.l2={ low = 1e-07, high = 0.1 }"),
        ({"dropout": 0.59}, "high", "space.dropout={ low = 0.05, high = 0.875, off = true }"),
        ({"dropout": 0.06}, "low", "space.dropout={ low = 0.0, high = 0.6, off = true }"),
        ({"patience": 8}, "high", "space.patience={ low = 1, high = 16, off = true }"),
    ],
)
def test_a_setting_near_an_edge_comes_with_what_widens_it(best: dict[str, Any], side: str, setting: str) -> None:
    edge = only(SPEC, **best)
    ((name, value),) = best.items()
    assert edge == AtRangeLimit(parameter=name, value=value, side=side, setting=setting)
    assert f"lies on the {side} edge" in str(edge)
    assert f"--set '{setting}'" in str(edge)


@pytest.mark.parametrize("best", [{"l1": 1e-2}, {"l2": 1e-7}, {"dropout": 0.6}, {"dropout": 0.05}, {"patience": 8}])
def test_a_proposed_range_is_accepted_and_wider_on_one_side_alone(best: dict[str, Any]) -> None:
    edge = only(SPEC, **best)
    wider = getattr(read_study("mnist", [edge.setting, "training.max_epochs=20"]).space, edge.parameter)
    before = getattr(SPEC.space, edge.parameter)
    if edge.side == "low":
        assert (wider.low < before.low, wider.high) == (True, before.high)
    else:
        assert (wider.low, wider.high > before.high) == (before.low, True)


def test_a_gate_that_was_closed_stays_closed() -> None:
    spec = SPEC.changed(space={"dropout": {"off": False}})
    assert only(spec, dropout=0.6).setting.endswith("off = false }")


@pytest.mark.parametrize(
    "best",
    [
        {},
        {"l1": 1e-4, "l2": 2e-7, "dropout": 0.3, "patience": 4},
        {"l2": 6e-3},  # near on a linear scale only
        {"patience": 1},  # there is no lower one
    ],
)
def test_elsewhere_there_is_no_warning(best: dict[str, Any]) -> None:
    assert range_limits(SPEC, Regularization(**best)) == ()


@pytest.mark.parametrize(
    ("space", "best"),
    [
        ({"dropout": {"low": 0.0, "high": 0.5}}, {"dropout": 0.001}),
        ({"dropout": {"low": 0.1, "high": 0.9}}, {"dropout": 0.9}),
        ({"dropout": {"low": 0.1, "high": 0.95}}, {"dropout": 0.95}),
        ({"l1": {"low": 1.0, "high": 1e6}}, {"l1": 1e6}),
        ({"l1": {"low": 1e-4, "high": 1e-4}}, {"l1": 1e-4}),
        ({"patience": {"low": 1, "high": 20}}, {"patience": 20}),
        ({"patience": {"low": 1, "high": 30}}, {"patience": 30}),
        ({"patience": "off", "dropout": "off"}, {"patience": 8, "dropout": 0.6}),
    ],
)
def test_a_natural_limit_and_a_fixed_value_are_no_edges(space: dict[str, Any], best: dict[str, Any]) -> None:
    assert range_limits(SPEC.changed(space=space), Regularization(**best)) == ()


def test_patience_goes_no_further_than_training_does() -> None:
    spec = SPEC.changed(training={"max_epochs": 12})
    assert only(spec, patience=8).setting == "space.patience={ low = 1, high = 12, off = true }"
    spec = SPEC.changed(space={"patience": {"low": 5, "high": 8}})
    assert only(spec, patience=5).setting == "space.patience={ low = 2, high = 8, off = true }"


def test_each_setting_on_an_edge_is_named() -> None:
    found = range_limits(SPEC, Regularization(l1=1e-2, l2=1e-7, dropout=0.6, patience=8))
    assert [(edge.parameter, edge.side) for edge in found] == [
        *(("l1", "high"), ("l2", "low"), ("dropout", "high"), ("patience", "high"))
    ]
