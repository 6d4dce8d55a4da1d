"""The guard of `make test`: in CI, a test without the marker `slow` fails if it takes too much processor time."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import budget
import pytest

ROOT = Path(__file__).parents[2]
BURNS = "import time\nwhile time.process_time() < 0.6: pass\n"
TESTS = {
    "in this process": BURNS.replace("\n", "\n    ").rstrip(),
    "in a child": f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURNS!r}], check=True)",
    "asleep": "import time; time.sleep(0.6)",
}


def outcome(folder: Path, body: str, mark: str = "", ci: str = "true") -> str:
    """Run one test with a budget of 0.3 s; return pytest's last line."""
    (folder / "test_it.py").write_text(f"import pytest\n{mark}\ndef test_it():\n    {body}\n")
    (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    slow: takes long\n")
    environment = {
        **os.environ,
        "CI": ci,
        "REGSEARCH_TEST_BUDGET": "0.3",
        "PYTHONPATH": str(Path(budget.__file__).parent),
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "budget", "-p", "no:cacheprovider", "test_it.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


@pytest.mark.parametrize("what", ["in this process", "in a child"])
def test_an_unmarked_test_over_the_budget_fails_in_ci(what: str, tmp_path: Path) -> None:
    shown = outcome(tmp_path, TESTS[what])
    assert "1 failed" in shown
    assert "s of processor time. Mark it slow, or make it faster." in shown


@pytest.mark.parametrize(
    ("what", "mark", "ci"),
    [("in this process", "@pytest.mark.slow", "true"), ("in this process", "", ""), ("asleep", "", "true")],
    ids=["marked", "not in CI", "asleep"],
)
def test_other_tests_pass(what: str, mark: str, ci: str, tmp_path: Path) -> None:
    assert "1 passed" in outcome(tmp_path, TESTS[what], mark, ci)


def test_the_guard_is_loaded(request: pytest.FixtureRequest) -> None:
    assert request.config.pluginmanager.has_plugin("budget")
    assert budget.BUDGET_SECONDS == 5.0


def test_ci_runs_the_fast_tests_and_then_the_rest() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert '-m "not slow"' in makefile
    assert "-m slow" in makefile
    ran = [line.split() for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.startswith("make ")]
    assert ran == [["make", "lint"], ["make", "test"], ["make", "test-slow"]]
    markers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
    assert [marker.split(":")[0] for marker in markers] == ["slow"]


def promises() -> list[tuple[str, str, bool]]:
    """Return (promise, test, whether it is in the column of slow tests) of the table in tests/README.md."""
    table = re.findall(
        r"^\| ([^|]+) \| (`[^|]+) \| (`[^|]+) \|$", (ROOT / "tests" / "README.md").read_text(), re.MULTILINE
    )
    return [
        (promise, test, is_slow)
        for promise, fast, slow in table
        for is_slow, cell in ((False, fast), (True, slow))
        for test in re.findall(r"`([^`]+)`", cell)
    ]


def is_marked_slow(test: str) -> bool:
    """Return whether a test, "folder/test_file.py::name", has the marker on all of its cases."""
    path, _, name = test.partition("::")
    functions = [
        node for node in ast.walk(ast.parse((ROOT / "tests" / path).read_text())) if isinstance(node, ast.FunctionDef)
    ]
    (function,) = (node for node in functions if node.name == name)
    return "pytest.mark.slow" in {ast.unparse(decorator) for decorator in function.decorator_list}


def test_each_promise_has_fast_tests_and_slow_ones() -> None:
    table = promises()
    assert len({promise for promise, _, _ in table}) >= 15
    for promise in {promise for promise, _, _ in table}:
        assert {is_slow for name, _, is_slow in table if name == promise} == {False, True}, promise


@pytest.mark.parametrize(("promise", "test", "is_slow"), promises())
def test_a_promises_test_is_in_its_column(promise: str, test: str, is_slow: bool) -> None:
    assert is_marked_slow(test) == is_slow
