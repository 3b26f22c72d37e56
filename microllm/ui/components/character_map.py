"""The map of characters: each drawn as itself, at all moments of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import declare
from .play import PLAYER

HTML = f"""
<div class="map">
  <div class="box"><svg role="listbox"></svg></div>
  <div class="side">
    <div class="about"><h4></h4><p></p><ol></ol></div>
    <div class="legend" aria-hidden="true"></div>
  </div>
  {PLAYER}
</div>
"""
SHARED = ("glow", "scales", "walk", "player")
_character_map = declare("character_map", HTML, SHARED)


def character_map(key: str, data: dict[str, Any], ask: Callable[[], None]) -> None:
    """Show what `plots.characters.map_data` returns. `ask` is called from time to time until it has all snapshots."""
    _character_map(key=key, data=data, on_more_change=ask)
