"""The attention patterns of all heads as small pictures; a click chooses one."""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch

from ...plots.attention import coarse, packed, packed_shares
from ...plots.palette import in_both_modes
from . import declare, reported

_HTML = """
<div class="heads">
  <div class="scroll"><div class="grid" role="radiogroup" aria-label="All heads"></div></div>
  <p class="note"></p>
</div>
"""
_heads = declare("heads", _HTML, shared=("choice", "glow", "walk"))

_MAX_FINE_HEADS = 36  # more heads have coarser pictures, to keep the message small
_FINE_ROWS, _COARSE_ROWS = 64, 32  # of a picture
_NEAREST = 16  # distances with a bar below a picture


def heads(
    pattern: torch.Tensor,
    notes: list[str],
    chosen: tuple[int, int],
    choose: Callable[[int, int], None],
    *,
    causal: bool,
    labels: list[str],
    order: list[int] | None = None,
    by_distance: torch.Tensor | None = None,
    out: Collection[tuple[int, int]] = (),
) -> None:
    """Show the patterns of all heads, (L, H, N, N), with a frame around the `chosen` (layer, head).

    `notes` has a sentence and `labels` a word or two ("" for none) for each head, layer by layer. `order` has the
    numbers of the heads, counted in the same way, in the order in which they are shown; None is one row per layer.
    `choose` is called with another layer and head. `by_distance` (L, H, block_size) are shares of each distance, drawn
    below each picture for the nearest characters. Heads that are `out` are hatched.
    """
    layers, heads = pattern.shape[:2]

    def picked() -> None:
        place = reported("attention-heads", "picked", lambda value: type(value) is int and 0 <= value < layers * heads)
        if place is not None:
            choose(*divmod(place, heads))

    small = coarse(pattern, _FINE_ROWS if layers * heads <= _MAX_FINE_HEADS else _COARSE_ROWS)
    _heads(
        key="attention-heads",
        data={
            "layers": layers,
            "heads": heads,
            "size": small.shape[-1],
            "causal": causal,
            "chosen": chosen[0] * heads + chosen[1],
            "notes": notes,
            "out": [(layer, head) in out for layer in range(layers) for head in range(heads)],
            "labels": labels,
            "order": order,
            "colors": in_both_modes("attention"),
            "shares": packed(small, causal=causal),
            "nearest": 0 if by_distance is None else min(_NEAREST, by_distance.shape[-1]),
            "byDistance": "" if by_distance is None else packed_shares(by_distance[..., :_NEAREST]),
        },
        on_picked_change=picked,
    )
