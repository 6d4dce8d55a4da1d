"""What a search finds on this machine: cores, memory, and the versions that results depend on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path


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


def processor() -> str:
    """Return which processor this machine has, in its maker's words."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:  # no Linux
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()
