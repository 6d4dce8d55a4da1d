"""Samplers and pruners by name: what can't serve a study is refused before it is begun."""

import warnings
from typing import Any

import optuna
import pytest

from regsearch.search.samplers import make_pruner, sampler_factory
from regsearch.search.samplers.pruners import warm_up_epochs
from regsearch.studies.errors import InputError, SpaceExhaustedError
from regsearch.studies.search_space import suggest
from regsearch.studies.spec import StudySpec

SMOKE = StudySpec().changed(training={"max_epochs": 3})
GRID = {
    "regularizer": ["none", "l2"],
    "l2": [1e-4, 1e-3],
    "use_dropout": [False],
    "batch_norm": ["none", "after_activation"],
    "early_stopping": [False],
}


def with_sampler(name: str, **options: Any) -> StudySpec:
    return SMOKE.changed(search={"sampler": name, "sampler_options": options})


def proposals(spec: StudySpec, count: int) -> list[dict[str, Any]]:
    factory = sampler_factory(spec)
    study = optuna.create_study()
    proposed = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(count):
            study.sampler = factory(number)
            trial = study.ask()
            proposed.append(suggest(trial, spec.space))
            study._storage.set_trial_state_values(trial._trial_id, optuna.trial.TrialState.COMPLETE, [number])
    return proposed


@pytest.mark.parametrize("name", ["tpe", "random", "qmc", "TPESampler", "RandomSampler", "QMCSampler", "NSGAIISampler"])
def test_a_sampler_made_anew_for_each_trial_does_not_repeat_itself(name: str) -> None:
    proposed = proposals(with_sampler(name), 15)
    assert len({tuple(sorted(params.items())) for params in proposed}) > 12


