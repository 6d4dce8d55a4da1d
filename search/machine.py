"""What a search finds on this machine: cores, memory, and the versions that results depend on."""

import os
import platform
from importlib.metadata import version


def core_count() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def memory_bytes() -> int | None:
    """Return how much memory this machine has; None where it doesn't say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def versions() -> dict[str, str]:
    """Return the versions that results depend on."""
    packages = ("tensorflow", "keras", "optuna", "numpy", "regsearch")
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}
