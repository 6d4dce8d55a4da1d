"""The model card of an exported model: its data, configuration, results, limits, and how it was made."""

from collections.abc import Mapping
from dataclasses import dataclass

from ...studies import formats
from ...studies.analysis.conclusion import Conclusion, FinalistResult
from ...studies.batch_norm import momentum_in_words
from ...studies.configuration import Configuration, Regularization
from ...studies.errors import one_line
from ...studies.records import DatasetInfo
from ...studies.reports.answer_sentences import confirmed_sentences
from ...studies.spec import StudySpec
from ...studies.statistics import Interval

_MARKUP = str.maketrans({character: f"\\{character}" for character in "\\`*_{}[]<>#|&"})


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelCard:
    """The facts about one training that its model card states.

    Attributes:
        spec: the study.
        dataset: the stored description of the study's data.
        configuration: the configuration that was trained.
        origin: a phrase that names the training, such as "trial 7".
        seed: the seed of the training, at least 0.
        n_train, n_stop: the sizes of the training and the stopping split, in examples.
        figures: the results of the training, by their names in `regsearch.studies.trial.TrialOutcome`; some may
            be missing.
        versions: the versions of the libraries, by name.
        conclusion: the result of the study's confirmation; None if there was no confirmation.
        finalist: the result of this configuration in the confirmation; None if it was not a finalist.
    """

    spec: StudySpec
    dataset: DatasetInfo
    configuration: Configuration
    origin: str
    seed: int
    n_train: int
    n_stop: int
    figures: Mapping[str, int | float]
    versions: Mapping[str, str]
    conclusion: Conclusion | None = None
    finalist: FinalistResult | None = None

    def as_markdown(self) -> str:
        """Return the whole card as Markdown text."""
        sections = (
            self._title(),
            self._data(),
            self._network(),
            ["## Result", "", *self._result()],
            self._study_answer(),
            self._limits(),
            self._provenance(),
        )
        return "\n".join(line for lines in sections if lines for line in (*lines, ""))

    def _title(self) -> list[str]:
        study = self.spec.study
        title = f"# {_plain(study.name)}: {_plain(self.origin)}"
        return [title, "", f"Question of the study: {_plain(study.question)}"] if study.question else [title]

    def _data(self) -> list[str]:
        data = self.dataset
        return [
            "## Data",
            "",
            f"{_plain(data.name)}: {data.n_train:,} training and {data.n_test:,} test examples, sha256 "
            f"`{data.sha256}`. The weights were fitted to {self.n_train:,} of the training examples. {self.n_stop:,} "
            "other training examples decided early stopping and pruning. The selection split was used to choose the "
            "configuration.",
        ]

    def _network(self) -> list[str]:
        lines = self._built_in() if self.spec.model.hypermodel is None else self._hypermodel()
        momentum = momentum_in_words(self.spec, self.n_train)
        configuration = self.configuration
        if momentum and isinstance(configuration, Regularization) and configuration.batch_norm != "none":
            lines.append(f"- BatchNorm's moving averages have the momentum {momentum}")
        if "best_epoch" in self.figures and "epochs" in self.figures:
            best = int(self.figures["best_epoch"]) + 1
            lines.append(f"- weights of epoch {best} of {int(self.figures['epochs'])}")
        return ["## Network and configuration", "", *lines]

    def _hypermodel(self) -> list[str]:
        training, model = self.spec.training, self.spec.model
        assert model.hypermodel is not None
        name = model.hypermodel.rpartition(":")[2]
        return [
            f"- network: what `{name}` in `hypermodel.py` builds; the file's sha256 is `{model.hypermodel_sha256}`",
            f"- hyperparameter values: {_plain(str(self.configuration))}",
            f"- training: as the HyperModel defines it, by default with batches of {training.batch_size} and "
            f"{training.max_epochs} epochs; seed {self.seed}",
        ]

    def _built_in(self) -> list[str]:
        training, model = self.spec.training, self.spec.model
        own = self.configuration if isinstance(self.configuration, Regularization) else Regularization()
        hidden = ", ".join(str(units) for units in model.hidden)
        regularized = "all hidden layers" if model.apply_to == "all" else "the widest hidden layer"
        return [
            f"- hidden layers: {hidden} units, {model.activation}; the last layer gives logits",
            f"- regularization of {regularized}: {self.configuration}",
            f"- {training.optimizer}, learning rate {own.rate_in(training):g}, batches of {training.batch_size}, "
            f"at most {training.max_epochs} epochs; seed {self.seed}",
        ]

    def _result(self) -> list[str]:
        figures, finalist, conclusion = self.figures, self.finalist, self.conclusion
        lines = []
        if "select_cross_entropy" in figures and "select_accuracy" in figures:
            lines = [
                f"On the selection split: cross-entropy {figures['select_cross_entropy']:.5f}, accuracy "
                f"{100 * figures['select_accuracy']:.2f} %. These figures chose the configuration, so they are a "
                "little too good.",
                "",
            ]
        if finalist is None or conclusion is None:
            return [
                *lines,
                "This configuration is not confirmed: it was not trained on fresh seeds or evaluated on the test set.",
            ]
        return [*lines, *_confirmed_result(conclusion, finalist)]

    def _study_answer(self) -> list[str]:
        """Return the study's answer, which may recommend another configuration than the exported one."""
        if self.conclusion is None:
            return []
        sentences = confirmed_sentences(self.spec, self.dataset, self.conclusion)
        return ["## What the study concluded", "", *(f"- {_plain(sentence)}" for sentence in sentences)]

    def _limits(self) -> list[str]:
        if self.spec.model.hypermodel is None:
            takes = (
                "- The model takes examples of the same shape and range of values as its training data. It knows only "
                "the classes of its training data."
            )
            gives = "The model's logits"
        else:
            takes = (
                "- The model takes examples of the same shape as its training data, as floats. Divide bytes by 255, "
                "and give images a last axis for their channels. It knows only the classes of its training data."
            )
            gives = "The model's outputs"
        return [
            "## Limits",
            "",
            takes,
            f"- {gives} are not calibrated probabilities. The model names a class for every example, even for one that "
            "belongs to none.",
            "- The figures hold for examples that come from the same source as these data. Examples from other sources "
            "were not evaluated.",
        ]

    def _provenance(self) -> list[str]:
        libraries = ", ".join(f"{_plain(name)} {_plain(version)}" for name, version in self.versions.items())
        script = (
            "`model.py` trains the same network again, with other random numbers and another split of the training "
            "examples. The new results are close to the results above, but not the same."
            if self.spec.model.hypermodel is None
            else "`model.py` builds the same network, untrained, from `hypermodel.py`."
        )
        return [
            "## How it was made",
            "",
            f"regsearch made this model with {libraries}. `configuration.json` has every setting and the SHA-256 of "
            f"each file. {script}",
        ]


