"""How long a sampler thinks before a trial, after so many finished ones? A surrogate, no training.

    python tests/benchmarks/sampler_asks.py [SAMPLER…]

It prints the median of five asks, in seconds of the processor: wall time where nothing else runs.
"""

import statistics
import sys
import time

import numpy as np
import optuna
from sampler_forms import NOISE, SPACE, true_value

from regsearch.search.samplers import sampler_factory
from regsearch.search.samplers.factory import KERAS_TUNER
from regsearch.studies.configuration import Regularization
from regsearch.studies.search_space import suggest
from regsearch.studies.spec import StudySpec

TRIALS = (30, 100, 250, 500)
ASKS = 5


def main() -> None:
    names = sys.argv[1:] or ["tpe", "random", KERAS_TUNER]
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    spec = StudySpec().changed(space=SPACE.model_dump())
    random = sampler_factory(spec.changed(search={"sampler": "random"}))
    noise = np.random.default_rng(0)
    print(f"{'sampler':22}" + "".join(f"{f'{count} trials':>12}" for count in TRIALS))
    for name in names:
        sampler_for = sampler_factory(spec.changed(search={"sampler": name}))
        study, line = optuna.create_study(), f"{name:22}"
        for count in TRIALS:
            while len(study.trials) < count:
                study.sampler = random(len(study.trials))
                trial = study.ask()
                setting = Regularization.from_params(suggest(trial, spec.space))
                study.tell(trial, true_value(setting) + NOISE * noise.standard_normal())
            seconds = []
            for _ in range(ASKS):
                study.sampler = sampler_for(len(study.trials))
                began = time.process_time()
                trial = study.ask()
                suggest(trial, spec.space)
                seconds.append(time.process_time() - began)
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            line += f"{statistics.median(seconds):11.3f}s"
        print(line, flush=True)


if __name__ == "__main__":
    main()
