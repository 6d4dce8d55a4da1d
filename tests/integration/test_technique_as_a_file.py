"""A technique is added by one file: here two that are thrown away, beside links to the product's own files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from regsearch.studies.spec import StudySpec

ROOT = Path(__file__).parents[2]

MAX_NORM = '''
"""Max-norm: the norm of each unit's weights has an upper limit."""

from pydantic import Field

from regsearch.studies.techniques.ranges import GatedRange
from regsearch.studies.techniques.technique import Technique
from regsearch.studies.techniques.ways import Code


class MaxNormRange(GatedRange):
    """The largest norm of a unit's weights, both ends included."""

    low: float = Field(0.5, gt=0)
    high: float = Field(4.0, gt=0)


class MaxNorm(Technique):
    """`keras.constraints.MaxNorm`."""

    order, name, key = 60, "max-norm", "max_norm"
    among = MaxNormRange
    description = 'largest norm of a unit, or "off": none'
    is_log = True
    strengths = (3.0, 2.0, 1.0)

    def kernel_constraint(self, value):
        import keras

        return keras.constraints.MaxNorm(value)

    def code(self, values):
        return Code(kernel_constraint=f"keras.constraints.MaxNorm({values[self.key]!r})")
'''

SMOOTHING = '''
"""Label smoothing: a share of each label is spread over all classes."""

from pydantic import Field

from regsearch.studies.techniques.ranges import GatedRange
from regsearch.studies.techniques.technique import Technique
from regsearch.studies.techniques.ways import Code


class ShareRange(GatedRange):
    """The share that is spread, in [0, 1), both ends included."""

    low: float = Field(0.01, ge=0, lt=1)
    high: float = Field(0.3, ge=0, lt=1)


class LabelSmoothing(Technique):
    """As `keras.losses.CategoricalCrossentropy(label_smoothing=...)`."""

    order, name, key = 70, "label smoothing", "smoothing"
    among = ShareRange
    description = 'share of a label that is spread, or "off": none'

    def change_losses(self, losses, labels, logits, value):
        import tensorflow as tf

        return (1 - value) * losses - value * tf.reduce_mean(tf.nn.log_softmax(logits), axis=1)

    def code(self, values):
        return Code(
            definitions="""
def smoothed(loss, share):
    def with_smoothing(y_true, y_pred):
        spread = -keras.ops.mean(keras.ops.log_softmax(y_pred), axis=1)
        return (1 - share) * loss(y_true, y_pred) + share * keras.ops.mean(spread)

    return with_smoothing
""",
            loss=f"smoothed({{loss}}, {values[self.key]!r})",
        )
