"""GPUs without one: who is given which, and that none takes all the memory."""

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from regsearch.search.training import setup
from regsearch.search.workers.engines import describe, make_engine
from regsearch.search.workers.gpus import check_share, gpus_of, visible_gpus
from regsearch.search.workers.processes import ProcessEngine
from regsearch.search.workers.ray.gateway import capacity
from regsearch.studies.errors import InputError


@pytest.mark.parametrize(
    ("gpus", "workers", "share", "given"),
    [
        ("0,1", 2, 1, ["0", "1"]),
        ("4,7", 4, 0.5, ["4", "4", "7", "7"]),
        ("0,1,2,3", 2, 2, ["0,1", "2,3"]),
        ("0", 3, 0.3, ["0", "0", "0"]),
        ("", 3, 0, ["-1", "-1", "-1"]),
    ],
)
def test_each_worker_has_its_share_of_the_gpus(
    gpus: str, workers: int, share: float, given: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    assert gpus_of(workers, share) == given


def test_too_few_gpus_are_refused_before_anything_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    engine = make_engine("processes", gpus_per_worker=0.5)
    assert engine.planned_workers(2) == 2
    with pytest.raises(InputError, match=r"--gpus-per-worker 0.5: .*\(1\) are enough for 2 workers, not for 3"):
        engine.planned_workers(3)


@pytest.mark.parametrize("share", [-1, 1.5, float("nan")])
def test_a_share_is_a_part_of_one_or_whole(share: float) -> None:
    with pytest.raises(InputError, match=r"--gpus-per-worker can't be .* It must be at least 0, and a whole number if"):
        make_engine("processes", gpus_per_worker=share)


def test_where_nothing_is_named_cuda_has_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / "gpus" / name).mkdir(parents=True)
    monkeypatch.setattr("regsearch.search.workers.gpus._DEVICES", tmp_path / "gpus")
    assert visible_gpus() == ["0", "1"]


def test_an_option_of_another_engine_is_refused() -> None:
    with pytest.raises(InputError, match=r"--address is not supported by the engine processes\. Use --engine ray"):
        make_engine("processes", address="auto")
    assert describe(ProcessEngine()) == "ProcessEngine"
    assert describe(ProcessEngine(gpus_per_worker=0.5)) == "ProcessEngine(gpus_per_worker=0.5)"


def test_without_ray_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'regsearch\[ray\]'"):
        make_engine("ray")


def test_workers_go_where_both_cpus_and_gpus_are() -> None:
    nodes: list[Any] = [
        {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 1.0}},
        {"Alive": True, "Resources": {"CPU": 3.0}},
        {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
    ]
    assert capacity(nodes, 1, 0) == 11
    assert capacity(nodes, 2, 0) == 5
    assert capacity(nodes, 1, 0.1) == 8
    assert capacity(nodes, 0.1, 0.25) == 4


@pytest.mark.parametrize("count", [0, 2])
def test_memory_grows_on_each_gpu_and_without_one_nothing_is_changed(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    devices = [f"GPU:{number}" for number in range(count)]
    threading = SimpleNamespace(
        set_intra_op_parallelism_threads=lambda n: None, set_inter_op_parallelism_threads=lambda n: None
    )
    experimental = SimpleNamespace(
        set_memory_growth=lambda gpu, grows: asked.append((gpu, grows)),
        enable_op_determinism=lambda: asked.append("deterministic"),
    )
    config = SimpleNamespace(
        threading=threading,
        experimental=experimental,
        optimizer=SimpleNamespace(set_experimental_options=lambda options: None),
        list_physical_devices=lambda kind: devices if kind == "GPU" else [],
    )
    monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace(config=config))
    setup._start_tensorflow()
    assert asked == ([(device, True) for device in devices] + ["deterministic"] if count else [])


def test_a_worker_of_ours_sees_its_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from regsearch.search.training.setup import TrainerSetup
    from regsearch.studies.spec import StudySpec

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,6")
    says = "import os, sys; print(os.environ['CUDA_VISIBLE_DEVICES'], file=sys.stderr); sys.stdin.read()"
    engine = ProcessEngine([sys.executable, "-c", says], gpus_per_worker=1)
    engine.start(TrainerSetup(spec=StudySpec(), source="digits", sha256=""), 2, tmp_path / "worker-")
    try:
        for number, gpu in enumerate(("5", "6")):
            log = tmp_path / f"worker-{number}.log"
            for _ in range(600):
                if log.read_text():
                    break
                time.sleep(0.05)
            assert log.read_text() == f"{gpu}\n"
    finally:
        engine.stop()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "5,6"


def test_a_share_that_is_infinite_or_no_number_is_refused() -> None:
    for share in (float("inf"), float("nan"), -1.0, 1.5):
        with pytest.raises(InputError, match="--gpus-per-worker can't be"):
            check_share("--gpus-per-worker", share, "at least 0")
