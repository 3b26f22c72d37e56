"""The learning-rate schedule, before a run starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..config import TrainConfig
from .palette import PALETTE

if TYPE_CHECKING:
    import pandas


def learning_rate_spec(mode: str) -> dict[str, Any]:
    """The Vega-Lite spec of the learning-rate schedule."""
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


def learning_rate_data(train: TrainConfig) -> pandas.DataFrame:
    """The rows that `learning_rate_spec` draws: the rate at about 100 steps, including the end of the warm-up."""
    import pandas  # not at the top of the file: a fresh server shows its first plot before this import

    from ..optim import learning_rate_at

    steps = {*range(0, train.max_steps, max(1, train.max_steps // 100)), train.warmup_steps, train.max_steps}
    steps = sorted(step for step in steps if step <= train.max_steps)
    return pandas.DataFrame({"step": steps, "rate": [learning_rate_at(step, train) for step in steps]})
