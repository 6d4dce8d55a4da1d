"""Recipes: known configurations that a study also tries, either those of a course or a ladder of strengths."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .configuration import Regularization, is_regularization, settings_to_enqueue
from .contest.contestants import USUAL, contestant_name
from .contest.proposals import Contest
from .errors import InputError
from .search_space import LEARNING_RATE, PARAMETERS, searched_space, untuned_learning_rate
from .spec import CONTEST, SpaceSpec, StudySpec
from .techniques import TECHNIQUES
from .trial import Params
from .validation import check_choices

_PATIENCE = 2  # the patience of the course


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A configuration with a name; every technique that its settings don't mention is off."""

    name: str
    settings: Mapping[str, Any]

    def params(self, space: SpaceSpec, learning_rate: float | None = None) -> dict[str, Any] | None:
        """Return the parameters of a trial with this recipe, or None if the recipe lies outside the space.

        Args:
            space: the study's space.
            learning_rate: what `untuned_learning_rate` returns for the study.
        """
        wanted: dict[str, Any] = {}
        for technique in TECHNIQUES:
            wanted |= technique.settings_off()
        wanted |= self.settings
        for technique in TECHNIQUES:
            if not technique.is_searched(space) and wanted.get(technique.key) == "off":
                del wanted[technique.key]
        if learning_rate is not None:
            wanted[LEARNING_RATE] = learning_rate
        try:
            return settings_to_enqueue([f"{name}={wanted[name]}" for name in PARAMETERS if name in wanted], space)
        except InputError:
            return None


def _course() -> Iterator[Recipe]:
    early = {"patience": _PATIENCE}
    yield Recipe(name="none", settings={})
    yield Recipe(name="early stopping", settings=early)
    yield Recipe(name="L1 0.01", settings={"regularizer": "l1", "l1": 0.01, **early})
    yield Recipe(name="L2 0.01", settings={"regularizer": "l2", "l2": 0.01, **early})
    yield Recipe(name="L1+L2", settings={"regularizer": "l1_l2", "l1": 1e-5, "l2": 1e-4, **early})
    yield Recipe(name="dropout 0.1", settings={"dropout": 0.1, **early})
    yield Recipe(name="BatchNorm", settings={"batch_norm": "after_activation", **early})


def _ladder() -> Iterator[Recipe]:
    """Yield recipes of one technique each, from weak to strong, all with the course's patience."""
    for technique in TECHNIQUES:
        for strength in technique.strengths:
            settings = {**technique.settings(strength), "patience": _PATIENCE}
            yield Recipe(name=f"{technique.name} {strength:g}", settings=settings)


DEFAULTS = "defaults"
"""The name of a HyperModel's recipe, in which each parameter has its default."""

RECIPES = {"course": tuple(_course()), "ladder": tuple(_ladder())}
"""The recipes of each set, in the order in which they are tried."""


def recipes_named(names: Sequence[str]) -> list[Recipe]:
    """Return the recipes of some sets, set after set; a recipe that is in two sets comes once.

    Example:
        >>> recipes_named(["course"])[1].name
        'early stopping'
    """
    return list({recipe.name: recipe for name in names for recipe in RECIPES[name]}.values())


def initial_recipes(spec: StudySpec) -> dict[str, dict[str, Any]]:
    """Return the recipes that a study tries first, as a dict from the recipe's name to its parameters.

    For a HyperModel, the only recipe is the HyperModel's defaults, which need no parameters. The sampler `contest`
    has no recipes that come first: it tries a recipe when it tunes the recipe's technique.
    """
    if spec.model.hypermodel is not None:
        return {DEFAULTS: {}} if spec.search.recipes or spec.search.sampler == CONTEST else {}
    rate = untuned_learning_rate(spec)
    return {} if spec.search.sampler == CONTEST else recipes_in_space(spec.search.recipes, spec.space, rate)


def tried_after_defaults(spec: StudySpec, defaults: Params) -> dict[str, dict[str, Any]]:
    """Return the recipes that a study of a HyperModel tries after the HyperModel's defaults, with their parameters.

    The dict is empty unless the HyperModel asks for the study's space (`search.regularized`) and for nothing else. A
    recipe that equals the defaults is left out.

    Args:
        spec: the study.
        defaults: the parameters of the trial that tried the defaults.
    """
    if not is_regularization(defaults) or spec.search.sampler == CONTEST:
        return {}
    recipes = recipes_in_space(spec.search.recipes, searched_space(spec))
    return {name: params for name, params in recipes.items() if params != defaults}


def recipes_in_space(
    names: Sequence[str], space: SpaceSpec, learning_rate: float | None = None
) -> dict[str, dict[str, Any]]:
    """Return the recipes that lie in a study's space, as a dict from the recipe's name to its parameters.

    Args:
        names: the names of the sets of recipes.
        space: the study's space.
        learning_rate: what `untuned_learning_rate` returns for the study.
    """
    params = {recipe.name: recipe.params(space, learning_rate) for recipe in recipes_named(names)}
    return {name: known for name, known in params.items() if known is not None}


def contest_of(spec: StudySpec) -> Contest:
    """Return a study's contest, with the study's recipes.

    Raises InputError for contestants that don't exist, or that lie outside the study's space.
    """
    fitted = recipes_in_space(spec.search.recipes, spec.space, untuned_learning_rate(spec))
    known = [Regularization.from_params(params) for params in fitted.values()]
    try:
        named = check_choices(tuple(map(contestant_name, spec.search.contestants or USUAL)))
    except ValueError as error:
        raise InputError(f"search.contestants: {error}") from error
    contest = Contest.of(
        spec.space,
        seed=spec.search.seed,
        max_epochs=spec.training.max_epochs,
        recipes=known,
        contestants=named,
        learning_rate=untuned_learning_rate(spec),
    )
    outside = [name for name in named if name not in contest.contestants]
    if spec.search.contestants and outside:
        raise InputError(
            f"search.contestants has {outside[0]}, but this study's space has no configuration with {outside[0]} "
            f"alone. Change [space], or leave {outside[0]} out."
        )
    return contest


def recipe_names(spec: StudySpec) -> dict[Regularization, str]:
    """Return the names of a contest's recipes, as a dict from configuration to name.

    Each configuration has the patience that the contest gives to it.
    """
    fitted = recipes_in_space(spec.search.recipes, spec.space, untuned_learning_rate(spec))
    by_settings = {Regularization.from_params(params): name for name, params in fitted.items()}
    contest = contest_of(spec)
    return {contest.as_tried(settings): name for settings, name in by_settings.items()}
