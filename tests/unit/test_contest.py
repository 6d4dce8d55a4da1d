"""The contest: fair turns, start low and increase, refinement, combinations, and never a repeat."""

import math
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regsearch.search.samplers import sampler_factory
from regsearch.studies.configuration import Regularization, params_of
from regsearch.studies.contest.contestants import USUAL, contestant_name, contestant_of, fewest_trials, is_out
from regsearch.studies.contest.notes import notes
from regsearch.studies.contest.proposals import Contest, Entry
from regsearch.studies.contest.strength_line import Line
from regsearch.studies.errors import InputError
from regsearch.studies.recipes import contest_of, recipe_names
from regsearch.studies.spec import SpaceSpec, StudySpec
from regsearch.studies.techniques.dropout import DropoutRange
from regsearch.studies.techniques.early_stopping import PatienceRange

SPACE = SpaceSpec()
EPOCHS = 20


def loss_of(settings: Regularization) -> float:
    """A smooth truth: L1 is best at 3e-5, L2 at 3e-4, dropout at 0.2; BatchNorm before the activation helps."""
    loss = 1.0 if settings.patience is not None else 1.1
    for strength, best in ((settings.l1, 3e-5), (settings.l2, 3e-4)):
        loss += 0.1 * (abs(math.log10(strength / best)) - 1) if strength else 0
    loss += 2 * abs(settings.dropout - 0.2) - 0.2 if settings.dropout else 0
    return loss - {"none": 0.0, "before_activation": 0.2, "after_activation": 0.05}[settings.batch_norm]


def searched(contest: Contest, trials: int, loss: Callable[[Regularization], float] = loss_of) -> list[Entry]:
    entries: list[Entry] = []
    for number in range(trials):
        found = contest.propose(number, entries)
        if found is None:
            break
        entries.append(Entry(settings=found, loss=loss(found)))
    return entries


def contest(space: SpaceSpec = SPACE, **others: object) -> Contest:
    return Contest.of(space, **{"seed": 0, "max_epochs": EPOCHS, **others})  # type: ignore[arg-type]


def best_of(entries: list[Entry], name: str) -> Regularization:
    return min((e for e in entries if contestant_of(e.settings) == name), key=lambda e: e.loss or 0.0).settings


def test_the_baselines_come_first() -> None:
    first, second, *_ = searched(contest(), 5)
    assert (first.settings, second.settings) == (Regularization(), Regularization(patience=8))


def test_each_contestant_gets_its_fewest_trials_before_any_combination() -> None:
    entries = searched(contest(), 60)
    names = [contestant_of(entry.settings) for entry in entries]
    alone = Counter(names[: names.index("combination")])
    assert {name: alone[name] for name in USUAL} == {name: fewest_trials(name) for name in USUAL}
    assert names.index("combination") == contest().fewest
    assert names.count("combination") > 10


def test_contestants_take_turns() -> None:
    names = [contestant_of(entry.settings) for entry in searched(contest(), 7)]
    assert sorted(names[2:]) == sorted(USUAL)


def test_each_technique_finds_its_best_strength() -> None:
    entries = searched(contest(), 50)
    assert abs(math.log10(best_of(entries, "l1").l1 / 3e-5)) < 0.3
    assert abs(math.log10(best_of(entries, "l2").l2 / 3e-4)) < 0.3
    assert abs(best_of(entries, "dropout").dropout - 0.2) < 0.05
    assert best_of(entries, "batch_norm").batch_norm == "before_activation"


def test_strengths_start_low_and_increase_until_they_are_too_strong() -> None:
    first = [e.settings.l1 for e in searched(contest(), 40) if contestant_of(e.settings) == "l1"][:4]
    assert first == sorted(first)
    assert max(e.settings.l1 for e in searched(contest(), 40)) < 5e-3  # 3.2e-4 is too strong already


