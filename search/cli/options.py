"""The options that several commands have, and the groups that `run`, `resume` and `confirm` share."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..run.progress import Progress
    from ..workers.base import Engine as MadeEngine

Name = Annotated[str, typer.Argument(metavar="NAME", help="The study's name in the database.", show_default=False)]
Storage = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Database: sqlite:///FILE, postgresql+psycopg://USER@HOST/DATABASE, or @FILE that holds such a URL  "
        "[default: $REGSEARCH_STORAGE, else sqlite:///regsearch.db]",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
Timeout = Annotated[
    str | None, typer.Option(metavar="TIME", help="Stop this run after TIME, such as 30m; running trials finish.")
]
Workers = Annotated[
    int | None, typer.Option(metavar="W", help="How many trials run at once  [default: one per core; all of a cluster]")
]
Trials = Annotated[int | None, typer.Option(metavar="N", help="The study's total of trials, over all its runs.")]
Data = Annotated[
    str | None,
    typer.Option(metavar="DATA", help="auto, mnist, digits, an .npz file, or a directory of IDX files or images."),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the study file; may be repeated.")
]
Engine = Annotated[str, typer.Option(metavar="ENGINE", help="Where trials train: processes, inline or ray.")]
Address = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Address of a Ray cluster, or auto  [default: Ray on this machine]"),
]
CpusPerWorker = Annotated[float | None, typer.Option(metavar="N", help="CPUs per worker, with Ray  [default: 1]")]
GpusPerWorker = Annotated[
    float | None,
    typer.Option(metavar="N", help="GPUs per worker, such as 0.5  [default: all workers share all; with Ray: 0]"),
]
NoConfirm = Annotated[bool, typer.Option("--no-confirm", help="Don't confirm the best on fresh seeds.")]
TensorBoard = Annotated[
    str | None, typer.Option(metavar="DIR", help="Write TensorBoard's files of each finished trial to DIR/STUDY.")
]
Checkpoints = Annotated[
    str | None, typer.Option(metavar="DIR", help="Write a .keras model of each epoch to DIR/STUDY.")
]
TrustCode = Annotated[bool, typer.Option("--trust-code", help="Run the code that model.hypermodel names.")]
Log = Annotated[str | None, typer.Option(metavar="FILE", help="Append one line for each decision to FILE.")]


@dataclass(frozen=True, kw_only=True)
class _SearchOnly:
    """The options that a search has and a mere confirmation hasn't."""

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
        """Return them as keyword arguments of a function of `search.api`; raises InputError for a wrong engine."""
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

    def _engine(self) -> "MadeEngine":
        from ..workers import engines

        names = ("address", "cpus_per_worker", "gpus_per_worker")
        options = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return engines.make_engine(self.engine, **options)

    def _progress(self) -> "Progress":
        from ..run.progress import Progress, progress_here

        return Progress() if self.quiet else progress_here()


@dataclass(frozen=True, kw_only=True)
class SearchOptions(TrainingOptions, _SearchOnly):  # the fields of the last base come first
    """The options of a command that searches, in the order of `--help`."""

    def keywords(self) -> dict[str, Any]:
        """Return them as keyword arguments of a function of `search.api`; raises InputError for a wrong engine."""
        return super().keywords() | {
            "trials": self.trials,
            "tensorboard": self.tensorboard,
            "checkpoints": self.checkpoints,
            "confirm": not self.no_confirm,
        }


def with_shared_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for each field of its parameter `options`, which is a dataclass of options."""
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
