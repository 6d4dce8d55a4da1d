"""A trained configuration as a folder for others: the Keras model, a script that makes it, its settings, a card.

A new folder appears as a whole. In one that was there, configuration.json, which has the SHA-256 of the other files,
goes first and comes last: without it the folder isn't whole.
"""

import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from regsearch.search.data import source_kind
from regsearch.search.data.arrays import Dataset
from regsearch.search.data.splits import make_splits, split_seed
from regsearch.search.export import model_card
from regsearch.search.export.hypermodel_script import hypermodel_script
from regsearch.search.export.keras_script import ScriptData, keras_script
from regsearch.search.machine import versions
from regsearch.search.training.checkpoints import Arrays, FileCheckpoints
from regsearch.search.training.hypermodel.code import read_code
from regsearch.search.training.setup import ThreadsError, TrainerSetup, import_quietly, make_trainer
from regsearch.search.training.trainer import DivergedError
from regsearch.studies.analysis.conclusion import Conclusion, FinalistResult
from regsearch.studies.batch_norm import batch_norm_momentum
from regsearch.studies.configuration import Configuration, Regularization, configuration_of
from regsearch.studies.errors import InputError, NoResultError
from regsearch.studies.files import sync_folder
from regsearch.studies.records import DatasetInfo
from regsearch.studies.reports.answer import dataset_json
from regsearch.studies.spec import StudySpec
from regsearch.studies.trial import Params, TrialOutcome, TrialTask
from regsearch.studies.trial_files import TrialFiles

_MODEL, _SCRIPT, _CARD, _CONFIGURATION = "model.keras", "model.py", "model-card.md", "configuration.json"
_CODE = "hypermodel.py"

_ENVIRONMENT = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}


@dataclass(frozen=True, kw_only=True)
class ExportedFile:
    """A file that was written, and its SHA-256."""

    path: Path
    sha256: str


def check_folder(folder: Path, force: bool) -> None:
    """Raise InputError where an export can't go to a folder: what is in it stays, unless force says otherwise."""
    try:
        if not os.path.lexists(folder):
            if not folder.parent.is_dir():
                raise InputError(f"there is no folder {folder.parent} for the export: make it, or name another one")
        elif not folder.is_dir():
            raise InputError(f"{folder} is no folder: name another one for the export")
        elif any(folder.iterdir()) and not force:
            raise InputError(f"{folder} isn't empty: name another folder, or replace an export in it with --force")
    except (OSError, ValueError) as error:
        raise _unwritable(folder, error) from error


def export_configuration(
    folder: Path,
    *,
    spec: StudySpec,
    dataset: Dataset,
    info: DatasetInfo,
    params: Params,
    seed: int,
    weights: Path,
    weights_sha256: str,
    origin: str,
    figures: Mapping[str, int | float] | None = None,
    conclusion: Conclusion | None = None,
    finalist: FinalistResult | None = None,
    force: bool = False,
) -> tuple[ExportedFile, ...]:
    """Write a trained configuration into a folder, and return its files.

    Args:
        folder: isn't there yet, or is empty; with `force` our files in it are replaced, and no others.
        spec: the study.
        dataset, info: its data.
        params: the configuration, as of a trial.
        seed: that it was trained with.
        weights: an .npz file with its weights in the order of Keras's `set_weights`.
        weights_sha256: that the file must have.
        origin: which training it was, in words, such as "trial 7".
        figures: that it gave, by the names of `regsearch.studies.trial.TrialOutcome`.
        conclusion, finalist: of the confirmation that the configuration went through, if it did.
        force: see `folder`.

    Raises InputError where the folder can't be used or the weights are not those; nothing is changed then.
    """
    check_folder(folder, force)
    arrays = _read_weights(weights, weights_sha256)
    figures = figures or {}
    settings = configuration_of(params)
    seed_of_split = split_seed(spec, seed)
    splits = make_splits(dataset, spec.data, seed_of_split)
    kind, source = source_kind(info.source), info.source
    if kind == "idx" and not os.path.isdir(source):
        source = os.path.dirname(source)
    data = ScriptData(
        source=source,
        kind="npz" if kind == "built-in" else kind,
        input_shape=dataset.x_train.shape[1:],
        class_count=dataset.class_count,
        has_bytes=dataset.x_train.dtype == np.uint8,
        train_rows=len(splits.train),
        stop_rows=len(splits.stop),
    )
    title = f"The study {spec.study.name}, {origin}: {settings}."
    card = model_card.as_markdown(
        spec,
        info,
        settings,
        origin=origin,
        seed=seed,
        train_rows=data.train_rows,
        stop_rows=data.stop_rows,
        figures=figures,
        versions=versions(),
        conclusion=conclusion,
        finalist=finalist,
    )
    configuration = {
        "study": spec.study.name,
        "origin": origin,
        "regularization": str(settings),
        "params": dict(params),
        "batch_norm_momentum": _momentum(spec, settings, data.train_rows),
        "seed": seed,
        "split_seed": seed_of_split,
        "figures": dict(figures),
        "confirmed": None if finalist is None else asdict(finalist),
        "data": {
            **dataset_json(info),
            "source": info.source,
            "input_shape": data.input_shape,
            "class_names": dataset.class_names,
        },
        "rows": {"train": data.train_rows, "stop": data.stop_rows, "select": len(splits.select)},
        "spec": json.loads(spec.to_json()),
        "spec_fingerprint": spec.fingerprint(),
        "versions": versions(),
        "weights_sha256": weights_sha256,
    }
    with _staging(folder) as staging:
        if spec.model.hypermodel is None:
            regularization = Regularization.from_params(params)
            _write_model(spec, dataset, regularization, seed, arrays, staging / _MODEL)
            (staging / _SCRIPT).write_text(keras_script(title, spec, data, regularization, seed), encoding="utf-8")
            names = [_MODEL, _SCRIPT]
        else:
            _write_hypermodel(title, spec, dataset, params, seed, arrays, staging)
            names = [_MODEL, _CODE, _SCRIPT]
        (staging / _CARD).write_text(card, encoding="utf-8", errors="backslashreplace")
        digests = {name: _sha256(staging / name) for name in (*names, _CARD)}
        text = json.dumps({**configuration, "files": digests}, indent=2) + "\n"
        (staging / _CONFIGURATION).write_text(text, encoding="utf-8")
        digests[_CONFIGURATION] = _sha256(staging / _CONFIGURATION)
        _publish(staging, folder, list(digests))
    return tuple(ExportedFile(path=folder / name, sha256=digest) for name, digest in digests.items())