def _confirmed_result(conclusion: Conclusion, finalist: FinalistResult) -> list[str]:
    """Return the results on fresh seeds and the test set."""
    lines = [
        f"This configuration was trained on {conclusion.seeds} fresh seeds. On the {conclusion.test_rows:,} examples "
        "of the test set:",
        "",
        f"- test accuracy {_percent(finalist.test_accuracy)}",
        f"- test cross-entropy {_interval(finalist.test_cross_entropy)}",
    ]
    if finalist.gain is not None:
        at_all = "" if conclusion.is_over_defaults else " at all"
        lines.append(
            f"- compared with {conclusion.baseline_name}{at_all}, a gain of "
            f"{formats.signed(_interval(finalist.gain.cross_entropy))} in cross-entropy "
            f"and of {_points(finalist.gain.accuracy)} in accuracy"
        )
    configuration = finalist.finalist.settings
    technique = configuration.technique if isinstance(configuration, Regularization) else None
    row = next((row for row in conclusion.not_tuned if row.technique == technique), None)
    if row is not None:
        verdict = f"a verdict on {row.technique} ({row.unjudged})"
        lines += ["", f"These figures describe this one setting. They are not {verdict}."]
    if conclusion.looks > 1:
        lines += ["", f"The test set was used {conclusion.looks} times, so the intervals are wider."]
    return lines


def _interval(interval: Interval) -> str:
    return f"{interval.mean:.5f} ({formats.level(interval.level)} interval {interval.low:.5f} to {interval.high:.5f})"


def _percent(interval: Interval) -> str:
    low, high = 100 * interval.low, 100 * interval.high
    return f"{100 * interval.mean:.2f} % ({formats.level(interval.level)} interval {low:.2f} to {high:.2f} %)"


def _points(interval: Interval) -> str:
    mean, low, high = (formats.signed(f"{100 * share:.2f}") for share in (interval.mean, interval.low, interval.high))
    return f"{mean} percentage points ({formats.level(interval.level)} interval {low} to {high})"


def _plain(text: str) -> str:
    """Return any text as one line that Markdown shows literally."""
    return one_line(text).translate(_MARKUP)
