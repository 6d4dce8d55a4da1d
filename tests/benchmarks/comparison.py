"""What the turns of bench.py's peers amount to: figures, ratios to regsearch, time to quality, and their table."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import rich.box
from rich.table import Table

TARGETS = {"optuna_fit": (13, 22), "hand_tuned": (3, 5), "keras_tuner": (12, 20), "ray_tune": (9, 15)}
"""How many times as fast regsearch is to be: at least, and as its aim."""
FLOOR_TARGETS = (2.3, 1.6)
"""How many times the floor's time it may take: at most, and as its aim."""

PEERS = ("optuna_fit", "hand_tuned", "keras_tuner", "ray_tune", "regsearch", "floor")

Answer = Mapping[str, Any]
"""What a peer did in one turn: `epochs` [[end, trial], …] and `trials` [{seconds, select_cross_entropy, …}, …]."""
Round = Mapping[str, Answer]
"""The answers of one round, by the peer's name."""


@dataclass(kw_only=True)
class Figures:
    """One peer's figures, a number for each round that has one; infinite: never."""

    epoch_seconds: list[float] = field(default_factory=list)
    trial_seconds: list[float] = field(default_factory=list)
    ratio: list[float] = field(default_factory=list)
    trial_ratio: list[float] = field(default_factory=list)
    best: list[float] = field(default_factory=list)
    quality_seconds: list[float] = field(default_factory=list)
    quality_ratio: list[float] = field(default_factory=list)


def seconds_per_epoch(answer: Answer) -> float | None:
    """Return seconds per trial-epoch; None where no epoch ended."""
    epochs = answer["epochs"]
    return epochs[-1][0] / len(epochs) if epochs else None


def seconds_per_trial(answer: Answer) -> float:
    """Return seconds per finished trial, of which there is one at least."""
    seconds: float = answer["trials"][-1]["seconds"] / len(answer["trials"])
    return seconds


def best_value(answer: Answer) -> float | None:
    """Return the lowest select cross-entropy; None where no trial is complete."""
    return min((trial["select_cross_entropy"] for trial in _complete(answer)), default=None)


def seconds_until(answer: Answer, level: float) -> float:
    """Return when a trial was complete whose select cross-entropy is at most the level; infinite: never."""
    return min((t["seconds"] for t in _complete(answer) if t["select_cross_entropy"] <= level), default=math.inf)


def quality_level(answers: Round) -> float | None:
    """Return the best of the peer that took longest per trial-epoch, of those that completed a trial; None: none did.

    regsearch gives no level: it would be measured by itself.
    """
    found = {
        seconds: best
        for name, answer in answers.items()
        if name != "regsearch" and (seconds := seconds_per_epoch(answer)) and (best := best_value(answer)) is not None
    }
    return found[max(found)] if found else None


def compare(rounds: Iterable[Round]) -> dict[str, Figures]:
    """Return the figures of every peer that appears in the rounds."""
    figures: dict[str, Figures] = {}
    for answers in rounds:
        level = quality_level(answers)
        ours = seconds_per_epoch(answers["regsearch"]) if "regsearch" in answers else None
        our_wait = seconds_until(answers["regsearch"], level) if level is not None and ours else math.inf
        for name, answer in answers.items():
            row = figures.setdefault(name, Figures())
            theirs = seconds_per_epoch(answer)
            if theirs:
                row.epoch_seconds.append(theirs)
                if ours:
                    row.ratio.append(ours / theirs if name == "floor" else theirs / ours)
            if answer["trials"]:
                row.trial_seconds.append(seconds_per_trial(answer))
                if name != "floor" and answers.get("regsearch", {}).get("trials"):
                    row.trial_ratio.append(row.trial_seconds[-1] / seconds_per_trial(answers["regsearch"]))
            best = best_value(answer)
            if best is not None:
                row.best.append(best)
            if level is not None and name != "floor":
                wait = seconds_until(answer, level)
                row.quality_seconds.append(wait)
                if ours and (math.isfinite(wait) or math.isfinite(our_wait)):
                    row.quality_ratio.append(wait / our_wait)
    return figures


def verdict(peer: str, ratios: Sequence[float]) -> str:
    """Return a peer's targets and whether the median ratio meets them; empty where there is nothing to say."""
    if not ratios or peer == "regsearch":
        return ""
    ratio = statistics.median(ratios)
    if peer == "floor":
        least, aim = FLOOR_TARGETS
        sign, met = "≤", (ratio <= least, ratio <= aim)
    else:
        least, aim = TARGETS[peer]
        sign, met = "≥", (ratio >= least, ratio >= aim)
    return f"{sign} {least} / {aim}: {'aim met' if met[1] else 'met' if met[0] else 'missed'}"


def spread(numbers: Sequence[float], digits: int) -> str:
    """Return a median with the lowest and the highest in brackets."""
    if not numbers:
        return "–"
    shown = [
        f"{number:.{digits}f}" if math.isfinite(number) else "∞"
        for number in (statistics.median(numbers), min(numbers), max(numbers))
    ]
    return f"{shown[0]} ({shown[1]}–{shown[2]})"


def table(figures: Mapping[str, Figures], windows: Mapping[str, float]) -> Table:
    """Return the figures as they are printed; each peer's window is given in seconds."""
    shown = Table(box=rich.box.SIMPLE)
    for heading in (
        "",
        "s/trial-epoch",
        "ratio",
        "target",
        "s/trial",
        "ratio",
        "best",
        "to quality",
        "ratio",
        "target",
    ):
        shown.add_column(heading, justify="left" if heading in ("", "target") else "right")
    for name in PEERS:
        if name not in figures:
            continue
        row, seconds = figures[name], windows[name]
        waits = row.quality_seconds
        never = bool(waits) and math.isinf(statistics.median(waits))
        shown.add_row(
            name,
            spread(row.epoch_seconds, 3),
            spread(row.ratio, 2),
            verdict(name, row.ratio),
            spread(row.trial_seconds, 2),
            spread(row.trial_ratio, 1),
            f"{spread(row.best, 4)} in {seconds:g} s" if row.best else "–",
            f"not in {seconds:g} s" if never else spread(waits, 1),
            spread(row.quality_ratio, 1),
            verdict(name, row.quality_ratio),
        )
    return shown


def _complete(answer: Answer) -> list[Mapping[str, Any]]:
    return [trial for trial in answer["trials"] if trial["state"] == "complete"]
