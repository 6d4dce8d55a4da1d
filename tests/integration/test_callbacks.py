"""What a search leaves for others where it is asked to: TensorBoard's files, and a Keras model of each epoch."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Command, RecordingProgress
from helpers import rows
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.list_session_groups import Handler
from tensorboard.util import tensor_util

from regsearch.search import api
from regsearch.search.result import RunResult
from regsearch.search.run import tensorboard
from regsearch.search.run.coordinator import Coordinator
from regsearch.search.workers.inline import InlineEngine
from regsearch.search.workers.processes import ProcessEngine
from regsearch.studies.configuration import Regularization
from regsearch.studies.errors import InputError
from regsearch.studies.trial import EpochMetrics, TrialTask

Search = Callable[..., RunResult]

CURVE = ("train/loss", "stop/loss", "stop/cross_entropy", "stop/accuracy")
FINAL = ("select/cross_entropy", "select/accuracy", "train/cross_entropy", "train/accuracy")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def points(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Every point of a run, as TensorBoard's loader gives them."""
    accumulator = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    accumulator.Reload()
    return {
        tag: [(event.step, float(tensor_util.make_ndarray(event.tensor_proto))) for event in accumulator.Tensors(tag)]
        for tag in accumulator.Tags()["tensors"]
        if not tag.startswith("_hparams_")
    }


def sessions(folder: Path) -> dict[str, Any]:
    """The rows of TensorBoard's HParams tab, by the names of the trials."""
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(folder))
    multiplexer.Reload()
    context = Context(TBContext(data_provider=MultiplexerDataProvider(multiplexer, str(folder))))
    experiment = context.experiment_from_metadata(
        RequestContext(), "", True, context.hparams_metadata(RequestContext(), ""), []
    )
    wanted = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=1000,
        allowed_statuses=[api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE, api_pb2.STATUS_UNKNOWN],
        col_params=[api_pb2.ColParams(metric=metric.name) for metric in experiment.metric_infos],
        include_metrics=True,
    )
    answer = Handler(RequestContext(), context, "", wanted).run()
    return {group.name: group for group in answer.session_groups}


def assert_equals_the_database(folder: Path, storage: str) -> None:
    """Each finished trial has each of its epochs once, its figures and its settings; and nothing else is there."""
    shown = sessions(folder)
    finished = [row for row in rows(storage) if row["state"] in ("complete", "pruned", "failed")]
    assert set(shown) == {f"trial-{row['number']}" for row in finished}
    for row in finished:
        name = f"trial-{row['number']}"
        found = points(folder / name)
        wanted: dict[str, Any] = {
            tag: [(epoch[0], pytest.approx(epoch[1 + index], rel=1e-6)) for epoch in row["curve"]]
            for index, tag in enumerate(CURVE)
        }
        if row["state"] == "complete":
            at = row["metrics"]["best_epoch"]
            wanted |= {tag: [(at, pytest.approx(row["metrics"][tag.replace("/", "_")], rel=1e-6))] for tag in FINAL}
        assert found == {tag: figures for tag, figures in wanted.items() if figures}
        (session,) = shown[name].sessions
        states = {"complete": api_pb2.STATUS_SUCCESS, "failed": api_pb2.STATUS_FAILURE}
        assert session.status == states.get(row["state"], api_pb2.STATUS_UNKNOWN)
        assert 0 < session.start_time_secs <= session.end_time_secs
        settings = shown[name].hparams
        regularization = Regularization.from_params(row["params"])
        assert settings["regularizer"].string_value == row["params"]["regularizer"]
        assert settings["batch_norm"].string_value == regularization.batch_norm
        for number in ("l1", "l2", "dropout"):
            assert settings[number].number_value == getattr(regularization, number)
        assert settings["patience"].number_value == (regularization.patience or 0)
        figures = {value.name.tag: value.value for value in shown[name].metric_values}
        if row["state"] == "complete":
            assert figures["select/cross_entropy"] == pytest.approx(row["value"], rel=1e-6)
        else:
            assert "select/cross_entropy" not in figures


