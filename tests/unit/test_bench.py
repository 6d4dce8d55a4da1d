"""The benchmark's arithmetic: figures, ratios and time to quality, from rounds as they are recorded."""

import math
from typing import Any

from benchmarks.comparison import Figures, compare, quality_level, spread, table, verdict
from rich.console import Console


def answer(epochs: list[float], *trials: tuple[float, float | None]) -> dict[str, Any]:
    return {
        "epochs": [[end, number] for number, end in enumerate(epochs)],
        "trials": [
            {
                "seconds": end,
                "trial": number,
                "state": "pruned" if value is None else "complete",
                "epochs": 1,
                "select_cross_entropy": value,
            }
            for number, (end, value) in enumerate(trials)
        ],
    }


SLOW = answer([4.0, 8.0], (4.5, 0.2), (8.5, 0.1))
FAST = answer([0.5, 1.0, 1.5, 2.0], (0.6, 0.3), (1.1, None), (2.25, 0.09))
FLOOR = answer([0.2, 0.4, 0.6, 0.8])


def test_ratios_are_to_regsearch_in_the_same_round() -> None:
    figures = compare([{"optuna_fit": SLOW, "regsearch": FAST, "floor": FLOOR}])
    assert figures["optuna_fit"].epoch_seconds == [4.0]
    assert figures["optuna_fit"].ratio == [8.0]
    assert figures["regsearch"].ratio == [1.0]
    assert figures["floor"].ratio == [2.5]
    assert figures["optuna_fit"].trial_seconds == [4.25]
    assert figures["regsearch"].trial_seconds == [0.75]  # a pruned trial is finished, too
    assert figures["optuna_fit"].trial_ratio == [4.25 / 0.75]
    assert figures["floor"].trial_seconds == figures["floor"].trial_ratio == []


def test_the_level_is_the_best_of_the_slowest_peer_that_completed_a_trial() -> None:
    assert quality_level({"optuna_fit": SLOW, "regsearch": FAST, "floor": FLOOR}) == 0.1
    assert quality_level({"optuna_fit": answer([5.0]), "hand_tuned": SLOW, "regsearch": FAST}) == 0.1
    assert quality_level({"optuna_fit": answer([]), "floor": FLOOR}) is None
    assert quality_level({"optuna_fit": answer([5.0]), "regsearch": FAST}) is None  # not by its own best


def test_time_to_quality_ends_with_the_first_trial_at_the_level() -> None:
    figures = compare([{"optuna_fit": SLOW, "regsearch": FAST, "floor": FLOOR}])
    assert figures["optuna_fit"].quality_seconds == [8.5]
    assert figures["regsearch"].quality_seconds == [2.25]
    assert figures["optuna_fit"].quality_ratio == [8.5 / 2.25]
    assert figures["floor"].quality_seconds == []


def test_who_never_reaches_the_level_counts_as_later_than_everybody() -> None:
    worse = answer([1.0], (1.0, 0.5))
    figures = compare([{"optuna_fit": SLOW, "hand_tuned": worse, "regsearch": FAST}])
    assert figures["hand_tuned"].quality_ratio == [math.inf]
    figures = compare([{"optuna_fit": SLOW, "hand_tuned": worse, "regsearch": worse}])
    assert figures["optuna_fit"].quality_ratio == [0.0]
    assert figures["hand_tuned"].quality_ratio == []  # neither of the two
    assert figures["regsearch"].best == [0.5]


def test_rounds_without_a_peer_or_without_regsearch_are_no_trouble() -> None:
    figures = compare([{"optuna_fit": SLOW}, {"regsearch": FAST}, {"regsearch": answer([])}, {}])
    assert figures["optuna_fit"].ratio == []
    assert figures["optuna_fit"].quality_seconds == [8.5]
    assert figures["regsearch"].epoch_seconds == [0.5]


def test_a_verdict_says_whether_the_median_meets_the_targets() -> None:
    assert verdict("optuna_fit", [10, 23, 25]) == "≥ 13 / 22: aim met"
    assert verdict("optuna_fit", [13]) == "≥ 13 / 22: met"
    assert verdict("optuna_fit", [12.9, math.inf, 1]) == "≥ 13 / 22: missed"
    assert verdict("floor", [1.5]) == "≤ 2.3 / 1.6: aim met"
    assert verdict("floor", [2.4]) == "≤ 2.3 / 1.6: missed"
    assert verdict("regsearch", [1]) == verdict("floor", []) == ""


def test_the_table_has_a_line_a_peer_and_says_what_was_never_reached() -> None:
    assert spread([1, 2, math.inf], 1) == "2.0 (1.0–∞)"
    figures = compare([{"optuna_fit": SLOW, "regsearch": FAST, "floor": FLOOR}])
    figures["keras_tuner"] = Figures(epoch_seconds=[3.0], quality_seconds=[math.inf])
    windows = dict.fromkeys(["optuna_fit", "keras_tuner", "regsearch", "floor"], 26.0)
    console = Console(width=210)
    with console.capture() as printed:
        console.print(table(figures, windows))
    lines = {line.split()[0]: line for line in printed.get().splitlines() if line.strip()}
    assert "8.00 (8.00–8.00)" in lines["optuna_fit"]
    assert "0.1000 (0.1000–0.1000) in 26 s" in lines["optuna_fit"]
    assert "not in 26 s" in lines["keras_tuner"]
    assert "≤ 2.3 / 1.6: missed" in lines["floor"]
