"""Removes one guard of the product at a time, and sees that a test notices: `python tests/programs/mutants.py [NAME…]`.

Each mutation is applied to a copy of the repository. Prints which test caught it, or SURVIVED; exit code 1 if
any did. One whose text isn't in the source any more, once, is an error: then this table has to follow.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
_SECONDS, _ALL_SECONDS = 300, 1800


class Mutation(NamedTuple):
    """A guard that is removed: what is replaced in which file, and the tests that must notice."""

    name: str
    path: str
    text: str
    instead: str
    tests: tuple[str, ...]


_DATABASE, _SQLITE = "storage/database.py", "storage/sqlite.py"
_STORE, _FILES = "storage/study_store.py", "studies/files.py"
_DASHBOARD, _WORKER, _COORDINATOR = (
    "storage/dashboard_server.py",
    "search/workers/worker.py",
    "search/run/coordinator.py",
)
_TASK_CONNECTION = "search/workers/task_connection.py"
_OF_DATABASE, _OF_FILES = "tests/contract/test_database.py", "tests/unit/test_files.py"
_OF_DASHBOARD, _OF_CHECKPOINTS = "tests/contract/test_dashboard.py", "tests/contract/test_checkpoints.py"
_CONFIRMATION, _OF_CONFIRMATION = "storage/confirmation_store.py", "tests/integration/test_confirmation.py"
_ROUNDS, _OF_RACE = "storage/race_rounds.py", "tests/integration/test_race.py"
_RECIPES = "tests/integration/test_recipes.py"
_NO_REPEATS = "tests/contract/test_no_repeats.py"
_ORACLES, _OF_ORACLES = "search/samplers/keras_tuner.py", "tests/unit/test_keras_tuner_samplers.py"
_SEARCHES, _OF_SEARCHES = "studies/analysis/search_methods.py", "tests/unit/test_searches_compared.py"
_STUDY_RUN, _GOING_ON = "search/run/study_run.py", "tests/faults/test_going_on.py"
_POSTGRES, _LEASE = "storage/postgres.py", "storage/lease.py"
_SERVER_FAULTS, _OF_SERVER = "tests/faults/test_server_faults.py", "tests/integration/test_server.py"
_GOING_ON, _FENCES = "tests/faults/test_going_on.py", "tests/faults/test_fences.py"

MUTATIONS = (
    Mutation(
        "BEGIN IMMEDIATE",
        _SQLITE,
        'exec_driver_sql("BEGIN IMMEDIATE")',
        'exec_driver_sql("BEGIN")',
        (f"{_OF_DATABASE}::test_writers_take_the_lock_before_they_read",),
    ),
    Mutation(
        "the lock of the first opening",
        _SQLITE,
        "fcntl.flock(lock, fcntl.LOCK_EX)",
        "pass",
        (f"{_OF_DATABASE}::test_who_opens_a_new_database_waits_for_whoever_creates_it",),
    ),
    Mutation(
        "a new database that appears as a whole",
        _SQLITE,
        'new = files_folder(path) / "new.db"',
        "new = path",
        (f"{_OF_DATABASE}::test_a_new_database_appears_as_a_whole",),
    ),
    Mutation(
        "the transaction round an ask",
        _STORE,
        "                with self.transaction() as connection:\n                    proposal = self._asking.ask(",
        '                with self._database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as '
        "connection:\n                    proposal = self._asking.ask(",
        (f"{_FENCES}::test_an_ask_that_fails_half_way_leaves_nothing",),
    ),
    Mutation(
        "a proposal that was tried before undone",
        "storage/study_proposals.py",
        "                savepoint.rollback()\n",
        "",
        (f"{_NO_REPEATS}::test_in_an_infinite_space_what_is_discrete_comes_once",),
    ),
    Mutation(
        "the cache of a proposal that was undone thrown away",
        _DATABASE,
        "        if is_undone:\n            self.storage = cached(self._rdb)\n",
        "",
        (f"{_OF_DATABASE}::test_what_was_undone_within_a_transaction_leaves_no_cached_ghost",),
    ),
    Mutation(
        "settings that a lost worker left are no tried ones",
        "storage/tried_configurations.py",
        "or t.state = 'FAIL' and a.trial_id is not null",
        "or t.state = 'FAIL'",
        (f"{_NO_REPEATS}::test_failed_settings_are_tried_again_if_they_are_not_the_cause",),
    ),
    Mutation(
        "the cache of what was rolled back thrown away",
        _DATABASE,
        "        except BaseException:\n            self.storage = cached(self._rdb)\n            raise",
        "        except BaseException:\n            raise",
        (f"{_OF_DATABASE}::test_a_rolled_back_ask_leaves_no_trial_no_gap_and_no_cached_ghost",),
    ),
    Mutation(
        "fsync of the journal's folder",
        _SQLITE,
        "'full' if journal_mode()[0] == 'wal' else 'extra'",
        "'normal'",
        (f"{_OF_DATABASE}::test_durable_settings",),
    ),
    Mutation("fsync of a file", _FILES, "            os.fsync(file.fileno())\n", "", (_OF_FILES,)),
    Mutation("fsync of a file's folder", _FILES, "    sync_folder(path.parent)\n", "", (_OF_FILES,)),
    Mutation(
        "a file beside, then a rename",
        _FILES,
        'temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}{TEMPORARY}")',
        "temporary = path",
        (_OF_FILES,),
    ),
    Mutation(
        "the attempt of an event",
        _COORDINATOR,
        "if task is None or task.attempt != event.attempt:",
        "if task is None:",
        (f"{_FENCES}::test_what_an_attempt_that_was_given_up_still_says_is_not_heard",),
    ),
    Mutation(
        "only the newest run writes",
        "storage/run_rows.py",
        "if newest.run_id != run_id:",
        "if False:",
        (f"{_GOING_ON}::test_who_was_overtaken_writes_and_removes_nothing_more",),
    ),
    Mutation(
        "only a trial that runs is told",
        "storage/study_sql.py",
        " and number = :number and state = 'RUNNING'",
        " and number = :number",
        ("tests/integration/test_other_hands.py::test_a_trial_ended_in_the_dashboard_stays_as_it_was_ended",),
    ),
    Mutation(
        "an epoch is recorded and judged once",
        _STORE,
        "if recorded is not None:",
        "if False:",
        (f"{_GOING_ON}::test_a_trial_goes_on_from_its_last_epoch",),
    ),
    Mutation(
        "whose checkpoint it is",
        "search/training/checkpoints.py",
        "if identity == self.identity:",
        "if True:",
        (f"{_OF_CHECKPOINTS}::test_a_checkpoint_of_another_trial_is_not_taken",),
    ),
    Mutation(
        "whose result it is",
        _TASK_CONNECTION,
        "result = from_line(line) if file_identity == identity else None",
        "result = from_line(line)",
        (f"{_GOING_ON}::test_a_result_of_another_study_of_that_name_is_not_adopted",),
    ),
    Mutation(
        "the hash of checkpoints and results",
        _FILES,
        "if hashlib.sha256(inner).digest() != digest:",
        "if False:",
        (_OF_FILES, f"{_OF_CHECKPOINTS}::test_a_damaged_checkpoint_falls_back_to_the_one_before"),
    ),
    Mutation(
        "a result on disk before it is told",
        _TASK_CONNECTION,
        "            write_durably(self._files.ended(self.task.number), append_checksum(line.encode()))\n",
        "            pass\n",
        (f"{_GOING_ON}::test_a_result_outlives_the_coordinator_and_is_adopted",),
    ),
    Mutation(
        "the study's lock",
        "storage/study_lock.py",
        "                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
        "",
        ("tests/integration/test_search.py::test_a_second_coordinator_is_refused_with_who_holds_the_study",),
    ),
    Mutation(
        "patience with a database that is away",
        "search/run/retry.py",
        "if self.is_stopping() or self.clock() >= deadline:",
        "if True:",
        (f"{_GOING_ON}::test_a_database_that_is_away_for_two_minutes_is_waited_for",),
    ),
    Mutation(
        "a worker ends with its coordinator",
        _WORKER,
        "        _end()  # the coordinator is gone, so the result of this trial has no reader\n",
        "",
        (f"{_FENCES}::test_a_worker_ends_when_its_coordinator_is_gone",),
    ),
    Mutation(
        "a trial is tried again at most twice",
        _STORE,
        "if task.attempt + 1 >= MOST_ATTEMPTS:",
        "if False:",
        (f"{_FENCES}::test_a_trial_that_loses_its_worker_three_times_is_given_up",),
    ),
    Mutation(
        "files of trials that ended go before the search does",
        _COORDINATOR,
        "        self.files.forget(task.number)",
        "        pass",
        (f"{_GOING_ON}::test_the_files_of_a_finished_trial_go_while_the_search_goes_on",),
    ),
    Mutation(
        "the dashboard's Host",
        _DASHBOARD,
        'if not self._is_allowed_host(environ.get("HTTP_HOST", "").strip(" \\t"), port):',
        "if False:",
        (f"{_OF_DASHBOARD}::test_only_our_own_hosts_are_answered",),
    ),
    Mutation(
        "the dashboard's Origin",
        _DASHBOARD,
        "if origin is not None and not",
        "if False and not",
        (f"{_OF_DASHBOARD}::test_pages_of_other_origins_are_not_answered",),
    ),
    Mutation(
        "the dashboard's methods",
        _DASHBOARD,
        'if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):',
        "if False:",
        (f"{_OF_DASHBOARD}::test_nothing_but_get_and_head_is_accepted_on_any_route",),
    ),
    Mutation(
        "a reader that can't write",
        _SQLITE,
        '"query_only=off" if writing else "query_only=on"',
        '"query_only=off"',
        (f"{_OF_DATABASE}::test_a_reader_cannot_write_and_creates_nothing",),
    ),
    Mutation(
        "a recipe is never pruned",
        _STORE,
        " or self._is_spared(connection, task.number)",
        "",
        (f"{_RECIPES}::test_recipes_are_never_pruned_whatever_the_pruner_would",),
    ),
    Mutation(
        "test looks wait for every training",
        _CONFIRMATION,
        "        if running:\n            return Wait()\n",
        "",
        (f"{_OF_CONFIRMATION}::test_no_test_look_begins_before_every_training_has_ended",),
    ),
    Mutation(
        "finalists are trained on fresh seeds",
        _CONFIRMATION,
        "seed=self._seed_of(row.seed),",
        "seed=None,",
        (f"{_OF_CONFIRMATION}::test_every_finalist_is_trained_on_the_same_fresh_seeds",),
    ),
    Mutation(
        "a fresh seed draws the split too",
        "search/training/task_splits.py",
        "split_seed(self._spec, task.seed)",
        "own_seed",
        ("tests/contract/test_training.py::test_a_finalist_trains_as_a_trial_of_a_study_with_its_fresh_seed",),
    ),
    Mutation(
        "what is added when test figures are known is another look",
        _CONFIRMATION,
        "            if missing and self._was_shown(connection, look):\n                look += 1\n",
        "",
        (f"{_OF_CONFIRMATION}::test_more_seeds_are_a_second_look_too",),
    ),
    Mutation(
        "a seed of 0 that KerasTuner would replace",
        _ORACLES,
        "self._seed = seed or 2**32 - 1",
        "self._seed = seed",
        (f"{_OF_ORACLES}::test_seed_0_is_a_seed",),
    ),
    Mutation(
        "the fit by which a running trial's score is guessed",
        _ORACLES,
        "oracle.gpr.fit(*oracle._vectorize_trials())",
        "pass",
        (f"{_OF_ORACLES}::test_a_running_trial_counts_with_a_score_that_the_model_expects",),
    ),
    Mutation(
        "no more modelled trials than there is time for",
        _ORACLES,
        "    if len(trials) <= MOST_MODELLED:",
        "    if True:",
        (f"{_OF_ORACLES}::test_of_many_trials_the_best_and_an_even_part_are_modelled",),
    ),
    Mutation(
        "search methods compared after as many trials",
        _SEARCHES,
        "return min(study.trials for",
        "return max(study.trials for",
        (f"{_OF_SEARCHES}::test_the_lead_is_that_of_the_values_after_as_many_trials",),
    ),
    Mutation(
        "a lead that is one beyond noise alone",
        _SEARCHES,
        "return self.difference is not None and self.difference.is_above(0)",
        "return self.difference is not None",
        (f"{_OF_SEARCHES}::test_a_way_is_better_only_beyond_noise",),
    ),
    Mutation(
        "a study of several samplers is not one search method",
        _SEARCHES,
        "keys else []), *mixed]",
        "keys else [])]",
        (f"{_OF_SEARCHES}::test_a_study_of_several_samplers_shows_none_of_them",),
    ),
    Mutation(
        "the question whether a lost commit was done",
        _POSTGRES,
        "if not is_lost or held is None or step is None or not held.was_done(step):",
        "if True:",
        (f"{_SERVER_FAULTS}::test_a_commit_that_is_lost_happens_once",),
    ),
    Mutation(
        "a step is the lease's holder's",
        _LEASE,
        " and owner = :owner returning steps",
        " returning steps",
        (f"{_SERVER_FAULTS}::test_who_fell_silent_is_overtaken_and_writes_nothing_more",),
    ),
    Mutation(
        "a lease that is held is not taken",
        _LEASE,
        "if _is_held(row):",
        "if False:",
        (f"{_SERVER_FAULTS}::test_a_lease_of_another_machine_is_taken_over_once_it_is_silent",),
    ),
    Mutation(
        "a server's restart is no silence",
        _LEASE,
        "greatest(beat_at, pg_postmaster_start_time())",
        "beat_at",
        (f"{_SERVER_FAULTS}::test_a_crash_leaves_the_lease_with_who_had_it",),
    ),
    Mutation(
        "writers of a study on a server come one after the other",
        "storage/optuna/tables.py",
        " for update of s",
        "",
        (f"{_OF_SERVER}::test_writers_of_a_study_come_one_after_the_other",),
    ),
    Mutation(
        "states are removed once no worker is left",
        _STUDY_RUN,
        "        self.close()\n        for coordinator in",
        "        for coordinator in",
        (f"{_GOING_ON}::test_a_state_still_being_written_by_a_pruned_trial_is_removed",),
    ),
    Mutation(
        "who never began removes no state",
        _STUDY_RUN,
        "            self._coordinators.pop()",
        "            pass",
        (f"{_GOING_ON}::test_a_stop_before_a_confirmation_goes_on_keeps_its_finalists_states",),
    ),
    Mutation(
        "who is dropped gets no more seeds",
        _ROUNDS,
        "if contender.index not in dropped]",
        "]",
        (f"{_OF_RACE}::test_each_round_drops_whom_the_rule_drops_and_nobody_else",),
    ),
    Mutation(
        "a round ends when all have trained",
        _ROUNDS,
        'if any(row.state in ("waiting", "running") for row in left):\n        return None',
        "if False:\n        return None",
        (f"{_OF_RACE}::test_each_round_drops_whom_the_rule_drops_and_nobody_else",),
    ),
    Mutation(
        "a race that has ended goes on for more seeds alone",
        _ROUNDS,
        "if reached < seeds != asked_before:",
        "if reached < seeds:",
        (f"{_OF_RACE}::test_resuming_a_race_that_has_ended_changes_nothing",),
    ),
    Mutation(
        "looks share the risk",
        "studies/statistics.py",
        "2 * (1 - level) / (comparisons * looks)",
        "2 * (1 - level) / comparisons",
        (f"{_OF_CONFIRMATION}::test_more_seeds_are_a_second_look_too",),
    ),
    Mutation(
        "a technique's verdict rests on the seeds that both have",
        "studies/analysis/confirmed_finalist.py",
        "if training.seed in theirs]",
        "]",
        (f"{_OF_RACE}::test_a_dropped_finalist_is_evaluated_and_reported_with_its_reason",),
    ),
    Mutation(
        "what a server acknowledged is on its disk",
        _POSTGRES,
        "then set_config('synchronous_commit', 'on', false) end",
        "then 'off' end",
        (f"{_OF_SERVER}::test_what_was_acknowledged_is_on_the_disk",),
    ),
)


def main(chosen: list[str]) -> int:
    mutations = [mutation for mutation in MUTATIONS if not chosen or mutation.name in chosen]
    if not os.environ.get("REGSEARCH_TEST_POSTGRES"):
        mutations = [mutation for mutation in mutations if mutation.path not in (_POSTGRES, _LEASE)]
        print("without REGSEARCH_TEST_POSTGRES, those of a server are left out")
    gone = [mutation.name for mutation in mutations if _source(mutation).count(mutation.text) != 1]
    if gone or not mutations:
        print(f"the text to replace isn't in the source, once: {gone}" if gone else f"no mutation is called {chosen}")
        return 1
    tests = sorted({test for mutation in mutations for test in mutation.tests})
    failed = _failing(None, tests)
    if failed is not None:
        print(f"without any mutation, this fails: {failed}")
        return 1
    survived, width = 0, max(len(mutation.name) for mutation in mutations)
    for mutation in mutations:
        caught = _failing(mutation, mutation.tests)
        survived += caught is None
        print(f"{mutation.name:{width}}  {'SURVIVED' if caught is None else 'caught by ' + caught}", flush=True)
    print(f"{len(mutations) - survived} of {len(mutations)} mutations were caught")
    return int(survived > 0)


def _source(mutation: Mutation) -> str:
    return (ROOT / mutation.path).read_text()


def _failing(mutation: Mutation | None, tests: "list[str] | tuple[str, ...]") -> str | None:
    """Run tests in a copy of the repository with a mutation; return the first that fails, None if all pass."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "regsearch"  # the name that the package is imported by
        ignored = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", "*.egg-info", "build")
        shutil.copytree(ROOT, copy, ignore=ignored)
        if mutation is not None:
            (copy / mutation.path).write_text(_source(mutation).replace(mutation.text, mutation.instead))
        environment = {**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        options = ["-x", "-q", "-p", "no:cacheprovider", f"--basetemp={folder}/pytest"]
        command = [sys.executable, "-m", "pytest", *options, *tests]
        try:
            done = subprocess.run(
                command,
                cwd=copy,
                env=environment,
                capture_output=True,
                text=True,
                timeout=_ALL_SECONDS if mutation is None else _SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"{tests[0]}, which doesn't end"
        if done.returncode == 0:
            return None
        found = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
        if found is None or done.returncode != 1:
            raise RuntimeError(f"the tests can't be run: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return found[1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
