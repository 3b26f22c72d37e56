"""Curves from numbers: Vega-Lite specs, and the rows that they draw.

A spec is the same from tick to tick and only its data change, so that the browser keeps the chart where it is.
"""

from __future__ import annotations

import bisect
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import pandas

from .config import TrainConfig
from .corpus import REFERENCE_NAMES
from .history import AXES, History
from .optim import learning_rate_at

# One meaning a colour, safe for the colour-blind (Okabe & Ito 2008); the dark twins keep a contrast of 4.5 or more.
PALETTE = {
    "light": {
        "training": "#0072B2",
        "validation": "#E69F00",
        "reference": "#6B7280",
        "attention": "#009E73",
        "past": "#B0568B",
        "cut": "#C3C7CF",
        "ground": "#FFFFFF",
        "text": "#1F2937",
    },
    "dark": {
        "training": "#4DA6E8",
        "validation": "#E69F00",
        "reference": "#9CA3AF",
        "attention": "#1FC79A",
        "past": "#CC79A7",
        "cut": "#4B5563",
        "ground": "#0E1117",
        "text": "#F3F4F6",
    },
}


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


def passed_references(exams: list[tuple[int, float]], references: dict[str, float]) -> list[Mark]:
    """The exams (step, validation loss) at which reference lines were beaten for the first time, and which ones."""
    marks, ahead = [], {key: loss for key, loss in references.items() if key != "floor"}
    for step, val_loss in exams:
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
            "scale": {"zero": False, "nice": False, "padding": _PADDING},
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
        "labelExpr": "format(exp(datum.value), '.3~r')",
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
    beside = {
        "type": "text",
        "align": {"expr": f"{is_late} ? 'right' : 'left'"},  # where there is room
        "dx": {"expr": f"{is_late} ? -4 : 4"},
        "dy": {"expr": "datum.dy"},
        "baseline": "top",
    }
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
            *(
                {
                    "transform": only("reference"),
                    "mark": {
                        "type": "text",
                        "align": "left",
                        "baseline": "top",  # a curve comes from above
                        "dx": 6,
                        "dy": {"expr": "datum.dy"},
                        "fontSize": 12,
                        **look,
                    },
                    "encoding": {"x": {"value": 0}, "y": y("reference"), "text": {"field": "label", "type": "nominal"}},
                }
                for look in (
                    {"stroke": colors["ground"], "strokeWidth": 4, "strokeOpacity": 0.8},  # where a curve runs under it
                    {"color": colors["reference"]},
                )
            ),
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
            {
                "transform": [*of_kind("change"), {"filter": "isValid(datum.dy)"}],
                "mark": {**beside, "fontSize": 11, "limit": _WIDEST, "color": colors["text"]},
                "encoding": {"y": {"value": 4}, "text": note, "tooltip": note},
            },
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
            {
                "transform": of_kind("guess"),
                "mark": {**beside, "fontSize": 12, "color": colors["text"]},
                "encoding": {"y": y("loss"), "text": note},
            },
        ],
    }


def losses_to_guess(references: dict[str, float], max_steps: int) -> list[Mark]:
    """Where a guess may be set on a plot of these lines: every twentieth of a nat, down to below the lowest line."""
    low, high = min(references.values()) - 0.5, max(references.values())
    twentieths = range(max(1, math.floor(20 * low)), math.ceil(20 * high))
    return [Mark("place", max_steps, f"your guess: {i / 20:.2f}", i / 20) for i in twentieths]


