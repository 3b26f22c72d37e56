"""A passage whose next character the user guesses with one key or tap, and the result of the last guess."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import declare, reported

HTML = """
<div class="guess">
  <p class="passage" role="img" dir="auto"></p>
  <div class="controls">
    <label>Your guess <input type="text" dir="auto" aria-label="Your guess: type one character" autocomplete="off"
      autocapitalize="none" autocorrect="off" spellcheck="false" enterkeyhint="enter" /></label>
    <div class="options" role="group" aria-label="The most common characters of this text"></div>
  </div>
  <div class="status" aria-live="polite">
    <p class="notice"></p>
    <p class="answer" role="img" dir="auto"></p>
    <p class="yours"></p>
    <p class="bet"></p>
    <p class="score"></p>
  </div>
</div>
"""
SHARED = ("keyboard", "keeping")
_guess = declare("guess", HTML, SHARED)


def guess(data: dict[str, Any], made: Callable[[int, str], None]) -> None:
    """Show `data` (see guess.js). `made` is called with the number of the turn and the guessed character.

    The number is that of the displayed turn, so that a second key in the same turn does not count as the next guess.
    """

    def report() -> None:
        if (guess := reported("next-letter", "made", _is_guess)) is not None:
            made(guess["turn"], guess["character"])

    _guess(key="next-letter", data=data, on_made_change=report)


def _is_guess(made: Any) -> bool:
    return type(made["turn"]) is int and isinstance(made["character"], str) and len(made["character"]) == 1
