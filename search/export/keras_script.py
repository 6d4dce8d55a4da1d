"""Writes a plain Keras script that builds, fits and evaluates the network of a configuration."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ...studies.batch_norm import KERAS_MOMENTUM, batch_norm_momentum
from ...studies.configuration import Regularization
from ...studies.errors import InputError, one_line
from ...studies.spec import ModelSpec, StudySpec
from ...studies.techniques.ways import Code
from ..data import dataset_names

_OPTIMIZERS = {"adam": "Adam", "sgd": "SGD", "rmsprop": "RMSprop"}

_MNIST = """\
if file := os.environ.get("REGSEARCH_MNIST"):  # if Keras can't download MNIST
    with np.load(file) as data:
        x_train, y_train, x_test, y_test = (data[key] for key in ("x_train", "y_train", "x_test", "y_test"))
else:
    (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()"""
_HELD_OUT = """\
# the study's test set: each class in proportion to its size, rounded by the largest remainders
held_out = {held_out}
sizes = np.bincount(y)
counts, remainders = np.divmod(held_out * sizes, len(y))
counts[np.argsort(-remainders, kind="stable")[: held_out - counts.sum()]] += 1
random = np.random.default_rng({seed})
classes = [random.permutation(np.flatnonzero(y == label)) for label in range(len(sizes))]
test = np.sort(np.concatenate([of_class[:count] for of_class, count in zip(classes, counts)]))
x_train, y_train, x_test, y_test = np.delete(x, test, axis=0), np.delete(y, test), x[test], y[test]"""
_DIGITS = """\
digits = sklearn.datasets.load_digits()
# enlarge 8 x 8 pixels (0 to 16) to 28 x 28 pixels (0 to 255): bilinearly, in whole numbers, as the study does
position = np.clip(4 * np.arange(28) - 5, 0, 98)
below = np.minimum(position // 14, 6)
weights = np.zeros((28, 8), np.int64)
weights[np.arange(28), below] = 14 - (position - 14 * below)
weights[np.arange(28), below + 1] = position - 14 * below
x = ((weights @ digits.images.astype(np.int64) @ weights.T * 255 + 1568) // 3136).astype(np.uint8)
y = digits.target
""" + _HELD_OUT.format(held_out=360, seed=1797)
_FILE = """\
with np.load({path}) as data:
    x_train, y_train, x_test, y_test = (data[key] for key in ("x_train", "y_train", "x_test", "y_test"))"""

_IDX = """\
def idx(name, header):
    path = sorted(pathlib.Path({path}).glob(name))[0]
    content = path.read_bytes()
    content = gzip.decompress(content) if content[:2] == b"\\x1f\\x8b" else content
    return np.frombuffer(content, np.uint8, offset=header)


x_train = idx("train-images?idx3-ubyte*", 16).reshape({rows})
y_train = idx("train-labels?idx1-ubyte*", 8)
x_test = idx("t10k-images?idx3-ubyte*", 16).reshape({rows})
y_test = idx("t10k-labels?idx1-ubyte*", 8)"""
_IMAGES = """\
def images(folder):
    x, y = [], []
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    for label, name in enumerate(classes):
        for place, folders, files in os.walk(folder / name):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for file in sorted(name for name in files if not name.startswith(".")):
                if file.lower().endswith((".bmp", ".gif", ".jpeg", ".jpg", ".png")):
                    options = dict(target_size={size}, interpolation="bilinear")
                    image = keras.utils.load_img(os.path.join(place, file), {color}, **options)
                    x.append(np.reshape(image, {shape}))
                    y.append(label)
    return np.array(x), np.array(y)


folder = pathlib.Path({path})
"""
_PARTS = """\
x_train, y_train = images(folder / "train")
x_test, y_test = images(folder / "test")"""
_CLASSES = "x, y = images(folder)\n" + _HELD_OUT.format(held_out="round(0.2 * len(y))", seed=0)


@dataclass(frozen=True, kw_only=True)
class ScriptData:
    """What a script must know about its data.

    Attributes:
        source: "mnist", "digits", or the path of the user's data.
        kind: the kind of the path. `npz` is an .npz file with Keras's keys, and `idx` is a directory of IDX files.
            `classes` is a directory with one sub-directory of images per class. `parts` is a directory whose
            sub-directories `train` and `test` are directories of the kind `classes`.
        input_shape: the shape of one example: (features,), (height, width) or (height, width, channels).
        class_count: the number of classes, at least 2.
        has_bytes: whether the values are bytes, 0…255. The script scales bytes, and uses other values as they are.
        n_train, n_stop: the sizes of the training and the stopping split, in examples.
    """

    source: str
    kind: Literal["npz", "idx", "classes", "parts"] = "npz"
    input_shape: tuple[int, ...]
    class_count: int
    has_bytes: bool
    n_train: int
    n_stop: int


def keras_script(title: str, spec: StudySpec, data: ScriptData, regularization: Regularization, seed: int) -> str:
    """Return a script that trains and evaluates a network. The script needs Keras and the data, but not regsearch.

    Args:
        title: any text for the first line of the script.
        spec, regularization: these define the network and its training.
        data: the data on which the script trains.
        seed: the seed of the script's random numbers, at least 0.

    Raises InputError if this module has no code that loads the built-in data set.
    """
    imports, loading = _loading(data)
    seed %= 2**32  # Keras takes no larger seed
    training = spec.training
    codes = _technique_codes(regularization)
    fit = [f"batch_size={training.batch_size}", f"epochs={training.max_epochs}"]
    if callbacks := [callback for code in codes for callback in code.callbacks]:
        fit.append(f"callbacks=[{', '.join(callbacks)}]")
    optimizer = {name: argument for code in codes for name, argument in code.optimizer.items()}
    arguments = [
        repr(regularization.rate_in(training)),
        *(f"{name}={argument}" for name, argument in optimizer.items()),
    ]
    definitions = "".join(f"\n\n{code.definitions.strip()}\n" for code in codes if code.definitions)
    return f'''\
"""{_docstring_line(title)}"""

{imports}

{loading}
keras.utils.set_random_seed({seed})
order = np.random.default_rng({seed}).permutation(len(x_train))
train, stop = np.split(order[:{data.n_train + data.n_stop}], [{data.n_train}])
{definitions and definitions + chr(10)}
model = keras.Sequential(
    [
{"".join(f"        {layer}," + chr(10) for layer in _layers(spec, data, regularization))}    ]
)
model.compile(
    optimizer=keras.optimizers.{_OPTIMIZERS[training.optimizer]}({", ".join(arguments)}),
    loss={_loss(codes)},
    metrics=["accuracy"],
)
model.fit(
    x_train[train],
    y_train[train],
    validation_data=(x_train[stop], y_train[stop]),
{"".join(f"    {argument}," + chr(10) for argument in fit)})
loss, accuracy = model.evaluate(x_test, y_test)
print(f"test accuracy {{accuracy:.4f}}")
'''


def _loading(data: ScriptData) -> tuple[str, str]:
    """Return the lines with the script's imports, and the lines that load its data."""
    standard, others, path = "", "", ascii(data.source)
    if data.source == "mnist":
        standard, loading = "import os\n\n", _MNIST
    elif data.source == "digits":
        others, loading = "import sklearn.datasets\n", _DIGITS
    elif data.source in dataset_names():
        raise InputError(
            f"can't write a script: there is no code that loads the data set {data.source}. Add such "
            "code to search/export/keras_script.py."
        )
    elif data.kind == "npz":
        loading = _FILE.format(path=path if data.source.endswith(".npz") else ascii(f"{data.source}.npz"))
    elif data.kind == "idx":
        standard, loading = "import gzip\nimport pathlib\n\n", _IDX.format(path=path, rows=(-1, *data.input_shape))
    else:
        color = "rgb" if len(data.input_shape) == 3 else "grayscale"
        standard = "import os\nimport pathlib\n\n"
        loading = _IMAGES.format(
            path=path, color=f'color_mode="{color}"', size=data.input_shape[:2], shape=data.input_shape
        ) + (_PARTS if data.kind == "parts" else _CLASSES)
    gap = "\n" if loading.startswith("def ") else ""
    return f"{standard}import keras\nimport numpy as np\n{others}{gap}".removesuffix("\n"), loading


def _technique_codes(regularization: Regularization) -> list[Code]:
    return [technique.code(vars(regularization)) for technique, _ in regularization.in_use]


def _loss(codes: Sequence[Code]) -> str:
    """Return an expression for the loss: the cross-entropy, with the changes that the techniques make."""
    plain = "keras.losses.SparseCategoricalCrossentropy(from_logits=True)"
    return functools.reduce(lambda loss, code: code.loss.replace("{loss}", loss) if code.loss else loss, codes, plain)


def _layers(spec: StudySpec, data: ScriptData, regularization: Regularization) -> list[str]:
    """Return an expression for each layer of the network."""
    layers = [f"keras.layers.Input({data.input_shape})"]
    layers += ["keras.layers.Rescaling(1 / 255)"] if data.has_bytes else []
    layers += [layer for code in _technique_codes(regularization) for layer in code.input_layers]
    layers.append("keras.layers.Flatten()")
    momentum = batch_norm_momentum(spec, data.n_train)
    for index in range(len(spec.model.hidden)):
        layers += _hidden_layer(spec.model, index, regularization, momentum)
    return [*layers, f"keras.layers.Dense({data.class_count})"]


def _hidden_layer(model: ModelSpec, index: int, regularization: Regularization, momentum: float) -> list[str]:
    if not model.is_regularized(index):
        regularization = Regularization()
    codes = _technique_codes(regularization)
    units, activation, kernel = model.hidden[index], model.activation, _kernel_arguments(codes)
    batch_norm = "BatchNormalization()" if momentum == KERAS_MOMENTUM else f"BatchNormalization(momentum={momentum!r})"
    layers = {
        "none": [f'Dense({units}, activation="{activation}"{kernel})'],
        "before_activation": [f"Dense({units}{kernel})", batch_norm, f'Activation("{activation}")'],
        "after_activation": [f'Dense({units}, activation="{activation}"{kernel})', batch_norm],
    }[regularization.batch_norm_placement]
    return [*(f"keras.layers.{layer}" for layer in layers), *(layer for code in codes for layer in code.layers_after)]


def _kernel_arguments(codes: Sequence[Code]) -> str:
    """Return the arguments of a Dense layer that add up all penalties of the kernel and apply all its constraints."""
    penalties = [code.kernel_penalty for code in codes if code.kernel_penalty]
    constraints = [code.kernel_constraint for code in codes if code.kernel_constraint]
    arguments = ""
    if penalties:
        added = " + ".join(f"{penalty}(kernel)" for penalty in penalties)
        arguments += f", kernel_regularizer={penalties[0] if len(penalties) == 1 else f'lambda kernel: {added}'}"
    if constraints:
        nested = functools.reduce(lambda inner, constraint: f"{constraint}({inner})", constraints, "kernel")
        arguments += f", kernel_constraint={constraints[0] if len(constraints) == 1 else f'lambda kernel: {nested}'}"
    return arguments


def _docstring_line(text: str) -> str:
    """Return the text in a form that fits into the first line of a docstring."""
    return one_line(text).replace("\\", "/").replace('"', "'")
