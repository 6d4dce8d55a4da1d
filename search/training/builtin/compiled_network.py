"""The built-in network as one compiled function per epoch: no Python, no input pipeline and no callback per step.

The function computes the same as Keras for the layers in `network.py`. Every hyperparameter is a variable, so all
trials with the same placement of BatchNormalization share one trace.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from ....studies.configuration import Regularization
from ....studies.example_scores import PerExampleScores
from ....studies.spec import ModelSpec, TrainingSpec
from ...data.splits import Rows
from ..checkpoints import Arrays
from ..loop import Weights, evaluated_parts
from ..moving_averages import Averages
from .compiled_techniques import CompiledTechniques, SeedOf
from .optimizers import OPTIMIZERS

_EVALUATED_AT_ONCE = 1_000  # examples; larger parts are not faster
_EPSILON = 1e-3  # Keras's default for BatchNormalization

_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"relu": tf.nn.relu, "tanh": tf.nn.tanh, "elu": tf.nn.elu}


@dataclass(frozen=True, kw_only=True, eq=False)
class _BatchNorm:
    """The variables of one BatchNormalization, in Keras's order."""

    gamma: tf.Variable
    beta: tf.Variable
    moving_mean: tf.Variable
    moving_variance: tf.Variable

    @classmethod
    def make(cls, units: int) -> "_BatchNorm":
        ones, zeros = tf.ones(units), tf.zeros(units)
        return cls(
            gamma=tf.Variable(ones),
            beta=tf.Variable(zeros),
            moving_mean=tf.Variable(zeros),
            moving_variance=tf.Variable(ones),
        )

    def reset(self) -> None:
        for variable in (self.gamma, self.moving_variance):
            variable.assign(tf.ones_like(variable))
        for variable in (self.beta, self.moving_mean):
            variable.assign(tf.zeros_like(variable))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Dense:
    """The variables of one Dense layer and of its BatchNormalization."""

    kernel: tf.Variable
    bias: tf.Variable
    batch_norm: _BatchNorm | None = None
    is_regularized: bool = False

    @property
    def trainable(self) -> list[tf.Variable]:
        norm = self.batch_norm
        return [self.kernel, self.bias] + ([norm.gamma, norm.beta] if norm else [])

    @property
    def weights(self) -> list[tf.Variable]:
        norm = self.batch_norm
        return self.trainable + ([norm.moving_mean, norm.moving_variance] if norm else [])

    def reset(self, kernel: NDArray[Any]) -> None:
        self.kernel.assign(kernel)
        self.bias.assign(tf.zeros_like(self.bias))
        if self.batch_norm:
            self.batch_norm.reset()


