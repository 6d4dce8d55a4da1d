"""What goes with an exported model: data, settings, how it was made, its test result, and what it can't tell."""

from collections.abc import Mapping

from regsearch.studies import formats
from regsearch.studies.analysis.conclusion import Conclusion, FinalistResult
from regsearch.studies.batch_norm import momentum_in_words
from regsearch.studies.configuration import Configuration, Regularization
from regsearch.studies.errors import one_line
from regsearch.studies.records import DatasetInfo
from regsearch.studies.reports.answer_sentences import confirmed_sentences
from regsearch.studies.spec import StudySpec
from regsearch.studies.statistics import Interval

_MARKUP = str.maketrans({character: f"\\{character}" for character in "\\`*_{}[]<>#|&"})


def as_markdown(
    spec: StudySpec,
    dataset: DatasetInfo,
    settings: Configuration,
    *,
    origin: str,
    seed: int,
    train_rows: int,
    stop_rows: int,
    figures: Mapping[str, int | float],
    versions: Mapping[str, str],
    conclusion: Conclusion | None,
    finalist: FinalistResult | None,
) -> str:
    """Return the model card.

    Args:
        spec, dataset, settings: what was trained on what.
        origin: which training it was, such as "trial 7".
        seed: of that training.
        train_rows, stop_rows: how many rows decided its weights.
        figures: by the names of `regsearch.studies.trial.TrialOutcome`, as far as there are any.
        versions: that it was made with.
        conclusion, finalist: of the confirmation that the configuration went through, if it did.
    """
    question = [f"It was searched for the question: {_plain(spec.study.question)}", ""] if spec.study.question else []
    return "\n".join(
        [
            f"# {_plain(spec.study.name)}: {_plain(origin)}",
            "",
            *question,
            "## Data",
            "",
            f"{_plain(dataset.name)}: {dataset.n_train:,} training and {dataset.n_test:,} test rows, "
            f"sha256 `{dataset.sha256}`. Of the training rows {train_rows:,} fitted the weights, {stop_rows:,} "
            "were for early stopping and pruning, and others chose the settings.",
            "",
            "## Network and settings",
            "",
            *_network(spec, settings, seed),
            *_averages(spec, settings, train_rows),
            *_epochs(figures),
            "",
            "## Result",
            "",
            *_result(figures, conclusion, finalist),
            "",
            *_concluded(spec, dataset, conclusion),
            "## Limits",
            "",
            *_limits(spec),
            "- The figures hold for rows drawn as the data were; nothing was looked at beside them.",
            "",
            "## How it was made",
            "",
            f"By regsearch, with {', '.join(f'{_plain(name)} {_plain(version)}' for name, version in versions.items())}"
            f". `configuration.json` has every setting and the SHA-256 of each file; {_script(spec)}",
            "",
        ]
    )


def _network(spec: StudySpec, settings: Configuration, seed: int) -> list[str]:
    training = spec.training
    if spec.model.hypermodel is not None:
        name = spec.model.hypermodel.rpartition(":")[2]
        return [
            f"- network: what `{name}` of `hypermodel.py` builds, sha256 `{spec.model.hypermodel_sha256}`",
            f"- its settings: {_plain(str(settings))}",
            f"- trained as the HyperModel says; where it says nothing, in batches of {training.batch_size}, "
            f"{training.max_epochs} epochs; seed {seed}",
        ]
    own = settings if isinstance(settings, Regularization) else Regularization()
    hidden = ", ".join(str(units) for units in spec.model.hidden)
    regularized = "all hidden layers" if spec.model.apply_to == "all" else "the widest hidden layer"
    return [
        f"- hidden layers: {hidden} units, {spec.model.activation}; the last layer gives logits",
        f"- regularization of {regularized}: {settings}",
        f"- {training.optimizer}, learning rate {own.rate_in(training):g}, batches of {training.batch_size}, "
        f"at most {training.max_epochs} epochs; seed {seed}",
    ]


def _averages(spec: StudySpec, settings: Configuration, train_rows: int) -> list[str]:
    momentum = momentum_in_words(spec, train_rows)
    if momentum is None or not isinstance(settings, Regularization) or settings.batch_norm == "none":
        return []
    return [f"- BatchNorm's moving averages have the momentum {momentum}"]


