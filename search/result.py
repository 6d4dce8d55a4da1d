"""What a study gives to a script or a notebook: its answer, and from its database trials, figures and the report."""

import signal
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from regsearch.storage.connect import open_for_reading
from regsearch.storage.database import Database
from regsearch.storage.location import Location
from regsearch.storage.queries import get_study, list_trials
from regsearch.storage.report_data import read_report_data
from regsearch.studies.analysis.comparison import Comparison
from regsearch.studies.analysis.conclusion import Conclusion
from regsearch.studies.errors import InputError, NoResultError
from regsearch.studies.files import save_report
from regsearch.studies.records import StudyRecord, StudySummary, TrialRecord
from regsearch.studies.reports.data import ReportData
from regsearch.studies.reports.summary import headline

if TYPE_CHECKING:
    import pandas
    import plotly.graph_objects

    from regsearch.search.run.coordinator import StopReason

_WIDTH = 100  # columns


@dataclass(frozen=True, kw_only=True, repr=False)
class StudyResult:
    """A study's answer, as it was when this was made; `print` shows it, and a notebook shows it as a table.

    Trials, figures and the report are read from the database when they are asked for.

    For example:
        >>> import regsearch
        >>> result = regsearch.run("smoke", trials=4, storage="sqlite:///example.db")
        >>> result.answer.counts.finished
        4
        >>> result.best.value == min(trial.value for trial in result.trials() if trial.state == "complete")
        True

    Attributes:
        answer: the study, its counts, its best trial.
        confirmation: what its finalists gave on fresh seeds and on the test rows, the winner among them; None where the
            study is not confirmed.
        location: of the database: the path of a file, or a server.
    """

    answer: StudySummary
    confirmation: Conclusion | None
    location: Location

    @property
    def best(self) -> TrialRecord | None:
        """The trial with the best objective on the select rows, None where none is complete.

        It was chosen for that figure, so a little lucky; the confirmed winner is `confirmation.winner`.
        """
        return self.answer.best

    def trials(self) -> list[TrialRecord]:
        """Return every trial by number, as they are now."""
        with open_for_reading(self.location) as database:
            return list(list_trials(database, self._study(database)))

    def to_frame(self) -> "pandas.DataFrame":
        """Return a pandas DataFrame of every trial, as they are now; its columns are those of `trials --csv`.

        Raises InputError where pandas isn't installed.
        """
        try:
            from pandas import DataFrame
        except ImportError as error:
            raise InputError("to_frame needs pandas, which is not installed: pip install pandas") from error
        from regsearch.studies.reports.trials import as_rows, columns

        study, trials = self.answer.study, self.trials()
        return DataFrame(list(as_rows(study, trials)), columns=list(columns(study, trials)))

    def figure(self, name: str) -> "plotly.graph_objects.Figure":
        """Return one of the report's figures, for a notebook or for Plotly's `write_html` and `write_json`.

        Args:
            name: such as "history", "gains", "curves" (of the best configuration), "curves-1" (without regularization).

        Raises InputError, with the names there are, for one that this study's report hasn't.
        """
        from regsearch.studies.reports.figures.plotly_export import as_plotly
        from regsearch.studies.reports.page import titled_figures

        found = titled_figures(self._content)
        if name not in found:
            there = ", ".join(found) or "none yet"
            raise InputError(f"the report of {self.answer.study.name} has no figure {name!r}; there are {there}")
        return as_plotly(*found[name])

    def report(self) -> str:
        """Return the report as text."""
        from regsearch.studies.reports.terminal import as_text

        return as_text(self._content, _WIDTH)

    def save_report(self, path: str | Path) -> Path:
        """Write the report as one HTML page, in place of an earlier one, and return the file's absolute path.

        Raises InputError where it can't be written.
        """
        from regsearch.studies.reports.page import as_html

        return save_report(path, as_html(self._content))

    @cached_property
    def _content(self) -> ReportData:
        with open_for_reading(self.location) as database:
            return read_report_data(database, self._study(database))

    def _study(self, database: Database) -> StudyRecord:
        study = get_study(database, self.answer.study.name)
        if study.study_uuid != self.answer.study.study_uuid:
            raise InputError(f"the study {study.name} of this result was deleted; another one has its name now")
        return study

    def __str__(self) -> str:
        """Return the answer as the command line prints it."""
        from regsearch.studies.reports.terminal import answer_as_text

        return answer_as_text(self.answer, self.confirmation, _WIDTH)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.answer.study.name}: {headline(self.answer, self.confirmation)}>"

    def _repr_html_(self) -> str:
        """Return the answer as a notebook's cell shows it."""
        from regsearch.studies.reports.notebook import as_inline_html

        return as_inline_html(self.answer, self.confirmation)


@dataclass(frozen=True, kw_only=True, repr=False)
class RunResult(StudyResult):
    """A study's answer at the end of a run.

    Attributes:
        reason: why the run ended.
        ended: the same in words, with the number of points if all of the space's were tried.
        signal: the number of the signal that stopped it, if one did.
    """

    reason: "StopReason"
    ended: str
    signal: int | None

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do; else its time was over, or it was stopped."""
        from regsearch.search.run.coordinator import StopReason

        return self.reason not in (StopReason.STOPPED, StopReason.TIMEOUT)

    @property
    def exit_code(self) -> int:
        """The exit code of the command line: 0, 4 if no trial is complete, or 128 plus the signal that stopped it."""
        from regsearch.search.run.coordinator import StopReason

        if self.reason is StopReason.STOPPED:
            return 128 + (self.signal or signal.SIGTERM)
        is_without_result = self.is_over and self.best is None and not self.answer.counts.running
        return NoResultError.exit_code if is_without_result else 0


@dataclass(frozen=True, kw_only=True)
class ComparisonResult(Comparison):
    """Several studies side by side; `print` shows them as text, and a notebook as tables.

    Example:
        >>> import regsearch
        >>> for name, rows in {"all": 200, "half": 100}.items():
        ...     result = regsearch.run(
        ...         "smoke", name=name, trials=3, storage="sqlite:///two.db", settings=[f"data.train_size={rows}"]
        ...     )
        >>> [study.name for study in regsearch.compare("all", "half", storage="sqlite:///two.db").studies]
        ['half', 'all']
    """

    def __str__(self) -> str:
        """Return it for a person."""
        from regsearch.studies.reports.comparison.terminal import as_text

        return as_text(self, 120)

    def _repr_html_(self) -> str:
        """Return it as a notebook's cell shows it."""
        from regsearch.studies.reports.comparison.page import as_inline_html

        return as_inline_html(self)
