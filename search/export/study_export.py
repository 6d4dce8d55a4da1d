"""Exports the network of one trial or finalist. If its weights were not stored, trains the network again."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...storage.export_source import ExportSource
from ...studies.errors import InputError, NoResultError
from ...studies.records import StudyRecord
from ...studies.trial import Purpose, TrialOutcome, TrialTask
from ...studies.trial_files import TrialFiles
from ..data import load_dataset
from ..run.progress import Progress
from ..seeds import fresh_seed
from ..training.checkpoints import FileCheckpoints
from ..training.hypermodel.code import resolve_hypermodel
from ..training.setup import ThreadsError, TrainerSetup, make_trainer
from ..training.trainer import DivergedError
from .configuration import TrainedConfiguration, export_configuration, prepare_tensorflow
from .folder import ExportedFile, check_folder


@dataclass(frozen=True, kw_only=True)
class Export:
    """What was exported: the study, the trial or finalist, and the files that were written."""

    study: StudyRecord
    training: ExportSource
    files: tuple[ExportedFile, ...]


def export_study(
    study: StudyRecord, training: ExportSource, folder: Path, *, force: bool, progress: Progress, trusts_code: bool
) -> Export:
    """Export one trial or finalist into a directory; see `regsearch.search.api.export` for arguments and errors."""
    check_folder(folder, force)
    source, spec = study.dataset.source, resolve_hypermodel(study.spec, trusts_code=trusts_code)
    dataset = load_dataset(source, spec.data.image_size)
    if dataset.sha256 != study.dataset.sha256:
        raise InputError(
            f"can't export {training.origin}: the data {source} have changed. Their SHA-256 is {dataset.sha256}, but "
            f"the study recorded {study.dataset.sha256}. Restore the data."
        )
    setup = TrainerSetup(spec=spec, source=source, sha256=study.dataset.sha256, trusts_code=trusts_code)
    seed = None if training.fresh_seed is None else fresh_seed(spec.search.seed, training.fresh_seed)
    with _weights(training, setup, seed, progress) as (weights, sha256):
        trained = TrainedConfiguration(
            spec=spec,
            dataset=dataset,
            info=study.dataset,
            params=training.params,
            seed=spec.search.seed if seed is None else seed,
            weights=weights,
            weights_sha256=sha256,
            origin=training.origin,
            figures=training.figures,
            conclusion=training.conclusion,
            finalist=training.finalist,
        )
        files = export_configuration(folder, trained, force=force)
    return Export(study=study, training=training, files=files)


@contextmanager
def _weights(
    training: ExportSource, setup: TrainerSetup, seed: int | None, progress: Progress
) -> Iterator[tuple[Path, str]]:
    """Yield the path and the SHA-256 of the file with the weights. Train again if the weights were not stored."""
    if training.weights is not None and training.weights_sha256 is not None:
        yield training.weights, training.weights_sha256
        return
    progress.message(f"the weights of {training.origin} are not kept: it is trained again")
    task = TrialTask(
        number=training.number,
        attempt=0,
        params=training.params,
        purpose=Purpose.SEARCH if seed is None else Purpose.CONFIRM,
        seed=seed,
    )
    with tempfile.TemporaryDirectory() as scratch:
        weights, outcome = _train_again(setup, task, Path(scratch))
        assert outcome.weights_sha256 is not None
        if training.weights_sha256 not in (None, outcome.weights_sha256):
            progress.message(
                "the new weights differ from the recorded ones (another processor, or other library versions?)"
            )
        yield weights, outcome.weights_sha256


def _train_again(setup: TrainerSetup, task: TrialTask, folder: Path) -> tuple[Path, TrialOutcome]:
    """Train a trial again in this process. Return the path of the weights' file in the folder, and the outcome.

    Raises NoResultError if this process can't train the trial.
    """
    prepare_tensorflow()
    warnings: list[str] = []
    try:
        with FileCheckpoints(files := TrialFiles(folder), task.number, "", warnings.append) as checkpoints:
            outcome = make_trainer(setup).train(task, lambda metrics: True, checkpoints)
    except (ThreadsError, DivergedError) as error:
        raise NoResultError(f"can't train {task} again in this process: {error}") from error
    if outcome is None or outcome.weights_sha256 is None:
        raise NoResultError(f"can't train {task} again: {'; '.join(warnings)}")
    return files.weights(task.number), outcome
