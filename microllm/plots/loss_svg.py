"""The loss curve as SVG, for standalone files; the stylesheet of such a file has the colors."""

from __future__ import annotations

import math
from html import escape

from ..runs.history import History
from .loss import shown_references

WIDTH, HEIGHT = 464, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 312, 30, 254  # the edges of the plot; on its right are the labels of the lines
_LABEL_HEIGHT = 32  # two lines of text


def loss_svg(history: History, references: dict[str, float], step: int) -> str:
    """The curve of a run up to `step`, over log(step), with the reference losses that it beat last and must beat next.

    The CSS classes are raw, training, validation, reference and quiet. The aria-label describes the curve in words.
    """
    rows = _rows_until(history, step)
    checks = history.val_losses_until(step)
    lines = shown_references(references, min((loss for _, loss in checks), default=None))
    drawn = [loss for name in ("train_loss", "smoothed") for _, loss in rows[name]]
    drawn += [loss for _, loss in (*checks, *((0, loss) for _, loss in lines))]
    low, high = math.floor(min(drawn, default=0) * 2) / 2, math.ceil(max(drawn, default=1) * 2) / 2
    high, low = max(high, low + 0.5), max(0, low - 0.5)
    decades = math.log10(max(10, step))

    def x_of(at: int) -> float:
        return round(_LEFT + (_RIGHT - _LEFT) * math.log10(max(1, at)) / decades, 1)

    def y_of(loss: float) -> float:
        return round(_TOP + (_BOTTOM - _TOP) * (high - loss) / (high - low), 1)

    def path(points: list[tuple[int, float]], kind: str) -> str:
        places = " ".join(f"{x_of(at):g},{y_of(loss):g}" for at, loss in points if at > 0)
        return f'<path class="{kind}" d="M{places}"/>' if places else ""

    parts = [_text(0, 14, "loss (nats per character)"), _text(_RIGHT + 16, _BOTTOM + 18, "step (log)")]
    parts += [f'<path d="M{_LEFT},{_TOP} V{_BOTTOM} H{_RIGHT}"/>']
    for loss in _ticks(low, high):
        parts += [f'<line x1="{_LEFT - 4}" x2="{_LEFT}" y1="{y_of(loss):g}" y2="{y_of(loss):g}"/>']
        parts += [_text(_LEFT - 8, y_of(loss) + 4, f"{loss:g}", anchor="end")]
    for power in range(int(decades + 1e-9) + 1):
        x = x_of(10**power)
        parts += [f'<line x1="{x:g}" x2="{x:g}" y1="{_BOTTOM}" y2="{_BOTTOM + 4}"/>']
        anchor = "end" if x > _RIGHT - 20 else "middle" if power else "start"
        parts += [_text(x, _BOTTOM + 18, f"{10**power:,}", anchor=anchor)]
    lines = sorted(lines, key=lambda line: -line[1])
    for (name, loss), place in zip(lines, _spread([y_of(loss) for _, loss in lines]), strict=True):
        places = f"{_LEFT},{y_of(loss):g} {_RIGHT},{y_of(loss):g} {_RIGHT + 12},{place:g}"
        parts += [f'<polyline class="reference" points="{places}"/>']
        name, _, note = name.partition(" (")
        about = f"{loss:.3f} ({note}" if note else f"{loss:.3f}"
        parts += [
            _text(_RIGHT + 16, place - 3, name, kind="quiet"),
            _text(_RIGHT + 16, place + 12, about, kind="quiet"),
        ]
    parts += [path(rows["train_loss"], "raw"), path(rows["smoothed"], "training"), path(checks, "validation")]
    parts += [f'<circle r="3" cx="{x_of(at):g}" cy="{y_of(loss):g}"/>' for at, loss in checks if at > 0]
    for x, kind, name in ((_LEFT, "training", "training, smoothed"), (_LEFT + 168, "validation", "validation")):
        parts += [f'<line class="{kind}" x1="{x}" x2="{x + 22}" y1="{HEIGHT - 8}" y2="{HEIGHT - 8}"/>']
        parts += [_text(x + 28, HEIGHT - 4, name)]
    words = escape(_in_words(rows["smoothed"], checks, lines))
    inside = "".join(filter(None, parts))
    return f'<svg class="loss" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{words}">{inside}</svg>'


def _rows_until(history: History, step: int) -> dict[str, list[tuple[int, float]]]:
    """(step, loss) of some rows up to `step`, always the same ones, however long the run has become since."""
    points = history.points("log")
    kept = {}
    for name in ("train_loss", "smoothed"):
        pairs = zip(points["step"], points[name], strict=True)
        kept[name] = [(at, loss) for at, loss in pairs if at < step and loss is not None]
        try:
            last = history.row_of(step)[name]
        except KeyError:
            continue
        kept[name] += [(step, last)] if last is not None else []
    return kept


def _spread(places: list[float]) -> list[float]:
    """Sorted heights, moved as little as needed so that their labels do not overlap or leave the plot at the bottom."""
    spread = []
    for place in places:
        spread.append(max(place, spread[-1] + _LABEL_HEIGHT) if spread else place)
    lowest = _BOTTOM - _LABEL_HEIGHT / 2
    return [
        min(place, lowest - _LABEL_HEIGHT * below)
        for below, place in zip(reversed(range(len(spread))), spread, strict=True)
    ]


def _ticks(low: float, high: float) -> list[float]:
    """Four to nine round numbers from `low` to `high`."""
    size = next(size for size in (0.5, 1, 2, 5, 10, 10 ** math.ceil(math.log10(high))) if (high - low) / size <= 8)
    first = math.ceil(low / size)
    return [size * i for i in range(first, int(high / size + 1e-9) + 1)]


def _text(x: float, y: float, words: str, *, kind: str = "", anchor: str = "start") -> str:
    name = f' class="{kind}"' if kind else ""
    return f'<text{name} x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>'


def _in_words(
    smoothed: list[tuple[int, float]], checks: list[tuple[int, float]], lines: list[tuple[str, float]]
) -> str:
    words = ["Loss against training steps."]
    words += ["Training loss at step {:,}: {:.3f}.".format(*smoothed[-1])] if smoothed else []
    words += ["Validation loss at step {:,}: {:.3f}.".format(*checks[-1])] if checks else []
    return " ".join([*words, *(f"{name}: {loss:.3f}." for name, loss in lines)])
