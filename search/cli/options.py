"""The options that several commands have."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from regsearch.search.workers.base import Engine as MadeEngine

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
    str | None, typer.Option(metavar="TIME", help="Of this run, such as 30m; running trials are finished.")
]
Workers = Annotated[
    int | None, typer.Option(metavar="W", help="Trials at once  [default: one a core; of a cluster, all]")
]
Trials = Annotated[int | None, typer.Option(metavar="N", help="The study's total, over all its runs.")]
Data = Annotated[
    str | None,
    typer.Option(metavar="DATA", help="auto, mnist, digits, an .npz file, a folder of IDX files or of images."),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the study file; may be repeated.")
]
Engine = Annotated[str, typer.Option(metavar="ENGINE", help="Where trials train: processes, inline or ray.")]
Address = Annotated[
    str | None, typer.Option(metavar="HOST:PORT", help="Of a Ray cluster, or auto  [default: a Ray of this machine]")
]
CpusPerWorker = Annotated[float | None, typer.Option(metavar="N", help="With Ray: CPUs of a worker  [default: 1]")]
GpusPerWorker = Annotated[
    float | None, typer.Option(metavar="N", help="GPUs of a worker, such as 0.5  [default: all share all; with Ray: 0]")
]
NoConfirm = Annotated[bool, typer.Option("--no-confirm", help="Don't confirm the best on fresh seeds.")]
TensorBoard = Annotated[
    str | None, typer.Option(metavar="DIR", help="Leave TensorBoard's files of each finished trial in DIR/STUDY.")
]
Checkpoints = Annotated[
    str | None, typer.Option(metavar="DIR", help="Leave a .keras model of each epoch in DIR/STUDY.")
]
TrustCode = Annotated[bool, typer.Option("--trust-code", help="Run the code that model.hypermodel names.")]


def engine_from_options(
    engine: str, address: str | None, cpus_per_worker: float | None, gpus_per_worker: float | None
) -> "MadeEngine":
    """Return the engine that is asked for, with the options that are given; raises InputError."""
    from regsearch.search.workers import engines

    options = {"address": address, "cpus_per_worker": cpus_per_worker, "gpus_per_worker": gpus_per_worker}
    return engines.make_engine(engine, **{name: value for name, value in options.items() if value is not None})
