"""Writes a script that builds the network of a HyperModel's configuration."""

from collections.abc import Mapping

from ...studies.batch_norm import KERAS_MOMENTUM
from ...studies.errors import one_line
from ...studies.trial import Value


def hypermodel_script(
    title: str,
    module: str,
    name: str,
    values: Mapping[str, Value],
    input_shape: tuple[int, ...],
    momentum: float | None = None,
) -> str:
    """Return a script that builds the network of a HyperModel's configuration.

    The script needs Keras, KerasTuner, and the HyperModel's file in the same directory.

    Args:
        title: any text for the first line of the script.
        module: the module from which the script imports the HyperModel.
        name: the name of the HyperModel in this module.
        values: the values of KerasTuner's hyperparameters, by name.
        input_shape: the shape of one example, as the HyperModel got it.
        momentum: the momentum of the BatchNormalization that `regsearch.regularized` adds; None if there is none.
    """
    first_line = one_line(title).replace("\\", "/").replace('"', "'")
    settings = "".join(f"    {key!a}: {value!a},\n" for key, value in values.items())
    has_momentum = momentum not in (None, KERAS_MOMENTUM)
    averages = f"hp.batch_norm_momentum = {momentum!r}  # for regsearch.regularized\n" if has_momentum else ""
    return f'''\
"""{first_line}"""

import inspect

import keras_tuner
from {module} import {name} as hypermodel

hp = keras_tuner.HyperParameters()
hp.values = {{
{settings}}}
{averages}

def build_model():
    """Return the untrained network with these hyperparameter values. It is compiled if the HyperModel compiles it."""
    builder = hypermodel() if inspect.isclass(hypermodel) else hypermodel
    return builder.build(hp) if isinstance(builder, keras_tuner.HyperModel) else builder(hp)


if __name__ == "__main__":
    model = build_model()
    if not model.built:
        model.build((None, {", ".join(map(str, input_shape))}))
    model.summary()
'''
