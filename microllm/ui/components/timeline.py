"""The moment that all pages show, chosen on the curve of the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import declare, reported

HTML = """
<div class="timeline">
  <div class="track" role="slider" tabindex="0" aria-label="Moment: the step that all pages show">
    <div class="plot" aria-hidden="true">
      <svg viewBox="0 0 1000 256" preserveAspectRatio="none">
        <path class="curve" vector-effect="non-scaling-stroke"></path>
      </svg>
      <div class="snapshots"></div>
      <div class="thumb"></div>
    </div>
    <div class="steps" aria-hidden="true"></div>
  </div>
  <button class="back" type="button" disabled><span>Live</span><b></b></button>
</div>
"""
SHARED = ("choice",)
_timeline = declare("timeline", HTML, SHARED)


def timeline(data: dict[str, Any], moment: int | None, is_live: bool, choose: Callable[[int | None], None]) -> None:
    """A slider on the curve of `plots.timeline_data`. `choose` is called with a step, or None for the newest.

    `moment` is the displayed step, None for the newest. The newest step `is_live` while the run is active.
    """

    def chosen() -> None:
        if (step := reported("timeline", "chosen", lambda value: type(value) is int)) is not None:
            choose(step if step >= 0 else None)

    _timeline(
        key="timeline",
        data=data | {"moment": -1 if moment is None else moment, "is_live": is_live},
        on_chosen_change=chosen,
    )
