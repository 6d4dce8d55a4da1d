"""Every section and key of a study file, as frozen and validated values."""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PositiveInt, Strict, create_model, model_validator

from . import objectives
from .added_keys import added_later, meant_before
from .techniques import TECHNIQUES
from .techniques.ranges import LearningRateRange, Section
from .validation import (
    canonical,
    check_choices,
    check_duration,
    check_hypermodel,
    check_name,
    check_options,
    check_seeds,
    default_if_none,
)

SPEC_VERSION = 1

SEEDS_AT_MOST = 1000
"""The largest number of fresh seeds on which a finalist can be confirmed."""

CONTEST = "contest"
"""The name of a sampler, which tunes every technique alone before it combines any, and of its pruner."""

RecipeSet = Literal["course", "ladder"]


class StudyMetaSpec(Section):
    """The name of the study and its question."""

    name: Annotated[str, AfterValidator(check_name)] = Field(
        "study", description="its name in the database: 1 to 64 characters of A-Z a-z 0-9 . _ -"
    )
    question: str = Field("", max_length=2000, description="the question that the study answers, in words")


class DataSpec(Section):
    """The data of a study, and how large the splits of its training examples are."""

    source: str = Field(
        "auto",
        min_length=1,
        description="auto (MNIST, else digits), mnist, digits, or the path of your own data: an .npz file, a directory "
        "of MNIST's IDX files, or a directory of images with a subdirectory for each class",
    )
    image_size: Annotated[tuple[PositiveInt, PositiveInt], Strict(False)] | None = Field(
        None, description="height and width to which images are resized; if not given, all must have the same size"
    )
    stop_fraction: float = Field(
        0.1, gt=0, lt=0.5, description="share of the training examples in the stopping split, for stopping and pruning"
    )
    select_fraction: float = Field(
        0.1, gt=0, lt=0.5, description="share of the training examples in the selection split, for ranking trials"
    )
    train_size: PositiveInt | None = Field(
        None, description="number of examples to train on; if not given: all that the other two splits leave"
    )

    def held_back(self, n_train: int) -> tuple[int, int]:
        """Return the sizes of the stopping split and of the selection split.

        Args:
            n_train: how many training examples the data set has, before they are divided.

        Example:
            >>> DataSpec().held_back(60_000)
            (6000, 6000)
        """
        return round(self.stop_fraction * n_train), round(self.select_fraction * n_train)

    def train_rows(self, n_train: int) -> int:
        """Return the size of the training split if the data set has `n_train` training examples.

        Example:
            >>> DataSpec().train_rows(60_000), DataSpec(train_size=1000).train_rows(60_000)
            (48000, 1000)
        """
        return self.train_size or n_train - sum(self.held_back(n_train))


class ModelSpec(Section):
    """The network: Flatten, a Dense layer for each entry of `hidden`, and a Dense layer that gives the logits."""

    hidden: Annotated[tuple[PositiveInt, ...], Strict(False), Field(min_length=1)] = Field(
        (140,), description="units of each hidden layer"
    )
    activation: Literal["relu", "tanh", "elu"] = Field("relu", description="activation of the hidden layers")
    apply_to: Literal["widest", "all"] = Field(
        "widest", description="which hidden layers are regularized: widest (the first one of the largest width) or all"
    )
    batch_norm_momentum: Literal["derived"] | Annotated[float, Field(ge=0, lt=1)] = Field(
        "derived",
        description="momentum of BatchNormalization's moving averages, in [0, 1); derived: Keras's 0.99, or less if an "
        "epoch has so few steps that the averages would stay near their initial values",
        json_schema_extra=added_later(0.99),
    )
    hypermodel: Annotated[str, AfterValidator(check_hypermodel)] | None = Field(
        None,
        description="your own KerasTuner HyperModel instead of this network: mine.py:Name or package.module:name; the "
        "name is a class, an instance or a function of hp; it needs --trust-code",
    )
    hypermodel_sha256: str | None = Field(
        None,
        pattern="^[0-9a-f]{64}$",
        description="SHA-256 of the HyperModel's file, filled in for you; a changed file is not run",
    )

    def is_regularized(self, index: int) -> bool:
        """Return whether the hidden layer with this index, counted from 0, is regularized."""
        return self.apply_to == "all" or index == self.hidden.index(max(self.hidden))


