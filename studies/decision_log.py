"""Logs each decision of a run as one line of the logger `regsearch`, which is silent until you add a handler."""

import logging

from .errors import one_line
from .trial import TrialTask

logger = logging.getLogger("regsearch")
logger.addHandler(logging.NullHandler())


def log_decision(
    study: str, task: TrialTask | None, action: str, detail: str = "", *, level: int = logging.INFO
) -> None:
    """Log a decision as `study NAME, trial 7, attempt 0: ACTION DETAIL`.

    The log record also has the attributes `study`, `task` (such as "trial 7"), `attempt` and `action`.

    Args:
        study: the study's name.
        task: the task that the decision is about; None if it is about the whole run.
        action: what was decided, from a fixed set of phrases.
        detail: the rest of the line.

    Example:
        >>> log_decision("mnist", TrialTask(number=7, attempt=0, params={}), "pruned", "after epoch 3")
    """
    if not logger.isEnabledFor(level):
        return
    about = f"study {study}" if task is None else f"study {study}, {task}, attempt {task.attempt}"
    attributes = {
        "study": study,
        "task": None if task is None else str(task),
        "attempt": None if task is None else task.attempt,
        "action": action,
    }
    logger.log(level, "%s", one_line(f"{about}: {action} {detail}".rstrip()), extra=attributes)
