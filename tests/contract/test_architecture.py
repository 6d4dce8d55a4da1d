"""The repository holds its own rules: what may import what, and what the documents claim."""

import ast
import graphlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import mutants
import pytest

ROOT = Path(__file__).parents[2]
FLOORS = ("studies", "storage", "search")  # an import points to its own floor or down
MODULES = sorted(path for package in FLOORS for path in (ROOT / package).rglob("*.py"))
PUTS_TOGETHER = ("search/cli", "search/run", "search/export", "search/api.py", "search/doctor.py", "search/result.py")
TRAINS = ("search/training", "search/export", "search/samplers/keras_tuner.py")
TENSORFLOW = {"tensorflow", "keras", "keras_tuner"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def module_of(path: Path) -> str:
    return "regsearch." + name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def absolute(node: ast.ImportFrom, path: Path) -> str:
    """Return the dotted name of what an import takes from; `from ..studies import x` is of regsearch.studies."""
    if node.level == 0:
        return node.module or ""
    package = ("regsearch", *path.parent.relative_to(ROOT).parts)
    return ".".join((*package[: len(package) - node.level + 1], *filter(None, [node.module])))


def imported(path: Path, *, when_loaded: bool = False) -> set[str]:
    """Return the dotted names of what a module imports: anywhere in it, or outside of its functions."""
    names: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            origin = absolute(node, path)
            by_alembic = name_of(path) == "storage/migrations/env.py"  # which it runs as a script
            assert by_alembic or not origin.startswith("regsearch") or node.level, f"{path}: use a relative import"
            names |= {f"{origin}.{alias.name}" for alias in node.names}
        elif not (when_loaded and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            waiting += ast.iter_child_nodes(node)
    return names


def distributions(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def modules_imported(path: Path) -> set[str]:
    """Return which of our modules a module imports, itself aside."""
    ours = {module_of(module) for module in MODULES}
    found = {name if name in ours else name.rpartition(".")[0] for name in imported(path)}
    return (found & ours) - {module_of(path)}


def is_in(path: Path, places: tuple[str, ...]) -> bool:
    return any(name_of(path) == place or name_of(path).startswith(f"{place}/") for place in places)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_downward(path: Path) -> None:
    floor = FLOORS.index(path.relative_to(ROOT).parts[0])
    for module in modules_imported(path):
        assert FLOORS.index(module.split(".")[1]) <= floor, module
        if is_in(path, ("studies/analysis", "studies/techniques", "studies/contest")):
            assert not module.startswith("regsearch.studies.reports"), module
        if not is_in(path, ("storage", *PUTS_TOGETHER)):
            assert not module.startswith("regsearch.storage"), module
    assert not distributions(imported(path)) & {"tests", "fakes"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_library_is_imported_only_where_it_belongs(path: Path) -> None:
    names = distributions(imported(path))
    if is_in(path, ("studies/techniques",)):  # which import Keras inside the functions that apply a technique
        assert not distributions(imported(path, when_loaded=True)) & TENSORFLOW
        names -= TENSORFLOW
    if is_in(path, ("studies",)):
        assert not names & {"sqlalchemy", "optuna"}
    if not is_in(path, TRAINS):
        assert not names & TENSORFLOW
    if not is_in(path, ("storage", *PUTS_TOGETHER)):
        assert "sqlalchemy" not in names
    if not is_in(path, ("search/samplers/factory.py",)):  # it imports KerasTuner's sampler when a study asks for it
        assert "regsearch.search.samplers.keras_tuner" not in modules_imported(path)


def test_no_module_imports_itself_in_the_end() -> None:
    graph = {module_of(path): modules_imported(path) for path in MODULES}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError with the modules of a cycle


def test_a_cycle_of_imports_would_be_found() -> None:
    with pytest.raises(graphlib.CycleError):
        list(graphlib.TopologicalSorter({"a": {"b"}, "b": {"a"}}).static_order())


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_says_what_it_is_for_and_is_not_too_long(path: Path) -> None:
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= 420


@pytest.mark.parametrize("mutation", mutants.MUTATIONS, ids=lambda mutation: str(mutation.name))
def test_every_mutation_finds_its_text_and_its_tests(mutation: mutants.Mutation) -> None:
    assert (ROOT / mutation.path).read_text().count(mutation.text) == 1
    for test in mutation.tests:
        path, _, name = test.partition("::")
        assert f"def {name}" in (ROOT / path).read_text()


def test_the_top_level_is_fixed() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    if not tracked:
        pytest.skip("not a git checkout")
    allowed = {"pyproject.toml", "search", "studies", "storage", "tests", "README.md"}
    for_tools = {".ci", "Makefile", "requirements.lock", "LICENSE", "CHANGELOG.md", ".gitignore"}
    of_the_package = {"__init__.py", "__main__.py", "py.typed"}  # the root is the package `regsearch`
    assert {path.split("/")[0] for path in tracked} <= allowed | for_tools | of_the_package


def test_every_package_is_shipped_and_tests_are_not() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {".".join(("regsearch", *path.parent.relative_to(ROOT).parts)) for path in MODULES}
    assert set(listed) == found | {"regsearch"}


LOCKS = ["requirements.lock", "tests/benchmarks/bench-requirements.lock", ".ci/audit-requirements.lock"]


def test_every_lock_is_known() -> None:
    found = {name_of(path) for path in ROOT.rglob("*.lock") if ".venv" not in name_of(path)}
    assert found == set(LOCKS)
    audited = re.search(r"^for lock in (.*); do$", (ROOT / ".ci" / "audit").read_text(), re.MULTILINE)
    assert audited is not None
    assert audited[1].split() == LOCKS


def asked_for(lock: str) -> set[str]:
    """The distributions that a lock is there for, by their own names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = {
        "requirements.lock": [*project["dependencies"], *extras["dev"], *extras["ray"]],
        "tests/benchmarks/bench-requirements.lock": extras["bench"],
        ".ci/audit-requirements.lock": (ROOT / ".ci/audit-requirements.in").read_text().splitlines(),
    }[lock]
    names = {match[0] for text in asked if (match := re.match(r"[A-Za-z0-9._-]+", text))}
    return names - {project["name"]}


def pinned(lock: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==", lock, re.MULTILINE))


@pytest.mark.parametrize("name", LOCKS)
def test_every_requirement_of_a_lock_is_pinned_with_hashes_and_no_address(name: str) -> None:
    lock = (ROOT / name).read_text()
    assert "://" not in lock
    _, *pins = re.split(r"\n(?=[a-z0-9])", lock)
    elsewhere = "" if name == LOCKS[0] else (ROOT / LOCKS[0]).read_text()
    assert asked_for(name) <= pinned(lock) | pinned(elsewhere)
    assert asked_for(name) & pinned(lock)
    for pin in pins:
        assert re.match(r"[a-z0-9.\-\[\]]+==\S+", pin), pin[:60]
        assert "--hash=sha256:" in pin, pin[:60]


def test_nothing_is_installed_without_its_hash() -> None:
    makefile = (ROOT / "Makefile").read_text().replace("$(PIP_INSTALL)", "pip install").replace("\\\n", " ")
    installs = [line for line in makefile.splitlines() if "pip install" in line and ":=" not in line]
    assert len(installs) == len(LOCKS) + 1
    for line in installs:  # the last one installs this repository, and nothing that it needs
        assert "--require-hashes" in line or re.search(r"--no-deps .*--editable \.$", line), line
    for script in (ROOT / ".ci").iterdir():
        assert "pip install" not in script.read_text()


@pytest.mark.parametrize(
    ("says", "ends", "code", "message"),
    [
        ("No known vulnerabilities found", 0, 0, "requirements.lock: no known vulnerability"),
        ("Found 1 known vulnerability in 1 package", 1, 1, "Found 1 known vulnerability"),
        ("Traceback\nConnectionError: no network", 1, 2, "requirements.lock was not audited, the list of vuln"),
        ("", 127, 2, "was not audited"),
    ],
)
def test_an_audit_that_could_not_be_made_does_not_pass(
    says: str, ends: int, code: int, message: str, tmp_path: Path
) -> None:
    stand_in = tmp_path / "pip-audit"
    stand_in.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{says}\nEND\nexit {ends}\n")
    stand_in.chmod(0o755)
    done = subprocess.run([ROOT / ".ci" / "audit", stand_in], capture_output=True, text=True, check=False)
    assert (done.returncode, message in done.stdout + done.stderr) == (code, True), done
    assert len(done.stderr.splitlines()) == (1 if code == 2 else 0)


@pytest.mark.parametrize("command", [["--help"], ["schema"], ["run", "--help"], ["status", "absent"]])
def test_what_needs_no_tensorflow_does_not_import_it(command: list[str], tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from regsearch.search.cli.commands import main\n"
        f"sys.argv = ['regsearch', *{command!r}]\n"
        "try: main()\n"
        "finally: assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "AssertionError" not in done.stderr
    assert "Traceback" not in done.stderr


def test_on_windows_there_is_one_clear_line(tmp_path: Path) -> None:
    script = (
        "import signal, sys\ndel signal.SIGHUP\n"
        "from regsearch.search.cli.commands import main\nsys.platform = 'win32'\nmain()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "regsearch runs on Linux and macOS; on Windows, use it inside WSL\n"


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from regsearch.search.cli.commands import main\n"
        "sys.argv = ['regsearch', '--help']\n"
        "try: main()\n"
        "finally: assert not {'optuna', 'sqlalchemy', 'numpy', 'pydantic'} & set(sys.modules), 'heavy'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_tests_name_is_one_claim_of_at_most_70_characters() -> None:
    names = [
        name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
    ]
    assert len(names) > 1000
    assert [name for name in names if len(name) > 70] == []
