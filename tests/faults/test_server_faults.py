"""A server that crashes, connections that break, coordinators that die or fall silent: each step happens once."""

import os
import random
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import fakes
import invariants
import postgres
import psycopg
import pytest
import sqlalchemy
from conftest import RecordingProgress
from helpers import confirmation, count_finished, finished, rows, start, wait_for
from postgres import Line, OwnServer, needs_postgres

from regsearch.search import api
from regsearch.search.result import RunResult
from regsearch.search.run import retry
from regsearch.search.run.progress import FinishedTrial
from regsearch.search.run.signals import StopRequested
from regsearch.search.workers.inline import InlineEngine
from regsearch.storage import lease
from regsearch.storage import postgres as product
from regsearch.storage.connect import open_for_writing
from regsearch.storage.location import location_of
from regsearch.storage.study_store import StudyStore
from regsearch.studies.errors import CommitInDoubtError, InputError, StorageError, StorageUnavailableError
from regsearch.studies.trial import TrialTask

Search = Callable[..., RunResult]
IN_DOUBT = "whether the last write is stored"


@pytest.fixture(scope="module")
def own_server() -> Iterator[OwnServer]:
    with OwnServer() as own:
        yield own


@pytest.fixture
def server(own_server: OwnServer) -> Iterator[OwnServer]:
    """A server that a test may kill; it runs again when the test is over, however it ended."""
    yield own_server
    if not own_server.is_running():
        own_server.start()


@pytest.fixture
def storage() -> Iterator[str]:
    with postgres.new_database() as url:
        yield url


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "POLL_SECONDS", 0.05)


def kill_before_a_commit(server: OwnServer, storage: str) -> None:
    """Kill a server while a step waits up tos first row, so that no commit is in doubt."""
    waiting = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like %s"
    with suppress(psycopg.Error), postgres.connected(storage) as connection:  # the server ends it
        connection.execute(f"select 1 from {lease.STEPS} for update")
        wait_for(lambda: postgres.execute(server.url, waiting, f"update {lease.STEPS}%"))
        server.kill()


def stop_between_steps(process: "subprocess.Popen[str]", storage: str) -> None:
    """Stop a coordinator (SIGSTOP) that has no transaction open, which the server would end after a minute."""
    is_open = "select 1 from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'"

    def is_between() -> bool:
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(0.2)  # for the server to end what it was asked
        if postgres.execute(storage, is_open):
            os.kill(process.pid, signal.SIGCONT)
            return False
        return True

    wait_for(is_between)


class Armed(RecordingProgress):
    """Knows whether the search is in its midst: from its first trial's end to its last but one's."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self.is_armed, self._last = False, last

    def trial_finished(self, trial: FinishedTrial, best: float | None) -> None:
        super().trial_finished(trial, best)
        self.is_armed = trial.task.number < self._last


# answers that are lost


@pytest.mark.slow
@needs_postgres
@pytest.mark.parametrize("lost", ["answer", "request"])
def test_a_commit_that_is_lost_happens_once(
    search: Search, storage: str, lost: str, tmp_path: Path, impatient: None
) -> None:
    """Every third commit loses its answer, or doesn't arrive: the study equals one in a file."""
    other = f"sqlite:///{tmp_path}/other.db"
    options: dict[str, Any] = {
        "trials": 14,
        "confirm": False,
        "settings": ["search.pruner_options={n_startup_trials=2}"],
    }
    search(storage=other, **options)
    progress = Armed(last=13)
    with Line(storage, lambda commit: lost if progress.is_armed and commit % 3 == 0 else None) as line:
        search(storage=line.url, progress=progress, **options)
        assert len(line.lost) > 10
    assert rows(storage) == rows(other)
    assert {row["state"] for row in rows(storage)} >= {"complete", "pruned"}
    invariants.check(storage, is_fake=True)


