"""The command line. Each command parses its options, calls one function and prints the answer.

Answers go to stdout, messages to stderr.
"""

import gc
import io
import json
import os
import sys
from typing import Annotated, Any, NoReturn

import typer

from ...studies.errors import InputError, RegsearchError, mask_passwords, one_line
from ..run.signals import StartupInterrupted, StopRequested, raise_interrupted
from .options import (
    AsJson,
    Data,
    Name,
    SearchOptions,
    Settings,
    Storage,
    TrainingOptions,
    TrustCode,
    with_shared_options,
)
from .output import (
    print_,
    print_best,
    print_enqueued,
    print_export,
    print_or_save,
    print_result,
    rendered_comparison,
    rendered_report,
    write,
)

_ALLOCATIONS = 50_000  # between two garbage collections, which otherwise take a seventh of a short command's time

_UsageError: Any = next(
    c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException"
)  # from typer's own copy of Click

_STUDIES = "Ready study (mnist, digits, small-data, ladder, deep or cnn), or a study file such as mine.toml."

app = typer.Typer(
    name="regsearch",
    help="Find out which regularization your Keras network needs, and how sure you can be of that.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command()
@with_shared_options
def run(
    study: Annotated[str, typer.Argument(metavar="STUDY", help=_STUDIES)] = "mnist",
    name: Annotated[
        str | None, typer.Option(metavar="N", help="Name of the study in the database  [default: as in the study file]")
    ] = None,
    settings: Settings = None,
    *,
    options: SearchOptions,
) -> None:
    """Start or resume a study, and print its answer.

    It searches until the total of trials is reached, then trains the best configurations again on fresh seeds.
    """
    from .. import api

    print_result(api.run(study, name=name, settings=settings or [], **options.keywords()), options.as_json)


@app.command()
@with_shared_options
def resume(name: Name, *, options: SearchOptions) -> None:
    """Resume an interrupted study, and print its answer.

    It searches until the total of trials is reached, then trains the best configurations again on fresh seeds.
    """
    from .. import api

    print_result(api.resume(name, **options.keywords()), options.as_json)


@app.command()
@with_shared_options
def confirm(
    name: Name,
    top: Annotated[
        int | None,
        typer.Option(metavar="K", help="How many of the best configurations are finalists  [default: confirm.top]"),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(metavar="S", help="Number of fresh seeds, at least 3  [default: confirm.seeds]")
    ] = None,
    *,
    options: TrainingOptions,
) -> None:
    """Train the finalists again, then test them once.

    The finalists are the best configurations of the search. They are trained on fresh seeds and evaluated on the test
    set.
    """
    from .. import api

    print_result(api.confirm(name, top=top, seeds=seeds, **options.keywords()), options.as_json)


@app.command()
def stop(name: Name, storage: Storage = None) -> None:
    """Stop a running study, and wait until it has stopped.

    Nothing is lost: `regsearch resume NAME` resumes it.
    """
    from .. import api

    holder = api.stop(name, storage=storage)
    print(one_line(f"{name} is not running; nothing to stop" if holder is None else f"stopped {name}: {holder}"))


@app.command(name="list")
def list_(as_json: AsJson = False, storage: Storage = None) -> None:
    """List all studies in the database."""
    from ...studies.reports import study_list
    from .. import api

    print_(api.statuses(storage=storage), as_json, study_list.as_text, study_list.as_json)


@app.command()
def status(name: Name, as_json: AsJson = False, storage: Storage = None) -> None:
    """Show a study's counts, pace and time left."""
    from ...studies.reports import status
    from .. import api

    print_(api.status(name, storage=storage), as_json, status.as_text, status.as_json)


@app.command()
def trials(
    name: Name,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: AsJson = False,
    storage: Storage = None,
) -> None:
    """Show every trial of a study."""
    from ...studies.reports import trials
    from .. import api

    if as_csv and as_json:
        raise InputError("--csv and --json exclude each other. Give one of them.")
    with api.trials(name, storage=storage) as (study, records):
        if as_csv:
            write(trials.as_csv(study, records))
        else:
            print_(records, as_json, lambda r: trials.as_text(study, r), lambda r: trials.as_json(study, r))


@app.command()
def best(name: Name, as_json: AsJson = False, storage: Storage = None) -> None:
    """Show the answer so far.

    It is the confirmed answer, or the best trial if the study is not confirmed yet.
    """
    from .. import api

    print_best(api.load(name, storage=storage), as_json)


@app.command()
def report(
    name: Name,
    kind: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="FORMAT", help="Format: text, json or html  [default: text; with --output, html]"
        ),
    ] = None,
    output: Annotated[str | None, typer.Option(metavar="FILE", help="Write to FILE, such as report.html.")] = None,
    storage: Storage = None,
) -> None:
    """Show the whole report of a study.

    It has the answer, the finalists, each technique and its importance, learning curves and the cost.
    """
    from .. import api

    kind = kind or ("text" if output is None else "html")
    print_or_save(rendered_report(api.report(name, storage=storage), kind), output)


@app.command()
def compare(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME…", help="Names of two or more studies.", show_default=False)
    ],
    as_json: AsJson = False,
    output: Annotated[str | None, typer.Option(metavar="FILE", help="Write an HTML page to FILE.")] = None,
    storage: Storage = None,
) -> None:
    """Compare two or more studies.

    The comparison shows what more training examples change, or which search method finds better configurations.
    """
    from .. import api

    if as_json and output is not None:
        raise InputError("--json and --output exclude each other. Give one of them.")
    kind = "json" if as_json else "text" if output is None else "html"
    print_or_save(rendered_comparison(api.compare(*names, storage=storage), kind), output)


