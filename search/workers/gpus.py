"""Which GPUs of this machine a worker has."""

import os
from pathlib import Path

from regsearch.studies.errors import InputError

_DEVICES = Path("/proc/driver/nvidia/gpus")


def visible_gpus() -> list[str]:
    """Return the GPUs that CUDA would use here: those of $CUDA_VISIBLE_DEVICES, else all."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1")]
    return [str(number) for number in range(len(list(_DEVICES.glob("*"))))]


def gpus_of(workers: int, gpus_per_worker: float) -> list[str]:
    """Return $CUDA_VISIBLE_DEVICES for each worker: whole GPUs of its own, or one that it shares.

    Args:
        workers: at least 1.
        gpus_per_worker: a whole number, or a part of 1: with 0.25, four workers share a GPU; 0: none.

    Raises InputError where there are too few.
    """
    if gpus_per_worker == 0:
        return ["-1"] * workers
    gpus = visible_gpus()
    if gpus_per_worker < 1:
        sharing = int(1 / gpus_per_worker)
        places = [[gpu] for gpu in gpus for _ in range(sharing)]
    else:
        count = int(gpus_per_worker)
        places = [gpus[first : first + count] for first in range(0, len(gpus) - count + 1, count)]
    if len(places) < workers:
        raise InputError(
            f"--gpus-per-worker {gpus_per_worker:g}: this machine's GPUs ({len(gpus)}) are enough for {len(places)} "
            f"workers, not for {workers}; give fewer --workers, or a smaller part of a GPU"
        )
    return [",".join(place) for place in places[:workers]]


def check_share(option: str, given: float, least: str) -> float:
    """Return how many of something a worker has: a part of 1, or a whole number; raises InputError for another one."""
    is_allowed = given >= 0 and (given <= 1 or given == int(given)) and (given > 0 or least == "0")
    if not is_allowed:
        raise InputError(f"{option} is a part of 1 or a whole number, at least {least}; given was {given:g}")
    return given
