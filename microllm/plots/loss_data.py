"""The rows that the loss plot draws: curves, reference losses and marks, with a place for each label."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import pandas

from ..config import REFERENCE_NAMES
from ..runs.history import History
from .labels import NARROW, WIDE, label_offsets


@dataclass(frozen=True)
class Mark:
    """Something pinned to the loss plot at a step.

    `kind` is "moment" (the displayed one), "change" (of a live setting), "passed" (a reference line, at `loss`),
    "guess" (of the final validation loss) or "place" (where a guess can be placed); `note` is its label.
    """

    kind: str
    step: int
    note: str
    loss: float | None = None


def passed_references(val_losses: list[tuple[int, float]], references: dict[str, float]) -> list[Mark]:
    """A mark for each validation check (step, loss) that beat reference losses for the first time."""
    marks, ahead = [], {key: loss for key, loss in references.items() if key != "floor"}
    for step, val_loss in val_losses:
        beaten = [key for key, loss in ahead.items() if val_loss < loss]
        if beaten and step:
            names = ", ".join(REFERENCE_NAMES[key] for key in beaten)
            marks.append(Mark("passed", step, f"beat {names}", val_loss))
        ahead = {key: loss for key, loss in ahead.items() if key not in beaten}
    return marks


def losses_to_guess(references: dict[str, float], max_steps: int) -> list[Mark]:
    """Where a guess can be placed: every 0.05 nats, from half a nat below the lowest reference loss to the highest."""
    low, high = min(references.values()) - 0.5, max(references.values())
    twentieths = range(max(1, math.floor(20 * low)), math.ceil(20 * high))
    return [Mark("place", max_steps, f"your guess: {i / 20:.3f}", i / 20) for i in twentieths]


def loss_data(
    history: History, references: dict[str, float], axis: str, marks: Sequence[Mark] = (), max_steps: int = 1
) -> pandas.DataFrame:
    """The rows that `loss_spec` draws: x, step, the curves, the reference losses (see `shown_references`), the marks,
    and how many pixels each label is below its line or mark: `dy`, and `dy_narrow` on a phone (see labels.py).
    """
    points = history.points(axis)
    lines = shown_references(references, history.best)
    x = [*points["seconds" if axis == "seconds" else "step"], *(_x_of(mark.step, history, axis) for mark in marks)]
    if axis == "log":
        x = [at or None for at in x]  # step 0 has no logarithm
    curve, rows = len(points["step"]), len(x) + len(lines)

    def column(start: int, values: list[float | None]) -> numpy.ndarray:
        column = numpy.full(rows, numpy.nan, dtype="float32")
        column[start : start + len(values)] = values
        return column

    def words(start: int, values: list[str]) -> list[str | None]:
        return [None] * start + values + [None] * (rows - start - len(values))

    data = {
        "x": column(0, x),
        "step": column(0, points["step"] + [mark.step for mark in marks]),
        "raw": column(0, points["train_loss"]),
        "smoothed": column(0, points["smoothed"]),
        "val": column(0, points["val_loss"]),
        **({"old": column(0, points["old_val_loss"])} if history.old_val_losses else {}),
        "loss": column(curve, [mark.loss for mark in marks]),
        "reference": column(len(x), [loss for _, loss in lines]),
        "kind": words(curve, [mark.kind for mark in marks]),
        "note": words(curve, [mark.note for mark in marks]),
        "label": words(len(x), [f"{name} · {loss:.3f}" for name, loss in lines]),
    }
    return pandas.DataFrame(data | _label_columns(data, curve, axis, max_steps))


def _label_columns(data: dict[str, Any], first: int, axis: str, max_steps: int) -> dict[str, numpy.ndarray]:
    """The columns `dy` and `dy_narrow` of `loss_data`, in which row `first` is the first mark or line."""
    x, loss, reference = data["x"].tolist(), data["loss"].tolist(), data["reference"].tolist()
    low, high = _range([data[name] for name in ("raw", "smoothed", "val", "old", "loss", "reference") if name in data])
    left, right = {"log": (0.0, math.log(max(10, max_steps))), "step": (0, max_steps)}.get(axis) or _range([data["x"]])

    def share(value: float, low: float, high: float) -> float:
        return (value - low) / (high - low) if high > low else 0.5

    def on_x(i: int) -> float:
        return share(math.log(x[i]) if axis == "log" else x[i], left, right)

    marks = range(first, len(x))
    changes = [i for i in marks if data["kind"][i] == "change" and x[i] == x[i]]
    guesses = [i for i in marks if data["kind"][i] == "guess"]
    lines = [i for i in marks if reference[i] == reference[i]]
    columns = {}
    for name, width in (("dy", WIDE), ("dy_narrow", NARROW)):
        columns[name] = numpy.full(len(x), numpy.nan, dtype="float32")
        found = label_offsets(
            [(on_x(i), data["note"][i]) for i in changes],
            [share(loss[i], low, high) for i in guesses],
            [share(reference[i], low, high) for i in lines],
            width,
        )
        for rows, offsets in zip((changes, guesses, lines), found, strict=True):
            columns[name][rows] = offsets
    return columns


def _range(columns: list[numpy.ndarray]) -> tuple[float, float]:
    """The smallest and the largest number in some columns."""
    numbers = numpy.concatenate(columns)
    return (
        float(numpy.nanmin(numbers, initial=math.inf)),
        float(numpy.nanmax(numbers, initial=-math.inf)),
    )


def _x_of(step: int, history: History, axis: str) -> float:
    """The place of a step on an axis; on the axis of seconds, a future step is placed at the pace so far."""
    if axis != "seconds":
        return max(1, step) if axis == "log" else step
    steps, seconds = history.rows["step"], history.rows["seconds"]
    i = bisect.bisect_left(steps, step)
    return seconds[i] if i < len(steps) else seconds[-1] * step / max(1, steps[-1]) if steps else 0.0


def shown_references(references: dict[str, float], best: float | None) -> list[tuple[str, float]]:
    """The reference losses to draw, (label, loss): of those that a validation loss of `best` has beaten the lowest, the
    next one to beat, and the floor if it is known. All of them before the first validation check (None).
    """
    lines = sorted(((loss, key) for key, loss in references.items() if key != "floor"), reverse=True)
    floor = [(REFERENCE_NAMES["floor"], references["floor"])] if "floor" in references else []
    if best is None:
        return [(REFERENCE_NAMES[key], loss) for loss, key in lines] + floor
    beaten = [(f"{REFERENCE_NAMES[key]} (beaten)", loss) for loss, key in lines if best < loss]
    ahead = [(f"{REFERENCE_NAMES[key]} (next to beat)", loss) for loss, key in lines if best >= loss]
    return beaten[-1:] + ahead[:1] + floor
