"""Which defaults the study `mnist` should have: studies of equal time on a core, winners retrained on fresh seeds.

    python tests/benchmarks/defaults.py [--seconds N] [--seeds N] [--only a,b] [--output FILE]

Needs MNIST ($REGSEARCH_MNIST). Each candidate changes what the study `base` says; each of its studies has one worker
on one core for the given seconds (after TensorFlow's start and tracing), one study a core at a time, seed by seed. A
worker computes in one thread, so that the seconds are taken from the processor's clock: what they are on an idle
machine by any clock, and a busy one changes nothing. The winner's settings are then trained anew on fresh seeds (other
initial weights, orders and dropout; the same rows), and what counts is the mean select cross-entropy of those.
"""

import argparse
import functools
import json
import math
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regsearch.search.machine import core_count

BASE = {
    "training.max_epochs": 12,
    "training.batch_size": 32,
    "search.sampler": "tpe",
    "search.pruner": "median",
    "search.recipes": "[]",
}
CANDIDATES: dict[str, dict[str, Any]] = {
    "base": {},
    "median from epoch 3": {"search.pruner_options": "{n_warmup_steps=3}"},
    "hyperband": {"search.pruner": "hyperband"},
    "no pruner": {"search.pruner": "none"},
    "random": {"search.sampler": "random"},
    "tpe independent": {"search.sampler_options": "{multivariate=false}"},
    "batch 128": {"training.batch_size": 128},
    "20 epochs": {"training.max_epochs": 20},
    "20 epochs batch 128": {"training.max_epochs": 20, "training.batch_size": 128},
}
FRESH_SEEDS = 3
RESULTS = Path(__file__).with_name("defaults.json")


def search_and_confirm(candidate: str, seed: int, seconds: float) -> dict[str, Any]:
    """Run one study, then train its winner on fresh seeds; return both figures."""
    from regsearch.search import api
    from regsearch.search.data import load_dataset
    from regsearch.search.data.splits import make_splits
    from regsearch.search.run import study_run
    from regsearch.search.run.coordinator import Coordinator
    from regsearch.search.seeds import derive_seed
    from regsearch.search.training.setup import TrainerSetup, make_trainer
    from regsearch.search.workers.inline import InlineEngine
    from regsearch.studies.study_file import read_study
    from regsearch.studies.trial import TrialTask

    settings = [f"{key}={value}" for key, value in {**BASE, "search.seed": seed, **CANDIDATES[candidate]}.items()]
    dataset = load_dataset("mnist")
    spec = read_study("mnist", settings)
    trainer = make_trainer(TrainerSetup(spec=spec, source="mnist", sha256=dataset.sha256))
    for placement in spec.space.batch_norm:  # traced before the clock starts
        trainer.train(TrialTask(number=0, attempt=0, params={"batch_norm": placement}), lambda metrics: False)
    study_run.Coordinator = functools.partial(Coordinator, clock=time.process_time)  # type: ignore[misc,assignment]
    with tempfile.TemporaryDirectory() as folder:
        answer = api.run(
            "mnist",
            storage=f"sqlite:///{folder}/study.db",
            data="mnist",
            engine=InlineEngine(lambda setup: trainer),
            workers=1,
            trials=1_000_000,
            timeout=f"{seconds:.0f}s",
            settings=settings,
            confirm=False,
        ).answer
    assert answer.best is not None
    from regsearch.search.training.builtin.compiled_trainer import CompiledTrainer

    splits = make_splits(dataset, spec.data, spec.search.seed)
    confirmed = []
    for number in range(FRESH_SEEDS):
        fresh = CompiledTrainer(spec, dataset, splits, derive_seed(seed, "fresh", number))
        outcome = fresh.train(TrialTask(number=0, attempt=0, params=answer.best.params), lambda metrics: True)
        assert outcome is not None
        confirmed.append(outcome.select_cross_entropy)
    return {
        "candidate": candidate,
        "seed": seed,
        "trials": answer.counts.finished,
        "pruned": answer.counts.pruned,
        "searched": answer.best.value,
        "confirmed": statistics.mean(confirmed),
        "params": dict(answer.best.params),
    }


def table(results: list[Mapping[str, Any]]) -> str:
    """Return a line for each candidate: means over seeds, and the paired difference to `base` with its error."""
    base = {result["seed"]: result["confirmed"] for result in results if result["candidate"] == "base"}
    lines = [f"{'candidate':22} trials  pruned  winner's value  on fresh seeds  minus base ± standard error"]
    for candidate in CANDIDATES:
        rows = [result for result in results if result["candidate"] == candidate]
        if not rows:
            continue
        trials, pruned, searched, confirmed = (
            statistics.mean(row[key] for row in rows) for key in ("trials", "pruned", "searched", "confirmed")
        )
        paired = [row["confirmed"] - base[row["seed"]] for row in rows if row["seed"] in base]
        error = statistics.stdev(paired) / math.sqrt(len(paired)) if len(paired) > 1 else math.nan
        lines.append(
            f"{candidate:22} {trials:6.0f}  {pruned / trials:6.0%}  {searched:14.4f}  {confirmed:14.4f}  "
            f"{statistics.mean(paired):+10.4f} ± {error:.4f}"
        )
    return "\n".join(lines)


def _work(job: tuple[str, int, float]) -> dict[str, Any]:
    return search_and_confirm(*job)


def main() -> None:
    """Run all studies, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="of one study on one core (default %(default)s)")
    parser.add_argument("--seeds", type=int, default=8, help="studies of each candidate (default %(default)s)")
    parser.add_argument("--only", default=",".join(CANDIDATES), help="some candidates; base must be among them")
    parser.add_argument(
        "--output", type=Path, default=RESULTS, help="what it holds is not done again (default %(default)s)"
    )
    arguments = parser.parse_args()
    if not os.environ.get("REGSEARCH_MNIST"):
        parser.error("set REGSEARCH_MNIST to an mnist.npz")
    names = arguments.only.split(",")
    if "base" not in names:
        parser.error("base must be among the candidates: the others are compared with it")
    unknown = [name for name in names if name not in CANDIDATES]
    if unknown:
        parser.error(f"there is no candidate {unknown[0]!r}; there are {', '.join(CANDIDATES)}")
    results = json.loads(arguments.output.read_text(encoding="utf-8")) if arguments.output.exists() else []
    done = {(result["candidate"], result["seed"]) for result in results}
    every = [(name, seed, arguments.seconds) for seed in range(arguments.seeds) for name in names]
    jobs = [job for job in every if job[:2] not in done]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    context = multiprocessing.get_context("spawn")
    # a process for each study: nothing of one is left in the next
    with context.Pool(core_count(), maxtasksperchild=1) as pool:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        for result in pool.imap(_work, jobs, chunksize=1):
            results.append(result)
            arguments.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(table(results))


if __name__ == "__main__":
    main()
