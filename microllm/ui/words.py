"""Words for numbers, and text of others shown as it is."""

from __future__ import annotations

import math
import re
import unicodedata


def literal(text: str) -> str:
    """Text for Streamlit's Markdown, in which nothing is markup: a file may be called `![](http://...)`.

    Icons and emoji (`:material/bug:`, `:tea:`) are looked for in what Markdown has made of a text, so that no backslash
    helps: there a word joiner, which nobody sees, stands after the colon; and in what would become a link without being
    asked (http://, www., an address of mail). What is no Unicode, and could not be sent, becomes "?".
    """
    text = text.encode("utf-8", "replace").decode()
    text = re.sub(r"(?i):(?=[a-z+/-])|www(?=\.)|@", "\\g<0>\u2060", text)
    return re.sub(r"[\\`*\[\]<>$#~&]|(?<!\w)_|_(?!\w)", r"\\\g<0>", text)


def isolated(text: str) -> str:
    """Text of others within a sentence: letters that run from right to left leave what stands around them in place."""
    runs_left = any(unicodedata.bidirectional(character) in ("R", "AL", "AN") for character in text)
    return f"\u2068{text}\u2069" if runs_left else text


def choices(loss: float) -> str:
    """A loss in words: e^loss, the number of equally likely characters that would leave one as unsure."""
    number = math.exp(min(loss, 20))
    return f"{number:.1f} choices" if number < 10 else f"{number:.0f} choices"


def duration(seconds: float) -> str:
    """A time in words: 43 s, 2 min 5 s, 3 h 20 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
