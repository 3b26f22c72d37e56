"""What the loss plot draws: curves, other runs, reference losses and marks."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..config import REFERENCE_NAMES
from ..runs.history import AXES, History


@dataclass(frozen=True)
class Mark:
    """Something pinned to the loss plot at a step.

    `kind` is "moment" (the displayed one), "change" (of a live setting), "passed" (a reference line, at `loss`) or
    "guess" (of the final validation loss); `note` is its label.
    """

    kind: str
    step: int
    note: str
    loss: float | None = None


@dataclass(frozen=True)
class OtherRun:
    """A run to compare with: its validation losses from a step on, its name, what differs, and its color, from 1."""

    id: str
    name: str
    note: str
    history: History
    first_step: int = 0
    color: int = 1


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


def loss_data(
    history: History,
    references: dict[str, float],
    axis: str,
    marks: Sequence[Mark] = (),
    max_steps: int = 1,
    *,
    about: str = "",
    others: Sequence[OtherRun] = (),
    can_guess: bool = False,
    peak_rate: float | None = None,
    jump: tuple[int, float, float] | None = None,
) -> dict[str, Any]:
    """What the component `loss_plot` draws over `axis` (see history.AXES).

    The x-axis spans the whole run from the start, so only the curve grows; an axis of seconds grows too. `about`
    identifies what the plot shows: when it changes, the zoom is reset. With `can_guess`, a click places a guess of the
    final loss. With `peak_rate`, the current learning rate is shown beside it. A `jump` is (step, validation loss
    before, after) where the model was changed by hand.
    """
    points = history.points(axis)
    longest = max([max_steps, *(other.history.rows["step"][-1] for other in others if len(other.history))])
    return {
        "about": about,
        "axis": axis,
        "x_title": AXES[axis],
        "domain": {"log": [1, max(10, longest)], "step": [0, longest]}.get(axis),
        "training": {
            "x": _on_axis(points, axis),
            "step": points["step"],
            "raw": _rounded(points["train_loss"]),
            "smoothed": _rounded(points["smoothed"]),
        },
        "validation": _with_jump(_checks(points, axis, "val_loss"), jump, history, axis),
        "old": _checks(points, axis, "old_val_loss") if history.old_val_losses else None,
        "others": [
            {"id": other.id, "name": other.name, "note": other.note, "color": other.color}
            | _checks(other.history.points(axis), axis, "val_loss", other.first_step)
            for other in others
        ],
        "references": [{"name": name, "loss": loss} for name, loss in shown_references(references, history.best)],
        "marks": [
            {"kind": mark.kind, "x": _x_of(mark.step, history, axis), "note": mark.note, "loss": mark.loss}
            for mark in marks
        ],
        "can_guess": can_guess,
        "rate": _rate(history, peak_rate),
        "alt": in_words(history, references),
    }


def _on_axis(points: dict[str, list[Any]], axis: str) -> list[float | None]:
    if axis == "seconds":
        return [round(seconds, 3) for seconds in points["seconds"]]
    return [step or None for step in points["step"]] if axis == "log" else points["step"]  # step 0 has no logarithm


def _checks(points: dict[str, list[Any]], axis: str, name: str, first_step: int = 0) -> dict[str, list[float]]:
    """The validation checks of a run from a step on: their positions on the axis, and their losses."""
    rows = zip(_on_axis(points, axis), points["step"], points[name], strict=True)
    kept = [(x, loss) for x, step, loss in rows if loss is not None and x is not None and step >= first_step]
    return {"x": [x for x, _ in kept], "loss": _rounded([loss for _, loss in kept])}


def _with_jump(
    checks: dict[str, list[float]], jump: tuple[int, float, float] | None, history: History, axis: str
) -> dict[str, list[float]]:
    """The validation checks, and the losses just before and after the model was changed by hand."""
    if jump is None:
        return checks
    step, *losses = jump
    x = _x_of(step, history, axis)
    i = bisect.bisect_left(checks["x"], x)
    both = {"x": [x, x], "loss": _rounded(losses)}
    return {name: [*values[:i], *both[name], *values[i:]] for name, values in checks.items()}


def _rounded(losses: list[float | None]) -> list[float | None]:
    return [None if loss is None else round(loss, 4) for loss in losses]


def _rate(history: History, peak: float | None) -> str:
    if peak is None or not history.last or history.last["learning_rate"] is None:
        return ""
    return f"learning rate now {history.last['learning_rate']:.2g}, peak {peak:.2g}"


def in_words(history: History, references: dict[str, float]) -> str:
    """The plot in words, for screen readers."""
    words = ["Loss against training steps."]
    if last := history.last:
        words.append(f"Training loss at step {last['step']:,}: {last['smoothed'] or math.nan:.3f}.")
    if history.val_losses:
        words.append("Validation loss at step {:,}: {:.3f}.".format(*history.val_losses[-1]))
    words += [f"{name}: {loss:.3f}." for name, loss in shown_references(references, history.best)]
    return " ".join(words)


def _x_of(step: int, history: History, axis: str) -> float:
    """The position of a step on an axis; a future step on the axis of seconds is extrapolated at the pace so far."""
    if axis != "seconds":
        return max(1, step) if axis == "log" else step
    steps, seconds = history.rows["step"], history.rows["seconds"]
    i = bisect.bisect_left(steps, step)
    return seconds[i] if i < len(steps) else seconds[-1] * step / max(1, steps[-1]) if steps else 0.0


def shown_references(references: dict[str, float], best: float | None) -> list[tuple[str, float]]:
    """The reference losses to draw, (label, loss), given the `best` validation loss.

    These are the lowest one that it has beaten, the next one to beat, and the floor if it is known; before the first
    validation check (None), all of them.
    """
    lines = sorted(((loss, key) for key, loss in references.items() if key != "floor"), reverse=True)
    floor = [(REFERENCE_NAMES["floor"], references["floor"])] if "floor" in references else []
    if best is None:
        return [(REFERENCE_NAMES[key], loss) for loss, key in lines] + floor
    beaten = [(f"{REFERENCE_NAMES[key]} (beaten)", loss) for loss, key in lines if best < loss]
    ahead = [(f"{REFERENCE_NAMES[key]} (next to beat)", loss) for loss, key in lines if best >= loss]
    return beaten[-1:] + ahead[:1] + floor
