"""The objective, which ranks trials: cross-entropy, accuracy, or a metric of a HyperModel by its name in Keras."""

OURS = ("cross_entropy", "accuracy")
"""The objectives that regsearch measures itself on the selection split, even if a network has no such metric."""

_ACCURACIES = frozenset(
    {
        "acc",
        "accuracy",
        "binary_accuracy",
        "categorical_accuracy",
        "sparse_categorical_accuracy",
    }
)

_LARGER_IS_BETTER = _ACCURACIES | {
    "auc",
    "precision",
    "recall",
    "top_k_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "true_negatives",
    "true_positives",
}
_SMALLER_IS_BETTER = frozenset(
    {
        "loss",
        "ce",
        "crossentropy",
        "binary_crossentropy",
        "categorical_crossentropy",
        "sparse_categorical_crossentropy",
        "binary_focal_crossentropy",
        "categorical_focal_crossentropy",
        "kl_divergence",
        "hinge",
        "squared_hinge",
        "categorical_hinge",
        "mean_squared_error",
        "mean_absolute_error",
        "root_mean_squared_error",
        "false_negatives",
        "false_positives",
    }
)


def metric_of(objective: str) -> str:
    """Return the name of a metric without its direction.

    Example:
        >>> metric_of("val_f1:max")
        'val_f1'
    """
    return objective.partition(":")[0]


def maximizes(objective: str) -> bool:
    """Return whether a larger value is better.

    If the name of a metric doesn't end with a direction, the direction is the one that KerasTuner infers. Raises
    ValueError if KerasTuner infers none: the name is not one of Keras's best-known metrics.

    Example:
        >>> maximizes("val_auc"), maximizes("cross_entropy"), maximizes("val_cost:min")
        (True, False, False)
    """
    if objective in OURS:
        return objective == "accuracy"
    name, colon, direction = objective.partition(":")
    if colon and name and direction in ("min", "max"):
        return direction == "max"
    plain = name.removeprefix("val_").removeprefix("weighted_")
    if colon or plain not in _LARGER_IS_BETTER | _SMALLER_IS_BETTER:
        raise ValueError(
            f"unknown objective {objective!r}. Use {', '.join(OURS)} or a metric of your HyperModel such as val_loss. "
            "To a metric that regsearch does not know, add its direction: val_f1:max or val_cost:min."
        )
    return plain in _LARGER_IS_BETTER


def is_accuracy(objective: str) -> bool:
    """Return whether the objective is an accuracy: the share of examples that are classified correctly."""
    return metric_of(objective).removeprefix("val_") in _ACCURACIES


def check(objective: str) -> str:
    """Return the objective if its direction is known; raise the ValueError of `maximizes` if not."""
    maximizes(objective)
    return objective
