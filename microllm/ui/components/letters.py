"""A text tinted by how surprising each character is, with what the model expected at each place, or why."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ...tokenizer import visible
from . import declare, reported

MAX_NATS = 6.0
"""The surprisal of the strongest tint, in nats: a probability of e^-6, about 1 in 400."""

CLOSED, OPEN = -1, -2
"""The values of `asked` while the alternatives are shown, and while the page says why a character was predicted."""

_MAX_TINT = 15
HTML = """
<div class="letters">
  <div class="left">
    <div class="samples"></div>
    <div class="legend">
      <span>expected</span>
      <span class="scale" aria-hidden="true"></span>
      <span class="words"></span>
    </div>
  </div>
  <section class="place">
    <div class="tabs" role="radiogroup" aria-label="What to show about a character">
      <button type="button" role="radio">Alternatives</button>
      <button type="button" role="radio">Why this character?</button>
    </div>
    <h4></h4>
    <p class="about"></p>
    <div class="chart">
      <div class="axis" aria-hidden="true"><span>probability</span><div><i>0</i><i>50</i><i>100 %</i></div></div>
      <div class="bars"></div>
    </div>
    <p class="note"></p>
    <div class="why text"></div>
  </section>
  <section class="why model" aria-label="What the model did"></section>
  <p class="status" role="status"></p>
</div>
"""
SHARED = ("walk", "choice", "glow", "bars", "why")
_letters = declare("letters", HTML, SHARED)


def tints(nats: list[float]) -> str:
    """One hexadecimal digit per surprisal, from "0" (expected) to "f" (MAX_NATS or more); "-" for NaN."""
    return "".join(
        "-" if math.isnan(each) else f"{min(_MAX_TINT, round(each / MAX_NATS * _MAX_TINT)):x}" for each in nats
    )


def sample(name: str, given: str, text: str, nats: list[float]) -> dict[str, Any]:
    """One text to show: `given` without tints, then `text` with a tint for each character."""
    return {"name": name, "given": given, "text": text, "tints": tints(nats[: len(text)])}


def writing(
    key: str,
    samples: list[dict[str, Any]],
    place: dict[str, Any],
    *,
    chosen: tuple[int, int],
    pick: Callable[[int, int], None],
    choose: Callable[[str], None],
    why: dict[str, Any] | None = None,
    ask: Callable[[bool], None] | None = None,
) -> None:
    """Texts made by `sample`, and the bars of one place in them: `chosen` (number of the text, place in it).

    `place` has a `title`, `about`, `note` and `rows` of [character, the model's own probability, the probability after
    temperature, top-k and top-p, whether it is the one in the text]. `pick` is called with a place that the user
    chooses, `choose` with the character whose bar they press. With `ask` they can ask why the character was predicted:
    it is called with True, and with False for the bars. `why` is the answer, made by parts/why.py (None: the bars).
    """

    def is_place(at: Any) -> bool:
        number, place = at
        return (
            type(number) is type(place) is int
            and 0 <= number < len(samples)
            and 0 <= place < len(samples[number]["text"])
        )

    def picked() -> None:
        if (at := reported(key, "picked", is_place)) is not None:
            pick(*at)

    def pressed() -> None:
        character = reported(key, "pressed", lambda value: isinstance(value, str) and len(value) == 1)
        if character is not None:
            choose(character)

    def asked() -> None:
        if ask and (what := reported(key, "asked", lambda value: value in (CLOSED, OPEN))) is not None:
            ask(what == OPEN)

    data = {"kind": "writing", "samples": samples, "place": place, "chosen": list(chosen), "why": why}
    data["asked"] = None if ask is None else CLOSED if why is None else OPEN
    seen = "".join(row[0] for row in place["rows"])
    used = "".join(text["given"] + text["text"] for text in samples) + seen
    _show(key, data, used, picked, pressed, asked)


def reading(
    key: str,
    text: dict[str, Any],
    guesses: str,
    percents: list[int],
    nats: list[int],
    note: str,
    marked: tuple[int, int] = (0, 0),
    *,
    who: str = "the model",
    asked: int = CLOSED,
    why: dict[str, Any] | None = None,
    ask: Callable[[int], None] | None = None,
) -> None:
    """One text made by `sample`; pointing at a character shows what the model expected there, without the server.

    For each character of the text, `guesses` has the same number of characters, the most likely first, `percents` the
    probability of each in percent, and `nats` its surprisal in hundredths of a nat (-1 for none). `marked` is a piece
    (start, length) to underline. `who` names the predictor. With `ask` the user can ask why: it is called with CLOSED,
    OPEN before a character is chosen, or the place of one. `asked` is its last argument, `why` the answer.
    """

    def is_place(value: Any) -> bool:
        return type(value) is int and OPEN <= value < len(text["text"])

    def is_asked() -> None:
        if ask and (what := reported(key, "asked", is_place)) is not None:
            ask(what)

    data = {"kind": "reading", "samples": [text], "guesses": guesses, "percents": percents, "nats": nats, "who": who}
    data |= {"note": note, "marked": list(marked), "asked": asked if ask else None, "why": why}
    _show(key, data, text["text"] + guesses, lambda: None, lambda: None, is_asked)


def _show(
    key: str,
    data: dict[str, Any],
    used: str,
    picked: Callable[[], None],
    pressed: Callable[[], None],
    asked: Callable[[], None],
) -> None:
    shown = {c: visible(c) for c in sorted(set(used)) if visible(c) != c}
    _letters(
        key=key,
        data=data | {"shown": shown, "most": MAX_NATS},
        on_picked_change=picked,
        on_pressed_change=pressed,
        on_asked_change=asked,
    )
