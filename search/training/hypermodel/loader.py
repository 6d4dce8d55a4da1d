"""Loads a user's HyperModel, and builds its models; only here is code run that isn't ours."""

import importlib
import inspect
import sys
import types
from typing import Any

import keras
import keras_tuner

from regsearch.search.training.hypermodel.code import HyperModelCode
from regsearch.search.training.hypermodel.former_names import PACKAGE, former_names

_ours: set[str] = set()  # modules that were loaded here


class _Function(keras_tuner.HyperModel):
    """A function that builds a model, as KerasTuner takes it."""

    def __init__(self, build: Any) -> None:
        super().__init__()
        self.build = build


def load(code: HyperModelCode) -> keras_tuner.HyperModel:
    """Run the code, anew each time, and return its HyperModel; what it raises passes through.

    Raises TypeError where the name stands for nothing that KerasTuner takes.
    """
    with former_names(code.root):
        found = getattr(_module(code), code.name)
        if isinstance(found, type) and issubclass(found, keras_tuner.HyperModel):
            found = _made(found)
    if isinstance(found, keras_tuner.HyperModel):
        return found
    if isinstance(found, type) or not callable(found):
        raise TypeError(
            f"{code.name} is {found!r}: a HyperModel is a subclass of keras_tuner.HyperModel, an instance of one, or a "
            "function of hp that returns a model"
        )
    return _Function(found)


def _made(kind: type[keras_tuner.HyperModel]) -> keras_tuner.HyperModel:
    needed = [
        parameter.name
        for parameter in inspect.signature(kind).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if needed:
        raise TypeError(
            f"{kind.__name__} can't be made without {', '.join(needed)}: put an instance into its file, such as "
            f"mine = {kind.__name__}(…), and name that"
        )
    return kind()


def build(hypermodel: keras_tuner.HyperModel, hp: keras_tuner.HyperParameters) -> keras.Model:
    """Build a model; raises TypeError where the HyperModel returns none."""
    with former_names():
        model = hypermodel.build(hp)
    if not isinstance(model, keras.Model):
        raise TypeError(f"the HyperModel's build returned no Keras model, but {type(model).__name__}: does it return?")
    return model


def overrides_fit(hypermodel: keras_tuner.HyperModel) -> bool:
    """Return whether a HyperModel trains in its own way."""
    return getattr(hypermodel.fit, "__func__", None) is not keras_tuner.HyperModel.fit


def _module(code: HyperModelCode) -> types.ModuleType:
    """Return the module, made from just these bytes: no copy that Python may have compiled earlier serves."""
    if code.root != PACKAGE and str(code.root) not in sys.path:
        sys.path.insert(0, str(code.root))
    package = code.module.rpartition(".")[0]
    if package:
        importlib.import_module(package)
    # a file called as a library is leaves that to whoever else imports it
    name = code.module if code.module not in sys.modules or code.module in _ours else f"{code.module}_hypermodel"
    _ours.add(name)
    module = types.ModuleType(name)
    module.__file__ = str(code.path)
    module.__package__ = code.module if code.path.name == "__init__.py" else package
    shadowed = sys.modules.get(name)
    sys.modules[name] = module  # as an import does: classes look up their module by its name
    try:
        exec(compile(code.source, str(code.path), "exec"), module.__dict__)
    except BaseException:
        if shadowed is None:
            del sys.modules[name]
        else:
            sys.modules[name] = shadowed
        raise
    return module
