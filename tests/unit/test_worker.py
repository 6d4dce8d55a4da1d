"""How a worker begins."""

import gc
import io
import queue
from collections.abc import Iterator

import pytest

from regsearch.search.training.setup import TrainerSetup
from regsearch.search.workers.protocol import READY_LINE, setup_to_line
from regsearch.search.workers.worker import serve
from regsearch.studies.spec import StudySpec


@pytest.fixture
def collector() -> Iterator[None]:
    """Garbage is looked for as usual, before and after."""
    frozen = gc.get_freeze_count()
    gc.unfreeze()
    yield
    gc.enable()
    if frozen:
        gc.freeze()
    else:
        gc.unfreeze()


def test_no_garbage_is_looked_for_in_what_is_imported_and_then_it_is(collector: None) -> None:
    looked_for: list[bool] = []

    def make(setup: TrainerSetup) -> object:
        looked_for.append(gc.isenabled())
        return object()

    commands: queue.SimpleQueue[str] = queue.SimpleQueue()
    commands.put(setup_to_line(TrainerSetup(spec=StudySpec(), source="digits", sha256="0" * 64)))
    commands.put("no task")
    events = io.StringIO()
    with pytest.raises(ValueError, match="Expecting value"):
        serve(commands, events, make)  # type: ignore[arg-type]
    assert events.getvalue() == READY_LINE
    assert looked_for == [False]
    assert gc.isenabled()
    assert gc.get_freeze_count() > 10_000
