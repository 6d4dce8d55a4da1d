"""Made-up contents of reports, the same every time: of a confirmed study, an unconfirmed one, one that failed, …."""

import functools
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from regsearch.studies.analysis.conclusion import Conclusion, Finalist, FinalistResult, Gain, TechniqueRow
from regsearch.studies.analysis.importance import Importance
from regsearch.studies.analysis.tuning import tunings
from regsearch.studies.analysis.verdicts import Judgement, Verdict, verdict_of
from regsearch.studies.configuration import Regularization
from regsearch.studies.records import Counts, DatasetInfo, RunRecord, StudyRecord, StudySummary, TrialRecord
from regsearch.studies.reports.data import ConfirmationCost, Curve, ReportData
from regsearch.studies.search_space import suggest
from regsearch.studies.spec import StudySpec
from regsearch.studies.statistics import Interval

BEGIN = datetime(2026, 3, 1, 9, 0)
MAX_EPOCHS = 12
SMALLEST_GAIN = 0.004
NONE: dict[str, Any] = {"regularizer": "none", "use_dropout": False, "batch_norm": "none", "early_stopping": False}
RECIPES = {
    "course: none": NONE,
    "course: early stopping": {**NONE, "early_stopping": True, "patience": 2},
    "course: L1": {**NONE, "regularizer": "l1", "l1": 0.01},
    "course: L2": {**NONE, "regularizer": "l2", "l2": 0.01},
    "course: L1+L2": {**NONE, "regularizer": "l1_l2", "l1": 1e-5, "l2": 1e-4},
    "course: dropout": {**NONE, "use_dropout": True, "dropout": 0.1},
    "course: BatchNorm": {**NONE, "batch_norm": "after_activation"},
}


class _Suggester:
    """Draws settings as a random sampler would."""

    def __init__(self, luck: random.Random) -> None:
        self.luck = luck

    def suggest_categorical(self, name: str, choices: Any, /) -> Any:
        return self.luck.choice(list(choices))

    def suggest_float(self, name: str, low: float, high: float, /, *, log: bool = False) -> float:
        return math.exp(self.luck.uniform(math.log(low), math.log(high))) if log else self.luck.uniform(low, high)

    def suggest_int(self, name: str, low: int, high: int, /) -> int:
        return self.luck.randint(low, high)


def spec(trials: int = 60, **sections: Mapping[str, Any]) -> StudySpec:
    return StudySpec().changed(
        study={"name": "mnist", "question": "Which regularization does the network need, and what does it gain?"},
        training={"max_epochs": MAX_EPOCHS},
        budget={"trials": trials},
        **sections,
    )


def quality(params: Mapping[str, Any], luck: random.Random) -> float:
    """Return a cross-entropy that has its lowest where MNIST's is."""
    value = Regularization.from_params(params)
    loss = 0.089
    for strength, good, gain in ((value.l1, 1e-5, 0.012), (value.l2, 1e-4, 0.010)):
        if strength:
            loss += -gain + 0.012 * max(0.0, math.log10(strength / good)) ** 2.2
            loss += 0.004 * max(0.0, math.log10(good / strength))
    if value.dropout:
        loss += -0.010 + 0.18 * (value.dropout - 0.25) ** 2
    loss -= 0.006 if value.batch_norm != "none" else 0.0
    loss -= 0.004 if value.patience is not None else 0.0
    return max(loss, 0.066) + luck.gauss(0, 0.0015)


def epochs_of(params: Mapping[str, Any], luck: random.Random) -> tuple[int, int]:
    """Return how many epochs were trained, and which one was kept."""
    patience = params.get("patience")
    if patience is None:
        return MAX_EPOCHS, MAX_EPOCHS - 1
    best = luck.randint(3, MAX_EPOCHS - 1)
    return min(best + 1 + patience, MAX_EPOCHS), best


