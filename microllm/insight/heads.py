"""Scores that describe a head: how much attention it pays to certain places, compared with chance."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..model import MicroLLM

_MIN_MARGIN = 0.1  # above chance, for a score that says what a head does; it must be twice chance as well


@dataclass(frozen=True)
class HeadScore:
    """How much attention each head puts on one place, on one sentence.

    `name` is previous_token, two_back, three_back, self, first_token (of the window), last_space or next_token.
    `shares` (L, H) are mean attention weights. `chance` is the share of a head that spreads its attention evenly over
    the window.
    """

    name: str
    shares: torch.Tensor
    chance: float


def head_scores(pattern: torch.Tensor, text: str, block_size: int, *, causal: bool = True) -> list[HeadScore]:
    """The scores of all heads of a `pattern` [layer, head, query, key] (L, H, N, N) of `text`, N characters.

    The names are those of TransformerLens's head_detector.py, where it has them. A row counts for a score if its window
    contains that place and at least one other: a row without a choice says nothing. A score for which no row counts is
    left out, such as last_space in a single word.
    """
    rows = torch.arange(len(text))
    first, last = attention_window(len(text), block_size, causal=causal)
    last_space, space = [], -1
    for i, character in enumerate(text):
        last_space.append(space)
        if character == " ":
            space = i
    places = {
        "previous_token": rows - 1,
        "two_back": rows - 2,
        "three_back": rows - 3,
        "self": rows,
        "first_token": first,
        "last_space": torch.tensor(last_space, dtype=torch.long),
    }
    if not causal:
        places["next_token"] = rows + 1
    scores = []
    for name, keys in places.items():
        counts = (keys >= first) & (keys <= last) & (last > first)
        if counts.any():
            shares = pattern[..., rows[counts], keys[counts]].mean(-1)
            chance = (1 / (last - first + 1)[counts]).mean().item()
            scores.append(HeadScore(name, shares, chance))
    return scores


def attention_window(length: int, block_size: int, *, causal: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """The first and the last place (N,) that each of `length` characters can attend to, as `trace` computes them."""
    rows = torch.arange(length)
    first = (rows - block_size + 1).clamp(min=0)
    return first, rows if causal else rows.clamp(min=min(block_size, length) - 1)


def distance_shares(pattern: torch.Tensor) -> torch.Tensor:
    """The mean attention that each head pays to each distance: (L, H, T) of `pattern` (L, B, H, T, T), causal.

    For T > 1. The mean for a distance is over the positions that have a character that far back; the first position is
    left out, because it has no choice.
    """
    T = pattern.shape[-1]
    shares = [pattern.diagonal(-back, dim1=-2, dim2=-1)[..., int(back == 0) :] for back in range(T)]
    return torch.stack([each.mean(dim=(1, 3)) for each in shares], dim=-1)


def bias_shares(model: MicroLLM) -> torch.Tensor | None:
    """How each head would divide its attention among the distances (L, H, block_size) if all keys matched equally.

    That is the softmax of the bias of its relative positions, for the last place of a full context. None without them,
    and without a causal mask: there attention is divided among later characters too.
    """
    if model.config.position != "relative" or not model.config.causal:
        return None
    return torch.stack([block.attention.bias for block in model.blocks]).detach().softmax(dim=-1)


def strongest(scores: list[HeadScore], layer: int, head: int) -> HeadScore | None:
    """The score by which a head is furthest above chance; None if that is below twice chance, or by less than 0.1."""
    best = max(scores, key=lambda score: score.shares[layer, head].item() - score.chance, default=None)
    if best is None:
        return None
    share = best.shares[layer, head].item()
    return best if share >= 2 * best.chance and share - best.chance >= _MIN_MARGIN else None
