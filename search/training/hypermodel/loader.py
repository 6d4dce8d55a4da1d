"""Loads a user's HyperModel and builds its models; no other module executes the files of users."""

import importlib
import inspect
import sys
import types
from typing import Any

import keras
import keras_tuner

from ....studies.errors import ModelError
from .code import HyperModelCode
from .former_names import PACKAGE, former_names

_module_names: set[str] = set()  # the names under which this module has loaded users' files


class _Function(keras_tuner.HyperModel):
    """Makes a HyperModel from a function that builds a model."""

    def __init__(self, build: Any) -> None:
        super().__init__()
        self.build = build


def load(code: HyperModelCode) -> keras_tuner.HyperModel:
    """Run the code, even if it ran before, and return its HyperModel; errors of the code are not caught.

    Raises ModelError if the name refers to something that KerasTuner does not accept.
    """
    with former_names(code.root):
        hypermodel = getattr(_module(code), code.name)
        if isinstance(hypermodel, type) and issubclass(hypermodel, keras_tuner.HyperModel):
            hypermodel = _instance(hypermodel)
    if isinstance(hypermodel, keras_tuner.HyperModel):
        return hypermodel
    if isinstance(hypermodel, type) or not callable(hypermodel):
        raise ModelError(
            f"{code.name} is {hypermodel!r}. Give a subclass of keras_tuner.HyperModel, an instance of one, or a "
            "function of hp that returns a model."
        )
    return _Function(hypermodel)


def _instance(kind: type[keras_tuner.HyperModel]) -> keras_tuner.HyperModel:
    needed = [
        parameter.name
        for parameter in inspect.signature(kind).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if needed:
        raise ModelError(
            f"{kind.__name__} needs the arguments {', '.join(needed)}. Create an instance in its file, such as "
            f"mine = {kind.__name__}(…), and give the name of this instance."
        )
    return kind()


def build(hypermodel: keras_tuner.HyperModel, hp: keras_tuner.HyperParameters) -> keras.Model:
    """Return the model that a HyperModel builds; raise ModelError if it returns something else."""
    _check_takes_hp(hypermodel)
    with former_names():
        model = hypermodel.build(hp)
    if not isinstance(model, keras.Model):
        raise ModelError(f"the HyperModel's build returned {type(model).__name__} instead of a Keras model")
    return model


def _check_takes_hp(hypermodel: keras_tuner.HyperModel) -> None:
    """Raise ModelError if `build` can't be called with the hyperparameters as its only argument."""
    is_function = isinstance(hypermodel, _Function)
    written = hypermodel.build if is_function else getattr(hypermodel, "_build", hypermodel.build)  # under a wrapper
    try:
        inspect.signature(written).bind(None)
    except TypeError:
        name = getattr(written, "__name__", "build")
        raise ModelError(
            f"{name}{inspect.signature(written)} can't be called with hyperparameters alone. Write it as {name}(hp)."
        ) from None


def overrides_fit(hypermodel: keras_tuner.HyperModel) -> bool:
    """Return whether a HyperModel defines its own `fit`."""
    return getattr(hypermodel.fit, "__func__", None) is not keras_tuner.HyperModel.fit


def _module(code: HyperModelCode) -> types.ModuleType:
    """Return the user's module, compiled from `code.source`; Python's cached bytecode is not used."""
    if code.root != PACKAGE and str(code.root) not in sys.path:
        sys.path.insert(0, str(code.root))
    package = code.module.rpartition(".")[0]
    if package:
        importlib.import_module(package)
    # if the file has the same name as a library, other imports must still get the library
    name = (
        code.module if code.module not in sys.modules or code.module in _module_names else f"{code.module}_hypermodel"
    )
    _module_names.add(name)
    module = types.ModuleType(name)
    module.__file__ = str(code.path)
    module.__package__ = code.module if code.path.name == "__init__.py" else package
    previous = sys.modules.get(name)
    sys.modules[name] = module  # like an import, because classes look up their module by its name
    try:
        exec(compile(code.source, str(code.path), "exec"), module.__dict__)
    except BaseException:
        if previous is None:
            del sys.modules[name]
        else:
            sys.modules[name] = previous
        raise
    return module
