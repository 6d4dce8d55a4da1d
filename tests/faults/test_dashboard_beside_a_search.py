"""The dashboard beside a running search: neither disturbs the other."""

import itertools
import json
import re
import signal
import subprocess
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import invariants
import pytest
from conftest import Command
from helpers import count_finished, finished, start, wait_for

SLOW_PAGES = ["csv/1", "api/studies/1/plot/slice", "api/studies/1/plot/timeline", "api/studies/1/param_importances"]
MANY = 5000  # more than it gets to: it is stopped when the dashboard has shown how it goes on


@pytest.mark.slow
def test_polling_ten_times_a_second_gives_no_error_on_either_side(tmp_path: Path, regsearch: Command) -> None:
    storage = f"sqlite:///{tmp_path}/regsearch.db"
    slow_pages = itertools.cycle(SLOW_PAGES)
    seen = []
    # slow enough that the dashboard, which reads trials anew every two seconds, has something new to show
    slowly = {"FAKE_EPOCH_SECONDS": "0.05"}
    with start(tmp_path, "run", "smoke", "--trials", str(MANY), "--workers", "2", "--quiet", **slowly) as search:
        wait_for(lambda: count_finished(storage) > 2)
        with regsearch.start("dashboard", "--port", "0") as dashboard:
            try:
                assert dashboard.stdout is not None
                url = re.search(r"http://\S+", dashboard.stdout.readline())[0]  # type: ignore[index]

                def get(page: str) -> Any:
                    with urllib.request.urlopen(url + page, timeout=60) as answer:  # raises at any error status
                        return answer.read()

                begun = time.monotonic()
                while search.poll() is None and (len(seen) < 20 or len(set(seen)) < 3):
                    (study,) = json.loads(get("api/studies"))["study_summaries"]
                    trials = json.loads(get(f"api/studies/{study['study_id']}?after=0"))["trials"]
                    get(next(slow_pages))
                    seen.append(sum(trial["state"] in ("Complete", "Pruned") for trial in trials))
                    with suppress(subprocess.TimeoutExpired):
                        search.wait(max(0, begun + 0.1 * len(seen) - time.monotonic()))
                search.send_signal(signal.SIGINT)
            finally:
                dashboard.terminate()
                _, dashboard_err = dashboard.communicate()
        _, err = search.communicate(timeout=60)
    assert (search.returncode, err) == (130, "resume with: regsearch resume smoke\n")
    assert (dashboard.returncode, "Traceback" in dashboard_err) == (143, False)
    assert len(set(seen)) >= 3  # it was polled while the search went on, and showed how
    assert seen == sorted(seen)
    total = len(finished(storage)) + 2
    assert max(seen) < total < MANY
    with start(tmp_path, "resume", "smoke", "--trials", str(total), "--quiet") as search:
        assert search.wait(timeout=60) == 0
    invariants.check(storage, is_fake=True)
