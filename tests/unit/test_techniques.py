"""A technique is one file: found by itself, named, suggested, kept off in stored studies; none loads TensorFlow."""

import json
import subprocess
import sys
from typing import Any

import pytest

from regsearch.studies.configuration import LABELS, Regularization
from regsearch.studies.recipes import RECIPES
from regsearch.studies.search_space import LEARNING_RATE, PARAMETERS, dimensions
from regsearch.studies.spec import SpaceSpec, StudySpec
from regsearch.studies.techniques import TECHNIQUES, check
from regsearch.studies.techniques.early_stopping import EarlyStopping
from regsearch.studies.techniques.l1 import L1
from regsearch.studies.techniques.ranges import GatedRange
from regsearch.studies.techniques.technique import Technique
from regsearch.studies.techniques.ways import PAIRS, Ways


@pytest.mark.parametrize(
    "module", ["studies", "studies.techniques", "studies.search_space", "search.export.keras_script"]
)
def test_importing_studies_loads_no_tensorflow(module: str) -> None:
    code = f"import sys, json, regsearch.{module}; print(json.dumps([*sys.modules]))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert f"regsearch.{module}" in loaded
    assert not {"tensorflow", "keras", "keras_tuner", "optuna", "sqlalchemy"} & {name.split(".")[0] for name in loaded}


def test_the_five_techniques_are_found_in_their_order() -> None:
    assert [technique.name for technique in TECHNIQUES] == ["L1", "L2", "dropout", "BatchNorm", "early stopping"]
    assert LABELS == ("L1", "L2", "L1+L2", "dropout", "BatchNorm", "early stopping", "combination")


def test_the_parameters_are_those_that_stored_trials_have() -> None:
    first = ("regularizer", "l1", "l2", "use_dropout", "dropout", "batch_norm", "early_stopping", "patience")
    assert (*first, LEARNING_RATE) == PARAMETERS
    assert tuple(dimension.name for dimension in dimensions(SpaceSpec())) == first
    assert list(SpaceSpec.model_fields)[:6] == ["regularizer", "l1", "l2", "dropout", "batch_norm", "patience"]


@pytest.mark.parametrize(
    ("values", "technique", "complexity"),
    [
        ({}, None, 0),
        ({"patience": 2}, "early stopping", 1),
        ({"l1": 1e-4, "patience": 2}, "L1", 2),
        ({"l1": 1e-4, "l2": 1e-4}, "L1+L2", 2),
        ({"batch_norm": "before_activation"}, "BatchNorm", 1),
        ({"l1": 1e-4, "l2": 1e-4, "dropout": 0.1}, "combination", 3),
        ({"dropout": 0.1, "batch_norm": "after_activation", "patience": 1}, "combination", 3),
    ],
)
def test_a_regularization_is_one_technique_or_a_combination(
    values: dict[str, Any], technique: str | None, complexity: int
) -> None:
    regularization = Regularization(**values)
    assert (regularization.technique, regularization.complexity) == (technique, complexity)
    assert technique is None or technique in LABELS


def test_a_regularization_is_a_value() -> None:
    one, same = Regularization(l1=1e-4), Regularization.from_params({"regularizer": "l1", "l1": 1e-4})
    assert one == same
    assert hash(one) == hash(same)
    assert one != Regularization(l2=1e-4)
    with pytest.raises(AttributeError):
        one.l1 = 0.0
    with pytest.raises(TypeError, match="l3"):
        Regularization(l3=1e-4)


@pytest.mark.parametrize(
    "values",
    [{}, {"patience": 3}, {"l1": 1e-5, "l2": 1e-4, "dropout": 0.2, "batch_norm": "after_activation"}, {"l2": 1e-3}],
)
def test_parameters_and_regularization_stand_for_each_other(values: dict[str, Any]) -> None:
    params = Regularization(**values).params(SpaceSpec())
    assert Regularization.from_params(params) == Regularization(**values)
    assert list(params) == [name for name in PARAMETERS if name in params]
    assert {"regularizer", "use_dropout", "batch_norm", "early_stopping"} <= set(params)


def test_the_ladder_raises_each_strength_from_low_to_high() -> None:
    for technique in TECHNIQUES:
        assert list(technique.strengths) == sorted(technique.strengths)
    names = [f"{technique.name} {strength:g}" for technique in TECHNIQUES for strength in technique.strengths]
    assert [recipe.name for recipe in RECIPES["ladder"]] == names


class Later(Technique):
    order, name, key = 60, "later", "later"
    among = GatedRange


class Half(Later):
    def layer_after(self, value: Any, seed: int | None) -> Any:
        raise NotImplementedError


class OfTheLoss(Later):
    def change_losses(self, losses: Any, labels: Any, logits: Any, value: Any) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("techniques", "message"),
    [
        ((L1(), L1()), "the same order"),
        ((Later(), EarlyStopping()), "give it a higher order"),
        ((L1(), Half()), "one of layer_after and change_activations"),
        ((L1(), OfTheLoss()), "an exported script would train without it"),
    ],
)
def test_a_technique_that_can_not_be_used_is_refused(techniques: tuple[Technique, ...], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        check(techniques)


def test_every_way_does_nothing_by_default() -> None:
    technique: Ways = Later()
    nothing, something = object(), [object()]
    assert technique.input_layer(1.0, 0) is technique.layer_after(1.0, 0) is None
    assert technique.kernel_penalty(1.0) is technique.kernel_constraint(1.0) is None
    assert technique.batch_norm_placement(1.0) == "none"
    assert technique.change_input(nothing, 1.0, 0) is nothing
    assert technique.change_activations(nothing, 1.0, 0) is nothing
    assert technique.change_losses(nothing, 0, 0, 1.0) is nothing
    assert technique.change_optimizer(nothing, 1.0) is nothing
    assert technique.change_gradients(something, [], 1.0) == something
    assert technique.evaluated_weight(0, nothing, 0, 1.0) is nothing
    assert technique.code({}).layers_after == ()
    assert not any(technique.overrides(way) for pair in PAIRS for way in pair)


def test_what_acts_on_a_whole_network_is_not_of_layers() -> None:
    assert all(technique.is_of_layers for technique in (*TECHNIQUES, Later(), Half()))
    assert not OfTheLoss().is_of_layers


def test_no_technique_of_the_first_release_changes_a_fingerprint() -> None:
    spec = StudySpec()
    assert not any(technique.is_added_later for technique in TECHNIQUES)
    assert StudySpec.from_json(spec.to_json()).fingerprint() == spec.fingerprint()
