"""The attention map of one head at every snapshot of a run, played in the browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...plots.palette import in_both_modes
from . import declare

PLAYER = """
  <div class="player">
    <button type="button"></button>
    <input type="range" min="0" step="1" aria-label="Snapshot">
    <output></output>
  </div>
"""
"""A button and a slider through all snapshots (player.js)."""

HTML = f"""
<div class="play">
  <div class="box"><canvas role="img"></canvas></div>
  <p class="words"></p>
  {PLAYER}
</div>
"""
SHARED = ("glow", "walk", "player")
_play = declare("play", HTML, SHARED)


def play(data: dict[str, Any], ask: Callable[[], None]) -> None:
    """Play what `plots.play.play_data` returns. `ask` is called from time to time until it has all snapshots."""
    _play(key="attention-play", data=data | {"colors": in_both_modes("attention")}, on_more_change=ask)
