"""The README's HyperModels, run as they are written, with nothing but what they import."""

import re
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
import pytest

README = (Path(__file__).parents[2] / "README.md").read_text()


def snippet(after: str) -> str:
    """Return the first piece of Python after some words."""
    (_, rest) = README.split(after)
    found = re.search(r"```python\n(.*?)```", rest, re.DOTALL)
    assert found is not None
    return found[1]


def images(rows: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(rows).integers(0, 256, (rows, 28, 28)).astype(np.uint8)


def test_the_hypermodel_builds_as_it_stands() -> None:
    found: dict[str, Any] = {}
    exec(snippet("## A HyperModel of your own"), found)
    model = found["build_model"](keras_tuner.HyperParameters())
    history = model.fit(images(20), np.eye(10)[np.arange(20) % 10], verbose=0).history
    assert history.keys() == {"accuracy", "loss"}
    assert np.isfinite(history["loss"]).all()


@pytest.mark.filterwarnings("ignore:(currentThread|getName|setName):DeprecationWarning")  # by KerasTuner
def test_the_built_in_network_is_searched_by_a_keras_tuner_script(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    code = snippet("**The other way round**")
    found: dict[str, Any] = {}
    exec(
        code.replace('"mnist"', '"digits"').replace("max_trials=50", "max_trials=1").replace("epochs=10", "epochs=1"),
        found,
    )
    assert "regularizer" in found["tuner"].get_best_hyperparameters()[0].values


def test_a_network_of_ones_own_is_regularized() -> None:
    found: dict[str, Any] = {}
    exec(snippet("**The regularization of a network of your own**"), found)
    hp = keras_tuner.HyperParameters()
    model = found["build_model"](hp)
    assert {"regularizer", "batch_norm"} <= hp.values.keys()
    assert model(images(2)[..., np.newaxis] / 255).shape == (2, 10)