def make_trials(
    count: int, seed: int = 1, *, pruned: float = 0.45, failed: float = 0.04, recipes: bool = True
) -> list[TrialRecord]:
    luck = random.Random(seed)
    space = spec().space
    named = list(RECIPES.items()) if recipes else []
    trials = []
    moment = BEGIN
    for number in range(count):
        recipe, params = named[number] if number < len(named) else (None, suggest(_Suggester(luck), space))
        epochs, best_epoch = epochs_of(params, luck)
        loss = quality(params, luck)
        draw = luck.random()
        state = "complete"
        if recipe is None:
            state = "failed" if draw < failed else "pruned" if draw < failed + pruned else "complete"
        metrics: dict[str, int | float] = {"epochs": epochs}
        reason = None
        if state == "complete":
            metrics |= {
                "best_epoch": best_epoch,
                "select_cross_entropy": loss,
                "select_accuracy": 0.9995 - 0.3 * loss,
                "train_cross_entropy": loss * luck.uniform(0.15, 0.5),
                "train_accuracy": 0.997,
                "near_zero_share": 0.1,
                "seconds": epochs * luck.uniform(0.6, 0.9),
            }
        else:
            metrics["epochs"] = luck.randint(1, 5)
            if state == "failed":
                reason = luck.choice(
                    [
                        f"the loss is not a number after epoch {luck.randint(1, 9)}",
                        f"the worker with pid {luck.randint(1000, 9999)} was lost 3 times",
                    ]
                )
        ended = moment + timedelta(seconds=0.8 * metrics["epochs"])
        trials.append(
            TrialRecord(
                number=number,
                state=state,
                value=loss if state == "complete" else None,
                params=params,
                metrics=metrics,
                reason=reason,
                weights_sha256=None,
                started_at=moment,
                ended_at=ended,
                recipe=recipe,
            )
        )
        moment = ended
    return trials


def study(of: StudySpec | None = None) -> StudyRecord:
    return StudyRecord(
        name="mnist",
        study_id=1,
        study_uuid="7b1f4a3e",
        created_at=BEGIN,
        spec=of or spec(),
        dataset=DatasetInfo(name="mnist", source="mnist", sha256="9a67364004874c84" * 4, n_train=60_000, n_test=10_000),
        versions={
            "python": "3.11.9",
            "tensorflow": "2.21.0",
            "keras": "3.15.1",
            "optuna": "5.0.0",
            "regsearch": "0.1.0",
        },
    )


def make_runs(trials: list[TrialRecord]) -> list[RunRecord]:
    half = len(trials) // 2
    return [
        RunRecord(
            host=f"lab-{index + 1}",
            pid=4000 + index,
            engine="processes",
            workers=2,
            started_at=part[0].started_at or BEGIN,
            ended_at=part[-1].ended_at,
            outcome=outcome,
            finished_trials=len(part),
        )
        for index, (part, outcome) in enumerate(
            ((trials[:half], "stopped by SIGINT"), (trials[half:], "total reached"))
        )
        if part
    ]


def make_content(trials: list[TrialRecord], **parts: Any) -> ReportData:
    of = parts.pop("spec", None) or spec(max(len(trials), 1))
    complete = [trial for trial in trials if trial.state == "complete" and trial.value is not None]
    by_accuracy = of.search.objective == "accuracy"
    best = min(complete, key=lambda trial: (-1 if by_accuracy else 1) * (trial.value or 0.0), default=None)
    states = ("complete", "pruned", "failed", "running", "waiting")
    counts = Counts(**{state: sum(trial.state == state for trial in trials) for state in states})
    return ReportData(
        answer=StudySummary(study=study(of), counts=counts, best=best),
        trials=trials,
        runs=make_runs(trials),
        command="regsearch run mnist.toml --workers 1",
        **parts,
    )


def make_curve(label: str, best: float, epochs: int, overfits: bool, seed: int) -> Curve:
    luck = random.Random(seed)
    stop = [
        best
        + 0.22 * math.exp(-0.75 * epoch)
        + (0.0022 * max(0, epoch - 4) if overfits else 0.0)
        + luck.gauss(0, 0.0012)
        for epoch in range(epochs)
    ]
    train = [
        (0.012 if overfits else 0.035) + 0.3 * math.exp(-0.5 * epoch) + luck.gauss(0, 0.001) for epoch in range(epochs)
    ]
    return Curve(
        label=label,
        train_loss=train,
        stop_cross_entropy=stop,
        best_epoch=epochs - 1 if overfits else min(range(epochs), key=stop.__getitem__),
    )


def interval(mean: float, half: float) -> Interval:
    return Interval(mean=mean, low=mean - half, high=mean + half, level=0.95)


def make_result(
    index: int, params: Mapping[str, Any], roles: tuple[str, ...], gain: float | None, **more: Any
) -> FinalistResult:
    loss = 0.0812 - (gain or 0.0)
    return FinalistResult(
        finalist=Finalist(index=index, params=params, roles=roles, trial=more.get("trial", 10 + index), look=1),
        select_cross_entropy=loss + 0.004,
        select_accuracy=0.9771 + 0.2 * (gain or 0.0),
        train_cross_entropy=0.012 + (gain or 0.0),
        test_cross_entropy=interval(loss, 0.0046),
        test_accuracy=interval(0.9774 + 0.2 * (gain or 0.0), 0.0021),
        gain=None if gain is None else gain_of(gain),
        best_epochs=(7, 8, 6, 9, 7),
        epochs=more.get("epochs", (12, 12, 11, 12, 12)),
        is_tied=more.get("is_tied", False),
        gain_over_early_stopping=gain_of(more["over"]) if "over" in more else None,
    )


