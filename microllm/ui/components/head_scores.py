"""The scores of all heads over training, below the validation loss on the same axis of steps.

It is our own because in no chart of Streamlit can arrow keys and clicks choose a moment while a swipe scrolls the page.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import declare, reported

HTML = """
<div class="plot">
  <div class="box" role="slider" tabindex="0" aria-label="Scores of the heads over training: choose a snapshot">
    <svg role="img"></svg>
    <div class="tip" hidden></div>
  </div>
</div>
"""
SHARED = ("choice", "scales", "plot")
_head_scores = declare("head_scores", HTML, SHARED)


def head_scores(data: dict[str, Any], choose: Callable[[int], None]) -> None:
    """Show what `plots.head_scores.head_scores_data` returns. `choose` is called with the step of a snapshot."""

    def chosen() -> None:
        step = reported("head-scores", "chosen", lambda value: type(value) is int and value in data["steps"])
        if step is not None:
            choose(step)

    _head_scores(key="head-scores", data=[data], on_chosen_change=chosen)  # in a list: see loss_plot
