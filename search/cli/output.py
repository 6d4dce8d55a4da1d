"""What the command line prints: answers to stdout, as text or one JSON document, and hints to stderr."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from ...studies.commands import resume_command
from ...studies.errors import InputError, NoResultError, StorageError, one_line, printable
from ...studies.files import save_report

if TYPE_CHECKING:
    from ...storage.location import Location
    from ...studies.analysis.comparison import Comparison
    from ...studies.analysis.conclusion import Conclusion
    from ...studies.records import StudyRecord, StudySummary
    from ...studies.reports.data import ReportData
    from ...studies.spec import StudySpec
    from ..export.study_export import Export
    from ..result import RunResult, StudyResult

T = TypeVar("T")

_WIDTH_ELSEWHERE = 100  # columns, if stdout is not a terminal


def print_(value: T, as_json: bool, text: Callable[[T], str], document: Callable[[T], dict[str, Any]]) -> None:
    """Print a value: as JSON, made by `document`, or as text, made by `text`."""
    write([json.dumps(document(value), indent=2) if as_json else printable(text(value)), "\n"])


def write(parts: Iterable[str]) -> None:
    """Write an answer to stdout. Exit with code 0 if stdout is a pipe and its reader, such as `head`, has ended."""
    try:
        for part in parts:
            sys.stdout.write(part)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # otherwise Python prints an error at exit
        raise typer.Exit(0) from None
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise StorageError(f"the answer can't be written to stdout: {error.strerror}.") from error


def print_result(result: "RunResult", as_json: bool) -> None:
    """Print the answer at the end of a run; if the run's exit code isn't 0, exit with it."""
    from ...storage.location import command
    from ...studies.reports.json_report import answer_json

    name, answer, conclusion = result.answer.study.name, result.answer, result.confirmation
    if result.exit_code == NoResultError.exit_code:
        see = command(result.location, "trials", name)
        raise NoResultError(f"no trial of {name} is complete. See `{see}` for the reasons.")
    print_(
        answer,
        as_json,
        lambda a: f"{_as_text(a, conclusion, result.location)}\nThe search ended: {result.ended}.",
        lambda a: {**answer_json(a, conclusion), "ended": result.ended},
    )
    if not result.is_over:
        print(how_to_resume(answer.study.spec, result.location), file=sys.stderr)
    if result.exit_code:
        raise typer.Exit(result.exit_code)


def width() -> int:
    """Return how many columns a printed answer may have: those of the terminal, or 100 if stdout is no terminal."""
    return shutil.get_terminal_size((_WIDTH_ELSEWHERE, 24)).columns if sys.stdout.isatty() else _WIDTH_ELSEWHERE


def how_to_resume(spec: "StudySpec", location: "Location") -> str:
    """Return the line with the command that resumes a study."""
    from ...storage.location import as_option

    return f"resume with: {resume_command(spec, 'resume', *as_option(location))}"


def rendered_report(content: "ReportData", kind: str) -> str:
    """Return a report as text, JSON or HTML; raises InputError for any other kind."""
    from ...studies.reports import json_report, page, terminal

    if kind == "html":
        return page.as_html(content)
    if kind == "json":
        return json.dumps(json_report.as_json(content), indent=2) + "\n"
    if kind == "text":
        return printable(terminal.as_text(content, width())) + "\n"
    raise InputError(f"unknown --format {kind!r}. Use text, json or html.")


def rendered_comparison(comparison: "Comparison", kind: str) -> str:
    """Return a comparison as text, JSON or HTML."""
    from ...studies.reports.comparison import json_report, page, terminal

    if kind == "html":
        return page.as_html(comparison)
    if kind == "json":
        return json.dumps(json_report.as_json(comparison), indent=2) + "\n"
    return printable(terminal.as_text(comparison, width())) + "\n"


def print_export(export: "Export") -> None:
    """Print the path and the SHA-256 of each file that an export wrote."""
    from ...studies.reports.answer import dataset_line

    lines = [f"{file.path}  sha256 {file.sha256}" for file in export.files]
    exported = f"Exported {export.training.origin} of {export.study.name}:"
    write(printable("\n".join([dataset_line(export.study.dataset), exported, *lines, ""])))


def print_best(result: "StudyResult", as_json: bool) -> None:
    """Print the answer so far; raises NoResultError if no trial is complete."""
    from ...storage.location import command
    from ...studies.reports.json_report import answer_json

    answer, conclusion = result.answer, result.confirmation
    if answer.best is None:
        name = answer.study.name
        see = command(result.location, "status", name)
        raise NoResultError(f"no trial of {name} is complete yet. See `{see}`.")
    print_(answer, as_json, lambda a: _as_text(a, conclusion, result.location), lambda a: answer_json(a, conclusion))


def _as_text(answer: "StudySummary", conclusion: "Conclusion | None", location: "Location") -> str:
    from ...storage.location import command
    from ...studies.reports.terminal import answer_as_text

    text = answer_as_text(answer, conclusion, width())
    report = command(location, "report", answer.study.name)  # never wrapped, so that it can be pasted into a shell
    return text if conclusion is None else f"{text}\nWhole report: {report} (add --output FILE.html to get a page)"


def print_enqueued(number: int, study: "StudyRecord", params: Iterable[str], storage: str | None) -> None:
    """Print which trial will try the values. If the study's total is too low for this trial, print how to raise it."""
    from ...storage.location import as_option, location_of
    from ..api import storage_url

    print(one_line(f"trial {number} of {study.name} will try {', '.join(params)}"))
    total = study.spec.budget.trials
    if number >= total:
        options = ("--trials", str(number + 1), *as_option(location_of(storage_url(storage))))
        command = resume_command(study.spec, "resume", *options)
        hint = f"the study's total of {total} is too low for this trial. Raise the total with `{command}`."
        print(hint, file=sys.stderr)


def print_or_save(rendered: str, output: str | None) -> None:
    """Print a rendered answer, or write it to the file `output`."""
    if output is None:
        write([rendered])
    else:
        print(one_line(f"wrote {save_report(output, rendered)}"))
