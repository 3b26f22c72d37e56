"""The rows of the timeline: the loss curve in one line, and the snapshots."""

from __future__ import annotations

import math
from typing import Any

from ..runs.history import History


def timeline_data(history: History, snapshots: list[int]) -> dict[str, Any]:
    """The loss curve as x (0 to 1,000, the logarithm of the step) and y (0, the highest loss, to 255, the lowest), the
    steps of the snapshots and their places on the same axis, and the last step.
    """
    points = history.points("log")
    last = max([1, *points["step"][-1:]])

    def place(step: int) -> int:
        return round(1_000 * math.log1p(min(step, last)) / math.log1p(last))

    curve = {}  # one point per place: the newest
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
