"""The options of a run: declared once, and the same for the Python functions and the command line."""

import inspect
import re
from dataclasses import fields
from typing import Any

import pytest
from typer.testing import CliRunner

import regsearch
from regsearch.search.cli.commands import app
from regsearch.search.cli.options import SearchOptions, TrainingOptions
from regsearch.search.run.options import RunOptions, SearchKeywords

TRAINING: dict[str, Any] = {
    "storage": None,
    "timeout": None,
    "workers": None,
    "data": None,
    "engine": "processes",
    "progress": None,
    "handle_signals": False,
    "trust_code": False,
    "log": None,
}
SEARCH = TRAINING | {"trials": None, "confirm": True, "tensorboard": None, "checkpoints": None}
DEFAULTS = {
    "run": SEARCH | {"study": "mnist", "name": None, "settings": ()},
    "resume": SEARCH | {"name": inspect.Parameter.empty},
    "confirm": TRAINING | {"name": inspect.Parameter.empty, "top": None, "seeds": None},
}
OPTIONS_OF_THE_COMMANDS = {
    "run": "--name --set --trials --tensorboard --checkpoints --no-confirm",
    "resume": "--trials --tensorboard --checkpoints --no-confirm",
    "confirm": "--top --seeds",
}
SHARED = (
    "--timeout --workers --data --engine --address --cpus-per-worker --gpus-per-worker --trust-code --log "
    "--json --quiet --storage --help"
)


def test_the_keywords_are_the_options_of_a_run() -> None:
    set_by_the_program = {"location", "search", "given"}
    assert {field.name for field in fields(RunOptions)} == set(SearchKeywords.__annotations__) | set_by_the_program


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_function_lists_its_arguments_with_their_defaults(name: str) -> None:
    parameters = inspect.signature(getattr(regsearch, name)).parameters
    assert {key: parameter.default for key, parameter in parameters.items()} == DEFAULTS[name]
    first, *others = parameters.values()
    assert first.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert {other.kind for other in others} == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_function_describes_each_argument(name: str) -> None:
    function = getattr(regsearch, name)
    for key in inspect.signature(function).parameters:
        assert re.search(rf"\b{key}\b", function.__doc__ or ""), key


@pytest.mark.parametrize("unknown", ["tirals", "location", "search", "given"])
def test_an_unknown_argument_is_refused(unknown: str) -> None:
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{unknown}'"):
        regsearch.run("smoke", **{unknown: None})


def test_a_confirmation_has_no_options_of_a_search() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'trials'"):
        regsearch.confirm("smoke", trials=4)  # type: ignore[call-arg]


@pytest.mark.parametrize("command", OPTIONS_OF_THE_COMMANDS)
def test_help_lists_every_option(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"]).stdout
    expected = f"{OPTIONS_OF_THE_COMMANDS[command]} {SHARED}".split()
    assert re.findall(r"^  (--[a-z-]+)", shown, re.MULTILINE) == expected


@pytest.mark.parametrize(("options", "function"), [(SearchOptions(), "run"), (TrainingOptions(), "confirm")])
def test_each_shared_option_reaches_the_function(options: TrainingOptions, function: str) -> None:
    parameters = set(inspect.signature(getattr(regsearch, function)).parameters)
    assert set(options.keywords()) == parameters - {"study", "name", "settings", "top", "seeds"}


def test_what_the_command_line_gives_is_what_the_function_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    from regsearch.search import api

    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def stand_in(*arguments: Any, **keywords: Any) -> None:
        calls.append((arguments, keywords))
        raise SystemExit(0)

    monkeypatch.setattr(api, "run", stand_in)
    words = (
        "run digits --name d --set a.b=1 --set a.c=2 --trials 7 --timeout 5m --workers 2 --data mnist --engine inline"
    )
    more = "--engine inline --tensorboard T --checkpoints C --no-confirm --trust-code --log L --storage sqlite:///x.db"
    CliRunner().invoke(app, f"{words} {more}".split())
    ((arguments, keywords),) = calls
    del keywords["engine"], keywords["progress"]
    assert arguments == ("digits",)
    assert keywords == {
        "name": "d",
        "settings": ["a.b=1", "a.c=2"],
        "trials": 7,
        "timeout": "5m",
        "workers": 2,
        "data": "mnist",
        "tensorboard": "T",
        "checkpoints": "C",
        "confirm": False,
        "trust_code": True,
        "log": "L",
        "storage": "sqlite:///x.db",
        "handle_signals": True,
    }
