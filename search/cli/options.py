"""The options that several commands have, and the groups of options that `run`, `resume` and `confirm` share."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..run.progress import Progress
    from ..workers.base import Engine as WorkerEngine

Name = Annotated[str, typer.Argument(metavar="NAME", help="The study's name in the database.", show_default=False)]
Storage = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Database: sqlite:///FILE, postgresql+psycopg://USER@HOST/DATABASE, or @FILE with such a URL in it  "
        "[default: $REGSEARCH_STORAGE, else sqlite:///regsearch.db]",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as one JSON document.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress while trials run.")]
Timeout = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Start no more trials after TIME, such as 30m; running trials finish."),
]
Workers = Annotated[
    int | None,
    typer.Option(
        metavar="W", help="How many trials run at once  [default: one per core; on a cluster, as many as fit]"
    ),
]
Trials = Annotated[int | None, typer.Option(metavar="N", help="Total number of trials, over all runs of the study.")]
Data = Annotated[
    str | None,
    typer.Option(
        metavar="DATA",
        help="Data: auto (mnist, else digits), mnist, digits, an .npz file, or a directory of IDX files or images.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Set a key of the study, such as training.max_epochs=20; may be repeated."
    ),
]
Engine = Annotated[str, typer.Option(metavar="ENGINE", help="What trains: processes, inline (this process) or ray.")]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="With Ray: address of a cluster, or auto to find it  [default: start Ray on this machine]",
    ),
]
CpusPerWorker = Annotated[float | None, typer.Option(metavar="N", help="With Ray: CPUs per worker  [default: 1]")]
GpusPerWorker = Annotated[
    float | None,
    typer.Option(metavar="N", help="GPUs per worker, such as 0.5  [default: all workers share all GPUs; with Ray: 0]"),
]
NoConfirm = Annotated[
    bool, typer.Option("--no-confirm", help="Don't train the best configurations again on fresh seeds.")
]
TensorBoard = Annotated[
    str | None,
    typer.Option(metavar="DIR", help="Write a TensorBoard file of each finished trial to DIR/STUDY; DIR must exist."),
]
Checkpoints = Annotated[
    str | None, typer.Option(metavar="DIR", help="Write a .keras model after each epoch to DIR/STUDY; DIR must exist.")
]
TrustCode = Annotated[
    bool, typer.Option("--trust-code", help="Let the study's own Python code (model.hypermodel) run.")
]
Log = Annotated[str | None, typer.Option(metavar="FILE", help="Append a log line for each decision to FILE.")]


@dataclass(frozen=True, kw_only=True)
class _SearchOnly:
    """The options of `run` and `resume` that `confirm` doesn't have."""

    trials: Trials = None
    tensorboard: TensorBoard = None
    checkpoints: Checkpoints = None
    no_confirm: NoConfirm = False


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """The options of every command that trains, in the order of `--help`."""

    timeout: Timeout = None
    workers: Workers = None
    data: Data = None
    engine: Engine = "processes"
    address: Address = None
    cpus_per_worker: CpusPerWorker = None
    gpus_per_worker: GpusPerWorker = None
    trust_code: TrustCode = False
    log: Log = None
    as_json: AsJson = False
    quiet: Quiet = False
    storage: Storage = None

    def keywords(self) -> dict[str, Any]:
        """Return the options as keyword arguments for `search.api`; raises InputError if the engine can't be made."""
        return {
            "storage": self.storage,
            "timeout": self.timeout,
            "workers": self.workers,
            "data": self.data,
            "engine": self._engine(),
            "progress": self._progress(),
            "handle_signals": True,
            "trust_code": self.trust_code,
            "log": self.log,
        }

    def _engine(self) -> "WorkerEngine":
        from ..workers import engines

        names = ("address", "cpus_per_worker", "gpus_per_worker")
        options = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return engines.make_engine(self.engine, **options)

    def _progress(self) -> "Progress":
        from ..run.progress import Progress, progress_here

        return Progress() if self.quiet else progress_here()


@dataclass(frozen=True, kw_only=True)
class SearchOptions(TrainingOptions, _SearchOnly):  # a dataclass puts the fields of its last base first
    """The options of a command that searches, in the order of `--help`."""

    def keywords(self) -> dict[str, Any]:
        """Return the options as keyword arguments for `search.api`; raises InputError if the engine can't be made."""
        return super().keywords() | {
            "trials": self.trials,
            "tensorboard": self.tensorboard,
            "checkpoints": self.checkpoints,
            "confirm": not self.no_confirm,
        }


def with_shared_options(command: Callable[..., None]) -> Callable[..., None]:
    """Replace a command's parameter `options`, a dataclass, by one option for each field of the dataclass."""
    signature = inspect.signature(command)
    group = signature.parameters["options"].annotation
    own = [parameter for name, parameter in signature.parameters.items() if name != "options"]
    shared = [
        inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=option.default, annotation=option.type)
        for option in fields(group)
    ]

    @functools.wraps(command)
    def expanded(**arguments: Any) -> None:
        options = group(**{option.name: arguments.pop(option.name) for option in shared})
        command(**arguments, options=options)

    expanded.__signature__ = signature.replace(parameters=[*own, *shared])  # type: ignore[attr-defined]  # typer reads it
    return expanded
