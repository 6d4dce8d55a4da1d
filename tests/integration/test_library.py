"""The library as scripts and notebooks use it: `import regsearch`, what a run gives, and how it shows what it does."""

import builtins
import csv
import doctest
import io
import signal
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakes
import pytest
from conftest import RecordingProgress
from typer.testing import CliRunner

import regsearch as library
from regsearch.search import api
from regsearch.search.cli.commands import app
from regsearch.search.result import RunResult, StudyResult
from regsearch.search.run.forecast import in_words
from regsearch.search.run.progress import (
    FinishedTrial,
    LineProgress,
    LiveProgress,
    NotebookProgress,
    Progress,
    progress_here,
)
from regsearch.search.seeds import derive_seed
from regsearch.search.workers.inline import InlineEngine
from regsearch.storage import sqlite
from regsearch.studies.commands import resume_command
from regsearch.studies.errors import InputError, RegsearchError, mask_passwords, one_line
from regsearch.studies.files import append_checksum
from regsearch.studies.reports import trials
from regsearch.studies.study_file import given_keys, read_study, with_options
from regsearch.studies.trial import EpochMetrics, Purpose, TrialTask
from regsearch.studies.validation import canonical, check_name, is_bundled_hypermodel, parse_duration

Search = Callable[..., RunResult]

DOCUMENTED = [
    *(library, api.run, api.resume, api.confirm, api.load, api.compare, StudyResult, RunResult, derive_seed),
    *(in_words, resume_command, one_line, mask_passwords, RegsearchError, is_bundled_hypermodel, check_name),
    *(parse_duration, canonical, read_study, given_keys, with_options, append_checksum, Progress),
]