def gain_of(loss: float) -> Gain:
    """Return a gain so many nats high, and a fifth of it in accuracy."""
    return Gain(cross_entropy=interval(loss, 0.0031), accuracy=interval(0.2 * loss, 0.0013))


def judgement_of(interval: Interval | None, seeds_needed: int | None = 12, **more: Any) -> Judgement | None:
    """Return the verdict on a gain; an unsettled one needs so many seeds."""
    if interval is None:
        return None
    smallest = more.get("smallest_gain", SMALLEST_GAIN)
    verdict = verdict_of(interval, smallest)
    return Judgement(
        verdict=verdict,
        gain=interval,
        smallest_gain=smallest,
        seeds=5,
        seeds_needed=seeds_needed if verdict is Verdict.NOT_SETTLED else None,
    )


def judged(conclusion: Conclusion, seeds_needed: int | None = 12) -> Conclusion:
    """Return a conclusion whose techniques and winner have the verdicts that their gains say."""
    smallest = SMALLEST_GAIN / 5 if conclusion.by_accuracy else SMALLEST_GAIN

    def of(gain: Gain | None) -> Judgement | None:
        return judgement_of(gain and conclusion.objective_metric(gain), seeds_needed, smallest_gain=smallest)

    rows = []
    for row in conclusion.techniques:
        has_reference = row.result is not None and row.technique != "early stopping"
        over = row.result.gain_over_early_stopping if has_reference and row.result is not None else None
        rows.append(
            replace(row, over_early_stopping=of(over), over_baseline=of(row.result.gain if row.result else None))
        )
    winner = conclusion.winner
    return replace(
        conclusion,
        techniques=tuple(rows),
        smallest_gain=smallest,
        smallest_gain_share=0.05,
        winner_over_early_stopping=of(winner.gain_over_early_stopping),
        winner_over_baseline=of(winner.gain),
    )


def by_metric(conclusion: Conclusion, metric: str = "val_auc") -> Conclusion:
    """Return a conclusion whose verdicts go by a metric, in which each gain is a third of that in cross-entropy."""
    smallest = SMALLEST_GAIN / 3

    def of(gain: Gain | None) -> Judgement | None:
        if gain is None:
            return None
        own = gain.cross_entropy
        third = Interval(mean=own.mean / 3, low=own.low / 3, high=own.high / 3, level=own.level)
        judgement = judgement_of(third, smallest_gain=smallest)
        return judgement and replace(judgement, is_over_seeds_only=True)

    results = {
        result.finalist.index: replace(result, metric_over_baseline=of(result.gain)) for result in conclusion.results
    }
    rows = []
    for row in conclusion.techniques:
        result = None if row.result is None else results[row.result.finalist.index]
        over, gain = (None, None) if result is None else (result.gain_over_early_stopping, result.gain)
        rows.append(replace(row, result=result, over_early_stopping=of(over), over_baseline=of(gain)))
    winner, baseline = results[conclusion.winner.finalist.index], conclusion.baseline
    over_baseline = winner.metric_over_baseline
    return replace(
        conclusion,
        winner=winner,
        baseline=None if baseline is None else results[baseline.finalist.index],
        results=tuple(results.values()),
        techniques=tuple(rows),
        claims_gain=over_baseline is not None and over_baseline.verdict is Verdict.HELPS,
        smallest_gain=smallest,
        smallest_gain_share=0.07,
        winner_over_early_stopping=of(winner.gain_over_early_stopping),
        winner_over_baseline=over_baseline,
        metric=metric,
        select_metric=metric,
        is_share_of_missing=metric == "val_auc",
    )


