"""Exports one training of a study: its kept weights, or those that training it again gives."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from regsearch.search.data import load_dataset
from regsearch.search.export.folder import ExportedFile, check_folder, export_configuration, train_again
from regsearch.search.run.progress import Progress
from regsearch.search.seeds import fresh_seed
from regsearch.search.training.hypermodel.code import resolve_hypermodel
from regsearch.search.training.setup import TrainerSetup
from regsearch.storage.export_source import ExportSource
from regsearch.studies.errors import InputError
from regsearch.studies.records import StudyRecord
from regsearch.studies.trial import Purpose, TrialTask


@dataclass(frozen=True, kw_only=True)
class Export:
    """A training that was exported from a study, and the files that were written."""

    study: StudyRecord
    training: ExportSource
    files: tuple[ExportedFile, ...]


def export_study(
    study: StudyRecord, training: ExportSource, folder: Path, *, force: bool, progress: Progress, trusts_code: bool
) -> Export:
    """Write a training into a folder; see `regsearch.search.api.export` for the arguments and what is raised."""
    check_folder(folder, force)
    source, spec = study.dataset.source, resolve_hypermodel(study.spec, trusts_code=trusts_code)
    dataset = load_dataset(source, spec.data.image_size)
    if dataset.sha256 != study.dataset.sha256:
        raise InputError(f"{source} has the fingerprint {dataset.sha256} now, the study {study.dataset.sha256}")
    seed = None if training.fresh_seed is None else fresh_seed(spec.search.seed, training.fresh_seed)
    with tempfile.TemporaryDirectory() as scratch:
        weights, sha256 = training.weights, training.weights_sha256
        if weights is None or sha256 is None:
            progress.message(f"the weights of {training.origin} are not kept: it is trained again")
            task = TrialTask(
                number=training.number,
                attempt=0,
                params=training.params,
                purpose=Purpose.SEARCH if seed is None else Purpose.CONFIRM,
                seed=seed,
            )
            setup = TrainerSetup(spec=spec, source=source, sha256=study.dataset.sha256, trusts_code=trusts_code)
            weights, outcome = train_again(setup, task, Path(scratch))
            if sha256 not in (None, outcome.weights_sha256):
                progress.message("they differ from those before (another processor or other library versions?)")
            sha256 = outcome.weights_sha256
        assert sha256 is not None
        files = export_configuration(
            folder,
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
            force=force,
        )
    return Export(study=study, training=training, files=files)
