"""The model as one picture of its parts, lit up by a sentence, with the logit lens; one part is open beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ...plots.attention import coarse, packed_shares
from ...plots.palette import in_both_modes
from .. import glossary
from . import declare, reported

HTML = f"""
<div class="inside panel">
  <div class="walk">
    <button class="back" type="button" aria-label="Back" title="Back (left arrow or p)">←</button>
    <span class="stop"></span>
    <button class="next" type="button" aria-label="Next" title="Next (right arrow or n)">→</button>
    <b class="where"></b>
    <span class="shape"></span>
  </div>
  <div class="left">
    <div class="picture"><div class="rows" role="grid" aria-label="The parts of the model"></div></div>
    <p class="guess"></p>
    <p class="look">Look for the layer after which the predictions become right. Gray: what the model would write next
      if it ended there ({glossary.link("logit-lens")}), underlined where your sentence agrees. Violet: how much a part
      adds to the {glossary.link("residual-stream")}, each character's vector on its way through the layers.</p>
    <div class="source"><p class="file"></p><pre tabindex="0" aria-label="Source code"></pre></div>
  </div>
  <div class="open">
    <div class="tabs" role="group" aria-label="The steps of this part"></div>
    <p class="formula"></p>
    <p class="sentence"></p>
    <div class="matrix" tabindex="0" role="group">
      <canvas aria-hidden="true"></canvas><i class="walked"></i><i class="row"></i><i class="column"></i>
    </div>
    <p class="axes"></p>
    <div class="legend" aria-hidden="true"></div>
    <p class="value"></p>
    <p class="origin"><span></span> <span class="inputs" role="group" aria-label="What it was computed from"></span></p>
  </div>
  <p class="status" aria-live="polite"></p>
</div>
"""
SHARED = ("choice", "glow", "walk", "matrix", "panel")
_inside = declare("inside", HTML, SHARED)

_THUMBNAIL_ROWS = 32


def inside(
    key: str,
    data: dict[str, Any],
    *,
    characters: int,
    layers: int,
    heads: int,
    stages: set[str],
    pick: Callable[[int], None],
    choose: Callable[[str, int, int], None],
) -> None:
    """Show what `ui/parts/inside.py` describes in `data`.

    `pick` is called with the place of a character of the sentence that the user chooses, `choose` with a stage, a layer
    and a head.
    """

    def is_stage(value: Any) -> bool:
        name, layer, head = value.split(" ")
        return name in stages and layer in map(str, range(layers)) and head in map(str, range(heads))

    def picked() -> None:
        place = reported(key, "picked", lambda value: type(value) is int and 0 <= value < characters)
        if place is not None:
            pick(place)

    def chosen() -> None:
        value = reported(key, "chosen", lambda value: isinstance(value, str) and is_stage(value))
        if value is not None:
            name, layer, head = value.split(" ")
            choose(name, int(layer), int(head))

    colors = {name: in_both_modes(name) for name in ("attention", "text", "positive", "negative")}
    _inside(key=key, data=data | {"colors": colors}, on_picked_change=picked, on_chosen_change=chosen)


def thumbnails(patterns: torch.Tensor) -> dict[str, Any]:
    """The attention patterns of the heads of one layer, (H, N, N), as small pictures: their size, and their bytes."""
    small = coarse(patterns, _THUMBNAIL_ROWS)
    return {"size": small.shape[-1], "shares": packed_shares(small)}
