"""The Vega-Lite spec of the loss plot: a list of layers, one function each.

From tick to tick only the rows change (see loss_data.py), never the spec, so that the browser keeps the chart.
"""

from __future__ import annotations

from typing import Any

from ..runs.history import AXES
from .labels import PADDING, WIDE, WIDEST
from .palette import PALETTE

OLD_TEXT = "old text"
"""The curve of a fork that trains on another text: its validation loss on the text before, which it forgets."""


def loss_spec(
    axis: str, max_steps: int, mode: str, *, has_old_text: bool = False, can_guess: bool = False
) -> dict[str, Any]:
    """The Vega-Lite spec of the loss curves over `axis` (see history.AXES); `mode` is "light" or "dark".

    `has_old_text` adds the curve OLD_TEXT. `can_guess` adds a selection "guess": the value of `losses_to_guess` nearest
    to a click. An axis of steps has room for the whole run from the start, so only the curve grows.
    """
    colors = PALETTE[mode]
    ground, ink, gray = colors["ground"], colors["text"], colors["reference"]
    curves = {"training": colors["training"], "validation": colors["validation"]}
    if has_old_text:
        curves[OLD_TEXT] = colors["past"]
    return {
        "height": 380,
        "resolve": {"axis": {"y": "independent"}},
        "encoding": {"x": _x(axis, max_steps)},
        "layer": [
            _training_curve(curves),
            _smoothed_curve(curves),
            _validation_curve(curves),
            *([_old_text_curve(curves)] if has_old_text else []),
            _reference_lines(gray),
            _moment_line(colors["past"]),
            _change_lines(ink),
            *_reference_labels(gray, ground),
            *_change_labels(ink, ground),
            _passed_points(colors["validation"], ink),
            *([_guess_targets()] if can_guess else []),
            _guess_points(ink),
            *_guess_labels(ink, ground),
        ],
    }


# ---- the layers


def _training_curve(curves: dict[str, str]) -> dict[str, Any]:
    return {
        "transform": _only("x", "raw"),
        "mark": {"type": "line", "strokeWidth": 1, "opacity": 0.3},
        "encoding": {
            "y": _y("raw", title="loss (nats per character)", orient="left", grid=True),
            "color": _color("training", curves),
        },
        "params": [{"name": "zoom", "select": "interval", "bind": "scales"}],
    }


def _smoothed_curve(curves: dict[str, str]) -> dict[str, Any]:
    return {
        "transform": _only("x", "smoothed"),
        "mark": {"type": "line", "strokeWidth": 2.5},
        "encoding": {"y": _y("smoothed"), "color": _color("training", curves)},
    }


def _validation_curve(curves: dict[str, str]) -> dict[str, Any]:
    return {
        "transform": _only("x", "val"),
        "mark": {"type": "line", "strokeWidth": 2, "point": _POINTS},
        "encoding": {"y": _y("val"), "color": _color("validation", curves), "tooltip": _tooltip(curves)},
    }


def _old_text_curve(curves: dict[str, str]) -> dict[str, Any]:
    return {
        "transform": _only("x", "old"),
        "mark": {"type": "line", "strokeWidth": 2, "strokeDash": [6, 3], "point": _POINTS},
        "encoding": {"y": _y("old"), "color": _color(OLD_TEXT, curves), "tooltip": _tooltip(curves)},
    }


def _reference_lines(ink: str) -> dict[str, Any]:
    """The reference losses, with the axis of e^loss on the right."""
    axis = {"orient": "right", "title": "effective choices per character (e^loss)", "grid": False}
    return {
        "transform": _only("reference"),
        "mark": {"type": "rule", "strokeDash": [5, 4]},
        "encoding": {
            "x": None,
            "y": _y("reference", labelExpr="format(exp(datum.value), '.3r')", **axis),
            "color": {"value": ink},
        },
    }


def _moment_line(ink: str) -> dict[str, Any]:
    return {
        "transform": _of_kind("moment"),
        "mark": {"type": "rule", "strokeWidth": 2.5, "color": ink},
        "encoding": {"y": None, "tooltip": _NOTE},
    }


def _change_lines(ink: str) -> dict[str, Any]:
    return {
        "transform": _of_kind("change"),
        "mark": {"type": "rule", "strokeWidth": 1, "strokeDash": [2, 3], "color": ink},
        "encoding": {"y": None, "tooltip": _NOTE},
    }


def _reference_labels(ink: str, ground: str) -> list[dict[str, Any]]:
    mark = {**_LABEL, "align": "left", "dx": 6}  # below its line: curves come from above
    encoding = {"x": {"value": 0}, "y": _y("reference"), "text": {"field": "label", "type": "nominal"}}
    return _with_halo(_only("reference"), mark, encoding, ink, ground)