class TrainingSpec(Section):
    """How each trial is trained."""

    trainer: Literal["compiled", "keras"] = Field(
        "compiled", description="compiled: each epoch is one compiled function; keras: model.fit, which is slower"
    )
    optimizer: Literal["adam", "sgd", "rmsprop"] = Field("adam", description="Keras optimizer")
    learning_rate: float = Field(1e-3, gt=0, le=1e6, description="learning rate of the optimizer")
    batch_size: PositiveInt = Field(32, description="examples in a training step")
    max_epochs: PositiveInt = Field(20, description="largest number of epochs of a trial")


if TYPE_CHECKING:

    class _TechniqueKeys(Section):
        def __getattr__(self, name: str) -> Any: ...

else:
    _fields = {key: field for technique in TECHNIQUES for key, field in technique.fields().items()}
    _TechniqueKeys = create_model("_TechniqueKeys", __base__=Section, **_fields)


class SpaceSpec(_TechniqueKeys):
    """The regularization that is searched, and its ranges."""

    learning_rate: LearningRateRange | Literal["fixed"] = Field(
        "fixed",
        description='range in which the learning rate is tuned, on a log scale; or "fixed": training.learning_rate',
        json_schema_extra=added_later("fixed"),
    )


class SearchSpec(Section):
    """How configurations are proposed and compared."""

    objective: Annotated[str, AfterValidator(objectives.check)] = Field(
        "cross_entropy",
        description="what ranks trials on the selection split: cross_entropy, accuracy, or a metric of your "
        "HyperModel by its name in Keras, such as val_loss; an unknown metric needs its direction: val_f1:max",
    )
    sampler: str = Field(
        CONTEST,
        description="contest: tunes every technique alone, then combinations; tpe, random, qmc, grid, "
        "keras-tuner:bayesian, or any class of optuna.samplers by its name",
        json_schema_extra=added_later("tpe"),
    )
    sampler_options: Annotated[dict[str, Any], AfterValidator(check_options)] = Field(
        {}, description="arguments of the sampler's class; keras-tuner:bayesian takes num_initial_points, alpha, beta"
    )
    pruner: str = Field(
        CONTEST,
        description="contest: compares a trial with others of the same technique; median, hyperband, none, or any "
        "class of optuna.pruners by its name",
        json_schema_extra=added_later("median"),
    )
    pruner_options: Annotated[dict[str, Any], AfterValidator(check_options)] = Field(
        {}, description="arguments of the pruner's class"
    )
    recipes: Annotated[tuple[RecipeSet, ...], Strict(False)] = Field(
        ("course",),
        description="sets of known configurations that are tried too: course, ladder, both or neither; samplers other "
        "than contest try them first; for a HyperModel, each set means its defaults",
    )
    contestants: Annotated[tuple[str, ...], Strict(False), AfterValidator(check_choices)] | None = Field(
        None,
        description="techniques that a contest tunes: l1, l2, dropout, batch_norm, or several together, such as "
        "l2+dropout; if not given: each technique of the space alone, and l1+l2",
    )
    rules: Literal[1, 2, 3] = Field(
        3,
        description="version of the search rules, which a started study keeps; since 2: no configuration is trained "
        "twice, and diverged trials tell the sampler that a region is bad; since 3: val_loss leaves out penalties",
        json_schema_extra=added_later(1),
    )
    seed: int = Field(0, ge=0, lt=2**63, description="seed from which all random numbers derive")

    @property
    def maximizes(self) -> bool:
        """Whether a larger value of the objective is better."""
        return objectives.maximizes(self.objective)

    @property
    def by_accuracy(self) -> bool:
        """Whether a confirmation compares finalists by accuracy instead of cross-entropy."""
        return objectives.is_accuracy(self.objective)