def loss_frame(
    history: History, references: dict[str, float], axis: str, marks: Sequence[Mark] = (), max_steps: int = 1
) -> pandas.DataFrame:
    """The rows that `loss_spec` draws: x, step, the curves, the reference lines (see `shown_references`), the marks,
    and `dy`, how many pixels below its line or mark the label of each begins (see `_label_offsets`).
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

    old = {"old": column(0, points["old_val_loss"])} if history.old_exams else {}
    frame = pandas.DataFrame(
        {
            "x": column(0, x),
            "step": column(0, points["step"] + [mark.step for mark in marks]),
            "raw": column(0, points["train_loss"]),
            "smoothed": column(0, points["smoothed"]),
            "val": column(0, points["val_loss"]),
            **old,
            "kind": words(curve, [mark.kind for mark in marks]),
            "note": words(curve, [mark.note for mark in marks]),
            "loss": column(curve, [mark.loss for mark in marks]),
            "reference": column(len(x), [loss for _, loss in lines]),
            "label": words(len(x), [f"{name} · {loss:.2f}" for name, loss in lines]),
        }
    )
    frame["dy"] = _label_offsets(frame, axis, max_steps)
    return frame


# ---- labels of the loss plot that know of each other

_LABEL = 14  # pixels from the top of one label to the top of the next
_PADDING = 20  # pixels between the plot's edge and the highest and the lowest value
_BELOW = 4  # pixels between a line and its label
_WIDEST = 160  # pixels of a live change's label; Vega cuts off the rest
_ROWS = 4  # of labels of live changes, at the top of the plot
_SMALLEST_PLOT = 200, 280
"""Pixels, width and height, of the plot on a narrow phone. Labels that do not overlap there do so nowhere, zoomed in or
not: the larger the plot, the farther apart is what they belong to.
"""


def spread(wished: Sequence[float], top: float, bottom: float, gap: float) -> list[float]:
    """Places at least `gap` apart, from `top` on, in the order of those `wished`: each there, or pushed down by those
    above; none below `bottom`, as long as all have room.
    """
    order = sorted(range(len(wished)), key=wished.__getitem__)
    places = list(wished)
    for i in order:
        places[i] = top = max(places[i], top)
        top += gap
    for i in reversed(order):
        places[i] = bottom = min(places[i], bottom)
        bottom -= gap
    return places


def _label_offsets(frame: pandas.DataFrame, axis: str, max_steps: int) -> numpy.ndarray:
    """How many pixels below its line or mark each label begins, so that no two overlap in the smallest plot.

    Live changes have rows at the top; reference lines and the guess one column beneath, in the order of their losses.
    NaN for what has no label, and for a change that finds no room among its neighbours: its rule tells it, pointed at.
    """
    width, height = _SMALLEST_PLOT
    offsets = numpy.full(len(frame), numpy.nan, dtype="float32")
    changes = numpy.flatnonzero((frame["kind"] == "change") & frame["x"].notna())
    changes = changes[::-1]  # the newest first
    rows = _rows(_shares(frame["x"], axis, max_steps)[changes] * width, frame["note"].iloc[changes], width)
    offsets[changes] = [numpy.nan if row is None else _LABEL * row for row in rows]
    taken = max((row + 1 for row in rows if row is not None), default=0)

    values = frame["reference"].where(frame["kind"] != "guess", frame["loss"]).to_numpy()
    labelled = numpy.flatnonzero(~numpy.isnan(values))
    if not len(labelled):
        return offsets
    losses = frame[
        [name for name in ("raw", "smoothed", "val", "old", "loss", "reference") if name in frame]
    ].to_numpy()
    low, high = numpy.nanmin(losses), numpy.nanmax(losses)
    share = (high - values[labelled]) / (high - low) if high > low else numpy.full(len(labelled), 0.5)
    lines = _PADDING + share * (height - 2 * _PADDING)
    offsets[labelled] = spread(lines + _BELOW, _BELOW + _LABEL * taken, height - _LABEL, _LABEL) - lines
    return offsets


def _shares(x: pandas.Series, axis: str, max_steps: int) -> numpy.ndarray:
    """Where on the x-axis of `loss_spec` these places are, from 0 to 1."""
    at = x.to_numpy(dtype="float64")
    if axis == "log":
        return numpy.log(at) / math.log(max(10, max_steps))
    if axis == "step":
        return at / max_steps
    low, high = numpy.nanmin(at, initial=math.inf), numpy.nanmax(at, initial=-math.inf)
    return (at - low) / (high - low) if high > low else at * 0 + 0.5


def _rows(places: Sequence[float], labels: Sequence[str], width: float) -> list[int | None]:
    """The row of each label beside its place (pixels), the highest in which it overlaps none; None without one."""
    taken: list[list[tuple[float, float]]] = [[] for _ in range(_ROWS)]
    rows: list[int | None] = []
    for place, label in zip(places, labels, strict=True):
        wide = 4 + min(_WIDEST, sum(12 if unicodedata.east_asian_width(c) in "WF" else 7 for c in label))
        start = place - wide if place > width / 2 else place
        overlaps = (any(start < end and begin < start + wide for begin, end in row) for row in taken)
        row = next((i for i, is_taken in enumerate(overlaps) if not is_taken), None)
        if row is not None:
            taken[row].append((start, start + wide))
        rows.append(row)
    return rows


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


def timeline_data(history: History, snapshots: list[int]) -> dict[str, Any]:
    """What the timeline draws: the curve as x (0 to 1,000, the logarithm of the step) and y (0, the first loss, to 255,
    the lowest), the steps of the snapshots and their places on the same axis, and the last step.
    """
    points = history.points("log")
    last = max([1, *points["step"][-1:]])

    def place(step: int) -> int:
        return round(1_000 * math.log1p(min(step, last)) / math.log1p(last))

    curve = {}  # one point a place: the newest
    for step, loss in zip(points["step"], points["smoothed"], strict=True):
        if loss is not None:
            curve[place(step) // 4 * 4] = loss
    high, low = max(curve.values(), default=1.0), min(curve.values(), default=0.0)
    return {
        "x": list(curve),
        "y": [round(255 * (high - loss) / (high - low or 1)) for loss in curve.values()],
        "snapshots": snapshots,
        "places": [place(step) for step in snapshots],
        "last": last,
    }


# ---- the learning rate


def learning_rate_spec(mode: str) -> dict[str, Any]:
    """The Vega-Lite spec of the learning-rate curve of a run that has not started."""
    return {
        "height": 150,
        "mark": {"type": "line", "color": PALETTE[mode]["training"], "strokeWidth": 2},
        "encoding": {
            "x": {"field": "step", "type": "quantitative", "title": "step", "axis": {"grid": False, "tickCount": 5}},
            "y": {
                "field": "rate",
                "type": "quantitative",
                "title": "learning rate",
                "scale": {"zero": True},
                "axis": {"tickCount": 4, "format": "~g"},
            },
        },
    }


def learning_rate_frame(train: TrainConfig) -> pandas.DataFrame:
    """The rows that `learning_rate_spec` draws: the curve at a hundred steps or so, its corner among them."""
    steps = {*range(0, train.max_steps, max(1, train.max_steps // 100)), train.warmup_steps, train.max_steps}
    steps = sorted(step for step in steps if step <= train.max_steps)
    return pandas.DataFrame({"step": steps, "rate": [learning_rate_at(step, train) for step in steps]})
