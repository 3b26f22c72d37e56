"""Numbers in words, and text written by users, shown safely."""

from __future__ import annotations

import math
import re
import unicodedata


def literal(text: str) -> str:
    """`text` escaped for Streamlit's Markdown, so that nothing in it is markup: a file may be called `![](http://...)`.

    Streamlit replaces icons and emoji (`:material/bug:`, `:tea:`) after Markdown, so a backslash does not stop it. An
    invisible word joiner (U+2060) after the colon does. It also stops automatic links: http://, www. and e-mail
    addresses. Characters that are not valid Unicode become "?".
    """
    text = text.encode("utf-8", "replace").decode()
    text = re.sub(r"(?i):(?=[a-z+/-])|www(?=\.)|@", "\\g<0>\u2060", text)
    return re.sub(r"[\\`*\[\]<>$#~&]|(?<!\w)_|_(?!\w)", r"\\\g<0>", text)


def isolated(text: str) -> str:
    """Text for the middle of a sentence: right-to-left letters in it do not reorder the words around it."""
    runs_left = any(unicodedata.bidirectional(character) in ("R", "AL", "AN") for character in text)
    return f"\u2068{text}\u2069" if runs_left else text


def choices(loss: float) -> str:
    """A loss in words: e^loss, the number of equally likely characters among which a guess is as uncertain."""
    number = math.exp(min(loss, 20))
    return f"{number:.1f} equal choices" if number < 10 else f"{number:.0f} equal choices"


def percent(share: float) -> str:
    """A share as a whole percentage: 71 %. The space does not break."""
    return "less than 1\u00a0%" if 0 < share <= 0.005 else f"{100 * share:.0f}\u00a0%"


def lines_in_words(new: int, number: int) -> str:
    """How many of a number of lines are new, in Markdown."""
    if not number:
        return "No whole line yet"
    return f"**{new:,}** of {number:,} lines are new, {number - new:,} are in the list"


def duration(seconds: float) -> str:
    """A duration in words that stay in one line: 43 s, 2 min 5 s, 12 min, 3 h 20 min."""
    seconds = round(seconds)
    if seconds < 60:
        words = f"{seconds} s"
    elif seconds < 600:
        words = f"{seconds // 60} min {seconds % 60} s"
    elif (minutes := round(seconds / 60)) < 60:
        words = f"{minutes} min"
    else:
        words = f"{minutes // 60} h {minutes % 60} min"
    return words.replace(" ", "\u00a0")


def age(seconds: float) -> str:
    """How long ago something was, in words: just now, 2 min ago, 5 h ago, 1 day ago, 3 days ago."""
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{int(seconds // 60)} min ago"
    if seconds < 86_400:
        return f"{int(seconds // 3600)} h ago"
    days = int(seconds // 86_400)
    return f"{days:,} day{'s' * (days > 1)} ago"
