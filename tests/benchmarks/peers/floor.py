"""The floor: what no trainer of this network can do without, on one thread a core, and nothing else.

A step is the gather of its rows, the two large matrix products, and the fused Adam of the large kernel;
an epoch of them is one compiled loop.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from benchmarks.peers.common import Recording, Request, Workers, serve
from benchmarks.peers.network import load_arrays

from regsearch.search.machine import core_count


def prepare(request: Request, process: int) -> Callable[[], Recording]:
    """Compile the loop in one process; return what runs it until the window is over."""
    images = load_arrays(request.seed).x_train.reshape(-1, 784)
    x_train = tf.constant(images)
    kernel = tf.Variable(tf.random.normal((784, 140), stddev=0.05, seed=request.seed))
    first_moment, second_moment = (tf.Variable(tf.zeros((784, 140))) for _ in range(2))

    def step(index: tf.Tensor, order: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        rows = tf.gather(x_train, order[index])
        hidden = tf.matmul(rows, kernel)
        gradient = tf.matmul(rows, hidden, transpose_a=True)
        tf.raw_ops.ResourceApplyAdam(
            var=kernel.handle,
            m=first_moment.handle,
            v=second_moment.handle,
            beta1_power=0.5,
            beta2_power=0.5,
            lr=1e-3,
            beta1=0.9,
            beta2=0.999,
            epsilon=1e-7,
            grad=gradient,
        )
        return index + 1, order

    @tf.function
    def epoch(order: tf.Tensor) -> None:
        tf.while_loop(lambda index, order: index < len(order), step, (tf.constant(0), order))

    random = np.random.default_rng(1000 * request.seed + process)
    steps = -(-len(images) // request.batch_size)
    rows = np.resize(random.permutation(len(images)), (steps, request.batch_size))
    order = tf.constant(rows, tf.int32)
    epoch(order)  # traced and warm

    def run() -> Recording:
        recording = Recording(seconds=request.seconds)
        while not recording.is_over:
            recording.epoch_begins()
            epoch(order)
            recording.epoch_ended(process)
        return recording

    return run


if __name__ == "__main__":
    serve(Workers(prepare, core_count(), 1).run)