def make_conclusion(gain: float = 0.0142, *, claims_gain: bool = True, looks: int = 1) -> Conclusion:
    both = {
        **NONE,
        "regularizer": "l2",
        "l2": 9.7e-5,
        "use_dropout": True,
        "dropout": 0.24,
        "batch_norm": "before_activation",
    }
    everything = {
        **both,
        "regularizer": "l1_l2",
        "l1": 1.13e-6,
        "early_stopping": True,
        "patience": 5,
    }
    winner = make_result(
        0,
        {**both, "early_stopping": True, "patience": 6},
        ("top 1", "best combination"),
        gain,
        is_tied=True,
        over=0.9 * gain,
    )
    baseline = make_result(9, NONE, ("baseline: none",), None, trial=0)
    alone = {
        "L1": make_result(
            3, {**NONE, "regularizer": "l1", "l1": 1.3e-5}, ("best with L1 alone",), 0.55 * gain, over=0.44 * gain
        ),
        "L2": make_result(
            4, {**NONE, "regularizer": "l2", "l2": 1.1e-4}, ("best with L2 alone",), 0.45 * gain, over=0.36 * gain
        ),
        "L1+L2": None,
        "dropout": make_result(
            5,
            {**NONE, "use_dropout": True, "dropout": 0.25},
            ("best with dropout alone",),
            0.6 * gain,
            over=0.51 * gain,
        ),
        "BatchNorm": make_result(
            6,
            {**NONE, "batch_norm": "after_activation"},
            ("best with BatchNorm alone",),
            -0.35 * gain,
            over=-0.46 * gain,
        ),
        "early stopping": make_result(
            7,
            RECIPES["course: early stopping"],
            ("baseline: none but early stopping",),
            0.1 * gain,
            epochs=(8, 9, 7, 8, 8),
        ),
        "combination": winner,
    }
    top = [
        make_result(1, everything, ("top 2",), 0.97 * gain, is_tied=True, over=0.87 * gain),
        make_result(2, {**both, "dropout": 0.31}, ("top 3",), 0.82 * gain, over=0.72 * gain),
    ]
    conclusion = Conclusion(
        winner=winner,
        baseline=baseline,
        results=(winner, *top, *(result for result in alone.values() if result not in (None, winner)), baseline),
        failed=(
            (
                Finalist(index=8, params={**NONE, "regularizer": "l1", "l1": 0.01}, roles=("top 4",), trial=33, look=1),
                "seed 3: the loss is not a number after epoch 2",
            ),
        ),
        techniques=tuple(TechniqueRow(technique=name, result=result) for name, result in alone.items()),
        claims_gain=claims_gain,
        level=0.95,
        seeds=5,
        select_rows=6_000,
        test_rows=10_000,
        looks=looks,
        evaluations=45,
        by_accuracy=False,
    )
    return judged(conclusion)


def rich() -> ReportData:
    """A confirmed study with everything a report can show."""
    conclusion = make_conclusion()
    return make_content(
        make_trials(80),
        conclusion=conclusion,
        confirmation_cost=ConfirmationCost(trainings=46, epochs=512, seconds=399.4),
        curves={
            str(conclusion.winner.finalist.settings): [
                make_curve(f"seed {seed}", 0.071, 12, False, seed) for seed in range(1, 6)
            ],
            "no regularization": [make_curve(f"seed {seed}", 0.079, 12, True, seed + 10) for seed in range(1, 6)],
        },
        importance=[
            Importance(technique="L1", share=0.46, low=0.33, high=0.58),
            Importance(technique="L2", share=0.27, low=0.15, high=0.37),
            Importance(technique="dropout", share=0.14, low=0.05, high=0.26),
            Importance(technique="BatchNorm", share=0.09, low=0.02, high=0.19),
            Importance(technique="early stopping", share=0.04, low=0.0, high=0.09),
        ],
        edges=["The best patience, 8, is the highest of its range: a wider one may hold a better one."],
    )


def nothing_gained() -> ReportData:
    """A confirmed study in which nothing beats no regularization."""
    return make_content(make_trials(40), conclusion=make_conclusion(0.0011, claims_gain=False, looks=2))


def unconfirmed() -> ReportData:
    """A search that is still running."""
    trials = make_trials(25, seed=3)
    running = replace(trials[-1], state="running", value=None, metrics={"epochs": 2}, reason=None, ended_at=None)
    return make_content(
        [*trials[:-1], running],
        curves={
            "trial 13": [make_curve("trial 13", 0.074, 11, False, 5)],
            "no regularization": [make_curve("trial 0", 0.085, 12, True, 6)],
        },
    )


def all_failed() -> ReportData:
    """A study of which nothing is complete."""
    return make_content(make_trials(30, pruned=0.0, failed=1.1, recipes=False))


def nothing_yet() -> ReportData:
    """A study that has not begun."""
    return make_content([])


@functools.cache
def large(count: int = 10_000) -> ReportData:
    """A confirmed study of very many trials."""
    return replace(
        rich(),
        **{name: getattr(make_content(make_trials(count, seed=7)), name) for name in ("answer", "trials", "runs")},
    )


