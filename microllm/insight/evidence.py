"""Evidence for one character: counting tables, the same context in the training text, copying, and the model itself.

Of the model: its attention, and what each of its layers would have written.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..corpus import TABLE_SIZES, CountingTables
from ..model import MicroLLM
from .lens import lens
from .memorization import parts
from .trace import trace

MAX_OCCURRENCES = 1_000
"""Occurrences of a context are counted up to this number: a text of one repeated letter may have a million."""

_SHOWN_PLACES = 5
_BEST = 5
_PLACES_TO_COMPARE = 25
_PASSAGE_CHARACTERS = 400  # around each of them


@dataclass(frozen=True)
class Count:
    """What the table of n-character sequences says about one character after its context, the n - 1 before it.

    `seen` is how often the context occurs in the counted text, `hits` how often the character follows it, and `chance`
    the probability that the table gives it. `best` are up to five (id, how often it follows), the most frequent first.
    """

    n: int
    context: list[int]
    seen: int
    hits: int
    chance: float
    best: list[tuple[int, int]]


def table_counts(tables: CountingTables, before: torch.Tensor, character: int) -> list[Count]:
    """What tables of 1 to 5 characters say about `character` after the ids `before` (N,); larger ones need more."""
    found = []
    for n in range(1, min(max(TABLE_SIZES), len(before) + 1) + 1):
        context = before[len(before) - (n - 1) :]
        hits, seen = tables.followers(context)
        chance = tables.chances(context)[character].item()
        best = [(i, hits[i].item()) for i in hits.argsort(descending=True, stable=True)[:_BEST].tolist() if hits[i]]
        found.append(Count(n, context.tolist(), seen.item(), hits[character].item(), chance, best))
    return found


@dataclass(frozen=True)
class Places:
    """Where the training text has the end of a context. `places` are the starts of the first five occurrences.

    `context` is the longest suffix of the context that occurs with a character after it, `total` how often it does (up
    to MAX_OCCURRENCES), and `hits` how often the character in question follows.
    """

    context: str
    places: list[int]
    total: int
    hits: int


def find_places(train_text: str, context: str, character: str) -> Places | None:
    """Where `train_text` has the longest suffix of `context` that a character follows; None if there is none.

    Overlapping occurrences count. A novel takes a few milliseconds.
    """
    last = max(0, len(train_text) - 1)  # a character must follow

    def occurs(length: int) -> bool:
        return train_text.find(context[len(context) - length :], 0, last) >= 0

    if not context or not occurs(1):
        return None
    longest = _largest(occurs, 1, len(context))
    end = context[len(context) - longest :]
    places, hits, at = [], 0, train_text.find(end, 0, last)
    while at >= 0 and len(places) < MAX_OCCURRENCES:
        places.append(at)
        hits += train_text[at + longest] == character
        at = train_text.find(end, at + 1, last)
    return Places(end, places[:_SHOWN_PLACES], len(places), hits)


def longest_piece(
    sample: str, place: int, train_text: str, before_each: Callable[[], None] = lambda: None
) -> tuple[int, int]:
    """The longest piece of `sample` that contains character `place` and occurs in `train_text`: (start, length).

    Of equally long pieces, the first in `sample`; (place, 0) if the text lacks the character. Exact. `before_each` is
    called before each search of the text, and may raise an exception to end early.
    """
    end = place + 1

    def occurs(length: int) -> bool:
        return sample[end - length : end] in train_text

    if not occurs(1):
        return place, 0
    best = 0, 0
    for start in range(end - _largest(occurs, 1, end), end):
        before_each()
        until = max(end, start + best[1] + 1)  # only a longer piece is of interest
        if until > len(sample):
            break
        at = train_text.find(sample[start:until])
        while at >= 0:
            before_each()
            while until < len(sample) and train_text[at + until - start : at + until - start + 1] == sample[until]:
                until += 1
            best = start, until - start
            if until == len(sample):
                break
            until += 1
            at = train_text.find(sample[start:until], at + 1)
    return best


def _largest(holds, low: int, high: int) -> int:
    """The largest number from `low` to `high` for which `holds`. It holds for `low` and for all below the largest."""
    step = 1
    while low < high and holds(min(high, low + step)):
        low, step = min(high, low + step), 2 * step
    high = min(high, low + step) - 1 if low < high else high
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


@functools.lru_cache(maxsize=16)
def usual_pieces(sha256: str) -> list[int]:
    """The sorted lengths of such pieces around characters of the held-out part, which no model can have copied.

    Empty for a short text. Raises TextProblem.
    """
    train_text, val_text = parts(sha256)
    if len(val_text) < _PASSAGE_CHARACTERS:
        return []
    passages = len(val_text) - _PASSAGE_CHARACTERS
    starts = [i * passages // (_PLACES_TO_COMPARE - 1) for i in range(_PLACES_TO_COMPARE)]
    middle = _PASSAGE_CHARACTERS // 2
    return sorted(
        longest_piece(val_text[start : start + _PASSAGE_CHARACTERS], middle, train_text)[1] for start in starts
    )


@dataclass(frozen=True)
class TextEvidence:
    """What the training text says about a character; `piece` is (start, length) from `longest_piece`."""

    counts: list[Count]
    places: Places | None
    piece: tuple[int, int]


@dataclass(frozen=True)
class ModelEvidence:
    """What a model did when it predicted a character from a context of N characters; L layers, H heads.

    `chance` is the probability that it gave the character. `mean` (N,) is the attention that the last position pays to
    each, averaged over all heads. `strongest` is the largest single weight: (layer, head, place in the context, share).
    `layers` has for each layer what it would have written: (id, its probability, that of the character).
    """

    chance: float
    mean: torch.Tensor
    strongest: tuple[int, int, int, float]
    layers: list[tuple[int, float, float]]


def of_model(model: MicroLLM, context: torch.Tensor, character: int) -> ModelEvidence:
    """The evidence in the activations of `model` for `character` after `context` (N,), at most block_size ids."""
    traced = trace(model, context)
    attention = traced.pattern[:, :, -1]  # of the last position   (L, H, N)
    layer, head, place = (int(i) for i in torch.unravel_index(attention.argmax(), attention.shape))
    chances = lens(model, traced)[1:, -1].exp()
    best = chances.max(dim=-1)
    layers = list(zip(best.indices.tolist(), best.values.tolist(), chances[:, character].tolist(), strict=True))
    chance = traced.logits[-1].softmax(dim=-1)[character].item()
    return ModelEvidence(chance, attention.mean(dim=(0, 1)), (layer, head, place, attention.max().item()), layers)
