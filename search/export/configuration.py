"""Exports a trained configuration: the Keras model, a script that builds it, its settings, and a model card."""

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...studies.analysis.conclusion import Conclusion, FinalistResult
from ...studies.batch_norm import batch_norm_momentum
from ...studies.configuration import Configuration, Regularization, configuration_of
from ...studies.errors import InputError, reason_of
from ...studies.files import sha256_of
from ...studies.records import DatasetInfo
from ...studies.reports.answer import dataset_json
from ...studies.spec import StudySpec
from ...studies.trial import Params
from ..data import source_kind
from ..data.arrays import Dataset
from ..data.splits import Splits, make_splits, split_seed
from ..machine import versions
from ..quiet_tensorflow import QUIET_TENSORFLOW
from ..training.checkpoints import Arrays
from ..training.hypermodel.code import read_code
from ..training.setup import import_quietly
from .folder import ExportedFile, check_folder, publish, staging
from .hypermodel_script import hypermodel_script
from .keras_script import ScriptData, keras_script
from .model_card import ModelCard

_MODEL, _SCRIPT, _CARD, _CONFIGURATION = "model.keras", "model.py", "model-card.md", "configuration.json"
_CODE = "hypermodel.py"


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedConfiguration:
    """One training, with everything that its export needs.

    Attributes:
        spec: the study.
        dataset, info: the data of the study, and the stored description of these data.
        params: the parameters of the trial.
        seed: the seed of the training, at least 0.
        weights: the path of an .npz file with the weights, in the order of Keras's `set_weights`.
        weights_sha256: the SHA-256 that this file must have.
        origin: a phrase that names the training, such as "trial 7".
        figures: the results of the training, by their names in `regsearch.studies.trial.TrialOutcome`.
        conclusion: the result of the study's confirmation; None if there was no confirmation.
        finalist: the result of this configuration in the confirmation; None if it was not a finalist.
    """

    spec: StudySpec
    dataset: Dataset
    info: DatasetInfo
    params: Params
    seed: int
    weights: Path
    weights_sha256: str
    origin: str
    figures: Mapping[str, int | float] = field(default_factory=dict)
    conclusion: Conclusion | None = None
    finalist: FinalistResult | None = None

    @property
    def title(self) -> str:
        """The first line of the exported script."""
        return f"Study {self.spec.study.name}, {self.origin}: {self.configuration}."

    @property
    def configuration(self) -> Configuration:
        """The choice of regularization, or a HyperModel's hyperparameter values."""
        return configuration_of(self.params)

    @property
    def split_seed(self) -> int:
        """The seed that decided the splits."""
        return split_seed(self.spec, self.seed)

    @cached_property
    def splits(self) -> Splits:
        """The examples of each split."""
        return make_splits(self.dataset, self.spec.data, self.split_seed)

    @property
    def momentum(self) -> float | None:
        """The momentum of BatchNormalization's moving averages; None if the configuration has no BatchNormalization."""
        configuration = self.configuration
        has_averages = isinstance(configuration, Regularization) and configuration.batch_norm != "none"
        return batch_norm_momentum(self.spec, len(self.splits.train)) if has_averages else None

    def read_weights(self) -> Arrays:
        """Return the weights. Raises InputError if the file can't be read or does not have the recorded SHA-256."""
        try:
            content = self.weights.read_bytes()
            if hashlib.sha256(content).hexdigest() != self.weights_sha256:
                raise InputError(f"the weights in {self.weights} are damaged: their SHA-256 is not the recorded one.")
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                return [file[name] for name in file.files]
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(f"can't read the weights in {self.weights}: {reason_of(error)}.") from error

    def card(self, used_versions: Mapping[str, str]) -> ModelCard:
        """Return the model card, which lists the given versions of the libraries."""
        return ModelCard(
            spec=self.spec,
            dataset=self.info,
            configuration=self.configuration,
            origin=self.origin,
            seed=self.seed,
            n_train=len(self.splits.train),
            n_stop=len(self.splits.stop),
            figures=self.figures,
            versions=used_versions,
            conclusion=self.conclusion,
            finalist=self.finalist,
        )

    def script_data(self) -> ScriptData:
        """Return what the exported script must know about the data."""
        kind, source = source_kind(self.info.source), self.info.source
        if kind == "idx" and not os.path.isdir(source):
            source = os.path.dirname(source)
        return ScriptData(
            source=source,
            kind="npz" if kind == "built-in" else kind,
            input_shape=self.dataset.x_train.shape[1:],
            class_count=self.dataset.class_count,
            has_bytes=self.dataset.x_train.dtype == np.uint8,
            n_train=len(self.splits.train),
            n_stop=len(self.splits.stop),
        )

    def as_json(self, used_versions: Mapping[str, str]) -> dict[str, Any]:
        """Return the content of configuration.json, except the SHA-256 of the exported files."""
        splits, spec = self.splits, self.spec
        return {
            "study": spec.study.name,
            "origin": self.origin,
            "regularization": str(self.configuration),
            "params": dict(self.params),
            "batch_norm_momentum": self.momentum,
            "seed": self.seed,
            "split_seed": self.split_seed,
            "figures": dict(self.figures),
            "confirmed": None if self.finalist is None else asdict(self.finalist),
            "data": {
                **dataset_json(self.info),
                "source": self.info.source,
                "input_shape": self.dataset.x_train.shape[1:],
                "class_names": self.dataset.class_names,
            },
            "rows": {"train": len(splits.train), "stop": len(splits.stop), "select": len(splits.select)},
            "spec": json.loads(spec.to_json()),
            "spec_fingerprint": spec.fingerprint(),
            "versions": dict(used_versions),
            "weights_sha256": self.weights_sha256,
        }


