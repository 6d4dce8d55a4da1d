"""The command as a user types it: streams, JSON, exit codes, one line for each mistake."""

import csv
import io
import json
import re
import signal
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import numpy as np
import pytest
from conftest import ROOT, Command
from helpers import rows

from regsearch.search import api
from regsearch.search.cli import commands
from regsearch.studies.study_file import json_schema


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `smoke` was really trained, by the command."""
    folder = tmp_path_factory.mktemp("trained")
    done = Command(folder)("run", "smoke", "--workers", "2")
    assert done.returncode == 0, done.stderr
    (folder / "out").write_text(done.stdout)
    (folder / "err").write_text(done.stderr)
    return folder


@pytest.fixture
def command(folder: Path) -> Command:
    return Command(folder)


@pytest.mark.slow
def test_run_prints_data_and_best_on_stdout_and_talk_on_stderr(folder: Path) -> None:
    out, err = (folder / "out").read_text(), (folder / "err").read_text()
    assert re.match(r"Data: digits \(1,437 training and 360 test examples, sha256 [0-9a-f]{16}…\)\n", out)
    assert "6 of 6 trials finished" in out
    assert "Best configuration: " in out
    assert len(re.findall(r"^\[\d/6\] trial \d (?:COMPLETE|PRUNED)", err, re.MULTILINE)) == 6


@pytest.mark.slow
def test_a_real_trial_is_the_same_in_every_engine(folder: Path, command: Command) -> None:
    database = f"sqlite:///{folder}/inline.db"
    no_pruner = ["--set", "search.pruner=none", "--set", "search.pruner_options={}"]
    done = command("run", "smoke", "--engine", "inline", "--quiet", "--storage", database, *no_pruner)
    assert done.returncode == 0, done.stderr
    one, two = rows(database), rows(f"sqlite:///{folder}/regsearch.db")
    same = [(a, b) for a, b in zip(one, two, strict=True) if a["params"] == b["params"]]
    assert len(same) >= 4  # the first ones are proposed at random, whatever finished before
    for a, b in same:
        assert a["curve"][: len(b["curve"])] == b["curve"]
        if b["state"] == "complete":
            assert a["value"] == b["value"]


def test_without_a_command_it_shows_its_help(regsearch: Command) -> None:
    bare, asked = regsearch(), regsearch("--help")
    assert (bare.returncode, bare.stdout, bare.stderr) == (0, asked.stdout, "")
    assert "\n  export " in bare.stdout


@pytest.mark.slow
def test_best_as_json(command: Command, folder: Path) -> None:
    document = json.loads(command("best", "smoke", "--json").stdout)
    assert document["study"] == "smoke"
    assert {"name", "sha256", "n_train", "n_test"} <= document["dataset"].keys()
    assert {"complete", "pruned", "failed", "running", "waiting"} <= document["trials"].keys()
    best = document["best"]
    assert {"number", "value", "params", "metrics"} <= best.keys()
    assert best["value"] == best["metrics"]["select_cross_entropy"]
    complete = [row for row in rows(f"sqlite:///{folder}/regsearch.db") if row["state"] == "complete"]
    assert best["value"] == min(row["value"] for row in complete)


@pytest.mark.slow
def test_trials_as_table_csv_and_json(command: Command) -> None:
    table = command("trials", "smoke").stdout.splitlines()
    assert table[0].startswith("Data: digits")
    assert len(table) == 2 + 6
    records = list(csv.DictReader(io.StringIO(command("trials", "smoke", "--csv").stdout)))
    document = json.loads(command("trials", "smoke", "--json").stdout)
    assert [int(record["number"]) for record in records] == list(range(6))
    for record, trial in zip(records, document["trials"], strict=True):
        assert (float(record["value"]) if record["value"] else None) == trial["value"]
        assert (float(record["l2"]) if record["l2"] else None) == trial["params"].get("l2")
    assert command("trials", "smoke", "--csv", "--json").returncode == 2


@pytest.mark.slow
def test_status_and_list(command: Command) -> None:
    status = json.loads(command("status", "smoke", "--json").stdout)
    assert status["trials"]["running"] == 0
    assert status["coordinator"] is None
    assert status["trials_per_minute"] > 0
    assert "Done." in command("status", "smoke").stdout
    (study,) = json.loads(command("list", "--json").stdout)["studies"]
    assert study == {**study, "study": "smoke", "dataset": "digits", "finished": 6, "total": 6, "state": "done"}
    assert "smoke" in command("list").stdout


@pytest.mark.slow
def test_run_again_says_that_it_is_done(command: Command) -> None:
    done = command("run", "smoke", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["ended"] == "the study's total is reached"


@pytest.mark.slow
def test_enqueue_and_resume(command: Command, folder: Path) -> None:
    queued = command("enqueue", "smoke", "--param", "l2=1e-4", "--param", "dropout=off")
    assert queued.returncode == 0, queued.stderr
    assert "trial 6 of smoke" in queued.stdout
    assert "--trials 7" in queued.stderr
    assert command("resume", "smoke", "--trials", "7", "--quiet").returncode == 0
    params = rows(f"sqlite:///{folder}/regsearch.db")[6]["params"]
    assert (params["l2"], params["use_dropout"]) == (1e-4, False)


@pytest.mark.slow
def test_schema_is_that_of_the_library(command: Command) -> None:
    assert json.loads(command("schema").stdout) == json_schema()


@pytest.mark.slow
def test_doctor(command: Command, tmp_path: Path) -> None:
    well = command("doctor", REGSEARCH_MNIST="", KERAS_HOME=str(tmp_path))
    assert well.returncode == 0, well.stdout
    assert "is undamaged, 1 study" in well.stdout
    assert "journal mode" in well.stdout
    assert "MNIST is not here. Keras downloads it when a study needs it. If the download fails" in well.stdout
    assert json.loads(command("doctor", "--json", REGSEARCH_MNIST="").stdout)["database"]["ok"]
    broken = tmp_path / "broken.db"
    broken.write_bytes((command.folder / "regsearch.db").read_bytes()[:30_000])
    ill = command("doctor", "--storage", f"sqlite:///{broken}", REGSEARCH_MNIST="")
    assert ill.returncode == 3
    assert "BAD  database" in ill.stdout
    assert command("doctor", REGSEARCH_MNIST="/nowhere").returncode == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "smokee"], 2, "did you mean smoke"),
        (["run", "absent.toml"], 2, "can't be read"),
        (["run", "smoke", "--trials", "0"], 2, "budget.trials"),
        (["run", "smoke", "--trials", "many"], 2, "'--trials'"),
        (["run", "smoke", "--workers", "-2"], 2, "must be from 1 to 1024, but is -2"),
        (["run", "smoke", "--set", "nonsense"], 2, "SECTION.KEY=VALUE"),
        (["run", "smoke", "--data", "absent.npz"], 2, "absent.npz"),
        (["run", "smoke", "--engine", "rays"], 2, "Use inline, processes"),
        (["run", "smoke", "--name", "x y"], 2, "study.name"),
        (["run", "smoke", "--set", "search.seed=5"], 2, "search.seed: 0 → 5"),
        (["run", "smoke", "--storage", "nonsense"], 2, "can't be parsed"),
        (["run", "smoke", "--storage", "mysql://u:S3NT1NEL@h/d"], 2, "a storage URL of mysql is not supported"),
        (["run", "smoke", "--storage", "sqlite:////nowhere/at/all.db"], 3, "there is no directory"),
        (["status", "smoke", "--storage", f"sqlite:///{'a' * 300}.db"], 3, "File name too long"),
        (["run", "smoke", "--storage", f"sqlite:///{'a' * 300}.db"], 3, "File name too long"),
        (["run", "smoke", "--storage", "sqlite:///a?.db"], 2, "takes no options"),
        (["run", "smoke", "--nonsense"], 2, "No such option"),
        (["nonsense"], 2, "No such command"),
        (["status", "absent"], 2, "has no study called 'absent'. It has smoke."),
        (["status", "caf\udce9"], 2, "has no study called"),  # in bytes that are no UTF-8
        (["best", "absent"], 2, "has no study called"),
        (["trials", "absent"], 2, "has no study called"),
        (["resume", "absent"], 2, "has no study called"),
        (["delete", "absent", "--yes"], 2, "has no study called"),
        (["delete", "absent"], 2, "there is no terminal to ask you. Give --yes"),
        (["enqueue", "smoke", "--param", "l2=7"], 2, "invalid l2=7. In this study it must be a number from"),
        (["enqueue", "smoke"], 2, "--param"),
        (["status", "smoke", "--storage", "sqlite:///absent.db"], 2, "there is no database"),
        (["dashboard", "--port", "99999"], 2, "port 99999"),
        (["dashboard", "--allow-host", "https://x.org"], 2, "'https://x.org' is not a host name"),
        (["list", "--storage", "sqlite:///garbage.db"], 3, "damaged or not a database"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(
    folder: Path,
    arguments: list[str],
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """In this process: as one of its own, a command is tried everywhere else."""
    (folder / "garbage.db").write_bytes(b"garbage" * 1000)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["regsearch", *arguments])
    with pytest.raises(SystemExit) as exited:
        commands.main()
    out, err = capfd.readouterr()
    assert exited.value.code == code, err
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert out == ""
    assert "S3NT1NEL" not in err
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_ctrl_c_before_a_search_is_under_way_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(api, "run", interrupted)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(sys, "argv", ["regsearch", "run", "smoke"])
    with pytest.raises(SystemExit) as exited:
        commands.main()
    assert exited.value.code == 130
    assert capsys.readouterr().err == "stopped. Run the same command again to start or resume.\n"


@pytest.mark.slow
def test_no_complete_trial_is_exit_4(regsearch: Command) -> None:
    hopeless = ["--set", "training.learning_rate=1e6", "--set", "training.optimizer=sgd"]
    penalty = ["--set", 'space.regularizer=["l2"]', "--set", "space.l2={low=1e5, high=1e6}"]
    done = regsearch("run", "smoke", "--trials", "1", *hopeless, *penalty)
    assert done.returncode == 4, done.stderr
    assert "no trial of smoke is complete" in done.stderr.splitlines()[-1]
    assert "diverged at epoch" in done.stderr
    assert regsearch("best", "smoke").returncode == 4


@pytest.mark.slow
def test_delete_without_a_terminal_needs_yes(regsearch: Command, storage: str, folder: Path) -> None:
    (regsearch.folder / "regsearch.db").write_bytes((folder / "regsearch.db").read_bytes())
    assert regsearch("delete", "smoke", "--yes").returncode == 0
    assert regsearch("list").stdout == "no studies yet\n"


@pytest.mark.slow
def test_help_lists_only_what_works(command: Command) -> None:
    shown = command("--help").stdout
    named = re.findall(r"^  ([a-z]+)  ", shown, re.MULTILINE)
    assert named == [
        *("run", "resume", "confirm", "stop", "list", "status", "trials", "best", "report", "compare", "export"),
        *("enqueue", "dashboard", "doctor", "backup", "upgrade", "delete", "schema"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", ["best smoke --json", "trials smoke --csv", "trials smoke", "schema", "list"])
def test_an_answer_that_nobody_reads_ends_well(command: Command, arguments: str) -> None:
    for end, code in (("| true", 0), ("> /dev/full", 3), (">&-", 0)):
        script = f"set -o pipefail; {sys.executable} -m regsearch {arguments} {end}"
        done = subprocess.run(["bash", "-c", script], cwd=command.folder, capture_output=True, text=True, check=False)
        assert done.returncode == code, (end, done.stderr)
        assert len(done.stderr.splitlines()) == (1 if code else 0), done.stderr


@pytest.mark.slow
def test_an_answer_into_a_closed_pipe_is_no_traceback(command: Command) -> None:
    done = subprocess.run(
        f"{sys.executable} -m regsearch schema | head -1", shell=True, cwd=command.folder, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""


@pytest.mark.slow
def test_a_folder_called_search_in_the_way_does_not_matter(regsearch: Command) -> None:
    (regsearch.folder / "search").mkdir()
    (regsearch.folder / "search" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    done = subprocess.run(
        [Path(sys.executable).parent / "regsearch", "run", "smoke", "--trials", "1", "--quiet"],
        cwd=regsearch.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_your_own_npz_file_is_searched(regsearch: Command) -> None:
    random = np.random.default_rng(0)
    labels = np.arange(300) % 3
    images = (random.random((300, 6, 5)) * 100 + labels[:, None, None] * 70).astype(np.uint8)
    np.savez(regsearch.folder / "own.npz", x_train=images, y_train=labels, x_test=images[:60], y_test=labels[:60])
    done = regsearch("run", "smoke", "--data", "own.npz", "--trials", "1", "--json",
                     "--set", "data.train_size=150")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["dataset"]["name"] == "own"


def get(url: str, method: str = "GET", body: bytes | None = None) -> tuple[int, bytes]:
    request = urllib.request.Request(url, data=body, method=method, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.slow
def test_the_dashboard_shows_studies_and_cannot_write(command: Command, folder: Path) -> None:
    before = rows(f"sqlite:///{folder}/regsearch.db")
    with command.start("dashboard", "--port", "0") as server:
        try:
            assert server.stdout is not None
            url = re.search(r"http://127\.0\.0\.1:\d+", server.stdout.readline())[0]  # type: ignore[index]
            status, body = get(f"{url}/api/studies")
            assert status == 200
            (study,) = json.loads(body)["study_summaries"]
            assert study["study_name"] == "smoke"
            status, body = get(f"{url}/api/studies/{study['study_id']}?after=0")
            assert status == 200
            assert len(json.loads(body)["trials"]) == len(before)
            assert get(f"{url}/dashboard")[0] == 200
            assert get(f"{url}/api/studies/{study['study_id']}", "DELETE")[0] == 405
            assert get(f"{url}/api/studies", "POST", b'{"study_name": "new", "directions": ["minimize"]}')[0] == 405
        finally:
            server.terminate()
            _, err = server.communicate()
    assert "Traceback" not in err
    assert rows(f"sqlite:///{folder}/regsearch.db") == before


def test_the_stock_dashboard_works_on_the_file(folder: Path) -> None:
    import optuna
    import optuna_dashboard

    storage = optuna.storages.get_storage(f"sqlite:///{folder}/regsearch.db")
    application: Any = optuna_dashboard.wsgi(storage)
    seen = []
    environ: dict[str, Any] = {"PATH_INFO": "/api/studies"}
    setup_testing_defaults(environ)
    body = b"".join(application(environ, lambda status, headers, _=None: seen.append(status)))
    assert seen == ["200 OK"]
    assert json.loads(body)["study_summaries"][0]["study_name"] == "smoke"


@pytest.mark.slow
def test_the_course_network_learns_real_mnist(regsearch: Command, mnist_file: Path) -> None:
    done = regsearch("run", "mnist", "--trials", "2", "--no-confirm", "--json", "--set", "training.max_epochs=2",
                     "--set", "space.l1={low=1e-7, high=1e-5}", "--set", "space.l2={low=1e-7, high=1e-4}")  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["dataset"]["name"] == "mnist"
    assert (document["dataset"]["n_train"], document["dataset"]["n_test"]) == (60_000, 10_000)
    assert document["best"]["metrics"]["select_accuracy"] > 0.94


def test_in_ci_real_mnist_is_not_skipped() -> None:
    import os

    shared = ROOT.parent / "shared" / "data" / "mnist.npz"
    if os.environ.get("CI") and shared.exists():
        assert os.environ.get("REGSEARCH_MNIST"), "CI has real MNIST, but its tests would be skipped"


@pytest.mark.slow
def test_the_library_runs_from_a_plain_script(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "import regsearch\n"
        "result = regsearch.run('smoke', storage='sqlite:///my.db', trials=2, workers=2)\n"
        "print(result.best.number, result.reason.name)\n"
    )
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"[01] TOTAL\n", done.stdout)
    assert len(re.findall(r"^\[[12]/2\] trial [01] COMPLETE", done.stderr, re.MULTILINE)) == 2
    assert api.load("smoke", storage=f"sqlite:///{tmp_path}/my.db").answer.counts.complete == 2


def test_no_journal_is_left(folder: Path) -> None:
    assert not list(folder.glob("*-journal"))
    connection = sqlite3.connect(folder / "regsearch.db")
    assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
    connection.close()