'''

TRIED = """
import json

import optuna
import pytest

from regsearch.search.data import load_dataset
from regsearch.search.data.splits import make_splits
from regsearch.search.samplers.keras_tuner import hyperparameters
from regsearch.search.training.builtin.compiled_trainer import CompiledTrainer
from regsearch.search.export.keras_model import write_keras_model
from regsearch.search.training.builtin.keras_trainer import KerasTrainer
from regsearch.search.export.keras_script import ScriptData, keras_script
from regsearch.studies.recipes import contest_of, recipes_in_space
from regsearch.studies.configuration import LABELS, Regularization, settings_to_enqueue
from regsearch.studies.search_space import PARAMETERS, suggest
from regsearch.studies.configuration import LABELS, Regularization, settings_to_enqueue
from regsearch.studies.search_space import PARAMETERS, suggest
from regsearch.studies.spec import StudySpec, differing_keys
from regsearch.studies.trial import TrialTask

# named
assert LABELS[-3:] == ("max-norm", "label smoothing", "combination")
assert str(Regularization(max_norm=2.0, patience=3)) == "early stopping (patience 3), max-norm 2"
assert Regularization(max_norm=2.0).technique == "max-norm"
assert Regularization(max_norm=2.0, smoothing=0.1).technique == "combination"

# suggested, by every sampler; tried as a recipe; enqueued
assert PARAMETERS[-5:-1] == ("use_max_norm", "max_norm", "use_smoothing", "smoothing")
space = StudySpec().space
asked = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
proposals = [suggest(asked.ask(), space) for _ in range(20)]
assert {proposal["use_max_norm"] for proposal in proposals} == {False, True}
assert all(0.5 <= proposal["max_norm"] <= 4 for proposal in proposals if proposal["use_max_norm"])
assert [hp.name for hp in hyperparameters(space).space] == list(PARAMETERS[:-1])  # the learning rate is the last
recipes = recipes_in_space(["course", "ladder"], space)
assert recipes["max-norm 2"]["max_norm"] == 2.0
assert recipes["none"]["use_smoothing"] is False
assert settings_to_enqueue(["max_norm=2"], space) == {"use_max_norm": True, "max_norm": 2.0}

# tuned alone in a contest
contest = contest_of(StudySpec())
assert {"max_norm", "smoothing"} <= set(contest.contestants)
assert contest.best_alone("max_norm", []) is None
assert "max-norm" in {settings.technique for settings in contest._alone("max_norm", {})}

# off in a study that was stored before it was there, whose fingerprint stays
document = json.loads(StudySpec().to_json())
del document["space"]["max_norm"], document["space"]["smoothing"]
stored = StudySpec.from_json(json.dumps(document))
assert (stored.space.max_norm, stored.space.smoothing) == ("off", "off")
assert stored.fingerprint() == BEFORE
assert differing_keys(StudySpec().inheriting_from(stored, ()), stored) == []
assert Regularization().params(stored.space).keys() == {"regularizer", "use_dropout", "batch_norm", "early_stopping"}

# trained by both trainers, exported as a model and as a script
spec = StudySpec().changed(model={"hidden": [12]}, data={"train_size": 300}, training={"max_epochs": 2})
data = load_dataset("digits")
splits = make_splits(data, spec.data, 0)
params = {**recipes["none"], "use_max_norm": True, "max_norm": 1.0, "use_smoothing": True, "smoothing": 0.2}
regularization = Regularization.from_params(params)
plain, *values = (
    trainer(spec, data, splits).train(TrialTask(number=0, attempt=0, params=these), lambda metrics: True)
    for trainer, these in ((CompiledTrainer, recipes["none"]), (CompiledTrainer, params), (KerasTrainer, params))
)
assert values[0].select_cross_entropy == pytest.approx(values[1].select_cross_entropy, rel=1e-3)
assert values[0].select_cross_entropy != pytest.approx(plain.select_cross_entropy, rel=1e-3)
weights = CompiledTrainer(spec, data, splits).network(regularization).get_weights()
write_keras_model(spec, data, regularization, 0, weights, FOLDER / "model.keras")
script_data = ScriptData(
    source="digits", input_shape=(28, 28), class_count=10, has_bytes=True, n_train=200, n_stop=50
)
script = keras_script("both", spec, script_data, regularization, 0)
assert "kernel_constraint=keras.constraints.MaxNorm(1.0)" in script
exec(compile(script, "script.py", "exec"), {"__name__": "script"})
print("tried")
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The product's packages by links, and the two files beside those of the techniques."""
    package = tmp_path / "regsearch"
    techniques = package / "studies" / "techniques"
    techniques.mkdir(parents=True)
    for name in ("__init__.py", "search", "storage"):
        (package / name).symlink_to(ROOT / name)
    for folder in ("studies", "studies/techniques"):
        for path in (ROOT / folder).iterdir():
            if path.name not in ("techniques", "__pycache__"):
                (package / folder / path.name).symlink_to(path)
    (techniques / "max_norm.py").write_text(MAX_NORM)
    (techniques / "smoothing.py").write_text(SMOOTHING)
    return tmp_path


@pytest.mark.slow
def test_one_file_adds_a_technique_to_search_names_training_and_export(tree: Path) -> None:
    before = f"from pathlib import Path\nBEFORE, FOLDER = {StudySpec().fingerprint()!r}, Path({str(tree)!r})\n"
    (tree / "tried.py").write_text(before + TRIED)
    environment = {**os.environ, "PYTHONPATH": str(tree), "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(
        [sys.executable, str(tree / "tried.py")], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.endswith("tried\n"), done.stderr[-3000:]