class ConfirmSpec(Section):
    """How the finalists are confirmed on fresh seeds."""

    top: int = Field(3, ge=1, le=100, description="how many of the best configurations become finalists")
    seeds: Annotated[int, AfterValidator(check_seeds)] = Field(
        7,
        ge=0,
        le=SEEDS_AT_MOST,
        description="number of fresh seeds, at least 3, or 0 for no confirmation; a race may end with fewer",
    )
    method: Literal["race", "all"] = Field(
        "race",
        description="race: in rounds, only undecided finalists get more seeds; all: each finalist gets all seeds",
        json_schema_extra=added_later("all"),
    )
    smallest_gain: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="smallest gain that matters, in the objective's unit: nats per example, or share of examples "
        "(0.001 is 0.1 percentage points); if not given: a share of the loss of early stopping alone",
        json_schema_extra=added_later(None),
    )
    split: Literal["drawn", "fixed"] = Field(
        "drawn",
        description="drawn: with each fresh seed, new training, stopping and selection splits are drawn, the same for "
        "all finalists; fixed: the splits of search.seed",
        json_schema_extra=added_later("fixed"),
    )


class BudgetSpec(Section):
    """When the search ends."""

    trials: PositiveInt = Field(60, le=10_000_000, description="finished trials in total, over all runs of the study")
    timeout: Annotated[str, AfterValidator(check_duration)] | None = Field(
        None, description="time after which a run starts no more trials: 90s, 30m or 1h30m; running trials finish"
    )
    epoch_timeout: Annotated[str, AfterValidator(check_duration)] | None = Field(
        None, description="time without news after which a worker is replaced; if not given: derived from past epochs"
    )