@pytest.mark.slow
@needs_postgres
def test_the_answers_of_a_confirmation_may_be_lost_too(
    search: Search, storage: str, tmp_path: Path, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = f"sqlite:///{tmp_path}/other.db"
    search(storage=other, trials=3, settings=["confirm.seeds=3"])
    search(storage=storage, trials=3, settings=["confirm.seeds=3"], confirm=False)
    generator, is_armed = random.Random(1), False
    train = fakes.FakeTrainer.train

    def arm(*arguments: Any, **options: Any) -> Any:
        nonlocal is_armed
        is_armed = True
        return train(*arguments, **options)

    monkeypatch.setattr(fakes.FakeTrainer, "train", arm)

    def loses(commit: int) -> str | None:
        return generator.choice(["answer", "request"]) if is_armed and commit % 3 == 0 and len(line.lost) < 50 else None

    with Line(storage, loses) as line:
        api.resume("smoke", storage=line.url, engine=InlineEngine(fakes.FakeTrainer), progress=RecordingProgress())
        assert len(line.lost) > 30
    assert confirmation(storage) == confirmation(other)
    invariants.check(storage, is_fake=True)


@pytest.fixture
def only_steps_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 600)


def line_that_ends(storage: str, progress: Armed) -> Line:
    """Return a line that loses the answer to a commit in the midst of a search; then nobody gets through any more."""
    line = Line(storage, lambda commit: None)

    def lose(_commit: int) -> str | None:
        if progress.is_armed:
            line.refuse()
            return "answer"
        return None

    line._loses = lose
    return line


