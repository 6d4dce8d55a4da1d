"""Divides the GPUs of this machine among workers."""

import os
from pathlib import Path

from ...studies.errors import InputError

_DEVICES = Path("/proc/driver/nvidia/gpus")


def visible_gpus() -> list[str]:
    """Return the names of the GPUs that CUDA would use: those in $CUDA_VISIBLE_DEVICES if it is set, else all."""
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    if names is not None:
        return [name.strip() for name in names.split(",") if name.strip() not in ("", "-1")]
    return [str(number) for number in range(len(list(_DEVICES.glob("*"))))]


def gpus_of(workers: int, gpus_per_worker: float) -> list[str]:
    """Return one value of $CUDA_VISIBLE_DEVICES for each worker. The value names the GPUs that the worker may use.

    Args:
        workers: the number of workers, at least 1.
        gpus_per_worker: the number of GPUs for each worker. With 0.25, four workers share a GPU; with 0, none uses one.

    Raises InputError if there are too few GPUs.

    Example:
        >>> gpus_of(2, 0)
        ['-1', '-1']
    """
    if gpus_per_worker == 0:
        return ["-1"] * workers
    gpus = visible_gpus()
    if gpus_per_worker < 1:
        sharing = int(1 / gpus_per_worker)
        groups = [[gpu] for gpu in gpus for _ in range(sharing)]
    else:
        count = int(gpus_per_worker)
        groups = [gpus[first : first + count] for first in range(0, len(gpus) - count + 1, count)]
    if len(groups) < workers:
        raise InputError(
            f"--gpus-per-worker {gpus_per_worker:g}: this machine's GPUs ({len(gpus)}) are enough for {len(groups)} "
            f"workers, not for {workers}. Lower --workers or --gpus-per-worker."
        )
    return [",".join(group) for group in groups[:workers]]


def check_share(option: str, share: float, smallest: str) -> float:
    """Return the number of CPUs or GPUs for one worker, after a check: above 1 it must be a whole number.

    Args:
        option: the option's name on the command line.
        share: the number of CPUs or GPUs for one worker.
        smallest: the lower limit as the message names it: "at least 0" or "more than 0".

    Raises InputError if the number is too small, or if it is above 1 and not whole.

    Example:
        >>> check_share("--cpus-per-worker", 0.5, "more than 0")
        0.5
    """
    is_allowed = share >= 0 and (share <= 1 or float(share).is_integer()) and (share > 0 or smallest == "at least 0")
    if not is_allowed:
        raise InputError(f"{option} can't be {share:g}. It must be {smallest}, and a whole number if it is above 1.")
    return share