def _change_labels(ink: str, ground: str) -> list[dict[str, Any]]:
    mark = {**_LABEL_BESIDE, "fontSize": 11, "limit": WIDEST}
    return _with_halo(_of_kind("change"), mark, {"y": {"value": 4}, "text": _NOTE, "tooltip": _NOTE}, ink, ground)


def _passed_points(fill: str, stroke: str) -> dict[str, Any]:
    """A diamond where a validation check beat a reference loss."""
    mark = {"type": "point", "shape": "diamond", "size": 130, "filled": True, "color": fill, "opacity": 1}
    return {
        "transform": _of_kind("passed"),
        "mark": {**mark, "stroke": stroke, "strokeWidth": 1.5},
        "encoding": {"y": _y("loss"), "tooltip": _NOTE},
    }


def _guess_targets() -> dict[str, Any]:
    """Invisible points: a click selects the nearest."""
    return {
        "transform": _of_kind("place"),
        "mark": {"type": "point", "opacity": 0},
        "encoding": {"y": _y("loss"), "tooltip": _NOTE},
        "params": [
            {"name": "guess", "select": {"type": "point", "fields": ["loss"], "nearest": True, "toggle": False}}
        ],
    }


def _guess_points(ink: str) -> dict[str, Any]:
    mark = {"type": "point", "shape": "triangle-down", "size": 130, "filled": True, "color": ink, "opacity": 1}
    return {
        "transform": _of_kind("guess"),
        "mark": {**mark, "xOffset": -9},
        "encoding": {"y": _y("loss"), "tooltip": _NOTE},
    }


def _guess_labels(ink: str, ground: str) -> list[dict[str, Any]]:
    return _with_halo(_of_kind("guess"), _LABEL_BESIDE, {"y": _y("loss"), "text": _NOTE}, ink, ground)


# ---- shared by the layers

_POINTS = {"size": 45, "filled": True}
_NOTE = {"field": "note", "type": "nominal"}
_DY = f"(width < {WIDE} ? datum.dy_narrow : datum.dy)"
_IS_LATE = "scale('x', datum.x) > width / 2"
_LABEL = {
    "type": "text",
    "baseline": "top",
    "fontSize": 12,
    "dy": {"expr": _DY},
    "opacity": {"expr": f"isValid({_DY}) ? 1 : 0"},
}
_LABEL_BESIDE = {  # on the side with more room
    **_LABEL,
    "align": {"expr": f"{_IS_LATE} ? 'right' : 'left'"},
    "dx": {"expr": f"{_IS_LATE} ? -4 : 4"},
}


def _x(axis: str, max_steps: int) -> dict[str, Any]:
    scale: dict[str, Any] = {"zero": False, "nice": False}
    if axis == "log":
        scale |= {"type": "log", "domain": [1, max(10, max_steps)]}
    elif axis == "step":
        scale |= {"domain": [0, max_steps]}
    ticks = {"grid": False, "tickCount": 8, "format": "~s" if axis == "log" else ",~f"}
    return {"field": "x", "type": "quantitative", "title": AXES[axis], "scale": scale, "axis": ticks}


def _y(field: str, **axis: Any) -> dict[str, Any]:
    scale = {"zero": False, "nice": False, "padding": PADDING}
    return {"field": field, "type": "quantitative", "scale": scale, "axis": axis or None}


def _color(name: str, curves: dict[str, str]) -> dict[str, Any]:
    scale = {"domain": list(curves), "range": list(curves.values())}
    legend = {"orient": "top", "title": None, "symbolType": "stroke", "symbolOpacity": 1, "symbolStrokeWidth": 3}
    return {"datum": name, "type": "nominal", "scale": scale, "legend": legend}


def _tooltip(curves: dict[str, str]) -> list[dict[str, Any]]:
    columns = [("val", "validation loss"), ("raw", "training loss")]
    columns += [("old", f"{OLD_TEXT}, validation loss")] if OLD_TEXT in curves else []
    step = {"field": "step", "type": "quantitative", "title": "step", "format": ","}
    return [step] + [{"field": f, "type": "quantitative", "title": title, "format": ".3f"} for f, title in columns]


def _only(*fields: str) -> list[dict[str, str]]:
    return [{"filter": " && ".join(f"isValid(datum.{field})" for field in fields)}]


def _of_kind(kind: str) -> list[dict[str, str]]:
    return [{"filter": f"datum.kind === '{kind}' && isValid(datum.x)"}]


def _with_halo(transform: list, mark: dict, encoding: dict, ink: str, ground: str) -> list[dict[str, Any]]:
    """A text on a halo in the color of the background, which keeps it readable over curves."""
    halo = {"stroke": ground, "strokeWidth": 4, "strokeOpacity": 0.8}
    return [{"transform": transform, "mark": mark | look, "encoding": encoding} for look in (halo, {"color": ink})]