@app.command()
def export(
    name: Name,
    output: Annotated[
        str, typer.Option(metavar="DIR", help="Directory, empty or not existing yet.", show_default=False)
    ],
    trial: Annotated[
        int | None,
        typer.Option(metavar="N", help="Number of the trial  [default: the confirmed winner, else the best trial]"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the files of an earlier export in DIR.")] = False,
    trust_code: TrustCode = False,
    storage: Storage = None,
) -> None:
    """Write the winner as a Keras model.

    DIR also gets the configuration, a model card, and a Keras script that trains the model.
    """
    from .. import api
    from ..run.signals import exit_on_signal

    exit_on_signal()
    print_export(api.export(name, output, trial=trial, force=force, storage=storage, trust_code=trust_code))


@app.command()
def enqueue(
    name: Name,
    params: Annotated[
        list[str],
        typer.Option("--param", metavar="NAME=VALUE", help="A value to try, such as l2=1e-4; may be repeated."),
    ],
    storage: Storage = None,
) -> None:
    """Try your own configuration next.

    The sampler chooses the values that you don't give.
    """
    from .. import api

    number, study = api.enqueue(name, params, storage=storage)
    print_enqueued(number, study, params, storage)


@app.command()
def dashboard(
    port: Annotated[int, typer.Option(metavar="PORT", help="Port on this machine; 0 means any free port.")] = 8080,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Also accept this host name, for a proxy; may be repeated."),
    ] = None,
    storage: Storage = None,
) -> None:
    """Show the database in a browser, with optuna-dashboard.

    The dashboard changes nothing, and only this machine can reach it.
    """
    from ...storage.dashboard_server import HOST, make_dashboard
    from .. import api
    from ..run.signals import exit_on_signal

    exit_on_signal()
    with api.reading(storage) as database, make_dashboard(database, port, allow_host or ()) as server:
        print(one_line(f"optuna-dashboard of {database.location} on http://{HOST}:{server.port}/"), flush=True)
        print("Press Ctrl-C to stop.", file=sys.stderr)
        server.serve_forever()


@app.command()
def doctor(data: Data = None, settings: Settings = None, as_json: AsJson = False, storage: Storage = None) -> None:
    """Check the data, the database, the versions and the machine."""
    from .. import doctor

    checks = doctor.examine(storage, data, settings or [])
    print_(checks, as_json, doctor.as_text, doctor.as_json)
    raise typer.Exit(max(check.exit_code for check in checks))


@app.command()
def backup(
    file: Annotated[str, typer.Argument(metavar="FILE", help="File for the copy; it must not exist yet.")],
    storage: Storage = None,
) -> None:
    """Copy the database to a file, even while a search runs."""
    from .. import api

    print(one_line(f"copied the database to {api.backup(file, storage=storage)}"))


@app.command()
def upgrade(storage: Storage = None) -> None:
    """Upgrade a database that an earlier version of regsearch made."""
    from .. import api

    done = api.upgrade(storage=storage)
    if not done.steps:
        print(one_line(f"{done.location} is up to date; nothing to do"))
    else:
        backup = "" if done.backup is None else f"; a copy from before the upgrade is in {done.backup}"
        print(one_line(f"upgraded {done.location} ({', '.join(done.steps)}){backup}"))


@app.command()
def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    storage: Storage = None,
) -> None:
    """Delete a study with all its trials and logs."""
    from .. import api

    if not yes:
        if not sys.stdin.isatty():
            raise InputError(f"{name} was not deleted: there is no terminal to ask you. Give --yes to delete it.")
        typer.confirm(f"Delete the study {name} with all its trials?", abort=True, err=True)
    problems = api.delete(name, storage=storage)
    print(one_line(f"deleted {name}"))
    for problem in problems:
        print(one_line(f"regsearch: a file of the study remains: {problem}. Remove this file."), file=sys.stderr)


@app.command()
def schema() -> None:
    """Print the JSON schema of study files, for editors."""
    from ...studies.study_file import json_schema

    write([json.dumps(json_schema(), indent=2), "\n"])


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    if sys.platform == "win32":
        _exit_with("regsearch runs on Linux and macOS; on Windows, use it inside WSL", 2)
    gc.set_threshold(_ALLOCATIONS)
    raise_interrupted()
    try:
        if sys.stdout is None:
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - the shell closed stdout by `>&-`
        if isinstance(sys.stdout, io.TextIOWrapper):  # a path may contain bytes that aren't text
            sys.stdout.reconfigure(errors="backslashreplace")
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except RegsearchError as error:
        _exit_with(f"regsearch: {error}", error.exit_code)
    except typer.Exit as exit_:
        sys.exit(exit_.exit_code)
    except _UsageError as error:
        _exit_with(f"regsearch: {one_line(error.format_message())} See `regsearch --help`.", 2)
    except StopRequested as stopped:
        _exit_with(f"resume with: {stopped.resume_command}", stopped.exit_code)
    except (typer.Abort, KeyboardInterrupt, StartupInterrupted):
        _exit_with("stopped. Run the same command again to start or resume.", StartupInterrupted.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


def _exit_with(line: str, code: int) -> NoReturn:
    print(mask_passwords(line), file=sys.stderr)  # a message quotes a URL that was given in the wrong place
    sys.exit(code)