@pytest.mark.parametrize("documented", DOCUMENTED, ids=lambda one: one.__name__)
def test_every_example_runs_as_it_is_written(documented: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regsearch.search.workers.engines.make_engine", lambda name: InlineEngine(fakes.FakeTrainer))
    finder = doctest.DocTestFinder(recurse=False)
    (example,) = finder.find(documented, documented.__name__, globs={})
    assert example.examples
    said = io.StringIO()
    assert doctest.DocTestRunner().run(example, out=said.write).failed == 0, said.getvalue()


def test_import_regsearch_loads_nothing_until_it_is_used(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "import regsearch\n"
        "assert not {'optuna', 'sqlalchemy', 'numpy', 'pydantic', 'rich'} & set(sys.modules), 'heavy'\n"
        "regsearch.run, regsearch.load\n"
        "assert not {'tensorflow', 'keras', 'plotly', 'pandas', 'IPython'} & set(sys.modules), 'heavier'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_offered_is_there_and_nothing_else_is() -> None:
    for name in library.__all__:
        assert getattr(library, name).__doc__
        assert name in dir(library)
    assert not set(library.__all__) & {path.stem for path in Path(library.__file__).parent.glob("*")}, (
        "hidden by a module"
    )
    with pytest.raises(AttributeError, match="has no attribute 'ran'"):
        library.ran  # noqa: B018


def test_a_stored_study_gives_what_its_run_gave(search: Search, storage: str) -> None:
    result = search(trials=5)
    loaded = library.load("smoke", storage=storage)
    assert (loaded.answer, loaded.confirmation) == (result.answer, None)
    assert result.best == result.answer.best
    assert [trial.number for trial in loaded.trials()] == list(range(5))
    assert str(loaded) == str(result)
    assert "Best configuration" in str(loaded)
    assert repr(result).startswith("<RunResult of smoke: Not confirmed yet: ")
    assert repr(loaded).startswith("<StudyResult of smoke: Not confirmed yet: ")
    with pytest.raises(InputError, match="has no study called 'smok'"):
        library.load("smok", storage=storage)


def test_a_confirmed_study_has_its_winner(search: Search, storage: str) -> None:
    result = search(settings=["confirm.seeds=3"])
    assert result.confirmation is not None
    assert result.confirmation.seeds == 3
    assert result.confirmation == library.load("smoke", storage=storage).confirmation
    assert "<th style" in result._repr_html_()
    assert "early stopping" in result._repr_html_()
    assert result.figure("gains").data


def test_a_result_does_not_speak_for_another_study_of_its_name(search: Search, storage: str) -> None:
    result = search(trials=3)
    api.delete("smoke", storage=storage)
    with pytest.raises(InputError, match="has no study called 'smoke'"):
        result.trials()
    search(trials=4)
    with pytest.raises(InputError, match="the study smoke of this result was deleted"):
        result.trials()


def csv_of(result: StudyResult) -> list[list[str]]:
    return list(csv.reader(trials.as_csv(result.answer.study, result.trials())))


def test_a_frame_has_the_columns_and_the_rows_of_the_csv(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    result = search()
    stand_in = types.ModuleType("pandas")
    stand_in.DataFrame = lambda rows, columns: (columns, rows)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pandas", stand_in)
    columns, frame = result.to_frame()
    header, *records = csv_of(result)
    assert columns == header
    assert [["" if cell is None else str(cell) for cell in row] for row in frame] == records


def test_a_frame_of_pandas_itself(search: Search) -> None:
    pytest.importorskip("pandas")
    result = search()
    frame = result.to_frame()
    assert list(frame.columns) == list(trials.columns(result.answer.study, result.trials()))
    assert frame["value"].min() == result.best.value
    assert set(frame["state"]) <= {"complete", "pruned"}


def test_without_pandas_there_is_one_line(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    result = search(trials=2)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match=r"^to_frame needs pandas, which is not installed: pip install pandas$"):
        result.to_frame()


def test_figures_by_name_have_colours_of_their_own(search: Search) -> None:
    result = search()
    for name in ("history", "curves"):
        figure = result.figure(name)
        assert figure.data
        assert figure.layout.title.text
        assert '"--' not in figure.to_json()
    with pytest.raises(InputError, match=r"has no figure 'curve'\. Its figures are .*history, curves") as error:
        result.figure("curve")
    assert "narrow" not in str(error.value)


def test_the_report_is_that_of_the_command(search: Search, tmp_path: Path) -> None:
    result = search()
    assert result.report().splitlines()[1].startswith("Study smoke: 6 of 6 trials finished")
    path = result.save_report("page.html")
    assert path == tmp_path / "page.html"
    assert path.read_text().startswith("<!doctype html>")
    with pytest.raises(InputError, match="is a directory: name a file in it"):
        result.save_report(tmp_path)
    with pytest.raises(
        InputError, match=f"^{tmp_path} is a directory: name a file in it, such as {tmp_path}/report.html$"
    ):
        result.save_report("")


def test_signals_stay_the_callers_own(search: Search) -> None:
    seen = set()

    class Handlers(RecordingProgress):
        def trial_finished(self, trial: FinishedTrial, best: float | None) -> None:
            seen.update(signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM))

    before = {signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    search(trials=2, progress=Handlers())
    assert seen == before


def test_without_a_terminal_a_run_shows_lines(search: Search, capsys: pytest.CaptureFixture[str]) -> None:
    search(trials=2, progress=None, workers=1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "study smoke: 0 of 2 finished"
    assert [line.split()[0] for line in lines[1:]] == ["[1/2]", "expected:", "[2/2]"]


class Cell:
    """A notebook's cell: what is displayed in it, and how often it changes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown: list[Any] = []
        self.updates = 0
        shell = type("ZMQInteractiveShell", (), {})()
        monkeypatch.setattr(builtins, "get_ipython", lambda: shell, raising=False)
        module = types.ModuleType("IPython.display")
        module.display = self.display  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
        monkeypatch.setitem(sys.modules, "IPython.display", module)

    def display(self, shown: Any, *, display_id: bool) -> "Cell":
        assert display_id
        self.shown.append(shown)
        return self

    def update(self, shown: Any) -> None:
        self.shown[-1] = shown
        self.updates += 1

    @property
    def text(self) -> str:
        bundle = self.shown[-1]._repr_mimebundle_(include=[], exclude=[])
        assert "<pre" in bundle["text/html"]
        return str(bundle["text/plain"])


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Cell:
    return Cell(monkeypatch)


def test_a_notebook_shows_a_run_in_its_cell(cell: Cell, search: Search, capsys: pytest.CaptureFixture[str]) -> None:
    result = search(progress=None, workers=1)
    assert len(cell.shown) == 1
    assert "study smoke: 6 of 6" in cell.text
    assert result.best is not None
    assert f"best {result.best.value:.5f}" in cell.text
    assert "trial 5 " in cell.text
    assert "expected: " in cell.text
    assert capsys.readouterr().err == ""


def test_a_cell_is_drawn_at_most_twice_a_second(cell: Cell) -> None:
    now = [100.0]
    progress = NotebookProgress(clock=lambda: now[0])
    progress.begin("study smoke", 0, 9, None)
    task = TrialTask(number=0, attempt=0, params={}, purpose=Purpose.SEARCH)
    progress.trial_began(task)
    for epoch in range(100):
        now[0] += 0.05
        figures = dict.fromkeys(("train_loss", "stop_loss", "stop_cross_entropy", "stop_accuracy", "seconds"), 0.25)
        progress.epoch_finished(task, EpochMetrics(epoch=epoch, **figures))
    assert 8 <= cell.updates <= 10
    assert "epoch" in cell.text
    progress.end()
    assert "epoch" not in cell.text, "nothing runs any more"


def test_a_message_in_a_notebook_is_a_line(cell: Cell, capsys: pytest.CaptureFixture[str]) -> None:
    progress = NotebookProgress()
    progress.begin("study smoke", 0, 9, None)
    progress.message("the disk is full")
    assert capsys.readouterr().err == "the disk is full\n"


def test_progress_suits_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(progress_here()) is LineProgress
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert type(progress_here()) is LiveProgress
    Cell(monkeypatch)
    assert type(progress_here()) is NotebookProgress
    assert issubclass(library.Progress, Progress)


def test_lines_count_up_to_the_trainings_that_a_race_adds(capsys: pytest.CaptureFixture[str]) -> None:
    progress = LineProgress()
    progress.begin("confirming smoke", 0, 2, None)
    progress.total_changed(5)
    task = TrialTask(number=0, attempt=0, params={}, purpose=Purpose.CONFIRM)
    progress.trial_finished(FinishedTrial(task=task, state="COMPLETE", value=0.5, remark="", seconds=1.0), None)
    assert capsys.readouterr().err.splitlines()[-1].startswith("[1/5] ")


@pytest.mark.parametrize("words", ["list", "status smoke", "trials smoke", "best smoke", "report smoke"])
def test_a_command_that_reads_opens_the_database_once(
    words: str, search: Search, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(trials=2, confirm=False)
    opened: list[Path] = []
    really = sqlite.open_for_reading

    def counted(path: Path, **options: Any) -> Any:
        opened.append(path)
        return really(path, **options)

    monkeypatch.setattr(sqlite, "open_for_reading", counted)
    done = CliRunner().invoke(app, [*words.split(), "--storage", storage])
    assert (done.exit_code, len(opened)) == (0, 1), done.output
