"""Show the recipes (known settings) that the search tried, and the result of each."""

from ... import formats
from ...records import TrialRecord
from ..data import ReportData
from ..html import element, join, table
from .section import Section

_HEADER = (
    "recipe",
    "configuration",
    "selection cross-entropy",
    "selection accuracy",
    "generalization gap",
    "epochs",
    "trial",
)
_MOST_ROWS = 60


def section(content: ReportData) -> Section | None:
    """Return the section on recipes; None if the study tried no recipe."""
    tried = [trial for trial in content.trials if trial.recipe is not None]
    if not tried:
        return None
    losses = [loss for trial in tried if (loss := formats.select_cross_entropy(trial)) is not None]
    shown = tried[:_MOST_ROWS]
    marked = [
        index for index, trial in enumerate(shown) if losses and formats.select_cross_entropy(trial) == min(losses)
    ]
    note = (
        "Each recipe was trained once. Values are on the selection split; cross-entropy is in nats per example. "
        "Differences of a few thousandths may be luck."
    )
    if len(tried) > len(shown):
        note += f" Only the first {len(shown)} of {len(tried)} recipes are shown."
    return Section(
        id="recipes",
        title="Recipes",
        body=join(
            [
                table(_HEADER, [_row(trial) for trial in shown], numbers=range(2, len(_HEADER)), marked=marked),
                element("p", note, class_="note"),
            ]
        ),
    )


def _row(trial: TrialRecord) -> list[object]:
    metrics = trial.metrics
    loss = formats.select_cross_entropy(trial)
    accuracy = metrics.get("select_accuracy") if trial.state == "complete" else None
    gap = None if loss is None or "train_cross_entropy" not in metrics else loss - metrics["train_cross_entropy"]
    return [
        element("strong", trial.recipe),
        formats.settings(trial.params),
        element("span", trial.state, class_="badge") if loss is None else formats.cross_entropy(loss),
        None if accuracy is None else formats.percent(accuracy),
        None if gap is None else formats.signed(formats.cross_entropy(gap)),
        metrics.get("epochs"),
        trial.number,
    ]
