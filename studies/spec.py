"""What a study is: every section and key of a study file, as frozen and validated values."""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PositiveInt,
    Strict,
    create_model,
    model_validator,
)

from regsearch.studies import objectives
from regsearch.studies.techniques import TECHNIQUES
from regsearch.studies.techniques.ranges import LearningRateRange, Section
from regsearch.studies.validation import (
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
"""On how many fresh seeds a finalist can be confirmed."""

_ADDED_LATER = "addedLater"


def added_later(meant_before: Any) -> dict[str, Any]:
    """Return the `json_schema_extra` of a key that older studies lack, with the value that they behave as if they had.

    A stored study without the key is read with that value, which is no part of its fingerprint.
    """
    return {_ADDED_LATER: meant_before}


CONTEST = "contest"
"""The sampler that tunes every technique alone, and the pruner that compares a trial with those of its contestant."""

RecipeSet = Literal["course", "ladder"]


class StudyMetaSpec(Section):
    """What the study is called and what it asks."""

    name: Annotated[str, AfterValidator(check_name)] = Field(
        "study", description="its name in the database: 1 to 64 characters of A-Z a-z 0-9 . _ -"
    )
    question: str = Field("", max_length=2000, description="the question it is meant to answer, in words")


class DataSpec(Section):
    """Which data, and which parts of the training rows are held back."""

    source: str = Field(
        "auto",
        min_length=1,
        description="auto (MNIST, else digits), mnist, digits, or the path of data of your own: an .npz file, a folder "
        "of MNIST's IDX files, or a folder of images with a sub-folder for each class",
    )
    image_size: Annotated[tuple[PositiveInt, PositiveInt], Strict(False)] | None = Field(
        None,
        description="height and width to which a folder's images are resized; if not given, they must be of one size",
    )
    stop_fraction: float = Field(
        0.1, gt=0, lt=0.5, description="part of the training rows that decides early stopping and pruning"
    )
    select_fraction: float = Field(0.1, gt=0, lt=0.5, description="part of the training rows that gives the objective")
    train_size: PositiveInt | None = Field(
        None, description="use only so many of the rows left for training; all of them if not given"
    )

    def held_back(self, n_train: int) -> tuple[int, int]:
        """Return how many of a data set's training rows are stop rows, and how many are select rows."""
        return round(self.stop_fraction * n_train), round(self.select_fraction * n_train)

    def train_rows(self, n_train: int) -> int:
        """Return on how many of a data set's training rows the weights are fitted."""
        return self.train_size or n_train - sum(self.held_back(n_train))


class ModelSpec(Section):
    """The network: Flatten, one Dense layer per entry of hidden, and a Dense layer of logits."""

    hidden: Annotated[tuple[PositiveInt, ...], Strict(False), Field(min_length=1)] = Field(
        (140,), description="units of each hidden layer"
    )
    activation: Literal["relu", "tanh", "elu"] = Field("relu", description="activation of the hidden layers")
    apply_to: Literal["widest", "all"] = Field(
        "widest", description="hidden layers that are regularized: the widest (the first of equals) or all"
    )
    batch_norm_momentum: Literal["derived"] | Annotated[float, Field(ge=0, lt=1)] = Field(
        "derived",
        description="momentum of BatchNormalization's moving averages, in [0, 1); derived: Keras's 0.99, or less if an "
        "epoch has so few steps that the averages would still be their initial values",
        json_schema_extra=added_later(0.99),
    )
    hypermodel: Annotated[str, AfterValidator(check_hypermodel)] | None = Field(
        None,
        description="a KerasTuner HyperModel of your own, in place of all this: mine.py:MyHyperModel or package.module:"
        "function, a class, an instance or a function of hp; it runs with --trust-code alone",
    )
    hypermodel_sha256: str | None = Field(
        None, pattern="^[0-9a-f]{64}$", description="SHA-256 of its file, which only then is run; filled in"
    )

    def is_regularized(self, index: int) -> bool:
        """Return whether the settings apply to the hidden layer of that index."""
        return self.apply_to == "all" or index == self.hidden.index(max(self.hidden))


class TrainingSpec(Section):
    """How one trial trains."""

    trainer: Literal["compiled", "keras"] = Field(
        "compiled",
        description="compiled: an epoch as one compiled function; keras: model.fit, as the course does it",
    )
    optimizer: Literal["adam", "sgd", "rmsprop"] = Field("adam", description="Keras's optimizer")
    learning_rate: float = Field(1e-3, gt=0, le=1e6, description="its learning rate")
    batch_size: PositiveInt = Field(32, description="rows per training step")
    max_epochs: PositiveInt = Field(20, description="epochs of a trial that nothing ends earlier")


if TYPE_CHECKING:

    class _TechniqueKeys(Section):
        def __getattr__(self, name: str) -> Any: ...

else:
    _fields = {key: field for technique in TECHNIQUES for key, field in technique.fields().items()}
    _TechniqueKeys = create_model("_TechniqueKeys", __base__=Section, **_fields)


class SpaceSpec(_TechniqueKeys):
    """The regularization settings that are searched."""

    learning_rate: LearningRateRange | Literal["fixed"] = Field(
        "fixed",
        description='learning rate, log scale, tuned beside the techniques, or "fixed": training.learning_rate',
        json_schema_extra=added_later("fixed"),
    )


class SearchSpec(Section):
    """How settings are proposed, judged and compared."""

    objective: Annotated[str, AfterValidator(objectives.check)] = Field(
        "cross_entropy",
        description="figure on the select rows that ranks trials: cross_entropy, accuracy, or one of a HyperModel's "
        "metrics by Keras's name, such as val_loss; of an unknown one with its direction, val_f1:max",
    )
    sampler: str = Field(
        CONTEST,
        description="contest: every technique is tuned alone, then combinations; tpe, random, qmc, grid, "
        "keras-tuner:bayesian, or any class of optuna.samplers by its name",
        json_schema_extra=added_later("tpe"),
    )
    sampler_options: Annotated[dict[str, Any], AfterValidator(check_options)] = Field(
        {}, description="arguments of the sampler's class; of keras-tuner:bayesian num_initial_points, alpha, beta"
    )
    pruner: str = Field(
        CONTEST,
        description="contest: among trials of the same technique; median, hyperband, none, or any class of "
        "optuna.pruners by its name",
        json_schema_extra=added_later("median"),
    )
    pruner_options: Annotated[dict[str, Any], AfterValidator(check_options)] = Field(
        {}, description="arguments of the pruner's class"
    )
    recipes: Annotated[tuple[RecipeSet, ...], Strict(False)] = Field(
        ("course",),
        description="known settings that are tried, too: course, ladder, both, or none; another sampler than contest "
        "tries them first; of a HyperModel its defaults",
    )
    contestants: Annotated[tuple[str, ...], Strict(False), AfterValidator(check_choices)] | None = Field(
        None,
        description="techniques that a contest tunes: l1, l2, dropout, batch_norm, or several together, such as "
        "l2+dropout; not given: each alone that the space has, and l1+l2",
    )
    rules: Literal[1, 2] = Field(
        2,
        description="2: no settings are trained twice, and diverged trials tell the sampler that a region is bad; "
        "1: as before, which studies that were begun so keep",
        json_schema_extra=added_later(1),
    )
    seed: int = Field(0, ge=0, lt=2**63, description="the one seed from which all others derive")

    @property
    def maximizes(self) -> bool:
        """Whether the larger objective is the better one."""
        return objectives.maximizes(self.objective)

    @property
    def by_accuracy(self) -> bool:
        """Whether a confirmation compares the finalists by the rows they get right, rather than by cross-entropy."""
        return objectives.is_accuracy(self.objective)


class ConfirmSpec(Section):
    """How the finalists are confirmed on fresh seeds."""

    top: int = Field(3, ge=1, le=100, description="how many of the best configurations are finalists")
    seeds: Annotated[int, AfterValidator(check_seeds)] = Field(
        7,
        ge=0,
        le=SEEDS_AT_MOST,
        description="on how many fresh seeds, at least 3; a race may end before; 0: they are not confirmed",
    )
    method: Literal["race", "all"] = Field(
        "race",
        description="race: in rounds, seeds go to the finalists that are not decided yet; all: each finalist gets all "
        "seeds",
        json_schema_extra=added_later("all"),
    )
    smallest_gain: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="smallest gain that matters, in the objective's unit: nats per example, or share of examples "
        "(0.001: 0.1 percentage points); not given: a share of the loss of early stopping alone",
        json_schema_extra=added_later(None),
    )
    split: Literal["drawn", "fixed"] = Field(
        "drawn",
        description="drawn: each fresh seed also draws the rows that train, stop and select, the same for all "
        "finalists; fixed: they are those of search.seed",
        json_schema_extra=added_later("fixed"),
    )