def test_a_strength_that_still_runs_stops_nothing() -> None:
    line = Line(low=1e-7, high=1e-2, is_log=True)
    grid = [1e-6, 1e-5, 1e-4, 1e-3]
    assert next(line.next(grid, [(1e-6, None), (1e-5, None)])) == 1e-4
    assert next(line.next(grid, [(1e-6, 1.0), (1e-5, 2.0)])) not in grid
    assert next(line.next(grid, [(1e-6, 1.0), (1e-5, math.inf)])) not in grid
    assert next(line.next(grid, [(1e-6, 1.0), (1e-5, 1.1)])) == 1e-4


def test_an_accuracy_increases_strengths_too() -> None:
    """It stands in a contest as its negative."""
    entries = searched(contest(), 30, lambda settings: -0.95 + 0.001 * bool(settings.l1))
    assert max(entry.settings.l1 for entry in entries) == 3.2e-3


def test_settings_that_train_alike_are_proposed_once() -> None:
    entries = searched(contest(max_epochs=1), 12)
    assert [e.settings.patience for e in entries if contestant_of(e.settings) == "none"] == [None]


def test_contestants_limit_recipes_and_combinations() -> None:
    study = StudySpec().changed(search={"contestants": ["dropout"], "recipes": ["course", "ladder"]})
    names = {contestant_of(entry.settings) for entry in searched(contest_of(study), 40)}
    assert names == {"none", "dropout"}


def test_combinations_are_built_from_what_helped() -> None:
    entries = searched(contest(), 60)
    combined = [e.settings for e in entries if contestant_of(e.settings) == "combination"]
    first = combined[0]
    assert first.batch_norm == "before_activation"
    assert bool(first.l1 or first.l2) != bool(first.dropout)
    assert min(loss_of(settings) for settings in combined) < min(
        e.loss for e in entries if contestant_of(e.settings) != "combination" and e.loss is not None
    )


def test_recipes_are_points_of_their_contestant_with_the_patience_of_all() -> None:
    study = StudySpec()
    tried = {entry.settings for entry in searched(contest_of(study), 60)}
    names = recipe_names(study)
    assert set(names.values()) >= {"L1+L2", "dropout 0.1", "BatchNorm", "early stopping", "none"}
    assert {settings.patience for settings, name in names.items() if name == "L2 0.01"} == {8}
    assert set(names) <= tried


def test_a_ladder_is_the_grid_of_its_technique() -> None:
    study = StudySpec().changed(search={"recipes": ["ladder"]})
    tried = [e.settings.l1 for e in searched(contest_of(study), 30, lambda _: 1.0) if contestant_of(e.settings) == "l1"]
    assert tried[:5] == [1e-6, 1e-5, 1e-4, 1e-3, 1e-2]


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10), st.integers(1, 6), st.booleans())
def test_no_settings_are_proposed_twice_with_any_number_of_workers(seed: int, workers: int, prunes: bool) -> None:
    entries: list[Entry] = []
    running: list[int] = []
    for number in range(70):
        proposed = contest(seed=seed).propose(number, entries)
        assert proposed is not None
        assert proposed not in {entry.settings for entry in entries}
        params_of(proposed, SPACE)
        running.append(number)
        entries.append(Entry(settings=proposed, loss=None))
        if len(running) >= workers:
            done = running.pop(0)
            loss = loss_of(entries[done].settings)
            entries[done] = Entry(settings=entries[done].settings, loss=math.inf if prunes and loss > 1.2 else loss)


def test_a_proposal_depends_on_nothing_but_the_study_and_the_trials_before() -> None:
    entries = searched(contest(), 45)
    for number in (0, 10, 30, 44):
        assert contest().propose(number, entries[:number]) == entries[number].settings
    assert [e.settings for e in searched(contest(seed=1), 45)] != [e.settings for e in entries]


def test_a_small_space_ends_when_all_its_points_were_tried() -> None:
    space = SpaceSpec(regularizer=("none",), dropout="off", batch_norm=("none",), patience=PatienceRange(low=1, high=3))
    entries = searched(contest(space), 20)
    assert {e.settings.patience for e in entries} == {None, 1, 2, 3}