def test_tensorboard_shows_what_the_database_has(
    search: Search, storage: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FAULTS", '{"1": "diverge"}')
    search(trials=12, tensorboard=out)
    states = {row["state"] for row in rows(storage)}
    assert states == {"complete", "pruned", "failed"}
    assert_equals_the_database(out / "smoke", storage)


def test_trials_of_earlier_runs_are_shown_too(
    search: Search, storage: str, out: Path, inline_engine: InlineEngine
) -> None:
    search(trials=3)
    search(trials=5, tensorboard=out)
    assert_equals_the_database(out / "smoke", storage)
    before = files_of(out)
    stamps = {path: path.stat().st_mtime_ns for path in out.rglob("trial-*/*")}
    api.resume("smoke", storage=storage, engine=inline_engine, tensorboard=out)
    assert files_of(out) == before
    assert {path: path.stat().st_mtime_ns for path in out.rglob("trial-*/*")} == stamps


@pytest.mark.slow
def test_attempts_and_resumes_double_and_lose_no_point(
    search: Search, process_engine: ProcessEngine, storage: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial is stopped under way, another's worker dies over it: epochs are told again, the points stand once."""
    monkeypatch.setenv("FAKE_FAULTS", '{"1": "die once", "4": "die"}')

    coordinators: list[Coordinator] = []
    run = Coordinator.run
    monkeypatch.setattr(Coordinator, "run", lambda self: coordinators.append(self) or run(self))

    class StopAtTheSecondEpoch(RecordingProgress):
        def epoch_finished(self, task: TrialTask, metrics: EpochMetrics) -> None:
            if (task.number, metrics.epoch) == (0, 1):
                coordinators[-1].stop()

    search(trials=6, engine=process_engine, workers=1, tensorboard=out, progress=StopAtTheSecondEpoch())
    assert not (out / "smoke" / "trial-0").exists()
    search(trials=6, engine=process_engine, workers=1, tensorboard=out)
    assert [row["state"] for row in rows(storage)].count("failed") == 1
    assert_equals_the_database(out / "smoke", storage)


def test_a_full_disk_is_said_once_and_the_next_run_writes_what_is_missing(
    search: Search, storage: str, out: Path, progress: RecordingProgress, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(tensorboard, "write_durably", full)
        assert search(trials=4, tensorboard=out).answer.counts.finished == 4
    assert [text for text in progress.messages if "No space left" in text] == [
        "TensorBoard's files can't be written now: No space left on device. The next run writes them."
    ]
    search(trials=4, tensorboard=out)
    assert_equals_the_database(out / "smoke", storage)


@pytest.mark.slow
def test_who_does_not_ask_for_it_imports_no_tensorboard(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        f"sys.path.insert(0, {str(ROOT / 'tests' / 'support')!r})\n"
        "import fakes\n"
        "from regsearch.search import api\n"
        "from regsearch.search.workers.inline import InlineEngine\n"
        "api.run('smoke', engine=InlineEngine(fakes.FakeTrainer))\n"
        "assert not {'tensorboard', 'tensorflow'} & set(sys.modules)\n"
        "api.resume('smoke', engine=InlineEngine(fakes.FakeTrainer), tensorboard='.')\n"
        "assert 'tensorboard' in sys.modules and 'tensorflow' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_every_epoch_leaves_a_model_whatever_dies(
    search: Search, process_engine: ProcessEngine, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trials that are pruned, tried again, or interrupted by the end of a run leave the same files as undisturbed."""
    whole = f"sqlite:///{tmp_path}/whole.db"
    (tmp_path / "undisturbed").mkdir()
    search(storage=whole, trials=6, checkpoints=tmp_path / "undisturbed")
    expected = files_of(tmp_path / "undisturbed" / "smoke")
    names = [
        f"trial-{row['number']}.epoch-{epoch[0] + 1:02d}-{epoch[2]:.4f}.keras"
        for row in rows(whole)
        for epoch in row["curve"]
    ]
    assert sorted(expected) == [".regsearch-study", *sorted(names)]
    monkeypatch.setenv("FAKE_FAULTS", '{"1": "die once", "3": "die once"}')
    search(trials=4, engine=process_engine, workers=1, checkpoints=out)
    search(trials=6, engine=process_engine, workers=1, checkpoints=out)
    del expected[".regsearch-study"]
    found = files_of(out / "smoke")
    del found[".regsearch-study"]
    assert found == expected


@pytest.mark.slow
def test_both_may_share_a_folder_and_studies_too(search: Search, storage: str, out: Path) -> None:
    search(trials=2, tensorboard=out, checkpoints=out)
    search(trials=2, tensorboard=out, checkpoints=out, name="other")
    assert {path.name for path in out.iterdir()} == {"smoke", "other"}
    assert_equals_the_database(out / "smoke", storage)


@pytest.mark.parametrize("option", ["tensorboard", "checkpoints"])
def test_a_folder_that_does_not_do_is_refused_before_anything_is_begun(
    search: Search, storage: str, out: Path, tmp_path: Path, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=rf"--{option}: there is no directory .*absent. Create it"):
        search(**{option: tmp_path / "absent"})
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="there is no directory"):
        search(**{option: tmp_path / "file"})
    with pytest.raises(InputError, match=r"no directory can be called '\.\.', like this study\. Choose"):
        search(**{option: out}, name="..")
    (out / "smoke").mkdir()
    (out / "smoke" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="has files that don't belong to this study"):
        search(**{option: out})
    (out / "smoke" / "thesis.txt").unlink()
    with monkeypatch.context() as patch:

        def denied(**options: Any) -> None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        patch.setattr("tempfile.TemporaryFile", denied)
        with pytest.raises(InputError, match=r"can't be written: Read-only file system"):
            search(**{option: out})
    assert not Path(storage.removeprefix("sqlite:///")).exists()


def test_a_folder_of_another_study_of_that_name_is_refused(search: Search, out: Path, tmp_path: Path) -> None:
    search(trials=2, tensorboard=out, checkpoints=out)
    before = files_of(out)
    for option in ("tensorboard", "checkpoints"):
        with pytest.raises(InputError, match="don't belong to this study"):
            search(trials=2, storage=f"sqlite:///{tmp_path}/other.db", **{option: out})
    assert files_of(out) == before


@pytest.mark.slow
def test_the_command_takes_both(regsearch: Command) -> None:
    done = regsearch("run", "smoke", "--checkpoints", "absent")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line == "regsearch: --checkpoints: there is no directory absent. Create it (mkdir -p), or name another one."
    (regsearch.folder / "left").mkdir()
    both = ("--tensorboard", "left", "--checkpoints", "left")
    done = regsearch("run", "smoke", "--trials", "1", *both, "--quiet")
    assert done.returncode == 0, done.stderr
    found = {path.name for path in (regsearch.folder / "left" / "smoke").iterdir()}
    assert "trial-0" in found
    assert any(name.startswith("trial-0.epoch-01-") for name in found)