class BudgetSpec(Section):
    """When the search ends."""

    trials: PositiveInt = Field(60, le=10_000_000, description="finished trials in all, over all runs of the study")
    timeout: Annotated[str, AfterValidator(check_duration)] | None = Field(
        None, description="length of one run, 90s, 30m or 1h30m; trials under way are finished"
    )
    epoch_timeout: Annotated[str, AfterValidator(check_duration)] | None = Field(
        None, description="a worker silent for so long is stuck, and replaced; not given: by the pace of the epochs"
    )


class StudySpec(Section):
    """A whole study: everything that decides its results, and nothing of the machine it runs on."""

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
                f"search.objective is {' or '.join(objectives.OURS)} where there is no model.hypermodel; given was "
                f"{self.search.objective!r}"
            )
        if self.model.hypermodel is not None and self.space.learning_rate != "fixed":
            raise ValueError(
                "space.learning_rate can't be searched with model.hypermodel, which compiles its own optimizer: "
                'leave it out, and let the HyperModel ask for hp.Float("learning_rate", …)'
            )
        return self

    def identity(self) -> dict[str, Any]:
        """Return "section.key" → value for every key that a study's results depend on.

        Where the data lie is not part of it: the data have a fingerprint of their own. A key that is
        absent (None) is left out, and so is one that was added later (`added_later`) and has the value
        that older studies behave by: neither changes an older study's fingerprint.
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
        if self.model.hypermodel is not None:  # its code has a fingerprint too, wherever it lies
            keys["model.hypermodel"] = self.model.hypermodel.rpartition(":")[2]
        return keys

    def _is_as_before(self, section: str, key: str) -> bool:
        values = getattr(self, section)
        meant_before = _meant_before(type(values))
        return key in meant_before and bool(getattr(values, key) == meant_before[key])

    def fingerprint(self) -> str:
        """Return the SHA-256 of the identity, as 64 hexadecimal digits."""
        return hashlib.sha256(canonical(self.identity()).encode()).hexdigest()

    def to_json(self) -> str:
        """Return the resolved spec, defaults filled in, with its spec_version."""
        return canonical({"spec_version": SPEC_VERSION, **self.model_dump(mode="json")})

    @classmethod
    def from_json(cls, text: str) -> "StudySpec":
        """Read back what to_json wrote; a key that it lacks has the value that older studies behave by.

        Raises ValueError for what a later version wrote.
        """
        document = json.loads(text)
        if document.pop("spec_version") > SPEC_VERSION:
            raise ValueError("a later version of regsearch wrote it")
        for name, field in cls.model_fields.items():
            section = document.get(name)
            section = {} if section is None else section
            if isinstance(section, dict):
                document[name] = {**_meant_before(field.annotation), **section}
        return cls.model_validate(document)

    def changed(self, **sections: Mapping[str, Any]) -> "StudySpec":
        """Return another spec with some keys changed: `spec.changed(budget={"trials": 12})`.

        Raises pydantic's ValidationError for values that aren't allowed.
        """
        document = self.model_dump(mode="json", exclude_unset=True)
        for section, keys in sections.items():
            document[section] = {**(document.get(section) or {}), **keys}
        return StudySpec.model_validate(document)

    def inheriting_from(self, begun: "StudySpec", given: Collection[str]) -> "StudySpec":
        """Return this spec for a study begun by another one, which keeps how it was begun unless the user says else.

        Args:
            begun: the spec that is stored.
            given: the keys "section.key" that the user gave; those of a ready study's file are not among them.
        """
        kept: dict[str, dict[str, Any]] = {}
        for group in KEPT_KEYS:
            if not any(key in given for key in group):
                for section, key in (name.split(".") for name in group):
                    kept.setdefault(section, {})[key] = getattr(getattr(begun, section), key)
        document = {section: type(getattr(begun, section))(**keys) for section, keys in kept.items()}
        return self.changed(
            **{section: values.model_dump(mode="json", exclude_unset=True) for section, values in document.items()}
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
"""What a stored study keeps, whatever a ready study's file says by now; keys that belong together in one group."""


def _meant_before(section: Any) -> dict[str, Any]:
    """Return the keys of a section that were added later, each with the value that older studies behave by."""
    extras = {key: field.json_schema_extra for key, field in section.model_fields.items()}
    return {
        key: extra[_ADDED_LATER] for key, extra in extras.items() if isinstance(extra, dict) and _ADDED_LATER in extra
    }


def differing_keys(one: StudySpec, other: StudySpec) -> list[str]:
    """Return a line "key: one's value → other's" for every key of the identity that differs."""
    ours, theirs = one.identity(), other.identity()
    return [
        f"{key}: {json.dumps(ours.get(key))} → {json.dumps(theirs.get(key))}"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    ]