@pytest.mark.parametrize(
    ("space", "contestants"),
    [
        (SpaceSpec(regularizer=("none", "l2"), dropout="off", batch_norm=("none",)), ("l2",)),
        (SpaceSpec(regularizer=("none", "l1", "l2")), ("l1", "l2", "dropout", "batch_norm")),
        (SpaceSpec(regularizer=("none",), patience="off"), ("dropout", "batch_norm")),
        (SpaceSpec(dropout=DropoutRange(off=False)), ("dropout",)),
        (SpaceSpec(regularizer=("l1",)), ("l1",)),
    ],
)
def test_the_contestants_are_those_that_the_space_has_alone(space: SpaceSpec, contestants: tuple[str, ...]) -> None:
    found = contest(space)
    assert found.contestants == contestants
    for entry in searched(found, 25):
        params_of(entry.settings, space)


def test_named_contestants_may_be_several_techniques_together() -> None:
    study = StudySpec().changed(search={"contestants": ["dropout", "dropout+l2"], "recipes": []})
    found = contest_of(study)
    assert found.contestants == ("dropout", "l2+dropout")
    names = Counter(contestant_of(e.settings, found.contestants) for e in searched(found, 30))
    assert names["l2+dropout"] >= fewest_trials("l2+dropout")
    assert names["l1"] == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"search": {"contestants": ["l3"]}}, "search.contestants: a contestant is one of l1, l2, .*given was 'l3'"),
        ({"search": {"contestants": ["l1+l1"]}}, "has each technique once"),
        ({"search": {"contestants": ["l1+l2", "l2+l1"]}}, "search.contestants: .*no choice twice"),
        (
            {"search": {"contestants": ["l1"]}, "space": {"regularizer": ["none", "l2"]}},
            "search.contestants has l1, but this study's space has no configuration with",
        ),
        (
            {"space": {"regularizer": ["l1_l2"], "dropout": {"off": False}}},
            "can't tune a technique alone: this study's space has only combinations",
        ),
        ({"search": {"sampler_options": {"a": 1}}}, "the sampler 'contest' has no options"),
    ],
)
def test_what_a_contest_cannot_do_is_refused_in_one_line(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        sampler_factory(StudySpec().changed(**changes))  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_the_learning_rate_is_tuned_for_each_contestant_and_the_baseline() -> None:
    study = StudySpec().changed(space={"learning_rate": {"low": 1e-4, "high": 1e-2}}, search={"recipes": []})
    found = contest_of(study)

    def loss(settings: Regularization) -> float:
        best = 3e-3 if settings.dropout else 3e-4
        return loss_of(settings) + 0.1 * abs(math.log10(settings.learning_rate / best))

    entries = searched(found, found.fewest + 10, loss)
    rates = {name: set() for name in (*USUAL, "none")}
    for entry in entries[: found.fewest]:
        rates[contestant_of(entry.settings)].add(entry.settings.learning_rate)
        params_of(entry.settings, study.space)
    assert all(len(of_one) == 4 for of_one in rates.values()), "the study's own, and three others"
    best = {name: best_of(entries, name).learning_rate for name in ("dropout", "l2")}
    assert best["dropout"] > best["l2"]
    assert {contestant_of(entry.settings) for entry in entries[found.fewest :]} == {"combination"}


def test_a_contestant_with_fewer_points_needs_fewer_trials() -> None:
    space = SpaceSpec(batch_norm=("none", "before_activation"), dropout=DropoutRange(low=0.2, high=0.2))
    found = contest(space)
    assert (found.fewest_of("batch_norm"), found.fewest_of("dropout"), found.fewest_of("l1")) == (1, 1, 6)
    assert notes(found, found.fewest) == []


def test_names_of_contestants_have_one_order() -> None:
    assert contestant_name("dropout+l2+l1") == "l1+l2+dropout"


def test_a_trial_is_out_when_it_is_worse_than_the_median_of_enough_peers() -> None:
    assert is_out(1.0, [0.9, 0.8, 1.1], 3)
    assert not is_out(0.9, [0.9, 0.8, 1.1], 3)
    assert not is_out(5.0, [0.9, 0.8], 3)