def trial(number: int, params: dict[str, Any], value: float | None, **more: Any) -> TrialRecord:
    usual = make_trials(1)[0]
    state = more.pop("state", "complete")
    metrics = {**usual.metrics, "select_cross_entropy": value, "select_accuracy": value} if value is not None else {}
    metrics |= {"epochs": more.pop("epochs", 12)}
    return replace(
        usual, number=number, params=params, value=value, state=state, metrics=metrics, recipe=more.pop("recipe", None),
        **more,
    )  # fmt: skip


def l1(strength: float) -> dict[str, Any]:
    return {**NONE, "regularizer": "l1", "l1": strength}


def few() -> list[TrialRecord]:
    """No regularization, early stopping, L1 at 0.01 alone, and two trials of L2 without a value."""
    l2 = {**NONE, "regularizer": "l2"}
    return [
        trial(0, NONE, 0.0894, recipe="none"),
        trial(1, RECIPES["course: early stopping"], 0.0880, recipe="early stopping"),
        trial(2, l1(0.01), 0.4778, recipe="L1 0.01"),
        trial(3, {**l2, "l2": 1e-7}, None, state="pruned", epochs=1),
        trial(4, {**l2, "l2": 1e6}, None, state="failed", reason="diverged at epoch 0", epochs=0),
    ]


def many() -> list[TrialRecord]:
    """No regularization, early stopping, and L1 at six strengths."""
    losses = {1e-6: 0.0893, 1e-5: 0.0820, 3e-5: 0.0816, 1e-4: 0.0945, 1e-3: 0.190, 1e-2: 0.440}
    return [*few()[:2], *(trial(2 + i, l1(strength), loss) for i, (strength, loss) in enumerate(losses.items()))]


def confirmed(trials: list[TrialRecord], **more: Any) -> ReportData:
    """A confirmed study of these trials, each technique with its tuning."""
    content = make_content(trials, conclusion=make_conclusion(**more))
    conclusion = content.conclusion
    assert conclusion is not None
    found = {one.technique: one for one in tunings(trials, spec().space, maximizes=False)}
    rows = tuple(replace(row, tuning=found.get(row.technique)) for row in conclusion.techniques)
    return replace(content, conclusion=judged(replace(conclusion, techniques=rows)))


HOSTILE = '</script><img src=x onerror=alert(1)><a href="javascript:alert(2)">&amp;--ink %{x} \'"\x00\ud800\u202e'


def hostile() -> ReportData:
    """A study whose every text tries to be markup."""
    content = rich()
    assert content.conclusion is not None
    bad = HOSTILE
    params = {**NONE, "regularizer": bad, "batch_norm": bad, bad: bad}
    trials = [
        replace(
            trial,
            params=trial.params
            if trial.recipe
            else params
            if trial.number % 3
            else {**trial.params, "batch_norm": bad},
            reason=bad if trial.state == "failed" else None,
            recipe=trial.recipe and bad,
        )
        for trial in content.trials
    ]
    of = content.answer.study.spec.changed(
        study={"question": bad.replace("\ud800", "")}, data={"source": bad.replace("\ud800", "")}
    )
    record = replace(
        content.answer.study,
        name=bad,
        spec=of,
        dataset=replace(content.answer.study.dataset, name=bad, sha256=bad, source=bad),
        versions={bad: bad},
    )

    def spoiled(result: FinalistResult) -> FinalistResult:
        return replace(result, finalist=replace(result.finalist, params=params, roles=(bad,)))

    conclusion = content.conclusion
    return replace(
        content,
        answer=replace(content.answer, study=record, best=trials[0]),
        trials=trials,
        runs=[replace(run, host=bad, engine=bad, outcome=bad) for run in content.runs],
        command=bad,
        edges=[bad],
        importance=[replace(one, technique=bad) for one in content.importance],
        curves={bad: [replace(curve, label=bad) for curve in next(iter(content.curves.values()))]},
        conclusion=replace(
            conclusion,
            winner=spoiled(conclusion.winner),
            baseline=spoiled(conclusion.baseline),
            results=tuple(spoiled(result) for result in conclusion.results),
            techniques=tuple(
                replace(row, technique=bad, result=row.result and spoiled(row.result)) for row in conclusion.techniques
            ),
            failed=tuple((replace(finalist, params=params, roles=(bad,)), bad) for finalist, _ in conclusion.failed),
        ),
    )


CONTENTS: dict[str, Callable[[], ReportData]] = {
    "rich": rich,
    "nothing-gained": nothing_gained,
    "unconfirmed": unconfirmed,
    "all-failed": all_failed,
    "nothing-yet": nothing_yet,
    "large": large,
    "hostile": hostile,
}
