"""Which of two figures is the better one: as KerasTuner infers it from a metric's name, or as the study says."""

import keras_tuner
import pytest

from regsearch.studies import objectives
from regsearch.studies.objectives import check, is_accuracy, maximizes, metric_of


@pytest.mark.parametrize("name", sorted(objectives._LARGER_IS_BETTER | objectives._SMALLER_IS_BETTER))
def test_a_known_metric_has_kerastuners_direction(name: str) -> None:
    infer = keras_tuner.engine.metrics_tracking.infer_metric_direction
    for whole in (name, f"val_{name}"):
        assert maximizes(whole) == (infer(whole) == "max") or whole in objectives.OURS


@pytest.mark.parametrize("name", ["val_f1_score", "val_r2_score", "val_cosine_similarity", "my_metric", "val_iou"])
def test_a_direction_that_kerastuner_would_guess_wrong_must_be_given(name: str) -> None:
    with pytest.raises(ValueError, match="add its direction"):
        check(name)
    assert maximizes(f"{name}:max")
    assert not maximizes(f"{name}:min")
    assert metric_of(f"{name}:max") == name


@pytest.mark.parametrize("objective", ["", ":max", "val_loss:", "val_loss:up", "val_f1:max:min"])
def test_what_is_no_objective_is_refused(objective: str) -> None:
    with pytest.raises(ValueError, match="unknown objective"):
        check(objective)


def test_a_given_direction_holds_against_the_name() -> None:
    assert maximizes("val_loss:max")


def test_finalists_are_compared_by_accuracy_where_the_objective_is_one() -> None:
    names = ("cross_entropy", "accuracy", "val_acc", "val_loss", "val_auc")
    assert [name for name in names if is_accuracy(name)] == ["accuracy", "val_acc"]
