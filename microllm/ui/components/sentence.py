"""A sentence that shows attention: it highlights what the character under the pointer attends to."""

from __future__ import annotations

import torch

from ...plots.attention import packed
from ...plots.palette import in_both_modes
from ...tokenizer import visible
from . import declare

HTML = """
<div class="sentence">
  <p class="words"></p>
  <div class="text" role="listbox" dir="auto" aria-label="Your sentence, character by character"></div>
  <p class="hint"></p>
  <div class="legend" aria-hidden="true"><span>share of attention</span></div>
  <p class="status" aria-live="polite"></p>
</div>
"""
SHARED = ("glow", "walk")
_sentence = declare("sentence", HTML, SHARED)


def sentence(pattern: torch.Tensor, text: str, block_size: int, *, causal: bool) -> None:
    """Show `text`, N characters, with the `pattern` (N, N) of one head: rows attend to columns."""
    _sentence(
        key="attention-text",
        data={
            "text": [visible(character) for character in text],
            "block_size": block_size,
            "causal": causal,
            "colors": in_both_modes("attention"),
            "shares": packed(pattern, causal=causal),
        },
    )
