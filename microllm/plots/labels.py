"""Labels of the loss plot that know of each other: where each stands, so that none covers another."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

_LABEL = 14  # pixels from the top of one label to the top of the next
PADDING = 20  # pixels between the plot's edge and the highest and the lowest value
_BELOW = 4  # pixels between a line and its label
WIDEST = 160  # pixels of a live change's label; Vega cuts off the rest
_ROWS = 4  # of labels of live changes, at the top of the plot
WIDE, NARROW = 480, 200  # pixels: at least so wide is the plot beside a panel, and on a phone
_LOW = 240
"""Pixels that the plot is high, at least. Labels that do not overlap in the smallest plot do so in none, zoomed in or
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


def label_offsets(
    changes: Sequence[tuple[float, str]], guesses: Sequence[float], lines: Sequence[float], width: float
) -> tuple[list[float | None], list[float], list[float]]:
    """How many pixels below its line or mark each label begins, so that in a plot of this width no two overlap.

    `changes` are (place on the x-axis, label) in the order of their steps; guesses and lines are places on the y-axis,
    and all places go from 0 to 1, the lowest and highest value of the plot. Changes have rows at the top. Beneath, in
    the order of their losses, stand lines and, at the other edge, guesses: in a narrow plot these are of one column.
    None for a change that finds no room among its neighbours: its rule tells it when pointed at.
    """
    rows = _rows([(place * width, label) for place, label in reversed(changes)], width)[::-1]  # the newest come first
    top = _BELOW + _LABEL * max((row + 1 for row in rows if row is not None), default=0)

    def below(*values: float) -> list[float]:
        places = [PADDING + (1 - value) * (_LOW - 2 * PADDING) for value in values]
        begins = spread([place + _BELOW for place in places], top, _LOW - _LABEL, _LABEL)
        return [begin - place for begin, place in zip(begins, places, strict=True)]

    offsets = [*below(*guesses), *below(*lines)] if width >= WIDE else below(*guesses, *lines)
    of_changes = [None if row is None else float(_LABEL * row) for row in rows]
    return of_changes, offsets[: len(guesses)], offsets[len(guesses) :]


def _rows(labels: Sequence[tuple[float, str]], width: float) -> list[int | None]:
    """The row of each label, (pixel of its mark, text): the highest in which it overlaps none. None without one."""
    taken: list[list[tuple[float, float]]] = [[] for _ in range(_ROWS)]
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
