"""A run as a film of six seconds: its loss curve is drawn while what it writes turns from noise into words."""

from __future__ import annotations

from typing import Any

from . import declare

HTML = """
<div class="film plot">
  <div class="box"><svg role="img"></svg></div>
  <div class="controls">
    <button type="button"></button>
    <input type="range" min="0" step="1" aria-label="Step of the sample">
    <output></output>
  </div>
  <p class="heading"><b>What it writes</b> <span></span></p>
  <p class="sample" dir="auto"><b></b><span></span></p>
</div>
"""
SHARED = ("scales", "plot")
_film = declare("film", HTML, SHARED)


def film(data: dict[str, Any], *, key: str = "film-of-run") -> None:
    """Play what `plots.film_data` returns, once; then it stops, with a button that replays it.

    With reduced motion it shows the end at once, and the slider shows the earlier samples.
    """
    _film(key=key, data=[data])  # in a list: see loss_plot
