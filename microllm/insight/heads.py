"""What a head does, in a few numbers: how much it looks at telling places, against a head that looks evenly."""

from __future__ import annotations

from dataclasses import dataclass

import torch

_CLEAR = 0.1  # above chance by so much, and at least twice as much: then a head is called after what it does


@dataclass(frozen=True)
class Trait:
    """How much each head looks at one `place` ("one back"), on one sentence.

    `shares` (L, H) are mean shares of attention; `chance` is what a head would reach that looks evenly at all in sight.
    """

    place: str
    shares: torch.Tensor
    chance: float


def traits(pattern: torch.Tensor, text: str, block_size: int, *, causal: bool = True) -> list[Trait]:
    """The traits of all heads of a `pattern` [layer, head, query, key] (L, H, N, N) of `text`, N characters.

    A row counts for a trait when its place is in sight and something else is, too: a row without a choice says
    nothing. A trait that no row counts for, as the last space of a word, is left out.
    """
    rows = torch.arange(len(text))
    first, last = sight(len(text), block_size, causal=causal)
    last_space, space = [], -1
    for i, character in enumerate(text):
        last_space.append(space)
        if character == " ":
            space = i
    places = {
        "one back": rows - 1,
        "at itself": rows,
        "at the first in sight": first,
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
            found.append(Trait(place, shares, chance))
    return found


def sight(length: int, block_size: int, *, causal: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """The first and the last place (N,) that each of `length` characters can look at, as `trace` computes them."""
    rows = torch.arange(length)
    first = (rows - block_size + 1).clamp(min=0)
    return first, rows if causal else rows.clamp(min=min(block_size, length) - 1)


def strongest(found: list[Trait], layer: int, head: int) -> Trait | None:
    """The trait by which a head is furthest above chance; None when it is above by little, or is not twice chance."""
    best = max(found, key=lambda trait: trait.shares[layer, head].item() - trait.chance, default=None)
    if best is None:
        return None
    share = best.shares[layer, head].item()
    return best if share >= 2 * best.chance and share - best.chance >= _CLEAR else None
