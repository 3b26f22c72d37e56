"""What a head does, in a few numbers: how much it looks at telling places, against a head that looks evenly."""

from __future__ import annotations

from dataclasses import dataclass

import torch

_CLEAR = 0.1  # above chance by so much, and at least twice as much: then a head is called after what it does


@dataclass(frozen=True)
class HeadScore:
    """How much each head looks at one `place` ("one back"), on one sentence.

    `shares` (L, H) are mean shares of attention; `chance` is what a head would reach that looks evenly at all in attention_window.
    """

    place: str
    shares: torch.Tensor
    chance: float


def head_scores(pattern: torch.Tensor, text: str, block_size: int, *, causal: bool = True) -> list[HeadScore]:
    """The head_scores of all heads of a `pattern` [layer, head, query, key] (L, H, N, N) of `text`, N characters.

    A row counts for a score when its place is in attention_window and something else is, too: a row without a choice says
    nothing. A score that no row counts for, as the last space of a word, is left out.
    """
    rows = torch.arange(len(text))
    first, last = attention_window(len(text), block_size, causal=causal)
    last_space, space = [], -1
    for i, character in enumerate(text):
        last_space.append(space)
        if character == " ":
            space = i
    places = {
        "one back": rows - 1,
        "at itself": rows,
        "at the first in attention_window": first,
        "at the last space": torch.tensor(last_space, dtype=torch.long),
    }
    if not causal:
        places["one ahead"] = rows + 1
    found = []
    for place, keys in places.items():
        counts = (keys >= first) & (keys <= last) & (last > first)
        if counts.any():
            shares = pattern[..., rows[counts], keys[counts]].mean(-1)
            chance = (1 / (last - first + 1)[counts]).mean().item()
            found.append(HeadScore(place, shares, chance))
    return found


def attention_window(length: int, block_size: int, *, causal: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """The first and the last place (N,) that each of `length` characters can look at, as `trace` computes them."""
    rows = torch.arange(length)
    first = (rows - block_size + 1).clamp(min=0)
    return first, rows if causal else rows.clamp(min=min(block_size, length) - 1)


def strongest(found: list[HeadScore], layer: int, head: int) -> HeadScore | None:
    """The score by which a head is furthest above chance; None when it is above by little, or is not twice chance."""
    best = max(found, key=lambda score: score.shares[layer, head].item() - score.chance, default=None)
    if best is None:
        return None
    share = best.shares[layer, head].item()
    return best if share >= 2 * best.chance and share - best.chance >= _CLEAR else None
