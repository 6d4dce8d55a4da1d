"""Whether a study's claims are as honest as they say: whole studies, trained, whose truth is known.

python tests/programs/honesty.py        # 40 studies of each kind, ten minutes; exit code 1: a bound is broken
python tests/programs/honesty.py --studies 5
python tests/programs/honesty.py --first 2000          # other studies

Noise: the labels have nothing to do with the images, so nothing gains any accuracy, and no technique makes a
difference. Planted: few rows and many pixels of which few matter, so that regularization gains a lot; how much, 20,000
other rows and other seeds tell. The planted setting was made strong enough by looking at studies 0 to 2; what is
reported is of studies nobody had looked at.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from drills.figure import Figure, table
from helpers import folder_in_memory
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import binom

from regsearch.search import api
from regsearch.search.machine import core_count
from regsearch.search.run.progress import Progress
from regsearch.search.seeds import fresh_seed
from regsearch.search.training.checkpoints import NoCheckpoints
from regsearch.search.training.setup import TrainerSetup, make_trainer
from regsearch.search.workers.inline import InlineEngine
from regsearch.studies.analysis.conclusion import Conclusion, FinalistResult
from regsearch.studies.analysis.verdicts import Verdict
from regsearch.studies.configuration import Regularization
from regsearch.studies.example_scores import PerExampleScores
from regsearch.studies.trial import TrialTask

STUDY = """
[data]
stop_fraction = 0.2
select_fraction = 0.25
[model]
hidden = [64]
[training]
learning_rate = 1e-2
batch_size = 8
max_epochs = 20
[space]
batch_norm = ["none"]
l1 = { low = 1e-5, high = 1e-1 }
l2 = { low = 1e-4, high = 1e-1 }
patience = { low = 2, high = 8 }
[search]
contestants = ["l1", "l2", "dropout"]
[budget]
trials = 24
"""
ROWS, TEST_ROWS, HELD_OUT_ROWS = 400, 1000, 20_000
SIDE, INFORMATIVE = 12, 4  # pixels
SEEDS, OTHER_SEEDS = 5, 10
RISK = 0.01  # that honest studies break a bound
LEVEL = 0.95


class Said(NamedTuple):
    """What a study said about a technique against early stopping alone, beside the truth.

    Attributes:
        technique, verdict: as the answer has them.
        truth: what it gains in truth, in the objective's unit.
        smallest_gain: the smallest gain that matters, in the same unit.
    """

    technique: str
    verdict: Verdict
    truth: float
    smallest_gain: float

    @property
    def is_wrong(self) -> bool:
        """Whether the truth contradicts it."""
        return {
            Verdict.HELPS: self.truth <= 0,
            Verdict.HARMS: self.truth >= 0,
            Verdict.NO_DIFFERENCE: abs(self.truth) > self.smallest_gain,
            Verdict.NOT_SETTLED: False,
        }[self.verdict]


class Claims(NamedTuple):
    """What a study claimed, beside the truth.

    Attributes:
        claims_gain: whether the winner's gain is said to be beyond noise.
        is_too_high: whether any finalist's gain has a low end above the truth.
        misses: whether the interval of the winner's gain misses the truth; None where the winner is the baseline.
        risk: that it does, by the interval's level.
        gain, truth: of the winner.
        verdicts: on the techniques that have one.
    """

    claims_gain: bool
    is_too_high: bool
    misses: bool | None
    risk: float
    gain: float
    truth: float
    verdicts: tuple[Said, ...] = ()


def noise(number: int) -> Claims:
    """Let a study search labels that have nothing to do with the images."""
    random = np.random.default_rng([number, 1])
    images = random.random((ROWS + TEST_ROWS, SIDE, SIDE), dtype=np.float32)
    labels = random.integers(0, 2, len(images))
    return _claims(number, images, labels, "accuracy")


def planted(number: int) -> Claims:
    """Let a study search labels that depend on a few pixels, and on chance."""
    random = np.random.default_rng([number, 2])
    images = random.random((ROWS + TEST_ROWS + HELD_OUT_ROWS, SIDE, SIDE), dtype=np.float32)
    score = 4 * (images.reshape(len(images), -1)[:, :INFORMATIVE] - 0.5).sum(axis=1)
    labels = random.random(len(images)) < 1 / (1 + np.exp(-score))
    return _claims(number, images, labels, "cross_entropy")


class Watched:
    """A trainer whose test looks also see rows that the study doesn't have; `losses` are what they gave there."""

    def __init__(self, trainer: Any, images: NDArray[Any], labels: NDArray[Any]) -> None:
        self._trainer, self._images, self._labels = trainer, images.reshape(len(images), -1), labels
        self.train, self.test_objective = trainer.train, trainer.test_objective
        self.losses: dict[tuple[Regularization, int | None], float] = {}

    def look_at_test(self, task: TrialTask, weights: Any) -> PerExampleScores:
        self.look_at_others(task, weights)
        figures: PerExampleScores = self._trainer.look_at_test(task, weights)
        return figures

    def look_at_others(self, task: TrialTask, weights: Any) -> None:
        """Apply the network, in plain code of its own: one hidden layer, dropout off."""
        kernel, bias, output_kernel, output_bias = weights
        logits = np.maximum(self._images @ kernel + bias, 0) @ output_kernel + output_bias
        losses = logsumexp(logits, axis=1) - np.take_along_axis(logits, self._labels[:, None], axis=1)[:, 0]
        self.losses[Regularization.from_params(task.params), task.seed] = float(losses.mean(dtype=np.float64))

    def mean_loss(self, result: FinalistResult) -> float:
        """Return the mean over all seeds that were shown those rows."""
        wanted = result.finalist.settings
        return float(np.mean([loss for (regularization, _), loss in self.losses.items() if regularization == wanted]))


