"""What ranks trials: a figure of our own, or a metric of the HyperModel's, by the name that Keras gives it."""

OURS = ("cross_entropy", "accuracy")
"""Measured on the select rows from what the network says, whatever it is compiled with."""

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
    """Return the name of a HyperModel's metric without its direction: "val_f1" of "val_f1:max"."""
    return objective.partition(":")[0]


def maximizes(objective: str) -> bool:
    """Return whether the larger figure is the better one; as KerasTuner infers it, where it is not given.

    Raises ValueError for a name of which that isn't known.
    """
    if objective in OURS:
        return objective == "accuracy"
    name, colon, direction = objective.partition(":")
    if colon and name and direction in ("min", "max"):
        return direction == "max"
    plain = name.removeprefix("val_").removeprefix("weighted_")
    if colon or plain not in _LARGER_IS_BETTER | _SMALLER_IS_BETTER:
        raise ValueError(
            f"it is {', '.join(OURS)}, or a metric of your HyperModel, val_loss or val_accuracy; of one that is not "
            f"among Keras's best-known say which is better, val_f1:max or val_cost:min; given was {objective!r}"
        )
    return plain in _LARGER_IS_BETTER


def is_accuracy(objective: str) -> bool:
    """Return whether it is the share of rows whose class is right."""
    return metric_of(objective).removeprefix("val_") in _ACCURACIES


def check(objective: str) -> str:
    """Return an objective; raises ValueError as `maximizes`."""
    maximizes(objective)
    return objective