def train_again(setup: TrainerSetup, task: TrialTask, folder: Path) -> tuple[Path, TrialOutcome]:
    """Train a trial in this process, for its weights; return their file, in the folder, and what it gave.

    Raises NoResultError where it can't be trained here.
    """
    _prepare_tensorflow()
    told: list[str] = []
    try:
        with FileCheckpoints(files := TrialFiles(folder), task.number, "", told.append) as checkpoints:
            outcome = make_trainer(setup).train(task, lambda metrics: True, checkpoints)
    except (ThreadsError, DivergedError) as error:
        raise NoResultError(f"{task} can't be trained again in this process: {error}") from error
    if outcome is None or outcome.weights_sha256 is None:
        raise NoResultError(f"{task} can't be trained again: {'; '.join(told)}")
    return files.weights(task.number), outcome


def _momentum(spec: StudySpec, settings: Configuration, train_rows: int) -> float | None:
    """Return the momentum of BatchNormalization's averages; None where the settings place no BatchNormalization."""
    has_averages = isinstance(settings, Regularization) and settings.batch_norm != "none"
    return batch_norm_momentum(spec, train_rows) if has_averages else None


def _read_weights(path: Path, sha256: str) -> Arrays:
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise InputError(f"the weights in {path} are damaged: their SHA-256 is not the recorded one")
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return [file[name] for name in file.files]
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"the weights in {path} can't be read ({_reason(error)})") from error


def _write_model(
    spec: StudySpec, dataset: Dataset, regularization: Regularization, seed: int, weights: Arrays, path: Path
) -> None:
    _prepare_tensorflow()
    from regsearch.search.export.keras_model import write_keras_model  # Keras comes with it

    try:
        write_keras_model(spec, dataset, regularization, seed, weights, path)
    except ValueError as error:
        raise InputError(f"these weights are of another network ({_reason(error)})") from error


def _write_hypermodel(
    title: str, spec: StudySpec, dataset: Dataset, params: Params, seed: int, weights: Arrays, folder: Path
) -> None:
    """Write the model, the HyperModel's own file, and the script that builds the model from it."""
    _prepare_tensorflow()
    from regsearch.search.export.keras_model import write_hypermodels_model

    assert spec.model.hypermodel is not None
    code = read_code(spec.model.hypermodel)
    try:
        values = write_hypermodels_model(spec, dataset, code, params, seed, weights, folder / _MODEL)
    except OSError:
        raise
    except Exception as error:
        raise InputError(f"{code.path} can't build this model here ({_reason(error)})") from error
    (folder / _CODE).write_bytes(code.source)
    momentum = _momentum(spec, configuration_of(params), spec.data.train_rows(dataset.n_train))
    script = hypermodel_script(title, Path(_CODE).stem, code.name, values, dataset.image_shape, momentum)
    (folder / _SCRIPT).write_text(script, encoding="utf-8")


def _prepare_tensorflow() -> None:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import_quietly()


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """Give a folder to write in, on the file system of the one that is meant; it is gone afterwards."""
    try:
        where = folder if folder.is_dir() else folder.parent
        outer = Path(tempfile.mkdtemp(prefix=f".{folder.name[:50]}-", suffix=".tmp", dir=where))
        try:
            (inner := outer / "export").mkdir()  # unlike what mkdtemp makes, as open as the user has it
            yield inner
        finally:
            shutil.rmtree(outer, ignore_errors=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _publish(staging: Path, folder: Path, names: list[str]) -> None:
    """Put what is written where it belongs; the last name is that of the file that makes it whole."""
    for name in names:
        with (staging / name).open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(staging)
    if not folder.is_dir():
        os.rename(staging, folder)
        sync_folder(folder.parent)
        return
    (folder / names[-1]).unlink(missing_ok=True)
    sync_folder(folder)
    for name in names:
        os.replace(staging / name, folder / name)
    sync_folder(folder)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _unwritable(folder: Path, error: Exception) -> InputError:
    return InputError(
        f"the export can't be written to {folder} ({_reason(error)}): make room or get permission, or name another"
    )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or " ".join(str(error).split())
