"""Places for the labels of the loss plot, so that none covers another."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

_LINE_HEIGHT = 14  # pixels from the top of one label to the top of the next
PADDING = 20  # pixels between the plot's edge and the highest and the lowest value
_LABEL_GAP = 4  # pixels between a line and its label
WIDEST = 160  # pixels: Vega cuts the label of a live change off there
_MAX_ROWS = 4  # of labels of live changes, at the top of the plot
WIDE, NARROW = 480, 200  # pixels: the smallest width of the plot beside a panel, and on a phone
_MIN_HEIGHT = 240
"""Pixels. Labels that do not overlap in the smallest plot overlap in no larger one, zoomed in or not, because there
the lines are farther apart.
"""


def spread(wished: Sequence[float], top: float, bottom: float, gap: float) -> list[float]:
    """Places at least `gap` apart, in the order of those `wished`, from `top` on: each where it is wished, or pushed
    down by those above. None is below `bottom`, as long as there is room for all.
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


def label_offsets(
    changes: Sequence[tuple[float, str]], guesses: Sequence[float], lines: Sequence[float], width: float
) -> tuple[list[float | None], list[float], list[float]]:
    """How many pixels below its line or mark each label begins, so that no two overlap in a plot of this width.

    `changes` are (place on the x-axis, label) in the order of their steps; `guesses` and `lines` are places on the
    y-axis. All places go from 0 to 1, the lowest to the highest value of the plot. Changes have rows at the top. Below
    them are lines and, at the other edge, guesses, in the order of their losses; in a narrow plot they share a column.
    None for a change without room among its neighbors: its tooltip still shows the label.
    """
    rows = _rows([(place * width, label) for place, label in reversed(changes)], width)[::-1]  # the newest has priority
    top = _LABEL_GAP + _LINE_HEIGHT * max((row + 1 for row in rows if row is not None), default=0)

    def below(*values: float) -> list[float]:
        places = [PADDING + (1 - value) * (_MIN_HEIGHT - 2 * PADDING) for value in values]
        begins = spread([place + _LABEL_GAP for place in places], top, _MIN_HEIGHT - _LINE_HEIGHT, _LINE_HEIGHT)
        return [begin - place for begin, place in zip(begins, places, strict=True)]

    offsets = [*below(*guesses), *below(*lines)] if width >= WIDE else below(*guesses, *lines)
    of_changes = [None if row is None else float(_LINE_HEIGHT * row) for row in rows]
    return of_changes, offsets[: len(guesses)], offsets[len(guesses) :]


def _rows(labels: Sequence[tuple[float, str]], width: float) -> list[int | None]:
    """For each label (pixel of its mark, text), the top row in which it overlaps no other; None if there is none."""
    taken: list[list[tuple[float, float]]] = [[] for _ in range(_MAX_ROWS)]
    rows: list[int | None] = []
    for mark, text in labels:
        wide = 4 + min(WIDEST, sum(12 if unicodedata.east_asian_width(c) in "WF" else 7 for c in text[:WIDEST]))
        start = mark - wide if mark > width / 2 else mark
        overlaps = (any(start < end and begin < start + wide for begin, end in row) for row in taken)
        row = next((i for i, is_taken in enumerate(overlaps) if not is_taken), None)
        if row is not None:
            taken[row].append((start, start + wide))
        rows.append(row)
    return rows
