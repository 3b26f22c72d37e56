"""A training step in five stages: text, prediction, loss, gradient, update. It plays, pauses, and goes step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...plots.palette import in_both_modes
from . import declare, reported

_KEY = "training-step"
_HTML = """
<div class="step panel">
  <div class="controls">
    <button class="back" type="button" aria-label="Back" title="Back (left arrow)">←</button>
    <button class="play" type="button"></button>
    <button class="next" type="button" aria-label="Next stage" title="Next stage (right arrow)">→</button>
    <select class="speed" aria-label="Speed" title="Speed">
      <option value="0.5">½ ×</option><option value="1" selected>1 ×</option><option value="2">2 ×</option>
    </select>
    <div class="stages" role="group" aria-label="Stages"></div>
    <button class="take" type="button"></button>
    <button class="again" type="button">Start again</button>
  </div>
  <p class="sentence" aria-live="polite"></p>
  <div class="window" tabindex="0" role="group" aria-label="A window of text, character by character"></div>
  <p class="note"></p>
  <div class="parts" tabindex="0" role="group" aria-label="The parts of the model">
    <div class="head">
      <span>Part</span><span data-stages="4">Gradient (norm)</span><span data-stages="5">Moved by</span>
    </div>
    <ol></ol>
  </div>
  <div class="result">
    <h4>Loss <small>(nats per character)</small></h4>
    <dl></dl>
    <figure>
      <svg role="img" viewBox="0 0 380 78"></svg>
      <figcaption>Across: steps taken. Blue: each batch, before and after its step.</figcaption>
    </figure>
  </div>
</div>
"""
_step = declare("training_step", _HTML, shared=("glow", "choice", "walk", "panel"))


def training_step(data: dict[str, Any], *, wanted: int, most: int, want: Callable[[int], None]) -> None:
    """Show what `ui/parts/training_step.py` describes in `data`; while it is waiting, redraw this part repeatedly.

    `want` is called with the number of steps that the person wants to have taken: from the `wanted` ones so far to
    `most`, or 0 to start again.
    """

    def is_number(value: Any) -> bool:
        return type(value) is int and (value == 0 or wanted <= value <= most)

    def chosen() -> None:
        number = reported(_KEY, "chosen", is_number)
        if number is not None:
            want(number)

    colors = {name: in_both_modes(name) for name in ("text", "training", "validation", "positive")}
    _step(
        key=_KEY,
        data=data | {"wanted": wanted, "most": most, "colors": colors},
        on_chosen_change=chosen,
        on_more_change=lambda: None,  # the rerun of this part is the answer
    )