class CompiledNetwork:
    """The network of a study with one placement of BatchNormalization; see `Network`.

    Args:
        model, training: the sections of the study's spec with these names.
        batch_norm: the placement of BatchNormalization in the regularized hidden layers.
        techniques: applies the techniques for which this class has no code.
        momentum: the momentum of BatchNormalization's moving averages, in [0, 1).
        batch_size: the number of examples in a training step.
        x: (n, features) examples, uint8 or float32.
        y: (n,) int32 labels.
        class_count: the number of units in the last layer, which outputs logits.
        scale: the factor for each example: 1/255 for uint8, so that values lie in [0, 1], else 1.
    """

    def __init__(
        self,
        *,
        model: ModelSpec,
        training: TrainingSpec,
        batch_norm: str,
        techniques: CompiledTechniques,
        momentum: float,
        batch_size: int,
        x: tf.Tensor,
        y: tf.Tensor,
        class_count: int,
        scale: float,
    ) -> None:
        self._activation = _ACTIVATIONS[model.activation]
        self._batch_norm, self._momentum = batch_norm, momentum
        self._techniques = techniques
        self._x, self._y, self._scale = x, y, scale
        self._batch_size = batch_size
        self._layers = _make_layers(model, batch_norm, x.shape[1], class_count)
        self._trainable = [variable for layer in self._layers for variable in layer.trainable]
        self._kernels = [layer.kernel for layer in self._layers if layer.is_regularized]
        self._penalized = {kernel.ref() for kernel in self._kernels}
        self._averages = Averages(techniques.values, self._trainable)
        self._training = training
        self._optimizer = OPTIMIZERS[training.optimizer](self._trainable)
        self._l1, self._l2 = tf.Variable(0.0), tf.Variable(0.0)
        self._penalty_kind = tf.Variable(0)  # 0 none, 1 L1, 2 L2, 3 both
        self._kept_of_65536 = tf.Variable(2**16)  # see dropout_mask
        self._dropout_seeds = tf.Variable(tf.zeros(len(model.hidden), tf.int64))
        self._steps = 0
        self._compiled_batches = _compile(self._train_batches, [None, self._batch_size], [])
        self._compiled_rest = tf.function(self._train_step, autograph=False)
        self._compiled_evaluate = _compile(self._evaluate_rows, [None])

    @property
    def traces(self) -> int:
        """How often TensorFlow has traced a function of this network."""
        functions = (self._compiled_batches, self._compiled_rest, self._compiled_evaluate)
        return sum(function.experimental_get_tracing_count() for function in functions)

    def reset(
        self,
        regularization: Regularization,
        kernels: Sequence[NDArray[Any]],
        dropout_seeds: Sequence[int],
        seed_of: SeedOf,
    ) -> None:
        """Start a trial: set the initial weights and the hyperparameters, and clear the optimizer's state.

        Args:
            regularization: the trial's regularization, with the same placement of BatchNormalization and the same
                techniques as this network. The dropout rate is rounded to 1/65536; at least 1/65536 of the units are
                kept.
            kernels: the initial kernel of every layer, including the last one.
            dropout_seeds: one seed per hidden layer.
            seed_of: returns the seeds for the techniques for which this class has no code.
        """
        assert regularization.batch_norm_placement == self._batch_norm
        for layer, kernel in zip(self._layers, kernels, strict=True):
            layer.reset(kernel)
        self._optimizer.reset(regularization.rate_in(self._training))
        self._l1.assign(regularization.l1)
        self._l2.assign(regularization.l2)
        self._penalty_kind.assign((regularization.l1 > 0) + 2 * (regularization.l2 > 0))
        self._kept_of_65536.assign(max(round((1 - regularization.dropout) * 2**16), 1))
        self._dropout_seeds.assign(dropout_seeds)
        self._techniques.begin(regularization, seed_of)
        self._averages.begin()
        self._steps = 0

    def train_epoch(self, order: Rows) -> float:
        """Train one epoch; return the mean training loss. As in Keras's `fit`, the last batch may be smaller."""
        full = len(order) // self._batch_size
        batches, rest = np.split(order.astype(np.int32), [full * self._batch_size])
        loss = self._compiled_batches(tf.constant(batches.reshape(full, self._batch_size)), tf.constant(self._steps))
        self._steps += full
        if len(rest):
            loss += self._compiled_rest(tf.constant(rest), tf.constant(self._steps))
            self._steps += 1
        return float(loss) / len(order)

    def evaluate(self, rows: Rows) -> PerExampleScores:
        """Return the network's scores on some examples, with dropout off and BatchNormalization's moving averages."""
        losses, hits = [], []
        with self._averages.in_place():
            for part in evaluated_parts(rows, _EVALUATED_AT_ONCE, self._x.shape[1]):
                loss, hit = self._compiled_evaluate(tf.constant(part.astype(np.int32)))
                losses.append(loss.numpy())
                hits.append(hit.numpy())
        return PerExampleScores(losses=np.concatenate(losses), hits=np.concatenate(hits))

    def logits(self, rows: Rows) -> NDArray[np.float32]:
        """Return the network's output for some examples, (examples, classes), with dropout off."""
        with self._averages.in_place():
            logits: NDArray[np.float32] = self._logits(tf.constant(rows.astype(np.int32))).numpy()
        return logits

    def penalty(self) -> float:
        """Return what L1, L2 and other penalties add to the loss."""
        with self._averages.in_place():
            penalties = (_l1_penalty(self._l1, kernel) + _l2_penalty(self._l2, kernel) for kernel in self._kernels)
            return sum(map(float, [*penalties, *self._techniques.penalties(self._kernels)]))

    def get_weights(self) -> Weights:
        """Return copies of all weights, in the order of the Keras model."""
        with self._averages.in_place():
            return [variable.numpy() for layer in self._layers for variable in layer.weights]

    def set_weights(self, weights: Arrays) -> None:
        """Restore weights that `get_weights` returned; the optimizer's state does not change."""
        for variable, value in zip((w for layer in self._layers for w in layer.weights), weights, strict=True):
            variable.assign(value)
        self._averages.begin()

    def get_state(self) -> Weights:
        """Return copies of the step counter, the optimizer's state and, last, the weights; dropout has no state."""
        slots = [slot.numpy() for slots in self._optimizer.slots for slot in slots]
        return [np.array(self._steps), *slots, *self._averages.training_weights(), *self.get_weights()]

    def set_state(self, state: Arrays) -> None:
        """Restore a state that `get_state` returned."""
        slots = [slot for slots in self._optimizer.slots for slot in slots]
        steps, *arrays = state
        for slot, value in zip(slots, arrays, strict=False):
            slot.assign(value)
        training = arrays[len(slots) :][: len(self._averages.weights)]
        self.set_weights(arrays[len(slots) + len(training) :])
        self._averages.set_training_weights(training)
        self._steps = int(steps)

    def _train_batches(self, batches: tf.Tensor, first_step: tf.Tensor) -> tf.Tensor:
        """Train on batches of indices, (steps, batch size); return the sum of the losses of all examples."""
        steps = tf.shape(batches)[0]

        def body(i: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return i + 1, total + self._train_step(tf.gather(batches, i), first_step + i)

        start = (tf.constant(0), tf.constant(0.0))
        return tf.while_loop(lambda i, _: i < steps, body, start, parallel_iterations=1)[1]

    def _train_step(self, rows: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Train on one batch in step `step`, counted from 0; return the sum of the examples' losses with penalties."""
        count = rows.shape[0]
        with tf.GradientTape() as tape:
            logits = self._logits(rows, step)
            losses = self._techniques.change_losses(self._losses(rows, logits), self._y, rows, logits)
            for penalty in self._techniques.penalties(self._kernels):
                losses += penalty
        # this is the gradient of the mean loss; reduce_mean would add operations to the graph
        gradients = tape.gradient(losses, self._trainable, output_gradients=tf.fill([count], np.float32(1 / count)))
        total = tf.reduce_sum(losses)
        for index, variable in enumerate(self._trainable):
            if variable.ref() in self._penalized:
                gradients[index], penalty = self._with_penalty(gradients[index], variable.read_value())
                total += count * penalty
        self._optimizer.apply(self._techniques.change_gradients(gradients, self._trainable), step)
        self._techniques.constrain(self._kernels)
        self._averages.update(step)
        return total

    def _with_penalty(self, gradient: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the gradient plus that of L1 and L2, and the penalty. A penalty that is off costs no time."""
        l1, l2 = self._l1, self._l2
        return tf.switch_case(  # type: ignore[no-any-return]
            self._penalty_kind.read_value(),
            [
                lambda: (gradient, tf.constant(0.0)),
                lambda: (gradient + l1 * tf.sign(kernel), _l1_penalty(l1, kernel)),
                lambda: (gradient + (2 * l2) * kernel, _l2_penalty(l2, kernel)),
                lambda: (
                    gradient + (l1 * tf.sign(kernel) + (2 * l2) * kernel),
                    _l1_penalty(l1, kernel) + _l2_penalty(l2, kernel),
                ),
            ],
        )

    def _evaluate_rows(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits = self._logits(rows)
        hits = tf.argmax(logits, axis=1, output_type=tf.int32) == tf.gather(self._y, rows)
        return self._losses(rows, logits), hits

    def _losses(self, rows: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tf.gather(self._y, rows), logits=logits)

    def _logits(self, rows: tf.Tensor, step: tf.Tensor | None = None) -> tf.Tensor:
        """Return the logits, (examples, classes). They are computed as in training if a step is given."""
        h = tf.cast(tf.gather(self._x, rows), tf.float32) * self._scale
        if step is not None:
            h = self._techniques.change_input(h, step)
        *hidden, last = self._layers
        for index, layer in enumerate(hidden):
            h = tf.nn.bias_add(tf.matmul(h, layer.kernel), layer.bias)
            if layer.batch_norm and self._batch_norm == "before_activation":
                h = _normalize(h, layer.batch_norm, None if step is None else self._momentum)
            h = self._activation(h)
            if layer.batch_norm and self._batch_norm == "after_activation":
                h = _normalize(h, layer.batch_norm, None if step is None else self._momentum)
            if layer.is_regularized and step is not None:
                seed = tf.stack([self._dropout_seeds[index], tf.cast(step, tf.int64)])
                h = h * dropout_mask(seed, h.shape, self._kept_of_65536.read_value())
                h = self._techniques.change_activations(h, index, step)
        return tf.nn.bias_add(tf.matmul(h, last.kernel), last.bias)


def dropout_mask(seed: tf.Tensor, shape: tf.TensorShape, kept_of_65536: tf.Tensor) -> tf.Tensor:
    """Draw the factors for dropout: 0 for a unit that is dropped, 1 / (share of units kept) for any other unit.

    Args:
        seed: the layer's seed and the training step, (2,), int64.
        shape: the shape of the factors, (examples, units), fully known.
        kept_of_65536: how many of 65536 units are kept on average; int32, from 1 to 65536. So 16 random bits are enough
            for each unit, and one random int64 serves four units.
    """
    count = shape.num_elements()

    def draw() -> tf.Tensor:
        words = tf.random.stateless_uniform([-(-count // 4)], seed, minval=None, maxval=None, dtype=tf.int64)
        bits = tf.reshape(tf.bitcast(words, tf.uint16), [-1])[:count]
        kept = tf.cast(bits <= tf.cast(kept_of_65536 - 1, tf.uint16), tf.float32)
        return tf.reshape(kept * (2.0**16 / tf.cast(kept_of_65536, tf.float32)), shape)

    return tf.cond(kept_of_65536 < 2**16, draw, lambda: tf.ones(shape))


def _compile(function: Callable[..., Any], *shapes: Sequence[int | None]) -> Any:
    """Compile a function of int32 tensors with these shapes; None allows any length without a new trace."""
    return tf.function(function, autograph=False, input_signature=[tf.TensorSpec(shape, tf.int32) for shape in shapes])


def _make_layers(model: ModelSpec, batch_norm: str, features: int, class_count: int) -> list[_Dense]:
    sizes = [features, *model.hidden]
    layers = []
    for index, (inputs, units) in enumerate(zip(sizes, model.hidden, strict=False)):
        is_regularized = model.is_regularized(index)
        layers.append(
            _Dense(
                kernel=tf.Variable(tf.zeros((inputs, units))),
                bias=tf.Variable(tf.zeros(units)),
                batch_norm=_BatchNorm.make(units) if is_regularized and batch_norm != "none" else None,
                is_regularized=is_regularized,
            )
        )
    last = _Dense(kernel=tf.Variable(tf.zeros((sizes[-1], class_count))), bias=tf.Variable(tf.zeros(class_count)))
    return [*layers, last]


def _normalize(h: tf.Tensor, norm: _BatchNorm, momentum: float | None) -> tf.Tensor:
    """Normalize activations as Keras does. In training, use the moments of the batch, and update the moving averages.

    Args:
        h: the activations, (examples, units).
        norm: the variables of the BatchNormalization.
        momentum: the momentum of the moving averages; None if the network is not training.
    """
    rows, units = h.shape
    is_training = momentum is not None
    normalized = tf.raw_ops.FusedBatchNormV3(
        x=tf.reshape(h, (-1, 1, 1, units)),
        scale=norm.gamma,
        offset=norm.beta,
        mean=[] if is_training else norm.moving_mean,
        variance=[] if is_training else norm.moving_variance,
        epsilon=_EPSILON,
        is_training=is_training,
    )
    if momentum is not None:
        # the operation gives the unbiased variance, but Keras averages the biased one
        variance = normalized.batch_variance * ((rows - 1) / rows)
        norm.moving_mean.assign_sub((norm.moving_mean - normalized.batch_mean) * (1 - momentum))
        norm.moving_variance.assign_sub((norm.moving_variance - variance) * (1 - momentum))
    return tf.reshape(normalized.y, (-1, units))


def _l1_penalty(l1: tf.Variable, kernel: tf.Tensor) -> tf.Tensor:
    return l1 * tf.reduce_sum(tf.abs(kernel))


def _l2_penalty(l2: tf.Variable, kernel: tf.Tensor) -> tf.Tensor:
    return (2 * l2) * tf.nn.l2_loss(kernel)  # l2_loss is half the sum of squares