def export_configuration(
    folder: Path, trained: TrainedConfiguration, *, force: bool = False
) -> tuple[ExportedFile, ...]:
    """Write a trained configuration into a directory, and return the written files.

    Args:
        folder: the directory, which does not exist yet or is empty.
        trained: the configuration to export.
        force: whether the directory may have content. Files of an earlier export are replaced, and other files stay.

    Raises InputError if the directory can't be used, or if the weights are not the recorded ones. Then the directory
    does not change.
    """
    check_folder(folder, force)
    weights, used_versions = trained.read_weights(), versions()
    card, document = trained.card(used_versions).as_markdown(), trained.as_json(used_versions)
    with staging(folder) as staged:
        if trained.spec.model.hypermodel is None:
            names = _write_network(trained, weights, staged)
        else:
            names = _write_hypermodel(trained, trained.spec.model.hypermodel, weights, staged)
        (staged / _CARD).write_text(card, encoding="utf-8", errors="backslashreplace")
        digests = {name: sha256_of(staged / name) for name in (*names, _CARD)}
        text = json.dumps({**document, "files": digests}, indent=2) + "\n"
        (staged / _CONFIGURATION).write_text(text, encoding="utf-8")
        digests[_CONFIGURATION] = sha256_of(staged / _CONFIGURATION)
        publish(staged, folder, list(digests))
    return tuple(ExportedFile(path=folder / name, sha256=digest) for name, digest in digests.items())


def prepare_tensorflow() -> None:
    """Import TensorFlow in this process with its log silenced. Variables that the user has set do not change."""
    for name, value in QUIET_TENSORFLOW.items():
        os.environ.setdefault(name, value)
    import_quietly()


def _write_network(trained: TrainedConfiguration, weights: Arrays, folder: Path) -> list[str]:
    """Write the built-in network and the script that trains it. Return the names of the files."""
    prepare_tensorflow()
    from .keras_model import write_keras_model  # not at the top, because it imports Keras

    regularization = Regularization.from_params(trained.params)
    try:
        write_keras_model(trained.spec, trained.dataset, regularization, trained.seed, weights, folder / _MODEL)
    except ValueError as error:
        raise InputError(f"can't export these weights: they belong to another network ({reason_of(error)}).") from error
    script = keras_script(trained.title, trained.spec, trained.script_data(), regularization, trained.seed)
    (folder / _SCRIPT).write_text(script, encoding="utf-8")
    return [_MODEL, _SCRIPT]


def _write_hypermodel(trained: TrainedConfiguration, reference: str, weights: Arrays, folder: Path) -> list[str]:
    """Write the model, the HyperModel's file, and the script that builds the model. Return the names of the files."""
    prepare_tensorflow()
    from .keras_model import write_hypermodels_model

    code = read_code(reference)
    spec, dataset = trained.spec, trained.dataset
    try:
        values = write_hypermodels_model(spec, dataset, code, trained.params, trained.seed, weights, folder / _MODEL)
    except OSError:
        raise
    except Exception as error:
        raise InputError(f"{code.path} can't build this model here: {reason_of(error)}") from error
    (folder / _CODE).write_bytes(code.source)
    script = hypermodel_script(
        trained.title, Path(_CODE).stem, code.name, values, dataset.image_shape, trained.momentum
    )
    (folder / _SCRIPT).write_text(script, encoding="utf-8")
    return [_MODEL, _CODE, _SCRIPT]
