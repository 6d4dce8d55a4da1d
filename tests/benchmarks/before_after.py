"""Real studies as they were searched before and as they are searched now, one after the other, on the same seeds.

`python tests/benchmarks/before_after.py mnist --seeds 3` prints for each how many proposals were pruned in their first
epoch, how many trainings repeat an equal setting, how far each technique's reported strength is from its best (by the
recorded curves of other seeds), the seconds after set-up, half the width of the winner's interval over no
regularization, and the verdicts.

`--noisy` asks another question, after the change alone: MNIST with every fifth training label replaced by a random one,
8,000 training examples, objective accuracy. There L1, L2 and dropout are known to help over no regularization.
"""

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from replay import TECHNIQUES, TOLERANCE, TRIALS_BEFORE, Replay

import regsearch
from regsearch.search.data import load_dataset
from regsearch.search.run.progress import FinishedTrial, Progress
from regsearch.studies.analysis.conclusion import Conclusion
from regsearch.studies.configuration import Regularization
from regsearch.studies.contest.contestants import contestant_of
from regsearch.studies.trial import Purpose, TrialTask

BEFORE = (
    *("search.sampler=tpe", "search.pruner=median", "search.rules=1", "model.batch_norm_momentum=0.99"),
    *("confirm.method=all", "confirm.split=fixed", "confirm.seeds=5"),
)


class Watch(Progress):
    """Keeps what ended, and when the first trial began."""

    def __init__(self) -> None:
        self.trials: list[FinishedTrial] = []
        self.began: float | None = None
        self.epochs = 0

    def message(self, text: str) -> None:
        """Say nothing."""

    def trial_began(self, task: TrialTask) -> None:
        """Note when the first one began."""
        self.began = self.began or time.perf_counter()

    def epoch_finished(self, task: TrialTask, metrics: object) -> None:
        """Count it."""
        self.epochs += 1

    def trial_finished(self, trial: FinishedTrial, best: float | None) -> None:
        """Keep it."""
        if trial.task.purpose == Purpose.SEARCH:
            self.trials.append(trial)


def measure(
    study: str, seed: int, settings: tuple[str, ...], replay: Replay, workers: int
) -> Mapping[str, float | str]:
    """Run one study and return its figures."""
    watch = Watch()
    with tempfile.TemporaryDirectory() as folder:
        storage = f"sqlite:///{Path(folder) / 'study.db'}"
        given = [f"search.seed={seed}", *settings]
        result = regsearch.run(study, storage=storage, settings=given, progress=watch, workers=workers)
        seconds = time.perf_counter() - (watch.began or 0.0)
        with regsearch.api.trials(study, storage=storage) as (_, listed):
            recipes = {trial.number for trial in listed if trial.recipe is not None}
    is_before = settings[: len(BEFORE)] == BEFORE
    proposals = [t for t in watch.trials if not is_before or t.task.number not in recipes]
    trained = [Regularization.from_params(trial.task.params) for trial in watch.trials]
    assert result.confirmation is not None
    reported = {
        contestant_of(one.finalist.settings): one.finalist.settings
        for one in reversed(result.confirmation.ranked)
        if isinstance(one.finalist.settings, Regularization)
    }
    return {
        "pruned in epoch 1": sum(t.state == "PRUNED" and t.remark == "epoch 1" for t in proposals) / len(proposals),
        "repeats": len(trained) - len(set(trained)),
        **{technique: regret(replay, seed, technique, reported.get(technique)) for technique in TECHNIQUES},
        "trials": len(watch.trials),
        "epochs": watch.epochs,
        "seconds": seconds,
        "half-width": half_width(result.confirmation),
        "verdicts": verdicts(result.confirmation),
    }


def half_width(conclusion: Conclusion) -> float:
    """Return half the width of the winner's interval over no regularization; NaN if that won."""
    gain = conclusion.winner.gain
    return (
        float("nan")
        if gain is None
        else (conclusion.objective_metric(gain).high - conclusion.objective_metric(gain).low) / 2
    )


def verdicts(conclusion: Conclusion) -> str:
    """Return each technique's verdict over early stopping alone, with that over no regularization in brackets."""
    told = []
    for row in conclusion.techniques:
        if row.judgement is not None:
            over = "" if row.over_baseline is None else f" ({row.over_baseline.verdict})"
            told.append(f"{row.technique} {row.judgement.verdict}{over}")
    return ", ".join(told)


def noisy(seeds: int, workers: int) -> None:
    """Print the verdicts of studies whose training labels are partly random."""
    data = load_dataset("mnist", None)
    random = np.random.default_rng(0)
    labels = data.y_train.copy()
    labels[::5] = random.integers(0, data.class_count, len(labels[::5]))
    print("| seed | winner | gain over no regularization (points) | half-width | verdicts |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "noisy.npz")
        np.savez(path, x_train=data.x_train, y_train=labels, x_test=data.x_test, y_test=data.y_test)
        for seed in range(seeds):
            given = [f"search.seed={seed}", "data.train_size=8000", "search.objective=accuracy"]
            storage = f"sqlite:///{Path(folder) / f'{seed}.db'}"
            result = regsearch.run(
                "mnist", storage=storage, data=path, settings=given, progress=Watch(), workers=workers
            )
            conclusion = result.confirmation
            assert conclusion is not None
            gain = conclusion.winner.gain
            points = float("nan") if gain is None else 100 * conclusion.objective_metric(gain).mean
            cells = (f"{points:.2f}", f"{100 * half_width(conclusion):.2f}", verdicts(conclusion))
            print(f"| {seed} | {conclusion.winner.finalist.settings} |", " | ".join(cells), "|", flush=True)


def regret(replay: Replay, seed: int, technique: str, reported: Regularization | None) -> float:
    """Return how much worse a technique's reported strength is than its best, in nats; inf if it was not tried."""
    if reported is None:
        return float("inf")
    truth = replay.truths.get(seed) or next(iter(replay.truths.values()))
    patience = replay.contest(seed).patience
    return truth.loss(reported, patience) - truth.best(technique, patience)[0]


def main() -> None:
    """Print a row for each study."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("study", choices=list(TRIALS_BEFORE))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--noisy", action="store_true", help="MNIST with labels that are partly random")
    arguments = parser.parse_args()
    if arguments.noisy:
        noisy(arguments.seeds, arguments.workers)
        return
    replay = Replay(arguments.study)
    before = (*BEFORE, f"budget.trials={TRIALS_BEFORE[arguments.study]}")
    names: list[str] | None = None
    for seed in range(arguments.seeds):
        for design, settings in (("before", before), ("after", ())):
            row = measure(arguments.study, seed, settings, replay, arguments.workers)
            if names is None:
                names = list(row)
                print("| seed | design |", " | ".join(names), f"| within {TOLERANCE} |")
                print("|---" * (len(names) + 3) + "|")
            within = sum(float(row[technique]) < TOLERANCE for technique in TECHNIQUES)
            figures = " | ".join(value if isinstance(value, str) else f"{value:.4g}" for value in row.values())
            print(f"| {seed} | {design} | {figures} | {within} of {len(TECHNIQUES)} |", flush=True)


if __name__ == "__main__":
    main()