class StudySpec(Section):
    """A whole study: its question, everything that decides its results, and its budget, but nothing about the machine.

    Example:
        >>> spec = StudySpec().changed(budget={"trials": 12})
        >>> spec.budget.trials, spec.fingerprint() == StudySpec().fingerprint()
        (12, True)
    """

    study: StudyMetaSpec = StudyMetaSpec()
    data: DataSpec = DataSpec()
    model: ModelSpec = ModelSpec()
    training: TrainingSpec = TrainingSpec()
    space: SpaceSpec = SpaceSpec()
    search: SearchSpec = SearchSpec()
    confirm: Annotated[ConfirmSpec, BeforeValidator(default_if_none)] = Field(
        ConfirmSpec(), description="confirmation of the finalists"
    )
    budget: BudgetSpec = BudgetSpec()

    @model_validator(mode="after")
    def _suits_its_network(self) -> Self:
        if self.model.hypermodel is None and self.search.objective not in objectives.OURS:
            raise ValueError(
                f"invalid search.objective {self.search.objective!r}. Without model.hypermodel, use "
                f"{' or '.join(objectives.OURS)}."
            )
        if self.model.hypermodel is not None and self.space.learning_rate != "fixed":
            raise ValueError(
                "space.learning_rate can't be searched with model.hypermodel: a HyperModel has its own optimizer. "
                'Leave space.learning_rate out, and let the HyperModel ask for hp.Float("learning_rate", …).'
            )
        return self

    def identity(self) -> dict[str, Any]:
        """Return "section.key" → value for every key that a study's results depend on.

        `data.source` is left out, because the data have a fingerprint of their own. A key that is absent (None) is left
        out, too. A key that a later version added is left out if it has the value of older studies (`added_later`). In
        this way, new keys don't change the fingerprint of an older study.
        """
        document = self.model_dump(mode="json", exclude_none=True)
        keys = {
            f"{section}.{key}": value
            for section in ("data", "model", "training", "space")
            for key, value in document[section].items()
            if not self._is_as_before(section, key)
        }
        keys |= {f"search.{key}": document["search"][key] for key in ("objective", "seed")}
        del keys["data.source"]
        if self.model.hypermodel is not None:  # its file may move: the code has a fingerprint, too
            keys["model.hypermodel"] = self.model.hypermodel.rpartition(":")[2]
        return keys

    def _is_as_before(self, section: str, key: str) -> bool:
        values = getattr(self, section)
        before = meant_before(type(values))
        return key in before and bool(getattr(values, key) == before[key])

    def fingerprint(self) -> str:
        """Return the SHA-256 of the identity, as 64 hexadecimal digits."""
        return hashlib.sha256(canonical(self.identity()).encode()).hexdigest()

    def to_json(self) -> str:
        """Return the spec as JSON, with all defaults and the `spec_version`."""
        return canonical({"spec_version": SPEC_VERSION, **self.model_dump(mode="json")})

    @classmethod
    def from_json(cls, text: str) -> "StudySpec":
        """Read back what `to_json` wrote. A missing key gets the value that it has in older studies (`added_later`).

        Raises ValueError if a later version of regsearch wrote it.
        """
        document = json.loads(text)
        if document.pop("spec_version") > SPEC_VERSION:
            raise ValueError("a later version of regsearch wrote it")
        for name, field in cls.model_fields.items():
            section = default_if_none(document.get(name))
            if isinstance(section, dict):
                document[name] = {**meant_before(field.annotation), **section}
        return cls.model_validate(document)

    def changed(self, **sections: Mapping[str, Any]) -> "StudySpec":
        """Return a copy with some keys changed: `spec.changed(budget={"trials": 12})`.

        Raises pydantic's ValidationError if a value is not allowed.
        """
        document = self.model_dump(mode="json", exclude_unset=True)
        for section, keys in sections.items():
            document[section] = {**(document.get(section) or {}), **keys}
        return StudySpec.model_validate(document)

    def inheriting_from(self, stored: "StudySpec", given: Collection[str]) -> "StudySpec":
        """Return a copy with the stored values of all groups of `KEPT_KEYS` in which the user gave no key.

        Args:
            stored: the spec with which the study was started.
            given: the keys "section.key" that the user gave; the keys in a ready study's file don't count.
        """
        values: dict[str, dict[str, Any]] = {}
        for group in KEPT_KEYS:
            if not any(key in given for key in group):
                for section, key in (name.split(".") for name in group):
                    values.setdefault(section, {})[key] = getattr(getattr(stored, section), key)
        sections = {section: type(getattr(stored, section))(**keys) for section, keys in values.items()}
        return self.changed(
            **{name: section.model_dump(mode="json", exclude_unset=True) for name, section in sections.items()}
        )


KEPT_KEYS = (
    ("model.batch_norm_momentum",),
    ("training.trainer",),
    *((f"space.{technique.key}",) for technique in TECHNIQUES if technique.is_added_later),
    ("search.sampler", "search.sampler_options"),
    ("search.pruner", "search.pruner_options"),
    ("search.recipes",),
    ("search.contestants",),
    ("search.rules",),
    ("confirm.top",),
    ("confirm.seeds",),
    ("confirm.method",),
    ("confirm.smallest_gain",),
    ("confirm.split",),
    ("budget.trials",),
)
"""Groups of keys. A stored study keeps their values, even if a new version of a ready study's file has others."""


def differing_keys(one: StudySpec, other: StudySpec) -> list[str]:
    """Return a line "key: value in one → value in other" for each key of the identity whose two values differ.

    Example:
        >>> differing_keys(StudySpec(), StudySpec().changed(training={"batch_size": 64}))
        ['training.batch_size: 32 → 64']
    """
    before, after = one.identity(), other.identity()
    return [
        f"{key}: {json.dumps(before.get(key))} → {json.dumps(after.get(key))}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]
