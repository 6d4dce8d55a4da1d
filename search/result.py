"""What the Python functions return: a study's answer, with methods that read trials, figures and the report."""

import signal
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..storage.connect import open_for_reading
from ..storage.database import Database
from ..storage.location import Location
from ..storage.queries import get_study, list_trials
from ..storage.report_data import read_report_data
from ..studies.analysis.comparison import Comparison
from ..studies.analysis.conclusion import Conclusion
from ..studies.errors import InputError, NoResultError
from ..studies.files import save_report
from ..studies.records import StudyRecord, StudySummary, TrialRecord
from ..studies.reports.data import ReportData
from ..studies.reports.summary import headline

if TYPE_CHECKING:
    import pandas
    import plotly.graph_objects

    from .run.coordinator import StopReason

_WIDTH = 100  # columns


@dataclass(frozen=True, kw_only=True, repr=False)
class StudyResult:
    """A study's answer at one moment; `print` shows it as text, and a notebook shows it as a table.

    Its methods read trials, figures and the report from the database when you call them.

    Example:
        >>> import regsearch
        >>> result = regsearch.run("smoke", trials=4, storage="sqlite:///example.db")
        >>> result.answer.counts.finished
        4
        >>> result.best.value == min(trial.value for trial in result.trials() if trial.state == "complete")
        True

    Attributes:
        answer: the study, the counts of its trials, and the best trial.
        confirmation: the results of the finalists on fresh seeds and on the test set, with the winner; None if the
            study is not confirmed.
        location: the database: the path of a file, or a server.
    """

    answer: StudySummary
    confirmation: Conclusion | None
    location: Location

    @property
    def best(self) -> TrialRecord | None:
        """The trial with the best objective on the selection split; None if no trial is complete.

        The best value is a little too good, because the trial was chosen for it. See `confirmation.winner` for fair
        figures.
        """
        return self.answer.best

    def trials(self) -> list[TrialRecord]:
        """Return all trials that are stored now, in the order of their numbers."""
        with open_for_reading(self.location) as database:
            return list(list_trials(database, self._study(database)))

    def to_frame(self) -> "pandas.DataFrame":
        """Return a pandas DataFrame of all trials that are stored now, with the columns of `regsearch trials --csv`.

        Raises InputError if pandas isn't installed.
        """
        try:
            from pandas import DataFrame
        except ImportError as error:
            raise InputError("to_frame needs pandas, which is not installed: pip install pandas") from error
        from ..studies.reports.trials import as_rows, columns

        study, trials = self.answer.study, self.trials()
        return DataFrame(list(as_rows(study, trials)), columns=list(columns(study, trials)))

    def figure(self, name: str) -> "plotly.graph_objects.Figure":
        """Return a figure of the report, for a notebook or for Plotly's `write_html` and `write_json`.

        Args:
            name: the figure's name, such as "history", "gains", "curves" (of the best configuration) or "curves-1"
                (without regularization).

        Raises InputError if the study's report has no such figure; its message lists the names that exist.
        """
        from ..studies.reports.figures.plotly_export import as_plotly
        from ..studies.reports.page import titled_figures

        figures = titled_figures(self._content)
        if name not in figures:
            hint = f"Its figures are {', '.join(figures)}." if figures else "It has no figures yet."
            raise InputError(f"the report of {self.answer.study.name} has no figure {name!r}. {hint}")
        return as_plotly(*figures[name])

    def report(self) -> str:
        """Return the report as text."""
        from ..studies.reports.terminal import as_text

        return as_text(self._content, _WIDTH)

    def save_report(self, path: str | Path) -> Path:
        """Write the report as one HTML page, replacing an earlier one, and return the file's absolute path.

        Raises InputError if the file can't be written.
        """
        from ..studies.reports.page import as_html

        return save_report(path, as_html(self._content))

    @cached_property
    def _content(self) -> ReportData:
        with open_for_reading(self.location) as database:
            return read_report_data(database, self._study(database))

    def _study(self, database: Database) -> StudyRecord:
        study = get_study(database, self.answer.study.name)
        if study.study_uuid != self.answer.study.study_uuid:
            raise InputError(f"the study {study.name} of this result was deleted; another study has its name now")
        return study

    def __str__(self) -> str:
        """Return the answer as the command line prints it."""
        from ..studies.reports.terminal import answer_as_text

        return answer_as_text(self.answer, self.confirmation, _WIDTH)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.answer.study.name}: {headline(self.answer, self.confirmation)}>"

    def _repr_html_(self) -> str:
        """Return the answer as a notebook's cell shows it."""
        from ..studies.reports.notebook import as_inline_html

        return as_inline_html(self.answer, self.confirmation)


@dataclass(frozen=True, kw_only=True, repr=False)
class RunResult(StudyResult):
    """A study's answer at the end of a run.

    Example:
        >>> import regsearch
        >>> result = regsearch.run("smoke", trials=3, storage="sqlite:///example.db")
        >>> result.ended, result.exit_code
        ("the study's total is reached", 0)

    Attributes:
        reason: why the run ended.
        ended: the reason in words. If the whole search space was tried, the words include the number of points.
        signal: the number of the signal that stopped the run; None if none did.
    """

    reason: "StopReason"
    ended: str
    signal: int | None

    @property
    def is_over(self) -> bool:
        """Whether the run finished its work. If not, it was stopped, or its timeout was over."""
        from .run.coordinator import StopReason

        return self.reason not in (StopReason.STOPPED, StopReason.TIMEOUT)

    @property
    def exit_code(self) -> int:
        """The command's exit code: 128 plus the signal that stopped the run; 4 if no trial is complete; else 0."""
        from .run.coordinator import StopReason

        if self.reason is StopReason.STOPPED:
            return 128 + (self.signal or signal.SIGTERM)
        is_without_result = self.is_over and self.best is None and not self.answer.counts.running
        return NoResultError.exit_code if is_without_result else 0


@dataclass(frozen=True, kw_only=True)
class ComparisonResult(Comparison):
    """A comparison of studies; `print` shows it as text, and a notebook shows it as tables.

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
        """Return the comparison as text."""
        from ..studies.reports.comparison.terminal import as_text

        return as_text(self, 120)

    def _repr_html_(self) -> str:
        """Return the comparison as a notebook's cell shows it."""
        from ..studies.reports.comparison.page import as_inline_html

        return as_inline_html(self)
