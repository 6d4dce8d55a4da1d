"""Hold tests without the marker `slow` to a budget of processor time, so that `make test` stays short.

This pytest plugin, which `tests/conftest.py` loads, fails a test only in CI ($CI is set), whose machines are alike: on
a slower machine, or in a debugger, the same test may take longer. Processor time counts, with that of child
processes that have ended: waiting for other tests' processes does not.
"""

import os
from collections.abc import Generator

import pytest

BUDGET_SECONDS = 5.0
"""Of processor time, for the call of one test; its set-up may be that of a fixture which many tests share.

`$REGSEARCH_TEST_BUDGET` sets another budget.
"""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    started = processor_seconds()
    result = yield
    if not os.environ.get("CI") or item.get_closest_marker("slow") is not None:
        return result
    budget = float(os.environ.get("REGSEARCH_TEST_BUDGET", BUDGET_SECONDS))
    seconds = processor_seconds() - started
    if seconds > budget:
        pytest.fail(f"this test took {seconds:.1f} s of processor time. Mark it slow, or make it faster.")
    return result


def processor_seconds() -> float:
    """Return the processor time of this process and of its children that have ended, in seconds."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