@pytest.mark.parametrize("name", ["tpe", "random", "qmc"])
def test_the_same_seed_proposes_the_same_and_another_seed_does_not(name: str) -> None:
    spec = with_sampler(name)
    assert proposals(spec, 14) == proposals(spec, 14)
    assert proposals(spec, 14) != proposals(spec.changed(search={"seed": 1}), 14)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("tpr", {}, "Did you mean tpe"),
        ("BaseSampler", {}, "unknown sampler 'BaseSampler'"),
        ("__import__", {}, "unknown sampler"),
        ("nsgaii", {}, "unknown sampler"),
        ("tpe", {"n_startup": 3}, "can't serve this study.*n_startup"),
        ("random", {"n_startup_trials": 3}, r"Leave them out with `--set 'search\.sampler_options=\{\}'`"),
        ("tpe", {"seed": 3}, "all seeds derive from search.seed"),
        ("PartialFixedSampler", {}, "can't serve this study.*fixed_params"),
        ("BruteForceSampler", {}, "can't serve this study"),
        ("CmaEsSampler", {}, "can't serve this study.*cmaes"),
        ("GPSampler", {}, "can't serve this study.*torch"),
        ("grid", {}, "the grid needs a list of values of regularizer"),
        ("grid", {**GRID, "l2": [5.0]}, "invalid l2=5.0. .* a number from"),
    ],
)
def test_a_sampler_that_cannot_serve_is_refused_with_the_reason(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as error:
        sampler_factory(with_sampler(name, **options))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("options", [GRID, {"search_space": GRID}])
def test_a_grid_visits_each_distinct_point_once_and_then_says_so(options: dict[str, Any]) -> None:
    spec = with_sampler("grid", **options)
    proposed = proposals(spec, 6)
    assert len({tuple(sorted(params.items())) for params in proposed}) == 6
    with pytest.raises(SpaceExhaustedError):
        proposals(spec, 7)


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("median", {"n_startup_trials": 2}, optuna.pruners.MedianPruner),
        ("hyperband", {}, optuna.pruners.HyperbandPruner),
        ("none", {}, optuna.pruners.NopPruner),
        ("PercentilePruner", {"percentile": 25.0}, optuna.pruners.PercentilePruner),
        ("ThresholdPruner", {"upper": 1.0}, optuna.pruners.ThresholdPruner),
        ("SuccessiveHalvingPruner", {}, optuna.pruners.SuccessiveHalvingPruner),
    ],
)
def test_pruners_by_name(name: str, options: dict[str, Any], kind: type) -> None:
    assert isinstance(make_pruner(SMOKE.changed(search={"pruner": name, "pruner_options": options})), kind)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mediann", {}, "Did you mean median"),
        ("BasePruner", {}, "unknown pruner"),
        ("median", {"startup": 1}, "can't serve this study.*startup"),
        ("none", {"n_startup_trials": 1}, r"Leave them out with `--set 'search\.pruner_options=\{\}'`"),
        ("PercentilePruner", {}, "can't serve this study.*percentile"),
        ("PercentilePruner", {"percentile": 200.0}, "can't serve this study"),
        ("PatientPruner", {}, "can't serve this study.*wrapped_pruner"),
    ],
)
def test_a_pruner_that_cannot_serve_is_refused_with_the_reason(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make_pruner(SMOKE.changed(search={"pruner": name, "pruner_options": options}))


@pytest.mark.parametrize("name", ["hyperband", "HyperbandPruner"])
def test_hyperband_has_the_studys_epochs_as_its_resource(name: str) -> None:
    """Trying a pruner out must not teach the one that is used."""
    spec = SMOKE.changed(training={"max_epochs": 27}, search={"pruner": name})
    pruner = make_pruner(spec)
    assert isinstance(pruner, optuna.pruners.HyperbandPruner)
    study = optuna.create_study(pruner=pruner)
    trial = study.ask()
    trial.report(1.0, 0)
    trial.should_prune()
    assert pruner._max_resource == 27
    assert len(pruner._pruners) == 4


@pytest.mark.parametrize("name", ["qmc", "QMCSampler"])
def test_qmc_keeps_the_studys_seed(name: str) -> None:
    factory = sampler_factory(with_sampler(name, scramble=True))
    assert len({factory(number)._seed for number in range(3)}) == 1  # type: ignore[attr-defined]


DIGITS, MNIST = 1150, 48_000  # rows that a trial trains on


@pytest.mark.parametrize(
    ("train_rows", "max_epochs", "epochs"),
    [
        (DIGITS, 60, 9),
        (DIGITS, 15, 5),  # a third of them at most
        (MNIST, 20, 2),
        (MNIST, 3, 2),
        (MNIST, 1, 1),
        (None, 20, 2),
    ],
)
def test_a_trial_has_a_warm_up_that_is_counted_in_steps(train_rows: int | None, max_epochs: int, epochs: int) -> None:
    spec = SMOKE.changed(training={"max_epochs": max_epochs})
    assert warm_up_epochs(spec, train_rows) == epochs
    assert warm_up_epochs(spec.changed(search={"rules": 1}), train_rows) == 1


def first_pruned(pruner: optuna.pruners.BasePruner, max_epochs: int) -> int:
    """After how many epochs the worst of ten trials is pruned."""
    study = optuna.create_study(pruner=pruner, study_name="one")  # Hyperband draws brackets by the name
    for _ in range(20):
        trial = study.ask()
        for epoch in range(max_epochs):
            trial.report(0.0, epoch)
            trial.should_prune()
        study.tell(trial, 0.0)
    for _ in range(20):  # of Hyperband's brackets, some don't prune
        worst = study.ask()
        for epoch in range(max_epochs):
            worst.report(1.0, epoch)
            if worst.should_prune():
                return epoch + 1
        study.tell(worst, 1.0)
    return max_epochs


@pytest.mark.parametrize("name", ["median", "hyperband"])
def test_nothing_is_pruned_before_the_warm_up_is_over(name: str) -> None:
    spec = SMOKE.changed(training={"max_epochs": 15}, search={"pruner": name})
    old = spec.changed(search={"rules": 1})
    assert first_pruned(make_pruner(spec, DIGITS), 15) == 5
    assert first_pruned(make_pruner(old, DIGITS), 15) == first_pruned(make_pruner(old), 15) <= 2


def test_a_warm_up_of_the_studys_own_wins() -> None:
    spec = SMOKE.changed(
        training={"max_epochs": 15}, search={"pruner": "median", "pruner_options": {"n_warmup_steps": 7}}
    )
    assert first_pruned(make_pruner(spec, DIGITS), 15) == 8


@pytest.mark.parametrize("name", ["tpe", "random", "keras-tuner:bayesian"])
def test_a_retry_has_a_seed_of_its_own_that_stays_the_same(name: str) -> None:
    spec = with_sampler(name).changed(space={"regularizer": ["l1"]})
    factory = sampler_factory(spec)

    def proposal(retry: int) -> dict[str, Any]:
        study = optuna.create_study(sampler=factory(3, retry))
        return suggest(study.ask(), spec.space)

    proposed = [proposal(retry) for retry in (0, 1, 2, 10, 11)]
    assert proposed == [proposal(retry) for retry in (0, 1, 2, 10, 11)]
    assert len({str(params) for params in proposed}) == 5


def test_a_retry_of_qmc_takes_the_next_point_of_its_sequence() -> None:
    spec = with_sampler("qmc").changed(space={"regularizer": ["l1"], "dropout": "off", "patience": "off"})
    factory, study = sampler_factory(spec), optuna.create_study()

    def proposal(retry: int) -> dict[str, Any]:
        study.sampler = factory(1, retry)
        trial = study.ask()
        params = suggest(trial, spec.space)
        study._storage.set_trial_state_values(trial._trial_id, optuna.trial.TrialState.COMPLETE, [1.0])
        return params

    proposal(0)  # gives the space
    in_order = [proposal(0) for _ in range(3)]
    for name in study._storage.get_study_system_attrs(study._study_id):
        study._storage.set_study_system_attr(study._study_id, name, -1)  # as where they were undone
    assert proposal(2) == in_order[2]
