"""The suggested edits of a text: a word to rename, a sentence to repeat."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import regex

from ..corpus import split_at
from .edits import sentence_starts

_READ_CHARACTERS = 2_000_000
_SHORTEST, _LONGEST = 40, 90  # of a sentence
_NAME = regex.compile(r"(?<=[\p{Ll},;]\s)\p{Lu}\p{Ll}{2,8}\b")
_LONG_WORD = regex.compile(r"\b\p{L}{4,9}\b")


def suggested_name(text: str) -> str:
    """A word to rename: the most frequent name in the middle of sentences, else the most frequent longer word."""
    train = text[: split_at(len(text))][:_READ_CHARACTERS]
    for pattern in (_NAME, _LONG_WORD):
        if found := Counter(pattern.findall(train)).most_common(1):
            return found[0][0]
    return ""


def suggested_sentence(text: str) -> str:
    """A sentence to repeat: of those with a suitable length, the one in the middle; "" if there is none."""
    train = text[: split_at(len(text))][:_READ_CHARACTERS]
    sentences = (train[begin:end].strip() for begin, end in pairwise(sentence_starts(train)))
    short = (sentence for sentence in sentences if _SHORTEST <= len(sentence) <= _LONGEST)
    fitting = [sentence for sentence in short if "\n" not in sentence and sentence[-1] in ".!?"]
    return fitting[len(fitting) // 2] if fitting else ""