@pytest.mark.slow
@needs_postgres
def test_a_server_that_does_not_answer_any_more_pauses_the_search(
    search: Search,
    storage: str,
    tmp_path: Path,
    impatient: None,
    only_steps_commit: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether the last step was done isn't known then; resume finds out."""
    monkeypatch.setattr(lease, "ANSWER_SECONDS", 0.5)
    other = f"sqlite:///{tmp_path}/other.db"
    search(storage=other, trials=6)
    progress = Armed(last=5)
    line = line_that_ends(storage, progress)
    with line, pytest.raises(CommitInDoubtError, match=r"The last write may be lost") as told:
        search(storage=line.url, trials=6, progress=progress)
    assert "Resume with `regsearch resume smoke --storage postgresql" in str(told.value)
    assert line.lost
    assert len([text for text in progress.messages if IN_DOUBT in text]) == 1
    search(trials=6)
    assert rows(storage) == rows(other)
    invariants.check(storage, is_fake=True)


@pytest.mark.slow
@needs_postgres
def test_a_signal_while_a_commit_is_in_doubt_stops_the_search(
    search: Search, storage: str, impatient: None, only_steps_commit: None
) -> None:
    class Impatient(Armed):
        def message(self, text: str) -> None:
            super().message(text)
            if IN_DOUBT in text:
                signal.raise_signal(signal.SIGINT)

    progress = Impatient(last=5)
    with line_that_ends(storage, progress) as line, pytest.raises(StopRequested) as stopped:
        search(storage=line.url, trials=6, progress=progress, handle_signals=True)
    assert stopped.value.number == signal.SIGINT
    assert [text for text in progress.messages if IN_DOUBT in text]
    search(trials=6)
    invariants.check(storage, total=6, is_fake=True)


@pytest.mark.slow
@needs_postgres
@pytest.mark.parametrize("step", ["create", "begin_run", "end_run"])
def test_a_commit_in_doubt_outside_the_trials_names_a_command(
    search: Search, storage: str, step: str, only_steps_commit: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_armed, method = False, getattr(StudyStore, step)

    def arm(*arguments: Any, **options: Any) -> Any:
        nonlocal is_armed
        is_armed = True
        return method(*arguments, **options)

    def lose(_commit: int) -> str | None:
        if is_armed:
            line.refuse()
        return "answer" if is_armed else None

    progress = RecordingProgress()
    with monkeypatch.context() as patch, Line(storage, lose) as line, pytest.raises(StorageError) as told:
        patch.setattr(lease, "ANSWER_SECONDS", 0.5)
        patch.setattr(retry, "RETRY_SECONDS", 0.5)
        patch.setattr(StudyStore, step, staticmethod(arm) if step == "create" else arm)
        search(storage=line.url, trials=3, confirm=False, progress=progress)
    verb = "resume" if step == "end_run" else "status"
    assert f"`regsearch {verb} smoke --storage {line.url}`" in str(told.value)
    assert [text for text in progress.messages if IN_DOUBT in text]
    search(trials=3, confirm=False)
    invariants.check(storage, total=3, is_fake=True)


# a server that crashes


@pytest.mark.slow
@needs_postgres
def test_a_server_that_is_killed_and_comes_back_costs_nothing(server: OwnServer, tmp_path: Path, progress: Any) -> None:
    """Once in the midst of a step, then at random moments, of a search with two workers."""
    generator = random.Random(4)
    with postgres.new_database(server.url) as storage:
        environment = {"REGSEARCH_STORAGE": storage, "FAKE_EPOCH_SECONDS": "0.02"}
        reader = invariants.Reader(storage)
        with start(
            tmp_path, "run", "smoke", "--trials", "60", "--no-confirm", "--workers", "2", **environment
        ) as process:
            for kill in range(4):
                wait_for(lambda kill=kill: count_finished(storage) > 5 + 10 * kill)
                time.sleep(generator.random() * 0.3)
                reader.look()
                if kill == 0:
                    kill_before_a_commit(server, storage)
                else:
                    server.kill()
                time.sleep(0.5)
                server.start()
            _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert "The run waits up to 3 minutes" in err
        assert "Traceback" not in err
        invariants.check(storage, total=60, reader=reader, is_fake=True)


@pytest.mark.slow
@needs_postgres
def test_a_signal_while_the_server_is_away_says_how_to_go_on(server: OwnServer, tmp_path: Path) -> None:
    with postgres.new_database(server.url) as storage:
        options = ("run", "smoke", "--trials", "400", "--no-confirm", "--quiet", "--storage", storage)
        with start(tmp_path, *options) as process:
            wait_for(lambda: count_finished(storage) > 2)
            server.kill()
            time.sleep(1)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        server.start()
        assert process.returncode == 130, err
        assert err.splitlines()[-1].startswith("resume with: regsearch resume smoke --storage ")
        assert "Traceback" not in err


@pytest.mark.slow
@needs_postgres
def test_a_server_that_stays_away_is_one_line_and_exit_3(server: OwnServer, tmp_path: Path) -> None:
    with postgres.new_database(server.url) as storage:
        environment = {"REGSEARCH_STORAGE": storage, "FAKE_PATIENCE_SECONDS": "1"}
        with start(tmp_path, "run", "smoke", "--trials", "400", "--no-confirm", **environment) as process:
            wait_for(lambda: count_finished(storage) > 3)
            kill_before_a_commit(server, storage)
            _, err = process.communicate(timeout=60)
        assert process.returncode == 3, err
        assert "Nothing that was trained is lost. Resume with `regsearch resume smoke`" in err.splitlines()[-1]
        assert "Traceback" not in err
        server.start()
        before = finished(storage)
        total = str(len(before) + 3)
        with start(tmp_path, "run", "smoke", "--trials", total, "--no-confirm", **environment) as process:
            _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        after = finished(storage)
        assert {number: after[number] for number in before} == before
        invariants.check(storage, is_fake=True)


@needs_postgres
def test_a_crash_leaves_the_lease_with_who_had_it(server: OwnServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that was away for long has heard nobody: it gives the holder as long again to come back."""
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.1)
    with ExitStack() as stack:
        storage = stack.enter_context(postgres.new_database(server.url))
        database = stack.enter_context(open_for_writing(location_of(storage)))
        with database.study_lock("smoke"):
            postgres.execute(
                storage,
                "update regsearch_leases set host = 'elsewhere', process = '', beat_at = now() - interval '1 hour', "
                "owner = 'x'",
            )
            wait_for(lambda: database.holder("smoke") is None)
            monkeypatch.setattr(lease, "LEASE_SECONDS", 600)  # far less than the hour
            server.kill()
            server.start()
            database.engine.dispose()
            holder = database.holder("smoke")
            assert holder is not None
            assert holder.host == "elsewhere"


# one coordinator a study


@pytest.mark.slow
@needs_postgres
def test_two_coordinators_of_one_study_race_and_one_is_refused(storage: str, tmp_path: Path) -> None:
    """As from two machines: their folders are two."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    options = ("--trials", "30", "--no-confirm", "--quiet")
    both = [
        start(
            tmp_path / name, "run", "smoke", *options, REGSEARCH_STORAGE=storage, REGSEARCH_FILES=str(tmp_path / name)
        )
        for name in ("one", "other")
    ]
    ended = []
    for process in both:
        with process:
            _, err = process.communicate(timeout=120)
        ended.append((process.returncode, err))
    assert sorted(code for code, _ in ended) == [0, 2], ended
    (refusal,) = [err for code, err in ended if code == 2]
    winner = next(process.pid for process, (code, _) in zip(both, ended, strict=True) if code == 0)
    assert f"the study smoke is being searched by process {winner} on " in refusal
    assert len(rows(storage)) == 30


@pytest.mark.slow
@needs_postgres
def test_whose_coordinator_is_killed_goes_on_at_once_from_another_folder(storage: str, tmp_path: Path) -> None:
    """Its states are not there, so that what ran begins anew and says the same; nothing is doubled.

    A lease of a dead process is not waited for, however long it would last.
    """
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    options = ("run", "smoke", "--trials", "14", "--no-confirm", "--quiet", "--workers", "1")
    one, other = ({"REGSEARCH_STORAGE": storage, "REGSEARCH_FILES": str(tmp_path / name)} for name in ("one", "other"))
    reader = invariants.Reader(storage)
    with start(tmp_path, *options, **one) as process:
        wait_for(lambda: count_finished(storage) > 4)
        process.kill()
        process.communicate()
    reader.look()
    with start(tmp_path, *options, **other, FAKE_LEASE_SECONDS="600") as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    file = f"sqlite:///{tmp_path}/file.db"
    with start(tmp_path, *options, REGSEARCH_STORAGE=file) as process:
        process.communicate(timeout=60)
    assert {k: {**v, "weights": None} for k, v in finished(storage).items()} == {
        k: {**v, "weights": None} for k, v in finished(file).items()
    }
    reader.look()
    assert not reader.violations


@pytest.mark.slow
@needs_postgres
def test_who_fell_silent_is_overtaken_and_writes_nothing_more(storage: str, tmp_path: Path) -> None:
    """A coordinator is stopped (SIGSTOP), another takes over after the lease, and the first wakes again."""
    (tmp_path / "other").mkdir()
    options = ("run", "smoke", "--trials", "20", "--no-confirm", "--quiet", "--workers", "1")
    other = {"REGSEARCH_STORAGE": storage, "REGSEARCH_FILES": str(tmp_path / "other")}
    with start(tmp_path, *options, REGSEARCH_STORAGE=storage, FAKE_LEASE_SECONDS="2") as silent:
        wait_for(lambda: count_finished(storage) > 3)
        stop_between_steps(silent, storage)
        with start(tmp_path, *options, **other, FAKE_LEASE_SECONDS="2") as process:
            _, err = process.communicate(timeout=90)
        assert process.returncode == 0, err
        before = rows(storage)
        os.kill(silent.pid, signal.SIGCONT)
        _, err = silent.communicate(timeout=60)
    assert silent.returncode == 3, err
    assert " has taken over the study smoke, so this run stops" in err
    assert "Nothing of this run was written since then" in err
    assert rows(storage) == before
    assert len(before) == 20


@pytest.mark.slow
@needs_postgres
def test_a_long_step_is_not_silence(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.2)
    monkeypatch.setattr(lease, "LEASE_SECONDS", 1)
    monkeypatch.setattr(product, "_OF_SESSION", product._OF_SESSION.replace("'10s'", "'300ms'"))
    monkeypatch.setattr(lease, "_process", lambda pid: "")  # as of another machine
    refusals = []

    def come(database: Any) -> None:
        try:
            with database.study_lock("smoke"):
                refusals.append("took over")
        except InputError as error:
            refusals.append(str(error))

    with ExitStack() as stack:
        first, second = (stack.enter_context(open_for_writing(location_of(storage))) for _ in range(2))
        stack.enter_context(first.study_lock("smoke"))
        with first.transaction():
            time.sleep(2)
            come(second)
        assert "is being searched by process" in refusals[0]
        with pytest.raises(StorageError, match="has taken over the study"), first.transaction():
            first._lease._is_over.set()  # type: ignore[attr-defined]  # its heart stands still, in the midst of a step
            coming = threading.Thread(target=come, args=(second,))
            coming.start()
            time.sleep(2)
            assert len(refusals) == 1
            postgres.execute(
                storage,
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() "
                "and state = 'idle in transaction' and query like '%steps + 1%'",
            )
            coming.join()
            assert refusals[1] == "took over"


@pytest.mark.slow
@needs_postgres
def test_two_threads_of_a_process_exclude_each_other(storage: str) -> None:
    """As often as one asks; the second is told so."""
    both, held, told = threading.Barrier(2), [], []

    def hold() -> None:
        with open_for_writing(location_of(storage)) as database:
            both.wait()
            try:
                with database.study_lock("smoke"):
                    held.append(1)
                    time.sleep(1.5)
            except InputError:
                told.append(1)

    for _ in range(3):
        threads = [threading.Thread(target=hold) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (len(held), len(told)) == (3, 3)


@needs_postgres
def test_who_cannot_be_seen_is_not_taken_for_dead(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where /proc hides the processes of other users."""
    process, me = lease._process, os.getpid()
    with subprocess.Popen(["sleep", "60"]) as other, open_for_writing(location_of(storage)) as database:
        with database.study_lock("smoke"):
            pass
        postgres.execute(
            storage,
            "update regsearch_leases set owner = 'x', host = 'here', pid = %s, process = %s, since = 'noon', "
            "beat_at = clock_timestamp()",
            other.pid,
            process(other.pid),
        )
        monkeypatch.setattr(lease, "_process", lambda pid: process(pid) if pid == me else "")
        assert database.holder("smoke") is not None
        other.kill()
        other.wait()
        assert database.holder("smoke") is None


@pytest.mark.slow
@needs_postgres
def test_a_lease_of_another_machine_is_taken_over_once_it_is_silent(
    storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes waits for a sign: with one it is refused, without one it takes over."""
    with open_for_writing(location_of(storage)) as database:
        with database.study_lock("smoke"):
            pass
        elsewhere = (
            "update regsearch_leases set owner = 'x', host = 'elsewhere', pid = 7, process = 'boot ns 7 1', "
            "since = 'noon', beat_at = clock_timestamp()"
        )
        postgres.execute(storage, elsewhere)
        is_over = threading.Event()

        def beat() -> None:
            while not is_over.wait(0.3):
                postgres.execute(storage, "update regsearch_leases set beat_at = clock_timestamp()")

        beats = threading.Thread(target=beat)
        beats.start()
        refused = (
            "the study smoke is being searched by process 7 on elsewhere since noon. Wait for it, or stop it with "
            f"`regsearch stop smoke --storage {re.escape(storage)}`"
        )
        try:
            with pytest.raises(InputError, match=refused), database.study_lock("smoke"):
                pass
        finally:
            is_over.set()
            beats.join()
        monkeypatch.setattr(lease, "LEASE_SECONDS", 1)
        began = time.monotonic()
        with database.study_lock("smoke"):
            assert time.monotonic() - began < 10
            holder = database.holder("smoke")
            assert holder is not None
            assert holder.pid == os.getpid()
        assert database.holder("smoke") is None


# who stands in the way


@pytest.mark.slow
@needs_postgres
def test_a_lock_that_is_held_for_long_is_waited_for(
    search: Search, storage: str, tmp_path: Path, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than a statement waits for it: the step is tried again."""
    other = f"sqlite:///{tmp_path}/other.db"
    search(storage=other, trials=4)
    search(trials=1, confirm=False)
    monkeypatch.setattr(product, "_OF_SESSION", product._OF_SESSION.replace("'10s'", "'200ms'"))
    with postgres.connected(storage) as connection:
        releases = threading.Timer(2, connection.rollback)

        class Blocked(RecordingProgress):
            def begin(self, *arguments: Any) -> None:
                if not releases.is_alive() and not self.messages:
                    connection.execute("select 1 from studies for update")
                    releases.start()

        blocked = Blocked()
        search(trials=4, progress=blocked)
        releases.join()
    assert any("another process holds a lock" in message for message in blocked.messages)
    assert rows(storage) == rows(other)


@pytest.mark.slow
@needs_postgres
@pytest.mark.parametrize("state", ["40P01", "40001", "57P01", "53300", "53100"])
def test_what_passes_is_waited_for(
    search: Search,
    storage: str,
    tmp_path: Path,
    state: str,
    impatient: None,
    progress: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A deadlock, a conflict, a server that ends, too many connections, a full disk: raised by the server itself."""
    other = f"sqlite:///{tmp_path}/other.db"
    search(storage=other, trials=4, confirm=False)
    failures = 0
    uuid_of = product.ServerDatabase.uuid_of

    def fails(database: Any, connection: sqlalchemy.Connection, study_id: int) -> Any:
        nonlocal failures
        if 10 < (failures := failures + 1) < 60 and failures % 2:
            connection.exec_driver_sql(f"do $$ begin raise exception 'asked for' using errcode = '{state}'; end $$")
        return uuid_of(database, connection, study_id)

    monkeypatch.setattr(product.ServerDatabase, "uuid_of", fails)
    search(trials=4, confirm=False)
    assert failures > 30
    assert any("can't be used now" in message and "The run waits" in message for message in progress.messages)
    assert rows(storage) == rows(other)
    invariants.check(storage, is_fake=True)


@pytest.mark.slow
@needs_postgres
def test_a_connection_that_breaks_at_any_statement_is_waited_for(
    search: Search, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first statement of a step, at the second, and so on: each time it has come to nothing."""
    monkeypatch.setattr("random.random", lambda: 0.0)  # of 2 seconds that Optuna waits before it tries once more
    search(trials=4, confirm=False)
    cut = (
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() "
        "and pid <> pg_backend_pid()"
    )
    count = at = 0

    def breaks(*_: Any) -> None:
        nonlocal count
        count += 1
        if count == at:
            postgres.execute(storage, cut)

    with api.reading(storage) as database:
        record = api.get_study(database, "smoke")
    with open_for_writing(location_of(storage)) as database, database.study_lock("smoke"):
        store = StudyStore.open(database, record)
        store.spec = store.spec.changed(budget={"trials": 9})
        store._asking = store._asks(store.spec)
        sqlalchemy.event.listen(database.engine, "before_cursor_execute", breaks)
        broken = 0
        while True:
            at, count = at + 1, 0
            try:
                task = store.ask()
                break
            except StorageUnavailableError:
                broken += 1
        assert broken == at - 1 > 20
        assert isinstance(task, TrialTask)
        assert task.number == 4
    assert len(rows(storage)) == 5


@pytest.mark.slow
@needs_postgres
def test_a_trial_that_somebody_else_begins_in_between_is_theirs(search: Search, storage: str) -> None:
    """Optuna's own `ask` beside a search takes a number; the search goes on with the next."""
    import optuna
    from optuna.storages import RDBStorage

    theirs = RDBStorage(storage)
    search(trials=2, confirm=False)
    study = optuna.load_study(study_name="smoke", storage=theirs, sampler=optuna.samplers.RandomSampler(1))
    is_over, numbers = threading.Event(), []

    def ask() -> None:
        while not is_over.is_set():
            trial = study.ask()
            numbers.append(trial.number)
            study.tell(trial, state=optuna.trial.TrialState.FAIL)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        search(trials=60, confirm=False)
    finally:
        is_over.set()
        asking.join()
        theirs.engine.dispose()
    assert numbers
    there = [row["number"] for row in rows(storage)]
    assert there == list(range(len(there)))


@pytest.mark.slow
@needs_postgres
def test_the_lease_beats_while_nothing_else_happens(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.1)
    beat = "select beat_at from regsearch_leases"
    with open_for_writing(location_of(storage)) as database, database.study_lock("smoke"):
        first = postgres.execute(storage, beat)
        wait_for(lambda: postgres.execute(storage, beat) != first, 5)
        # whoever cuts its connections doesn't end it
        postgres.execute(
            storage,
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() "
            "and pid <> pg_backend_pid()",
        )
        second = postgres.execute(storage, beat)
        wait_for(lambda: postgres.execute(storage, beat) != second, 5)
    assert postgres.execute(storage, "select owner from regsearch_leases") == [(None,)]


@pytest.mark.slow
def test_a_process_is_known_by_more_than_its_number() -> None:
    mine = lease._process(os.getpid())
    if not mine:
        pytest.skip("this system has no /proc")
    assert mine.split()[2] == str(os.getpid())
    with subprocess.Popen(["sleep", "60"]) as process:
        other = lease._process(process.pid)
        assert other.split()[:2] == mine.split()[:2]
        process.kill()
        wait_for(lambda: lease._process(process.pid) is None, 5)  # a zombie is dead
    assert lease._process(process.pid) == ""
