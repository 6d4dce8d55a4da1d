"""What is searched, in a network of one's own: a layer gets penalty, BatchNormalization and dropout in one line."""

import keras
import keras_tuner

from regsearch.search.training import applied_techniques
from regsearch.search.training.builtin.network import HyperParametersSuggester, with_batch_norm
from regsearch.search.training.hypermodel.hyperparameters import OptunaHyperParameters
from regsearch.studies.batch_norm import KERAS_MOMENTUM
from regsearch.studies.configuration import Regularization
from regsearch.studies.search_space import of_layers, suggest
from regsearch.studies.spec import SpaceSpec

_REGULARIZERS = ("kernel_regularizer", "depthwise_regularizer", "pointwise_regularizer")


def regularized(hp: keras_tuner.HyperParameters, layer: keras.layers.Layer) -> keras.Sequential:
    """Return a layer with the regularization that a trial asks for, the same for each layer of a network.

    For example, in a HyperModel's `build(hp)`:
        model.add(regularized(hp, keras.layers.Conv2D(32, 3, activation="relu")))

    What is searched is a study's [space], by the names that it has there; early stopping too, which needs no layer. A
    KerasTuner script of one's own searches the whole space that a study has by default. There the averages of
    BatchNormalization have Keras's momentum, unless `hp.batch_norm_momentum` is set to another number.

    Args:
        hp: of the HyperModel.
        layer: new, with a kernel: Dense, Conv1D to Conv3D, their transposed, depthwise and separable kinds.

    Returns the layer with the penalty on its kernels, its activation, BatchNormalization before or after that, and
    dropout, as one model that stands for a layer.
    Raises ValueError for a layer without a kernel, with a regularizer of its own, or that is built already.
    """
    space = hp.regularization if isinstance(hp, OptunaHyperParameters) else SpaceSpec()
    regularization = Regularization.from_params(suggest(HyperParametersSuggester(hp), of_layers(space)))
    momentum = getattr(hp, "batch_norm_momentum", KERAS_MOMENTUM)
    config = layer.get_config()
    kernels = [name for name in _REGULARIZERS if name in config]
    if not kernels:
        raise ValueError(f"{type(layer).__name__} has no kernel that could be regularized: give a Dense or Conv layer")
    if layer.built:
        raise ValueError(f"{layer.name} is built already: give regularized() a new layer")
    own = next((name for name in kernels if config[name] is not None), None)
    if own is not None:
        raise ValueError(f"{layer.name} has a {own} of its own: leave it out, it is what is searched")
    for name in kernels:
        setattr(layer, name, applied_techniques.penalty(regularization))
    _constrain(layer, kernels, regularization)
    activation = keras.layers.Activation(layer.activation)
    layer.activation = keras.activations.linear
    layers = with_batch_norm(layer, activation, regularization.batch_norm_placement, momentum)
    layers += applied_techniques.layers_after(regularization, lambda technique: None)
    return keras.Sequential(layers, name=f"regularized_{layer.name}")


def _constrain(layer: keras.layers.Layer, regularizers: list[str], regularization: Regularization) -> None:
    """Put a constraint on each kernel that has a regularizer of those names; raises ValueError for a second one."""
    constraint = applied_techniques.constraint(regularization)
    for name in (name.replace("regularizer", "constraint") for name in regularizers):
        if constraint is None:
            return
        if getattr(layer, name) is not None:
            raise ValueError(f"{layer.name} has a {name} of its own: leave it out, it is what is searched")
        setattr(layer, name, constraint)
