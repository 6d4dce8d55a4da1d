"""Adds the techniques that the study searches, such as L2 and dropout, to a layer of the user's network."""

import keras
import keras_tuner

from ...studies.batch_norm import KERAS_MOMENTUM
from ...studies.configuration import Regularization
from ...studies.errors import ModelError
from ...studies.search_space import of_layers, suggest
from ...studies.spec import SpaceSpec
from . import applied_techniques
from .builtin.network import HyperParametersSuggester, with_batch_norm
from .hypermodel.hyperparameters import OptunaHyperParameters

_REGULARIZERS = ("kernel_regularizer", "depthwise_regularizer", "pointwise_regularizer")


def regularized(hp: keras_tuner.HyperParameters, layer: keras.layers.Layer) -> keras.Sequential:
    """Return a layer with the regularization of the trial; all layers of a network get the same regularization.

    The search space is the study's [space], with the same names. Early stopping is searched too, but changes no layer.
    A plain KerasTuner script gets the default search space of a study. The moving averages of BatchNormalization then
    have Keras's momentum, unless the script sets `hp.batch_norm_momentum`.

    Args:
        hp: the hyperparameters that the HyperModel's `build` gets.
        layer: a new layer with a kernel: Dense, Conv1D to Conv3D, or their transposed, depthwise and separable kinds.

    Returns a model that you use as a layer. It contains the layer with the penalty on its kernels, the activation,
    BatchNormalization before or after the activation, and dropout.
    Raises ModelError (a ValueError) if the layer has no kernel, has its own regularizer, or is already built.

    Example (in a HyperModel's `build(hp)`):
        model.add(regularized(hp, keras.layers.Conv2D(32, 3, activation="relu")))
    """
    space = hp.regularization if isinstance(hp, OptunaHyperParameters) else SpaceSpec()
    regularization = Regularization.from_params(suggest(HyperParametersSuggester(hp), of_layers(space)))
    momentum = getattr(hp, "batch_norm_momentum", KERAS_MOMENTUM)
    config = layer.get_config()
    kernels = [name for name in _REGULARIZERS if name in config]
    if not kernels:
        raise ModelError(f"{type(layer).__name__} has no kernel to regularize. Give a Dense or Conv layer.")
    if layer.built:
        raise ModelError(f"{layer.name} is already built. Give regularized() a new layer.")
    own = next((name for name in kernels if config[name] is not None), None)
    if own is not None:
        raise ModelError(f"{layer.name} already has a {own}. Leave it out: the search chooses it.")
    for name in kernels:
        setattr(layer, name, applied_techniques.penalty(regularization))
    _constrain(layer, kernels, regularization)
    activation = keras.layers.Activation(layer.activation)
    layer.activation = keras.activations.linear
    layers = with_batch_norm(layer, activation, regularization.batch_norm_placement, momentum)
    layers += applied_techniques.layers_after(regularization, lambda technique: None)
    return keras.Sequential(layers, name=f"regularized_{layer.name}")


def _constrain(layer: keras.layers.Layer, regularizers: list[str], regularization: Regularization) -> None:
    """Set the constraint of the regularization on each kernel; raise ValueError if a kernel already has one."""
    constraint = applied_techniques.constraint(regularization)
    for name in (name.replace("regularizer", "constraint") for name in regularizers):
        if constraint is None:
            return
        if getattr(layer, name) is not None:
            raise ModelError(f"{layer.name} already has a {name}. Leave it out: the search chooses it.")
        setattr(layer, name, constraint)