class Kept(NoCheckpoints):
    """Keeps the weights at hand."""

    weights_now: Any = None

    def save_weights(self, weights: Any) -> None:
        self.weights_now = weights


def _claims(number: int, images: NDArray[Any], labels: NDArray[Any], objective: str) -> Claims:
    by_accuracy = objective == "accuracy"
    labels = labels.astype(np.int32)
    cut = (ROWS, ROWS + TEST_ROWS)
    (x_train, x_test, x_others), (y_train, y_test, y_others) = np.split(images, cut), np.split(labels, cut)
    made: list[Watched] = []

    def make(setup: TrainerSetup) -> Any:
        trainer = make_trainer(setup)
        if by_accuracy:  # the truth is known
            return trainer
        made.append(Watched(trainer, x_others, y_others))
        return made[-1]

    with folder_in_memory() as folder:
        (folder / "honesty.toml").write_text(STUDY)
        np.savez(folder / "data.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
        conclusion = api.run(
            str(folder / "honesty.toml"),
            storage=f"sqlite:///{folder}/honesty.db",
            data=str(folder / "data.npz"),
            engine=InlineEngine(make),
            workers=1,
            settings=[f"search.seed={number}", f"search.objective={objective}", f"confirm.seeds={SEEDS}"],
            progress=Silent(),
        ).confirmation
    assert conclusion is not None
    baseline, winner = conclusion.baseline, conclusion.winner
    assert baseline is not None
    others = [result for result in conclusion.results if result.gain is not None]
    if by_accuracy:
        gains = [(result.gain.accuracy, 0.0) for result in others]
    else:
        watched = made[-1]
        gains = [
            (result.gain.cross_entropy, watched.mean_loss(baseline) - watched.mean_loss(result)) for result in others
        ]
    is_too_high = any(interval.is_above(truth) for interval, truth in gains)
    verdicts = _said(conclusion, None if by_accuracy else made[-1])
    if winner.gain is None:
        return Claims(conclusion.claims_gain, is_too_high, None, 0.0, 0.0, 0.0, verdicts)
    interval, truth = gains[others.index(winner)]
    if not by_accuracy:
        _train_on_other_seeds(watched, (baseline, winner), number)
        truth = watched.mean_loss(baseline) - watched.mean_loss(winner)
    misses = not interval.low <= truth <= interval.high
    return Claims(conclusion.claims_gain, is_too_high, misses, 1 - interval.level, interval.mean, truth, verdicts)


def _said(conclusion: Conclusion, watched: Watched | None) -> tuple[Said, ...]:
    """Return the verdicts; the truth is 0 where nothing watches, since labels are noise."""
    stopped = next(row.result for row in conclusion.techniques if row.technique == "early stopping")
    return tuple(
        Said(
            row.technique,
            row.judgement.verdict,
            0.0 if watched is None else watched.mean_loss(stopped) - watched.mean_loss(row.result),
            row.judgement.smallest_gain,
        )
        for row in conclusion.techniques
        if row.result is not None and row.over_early_stopping is not None and row.judgement is not None
    )


def _train_on_other_seeds(watched: Watched, results: Sequence[FinalistResult], study_seed: int) -> None:
    """Let those networks be shown the held-out rows too: an interval is for any seed, not for the study's own five."""
    for result in results:
        for number in range(SEEDS, SEEDS + OTHER_SEEDS):
            seed = fresh_seed(study_seed, number)
            task, kept = TrialTask(number=0, attempt=0, params=result.finalist.params, seed=seed), Kept()
            assert watched.train(task, lambda metrics: True, kept) is not None
            watched.look_at_others(task, kept.weights_now)


class Silent(Progress):
    """Doesn't even say that recipes lie outside the space."""

    def message(self, text: str) -> None: ...


def bounded(name: str, found: int, of: int, risk: float) -> Figure:
    """Return the figure of something that may happen with that risk in each study, and so a few times in all."""
    most = int(binom.ppf(1 - RISK, of, risk))
    return Figure(name=name, measured=f"{found} of {of}", asked=f"at most {most}", is_met=found <= most)


def figures_of_noise(claims: Sequence[Claims]) -> list[Figure]:
    """Return what studies of noise must not do."""
    return [
        bounded("noise: a gain is claimed", sum(c.claims_gain for c in claims), len(claims), 1 - LEVEL),
        bounded("noise: a low end is above the truth, 0", sum(c.is_too_high for c in claims), len(claims), 1 - LEVEL),
        _missing("noise", claims),
        *_verdicts("noise", claims),
    ]


def figures_of_planted(claims: Sequence[Claims]) -> list[Figure]:
    """Return what studies with something to find must do."""
    gained, truth = (float(np.median([getattr(c, name) for c in claims])) for name in ("gain", "truth"))
    return [
        bounded("planted: no gain is claimed", sum(not c.claims_gain for c in claims), len(claims), 1 - LEVEL),
        bounded("planted: a low end is above the truth", sum(c.is_too_high for c in claims), len(claims), 1 - LEVEL),
        _missing("planted", claims),
        *_verdicts("planted", claims),
        Figure(name="planted: median gain, beside the true one", measured=f"{gained:.3f}, {truth:.3f} nats per row"),
    ]


def _verdicts(kind: str, claims: Sequence[Claims]) -> list[Figure]:
    """Return how many verdicts are wrong, and how many of each kind there are."""
    said = [one for c in claims for one in c.verdicts]
    counts = Counter(one.verdict for one in said)
    each = ", ".join(f"{verdict} {counts[verdict]}" for verdict in Verdict)
    return [
        bounded(f"{kind}: a verdict is wrong", sum(one.is_wrong for one in said), len(said), 1 - LEVEL),
        Figure(name=f"{kind}: verdicts on techniques, over early stopping alone", measured=each),
    ]


def _missing(kind: str, claims: Sequence[Claims]) -> Figure:
    with_gain = [c for c in claims if c.misses is not None]
    risk = max((c.risk for c in with_gain), default=1 - LEVEL)
    name = f"{kind}: the interval of the winner's gain misses the truth"
    return bounded(name, sum(bool(c.misses) for c in with_gain), len(with_gain), risk)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=40, help="of each kind")
    parser.add_argument("--first", type=int, default=1000, help="number, and so seed, of the first study")
    options = parser.parse_args()
    numbers = range(options.first, options.first + options.studies)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    began = time.monotonic()
    found: dict[str, list[Claims]] = {"noise": [], "planted": []}
    with ProcessPoolExecutor(core_count(), multiprocessing.get_context("spawn")) as pool:
        begun = [(kind.__name__, n, pool.submit(kind, n)) for n in numbers for kind in (noise, planted)]
        for name, number, future in begun:
            found[name].append(future.result())
            print(f"{name} {number}: {future.result()}", file=sys.stderr, flush=True)
    figures = [*figures_of_noise(found["noise"]), *figures_of_planted(found["planted"])]
    print(table([*figures, Figure(name="took", measured=f"{time.monotonic() - began:.0f} s")]))
    return int(any(figure.is_met is False for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
