"""The command `regsearch` with fake trials: `python tests/support/fake_search.py run smoke --trials 12`.

Its environment tells more: $FAKE_WORKER is "fake" or "real" for workers that say what they do (tests/support/probe.py),
$FAKE_PATIENCE_SECONDS how long it waits for a database that is away, $FAKE_LEASE_SECONDS how long a silent coordinator
keeps a study on a server, $FAKE_GO a file whose coming it awaits,
ready to begin.
"""

import os
import sys
import time
from pathlib import Path

from probe import probe_coordinator

import regsearch.search.run.retry
import regsearch.search.workers.engines
from regsearch.search.cli import commands
from regsearch.search.workers.processes import ProcessEngine
from regsearch.storage import lease

if __name__ == "__main__":
    tests, kind = Path(__file__).parent, os.environ.get("FAKE_WORKER")
    worker = [str(tests / "fakes.py")] if kind is None else [str(tests / "probe.py"), kind]
    regsearch.search.workers.engines.make_engine = lambda name: ProcessEngine([sys.executable, *worker])
    regsearch.search.run.retry.RETRY_SECONDS = lease.ANSWER_SECONDS = float(
        os.environ.get("FAKE_PATIENCE_SECONDS", "180")
    )
    lease.LEASE_SECONDS = float(os.environ.get("FAKE_LEASE_SECONDS", lease.LEASE_SECONDS))
    probe_coordinator()
    if "FAKE_GO" in os.environ:
        while not Path(os.environ["FAKE_GO"]).exists():
            time.sleep(0.0005)
    commands.main()
