"""Characters as the model gets them: with their ids, or as windows of inputs and targets."""

from __future__ import annotations

from collections.abc import Callable

from . import declare

HTML = """<div class="tokens"><div class="rows"></div><p class="words" role="status"></p></div>"""
SHARED = ("walk",)
_tokens = declare("tokens", HTML, SHARED)


def ids(glyphs: list[str], numbers: list[int]) -> None:
    """Each character, one glyph, above its id."""
    _tokens(key="token-ids", data=[{"kind": "ids", "glyphs": glyphs, "ids": numbers}])  # in a list: see loss_plot


def batch(rows: list[list[str]], pointed: Callable[[], None]) -> None:
    """Windows of text, one glyph per character: the inputs of the first, its targets, the inputs of the second, ...

    Pointing at a position shows its target and the inputs from which it is predicted. `pointed` is called when a person
    points at a batch for the first time.
    """
    _tokens(key="token-batch", data=[{"kind": "batch", "rows": rows}], on_pointed_change=pointed)
