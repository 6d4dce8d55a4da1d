"""Tells whether this machine computes the same bits as another one, without any of the product's code."""

import hashlib
from typing import Any

import numpy as np
import tensorflow as tf

_FEATURES, _CLASSES = 784, 10


def fingerprint() -> str:
    """Return the SHA-256 of what TensorFlow's kernels give for networks and batches of several sizes.

    Processors differ in the order of a matrix product's additions, and library versions in their kernels.
    """
    tf.config.threading.set_intra_op_parallelism_threads(1)  # as in a worker
    tf.config.threading.set_inter_op_parallelism_threads(1)
    generator = np.random.default_rng(0)
    digest = hashlib.sha256()
    for units in (4, 140):
        for rows in (8, 32, 144, 360):
            for array in _computed(generator, rows, units):
                digest.update(array.numpy().tobytes())
    return digest.hexdigest()


def _computed(generator: np.random.Generator, rows: int, units: int) -> list[Any]:
    """Return what a layer, its normalization, its loss, their gradients and a step of Adam give for random numbers."""

    def draw(*shape: int) -> tf.Tensor:
        return tf.constant(generator.random(shape, np.float32) - np.float32(0.5))

    x, kernel, bias, last = draw(rows, _FEATURES), draw(_FEATURES, units), draw(units), draw(units, _CLASSES)
    labels = tf.constant(generator.integers(0, _CLASSES, rows, np.int32))
    with tf.GradientTape() as tape:
        tape.watch([kernel, bias, last])
        hidden = tf.nn.relu(tf.nn.bias_add(tf.matmul(x, kernel), bias))
        normalized, *moments = tf.raw_ops.FusedBatchNormV3(
            x=tf.reshape(hidden, (rows, 1, 1, units)),
            scale=tf.ones(units),
            offset=tf.zeros(units),
            mean=[],
            variance=[],
            epsilon=1e-3,
        )[:3]
        logits = tf.matmul(tf.reshape(normalized, (rows, units)), last)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    gradients = tape.gradient(losses, [kernel, bias, last])
    return [logits, losses, tf.reduce_sum(losses), *moments, *gradients, _after_adam(kernel, gradients[0])]


def _after_adam(kernel: tf.Tensor, gradient: tf.Tensor) -> tf.Variable:
    weight, m, v = tf.Variable(kernel), tf.Variable(tf.zeros_like(kernel)), tf.Variable(tf.zeros_like(kernel))
    tf.raw_ops.ResourceApplyAdam(
        var=weight.handle,
        m=m.handle,
        v=v.handle,
        beta1_power=0.9,
        beta2_power=0.999,
        lr=1e-3,
        beta1=0.9,
        beta2=0.999,
        epsilon=1e-7,
        grad=gradient,
    )
    return weight