def _limits(spec: StudySpec) -> list[str]:
    if spec.model.hypermodel is not None:
        return [
            "- It takes rows of the shape that it was trained on, as floats, bytes divided by 255 and images with a "
            "last axis for their channels, and knows no other classes.",
            "- What it gives are not calibrated probabilities, and it always names a class, whatever the row holds.",
        ]
    return [
        "- It takes rows of the shape and the values that it was trained on, and knows no other classes.",
        "- Its logits are not calibrated probabilities, and it always names a class, whatever the row holds.",
    ]


def _script(spec: StudySpec) -> str:
    if spec.model.hypermodel is not None:
        return "`model.py` builds the same network, untrained, from `hypermodel.py`."
    return (
        "`model.py` trains the same network anew, with other random numbers and other rows held back, so that it ends "
        "near these figures and not at them."
    )


def _epochs(figures: Mapping[str, int | float]) -> list[str]:
    if "best_epoch" not in figures or "epochs" not in figures:
        return []
    return [f"- weights of epoch {int(figures['best_epoch']) + 1} of {int(figures['epochs'])}"]


def _result(
    figures: Mapping[str, int | float], conclusion: Conclusion | None, finalist: FinalistResult | None
) -> list[str]:
    lines = []
    if "select_cross_entropy" in figures and "select_accuracy" in figures:
        lines = [
            f"On the rows that chose the settings: cross-entropy {figures['select_cross_entropy']:.5f}, accuracy "
            f"{100 * figures['select_accuracy']:.2f} %. It was chosen for that, so these figures are a little lucky.",
            "",
        ]
    if finalist is None or conclusion is None:
        return [
            *lines,
            "It is not confirmed: neither on fresh seeds nor on the test rows.",
        ]
    lines += [
        f"These settings, trained on {conclusion.seeds} fresh seeds, gave on {conclusion.test_rows:,} test rows:",
        "",
        f"- test accuracy {_percent(finalist.test_accuracy)}",
        f"- test cross-entropy {_interval(finalist.test_cross_entropy)}",
    ]
    if finalist.gain is not None:
        at_all = "" if conclusion.is_over_defaults else " at all"
        lines += [
            f"- over {conclusion.baseline_name}{at_all} a gain of "
            f"{formats.signed(_interval(finalist.gain.cross_entropy))} in cross-entropy "
            f"and of {_points(finalist.gain.accuracy)} in accuracy",
        ]
    not_tuned = {row.technique: row for row in conclusion.not_tuned}
    settings = finalist.finalist.settings
    row = not_tuned.get(settings.technique or "") if isinstance(settings, Regularization) else None
    if row is not None:
        lines += ["", f"They are figures of this one setting and no verdict on {row.technique}: {row.unjudged}."]
    if conclusion.looks > 1:
        lines += ["", f"The test rows were looked at {conclusion.looks} times, so the intervals are wider."]
    return lines


def _concluded(spec: StudySpec, dataset: DatasetInfo, conclusion: Conclusion | None) -> list[str]:
    """Return the study's answer, which may be about other settings than the card."""
    if conclusion is None:
        return []
    told = [f"- {_plain(sentence)}" for sentence in confirmed_sentences(spec, dataset, conclusion)]
    return ["## What the study concluded", "", *told, ""]


def _interval(interval: Interval) -> str:
    return f"{interval.mean:.5f} ({formats.level(interval.level)} interval {interval.low:.5f} to {interval.high:.5f})"


def _percent(interval: Interval) -> str:
    low, high = 100 * interval.low, 100 * interval.high
    return f"{100 * interval.mean:.2f} % ({formats.level(interval.level)} interval {low:.2f} to {high:.2f} %)"


def _points(interval: Interval) -> str:
    mean, low, high = (formats.signed(f"{100 * share:.2f}") for share in (interval.mean, interval.low, interval.high))
    return f"{mean} percentage points ({formats.level(interval.level)} interval {low} to {high})"


def _plain(text: str) -> str:
    """Return any text as one line that Markdown shows as it is."""
    return one_line(text).translate(_MARKUP)
