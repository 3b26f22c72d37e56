"""What a knock-out changes: the next character, two samples of one seed, and a passage tinted by surprisal."""

from __future__ import annotations

from typing import Any

import torch

from ...plots.palette import in_both_modes
from ...tokenizer import visible, visible_alone
from . import declare

FULL_TINT = 3.0
"""The change of a surprisal that has the strongest tint, in nats."""

_HTML = """
<div class="effect">
  <section class="next">
    <h4></h4>
    <div class="key" aria-hidden="true">
      <i class="before"></i><span></span><i class="after"></i><span class="other"></span>
    </div>
    <div class="axis" aria-hidden="true"><span></span><div><i>0</i><i>50</i><i>100 %</i></div></div>
    <ul class="bars"></ul>
  </section>
  <section class="samples">
    <h4></h4>
    <figure><figcaption></figcaption><code dir="auto"></code></figure>
    <figure><figcaption></figcaption><code dir="auto"></code></figure>
  </section>
  <section class="passage">
    <h4></h4>
    <div class="scale" aria-hidden="true"></div>
    <div class="text" role="listbox" dir="auto" aria-label="A passage, character by character"></div>
    <p class="note"></p>
    <p class="status" aria-live="polite"></p>
  </section>
</div>
"""
_effect = declare("effect", _HTML, shared=("walk", "glow", "bars"))


def effect(
    after: str,
    without: str,
    rows: list[tuple[str, float, float]],
    samples: tuple[str, str] | None,
    passage: tuple[str, torch.Tensor, torch.Tensor] | None,
    waiting: str,
    *,
    names: tuple[str, str] | None = None,
    of: str = "A held-out passage",
    key: str = "knockout-effect",
) -> None:
    """Show what changes `without` some parts of the model (their name; empty for the whole model alone).

    It also compares other pairs of models, whose names are then `names`. `of` says what the passage is.

    `rows` are (character, its probability before, and after), for what follows the text `after`. `samples` are two
    texts from one seed, and `passage` a text with the surprisals of its N characters before and after, in nats (NaN for
    the first). While samples are None, `waiting` says why; without a passage, that section is hidden.
    """
    _effect(
        key=key,
        data={
            "after": after,
            "without": without,
            "names": names or ("whole model", f"without {without}"),
            "legend": names or ("whole model", "without"),
            "of": of,
            "rows": [[visible_alone(character), float(f"{p:.4g}"), float(f"{q:.4g}")] for character, p, q in rows],
            "samples": samples and _parted(*samples),
            "passage": passage and _told(*passage),
            "waiting": waiting,
            "full": FULL_TINT,
            "colors": change_colors(),
        },
    )


def change_colors() -> dict[str, dict[str, str]]:
    """The colors of less and of more surprisal, in light and dark mode, as our components expect them."""
    return {"less": in_both_modes("less_surprisal"), "more": in_both_modes("surprisal")}


def _parted(before: str, after: str) -> dict[str, Any]:
    """Two texts: their common beginning, then for each its first different character and the rest."""
    pairs = zip(before, after, strict=False)
    same = next((i for i, (one, other) in enumerate(pairs) if one != other), min(len(before), len(after)))
    ends = [[_sign(text[same : same + 1]), visible(text[same + 1 :], keep=" \n\t")] for text in (before, after)]
    return {"same": visible(before[:same], keep=" \n\t"), "ends": ends}


def _sign(character: str) -> str:
    """One character that is marked, so that even a space or a line end must be visible."""
    return character and visible(character)


def _told(text: str, before: torch.Tensor, after: torch.Tensor) -> dict[str, Any]:
    nats = [[-1 if each != each else round(100 * each) for each in some.tolist()] for some in (before, after)]
    return {"text": [visible(character) for character in text], "before": nats[0], "after": nats[1]}
