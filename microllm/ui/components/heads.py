"""All heads of a model as small pictures; a click chooses one."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ...plots import PALETTE
from ...plots.attention import coarse, packed
from . import declare, reported

_HTML = """
<div class="heads">
  <div class="scroll"><div class="grid" role="radiogroup" aria-label="All heads"></div></div>
  <p class="note"></p>
</div>
"""
_heads = declare("heads", _HTML, shared=("choice", "glow"))

_FEW = 36
_FINE, _ROUGH = 64, 32  # rows of a picture


def heads(
    pattern: torch.Tensor,
    notes: list[str],
    chosen: tuple[int, int],
    choose: Callable[[int, int], None],
    *,
    causal: bool,
) -> None:
    """Show the patterns of all heads, (L, H, N, N), with the one `chosen` (layer, head) framed.

    `notes` are the words for each head, layer after layer. `choose` is called with another layer and head.
    """
    layers, heads = pattern.shape[:2]

    def picked() -> None:
        place = reported("attention-heads", "picked", lambda it: type(it) is int and 0 <= it < layers * heads)
        if place is not None:
            choose(*divmod(place, heads))

    small = coarse(pattern, _FINE if layers * heads <= _FEW else _ROUGH)
    _heads(
        key="attention-heads",
        data={
            "layers": layers,
            "heads": heads,
            "size": small.shape[-1],
            "causal": causal,
            "chosen": chosen[0] * heads + chosen[1],
            "notes": notes,
            "colors": {mode: palette["attention"] for mode, palette in PALETTE.items()},
            "shares": packed(small, causal=causal),
        },
        on_picked_change=picked,
    )
