"""Curves from numbers: Vega-Lite specs, and the rows that they draw.

A spec is the same from tick to tick and only its data change, so that the browser keeps the chart where it is.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import pandas

from ..corpus import REFERENCE_NAMES
from ..runs.history import AXES, History
from .labels import NARROW, PADDING, WIDE, WIDEST, label_offsets
from .palette import PALETTE

# ---- the loss


@dataclass(frozen=True)
class Mark:
    """Something pinned to the loss plot at a step.

    `kind` is "moment" (the one on show), "change" (of a live setting), "passed" (a reference line, at `loss`), "guess"
    (of the last validation loss) or "place" (where a guess may be set); `note` says it in words.
    """

    kind: str
    step: int
    note: str
    loss: float | None = None


def passed_references(val_losses: list[tuple[int, float]], references: dict[str, float]) -> list[Mark]:
    """The validation checks (step, validation loss) at which reference lines were beaten for the first time, and which ones."""
    marks, ahead = [], {key: loss for key, loss in references.items() if key != "floor"}
    for step, val_loss in val_losses:
        beaten = [key for key, loss in ahead.items() if val_loss < loss]
        if beaten and step:
            names = ", ".join(REFERENCE_NAMES[key] for key in beaten)
            marks.append(Mark("passed", step, f"{names}: beaten", val_loss))
        ahead = {key: loss for key, loss in ahead.items() if key not in beaten}
    return marks


OLD_TEXT = "the text before"
"""The curve of a fork that learns another text: what it forgets of the one before."""


def loss_spec(
    axis: str, max_steps: int, mode: str, *, has_old_text: bool = False, can_guess: bool = False
) -> dict[str, Any]:
    """The Vega-Lite spec of the loss curves over `axis` (see history.AXES); `mode` is "light" or "dark".

    With `has_old_text` there is a curve for the text that a fork has learned before; one that `can_guess` has a
    selection "guess", the nearest of `losses_to_guess` to a click. An axis of steps has room for the whole run from the
    start, so that the curve grows and the axis stands still.
    """
    colors = PALETTE[mode]
    scale: dict[str, Any] = {"zero": False, "nice": False}
    if axis == "log":
        scale |= {"type": "log", "domain": [1, max(10, max_steps)]}
    elif axis == "step":
        scale |= {"domain": [0, max_steps]}
    x = {
        "field": "x",
        "type": "quantitative",
        "title": AXES[axis],
        "scale": scale,
        "axis": {"grid": False, "tickCount": 8, "format": "~s" if axis == "log" else ",~f"},
    }

    def y(field: str, **axis_options) -> dict[str, Any]:
        axis = {"title": "loss, nats a character", **axis_options} if axis_options else None
        return {
            "field": field,
            "type": "quantitative",
            "scale": {"zero": False, "nice": False, "padding": PADDING},
            "axis": axis,
        }

    legend = {"orient": "top", "title": None, "symbolType": "stroke", "symbolOpacity": 1, "symbolStrokeWidth": 3}

    def color(name: str) -> dict[str, Any]:
        curves = {"training": "training", "validation": "validation"} | ({OLD_TEXT: "past"} if has_old_text else {})
        scale = {"domain": list(curves), "range": [colors[curve] for curve in curves.values()]}
        return {"datum": name, "type": "nominal", "scale": scale, "legend": legend}

    def only(*fields: str) -> list[dict[str, Any]]:
        return [{"filter": " && ".join(f"isValid(datum.{field})" for field in fields)}]

    def of_kind(kind: str) -> list[dict[str, Any]]:
        return [{"filter": f"datum.kind === '{kind}' && isValid(datum.x)"}]

    note = {"field": "note", "type": "nominal"}
    choices = {
        "orient": "right",
        "title": "choices (e^loss)",
        "labelExpr": "format(exp(datum.value), '.3r')",
        "grid": False,
    }
    tooltip = [
        {"field": "step", "type": "quantitative", "title": "step", "format": ","},
        {"field": "val", "type": "quantitative", "title": "validation loss", "format": ".4f"},
        {"field": "raw", "type": "quantitative", "title": "training loss", "format": ".4f"},
    ]
    if has_old_text:
        tooltip.append({"field": "old", "type": "quantitative", "title": f"on {OLD_TEXT}", "format": ".4f"})
    points = {"size": 45, "filled": True}
    old_text = {
        "transform": only("x", "old"),
        "mark": {"type": "line", "strokeWidth": 2, "strokeDash": [6, 3], "point": points},
        "encoding": {"y": y("old"), "color": color(OLD_TEXT), "tooltip": tooltip},
    }
    reference = {"color": {"value": colors["reference"]}}
    guess = {"color": colors["text"], "size": 130, "opacity": 1}
    places = {
        "transform": of_kind("place"),
        "mark": {"type": "point", "opacity": 0},
        "encoding": {"y": y("loss"), "tooltip": note},
        "params": [
            {"name": "guess", "select": {"type": "point", "fields": ["loss"], "nearest": True, "toggle": False}}
        ],
    }
    is_late = "scale('x', datum.x) > width / 2"
    dy = f"(width < {WIDE} ? datum.dy_narrow : datum.dy)"
    label = {
        "type": "text",
        "baseline": "top",
        "fontSize": 12,
        "dy": {"expr": dy},
        "opacity": {"expr": f"isValid({dy}) ? 1 : 0"},
    }
    beside = label | {
        "align": {"expr": f"{is_late} ? 'right' : 'left'"},  # where there is room
        "dx": {"expr": f"{is_late} ? -4 : 4"},
    }

    def written(transform: list, mark: dict, encoding: dict, ink: str) -> list[dict[str, Any]]:
        halo = {"stroke": colors["ground"], "strokeWidth": 4, "strokeOpacity": 0.8}  # for what runs under it
        return [{"transform": transform, "mark": mark | look, "encoding": encoding} for look in (halo, {"color": ink})]

    return {
        "height": 380,
        "resolve": {"axis": {"y": "independent"}},
        "encoding": {"x": x},
        "layer": [
            {
                "transform": only("x", "raw"),
                "mark": {"type": "line", "strokeWidth": 1, "opacity": 0.3},
                "encoding": {"y": y("raw", orient="left", grid=True), "color": color("training")},
                "params": [{"name": "zoom", "select": "interval", "bind": "scales"}],
            },
            {
                "transform": only("x", "smoothed"),
                "mark": {"type": "line", "strokeWidth": 2.5},
                "encoding": {"y": y("smoothed"), "color": color("training")},
            },
            {
                "transform": only("x", "val"),
                "mark": {"type": "line", "strokeWidth": 2, "point": points},
                "encoding": {"y": y("val"), "color": color("validation"), "tooltip": tooltip},
            },
            *([old_text] if has_old_text else []),
            {
                "transform": only("reference"),
                "mark": {"type": "rule", "strokeDash": [5, 4]},
                "encoding": {"x": None, "y": y("reference", **choices), **reference},
            },
            {
                "transform": of_kind("moment"),
                "mark": {"type": "rule", "strokeWidth": 2.5, "color": colors["past"]},
                "encoding": {"y": None, "tooltip": note},
            },
            {
                "transform": of_kind("change"),
                "mark": {"type": "rule", "strokeWidth": 1, "strokeDash": [2, 3], "color": colors["text"]},
                "encoding": {"y": None, "tooltip": note},
            },
            *written(
                only("reference"),
                {**label, "align": "left", "dx": 6},  # below its line: a curve comes from above
                {"x": {"value": 0}, "y": y("reference"), "text": {"field": "label", "type": "nominal"}},
                colors["reference"],
            ),
            *written(
                of_kind("change"),
                {**beside, "fontSize": 11, "limit": WIDEST},
                {"y": {"value": 4}, "text": note, "tooltip": note},
                colors["text"],
            ),
            {
                "transform": of_kind("passed"),
                "mark": {
                    "type": "point",
                    "shape": "diamond",
                    "size": 130,
                    "filled": True,
                    "color": colors["validation"],
                    "stroke": colors["text"],
                    "strokeWidth": 1.5,
                    "opacity": 1,
                },
                "encoding": {"y": y("loss"), "tooltip": note},
            },
            *([places] if can_guess else []),
            {
                "transform": of_kind("guess"),
                "mark": {"type": "point", "shape": "triangle-down", "filled": True, "xOffset": -9, **guess},
                "encoding": {"y": y("loss"), "tooltip": note},
            },
            *written(of_kind("guess"), beside, {"y": y("loss"), "text": note}, colors["text"]),
        ],
    }


def losses_to_guess(references: dict[str, float], max_steps: int) -> list[Mark]:
    """Where a guess may be set on a plot of these lines: every twentieth of a nat, down to below the lowest line."""
    low, high = min(references.values()) - 0.5, max(references.values())
    twentieths = range(max(1, math.floor(20 * low)), math.ceil(20 * high))
    return [Mark("place", max_steps, f"your guess: {i / 20:.2f}", i / 20) for i in twentieths]


def loss_data(
    history: History, references: dict[str, float], axis: str, marks: Sequence[Mark] = (), max_steps: int = 1
) -> pandas.DataFrame:
    """The rows that `loss_spec` draws: x, step, the curves, the reference lines (see `shown_references`), the marks,
    and how many pixels below its line or mark each label begins: `dy`, and `dy_narrow` on a phone (see labels.py).
    """
    points = history.points(axis)
    lines = shown_references(references, history.best)
    x = [*points["seconds" if axis == "seconds" else "step"], *(_x_of(mark.step, history, axis) for mark in marks)]
    if axis == "log":
        x = [at or None for at in x]  # a logarithm has no place for step 0
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
        "label": words(len(x), [f"{name} · {loss:.2f}" for name, loss in lines]),
    }
    return pandas.DataFrame(data | _label_columns(data, curve, axis, max_steps))


def _label_columns(data: dict[str, Any], first: int, axis: str, max_steps: int) -> dict[str, numpy.ndarray]:
    """The columns `dy` and `dy_narrow` of `loss_data`, whose marks and lines begin with row `first`."""
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
    """The least and the greatest number in some columns."""
    numbers = numpy.concatenate(columns)
    return (
        float(numpy.nanmin(numbers, initial=math.inf)),
        float(numpy.nanmax(numbers, initial=-math.inf)),
    )


def _x_of(step: int, history: History, axis: str) -> float:
    """Where a step stands on an axis; beyond the last one, at the pace so far."""
    if axis != "seconds":
        return max(1, step) if axis == "log" else step
    steps, seconds = history.rows["step"], history.rows["seconds"]
    i = bisect.bisect_left(steps, step)
    return seconds[i] if i < len(steps) else seconds[-1] * step / max(1, steps[-1]) if steps else 0.0


def shown_references(references: dict[str, float], best: float | None) -> list[tuple[str, float]]:
    """The lines to draw, (label, loss): the last one that a validation loss of `best` has beaten, the next one to beat,
    and the floor if it is known. All of them before the first exam (None).
    """
    lines = sorted(((loss, key) for key, loss in references.items() if key != "floor"), reverse=True)
    floor = [(REFERENCE_NAMES["floor"], references["floor"])] if "floor" in references else []
    if best is None:
        return [(REFERENCE_NAMES[key], loss) for loss, key in lines] + floor
    beaten = [(f"{REFERENCE_NAMES[key]}: beaten", loss) for loss, key in lines if best < loss]
    ahead = [(f"{REFERENCE_NAMES[key]}: next to beat", loss) for loss, key in lines if best >= loss]
    return beaten[-1:] + ahead[:1] + floor


# ---- the timeline

# ---- the learning rate
