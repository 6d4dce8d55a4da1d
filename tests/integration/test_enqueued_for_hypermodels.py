"""Settings of a user's own for a HyperModel: what its trials asked for can be given, and nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asking import AskingTrainer, write_code
from helpers import rows

from regsearch.search import api
from regsearch.search.cli.output import how_to_resume
from regsearch.search.result import RunResult
from regsearch.search.workers.inline import InlineEngine
from regsearch.studies.errors import InputError

Search = Callable[..., RunResult]
Own = Callable[[int], RunResult]


@pytest.fixture
def own(search: Search, tmp_path: Path) -> Own:
    """Search a HyperModel of fake trials up to a total; the first trial has its defaults."""

    def run(trials: int) -> RunResult:
        options: dict[str, Any] = {"confirm": False, "trust_code": True, "engine": InlineEngine(AskingTrainer)}
        return search(settings=[write_code(tmp_path)], workers=1, trials=trials, **options)

    return run


def test_what_is_given_is_tried_next_and_the_sampler_chooses_the_rest(own: Own, storage: str) -> None:
    own(2)
    given = ["kind=wide", "units=96", "lr=0.02"]
    number, _ = api.enqueue("smoke", given, storage=storage)
    own(4)
    params = rows(storage)[number]["params"]
    assert (number, params["kind"], params["units"], params["lr"]) == (2, "wide", 96, 0.02)
    assert params.keys() == {"kind", "units", "lr", "rate"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("l2=1e-4", "can't use --param 'l2=1e-4': it is not NAME=VALUE with a known name."),
        ("units", "with a known name. Use one of kind, layers, lr, rate, units."),
        ("units=64 units=64", "can't use --param 'units=64': units was given before. Give each name once."),
        ("units=100", "units is a whole number from 32 to 512 in steps of 32 in this study, not 100."),
        ("units=544", "units is a whole number from 32 to 512"),
        ("lr=nan", "lr is a number from 0.0001 to 0.1 in this study, not nan."),
        ("lr=much", "lr is a number from 0.0001 to 0.1 in this study, not much."),
        ("kind=round", "kind is one of wide, deep in this study, not round."),
    ],
)
def test_what_no_trial_asked_for_is_refused(own: Own, storage: str, setting: str, message: str) -> None:
    own(1)
    with pytest.raises(InputError) as raised:
        api.enqueue("smoke", setting.split(), storage=storage)
    assert message in str(raised.value)
    assert len(rows(storage)) == 1


def test_untried_defaults_are_not_reported_as_failed(search: Search, tmp_path: Path) -> None:
    settings = [write_code(tmp_path), "search.recipes=[]", "confirm.top=1", "confirm.seeds=3"]
    result = search(settings=settings, trials=3, trust_code=True, engine=InlineEngine(AskingTrainer))
    told = " ".join(str(result).split())
    assert "the defaults were not confirmed" in told
    assert "failed" not in told.partition("Answer:")[2]


def test_the_line_that_says_how_to_go_on_has_trust_code(
    own: Own, search: Search, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owns, plain = own(1), search(name="plain", trials=1, confirm=False)
    monkeypatch.setenv("REGSEARCH_STORAGE", storage)
    assert how_to_resume(owns.answer.study.spec, owns.location) == "resume with: regsearch resume smoke --trust-code"
    assert how_to_resume(plain.answer.study.spec, plain.location) == "resume with: regsearch resume plain"
