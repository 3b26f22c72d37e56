"""Scores that describe a head: how much attention it pays to certain places, compared with chance."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import torch

from ..model import MicroLLM, evaluating
from ..sample import NotFinite
from .trace import trace_block

PASSAGE_CHARACTERS = 2_000
"""The held-out characters on which the heads of a model are scored: always the same ones, so steps can be compared."""

PLACES = (
    "previous_token",
    "two_back",
    "three_back",
    "four_back",
    "self",
    "first_token",
    "last_space",
    "induction",
    "next_token",
)
"""The names of the scores that are shares of attention, as in TransformerLens's head_detector.py where it has them.

`first_token` is the first visible one. `induction` is the token after the previous occurrence of this same token
(Olsson et al. 2022, "In-context Learning and Induction Heads").
"""

_MIN_MARGIN = 0.1  # above chance, for a score that says what a head does; it must be twice chance as well
_TOKENS_AT_ONCE = 1_024  # in one batch: tens of milliseconds for a model of the size of `quick`


@dataclass(frozen=True)
class HeadScore:
    """One number for each head, and the one of a head that spreads its attention evenly over what it can see.

    For a name in PLACES, `shares` (L, H) are the mean attention weights on that place and `chance` is the mean of
    1 / visible characters. For "spread" they are the effective number of characters that the head looks at,
    exp(entropy of its row), and `chance` is the mean number of visible characters.
    """

    name: str
    shares: torch.Tensor
    chance: float

    def of(self, layer: int, head: int) -> float:
        """The number of one head."""
        return self.shares[layer, head].item()

    def is_clear(self, layer: int, head: int) -> bool:
        """True if the head's share is at least twice chance and 0.1 above it. A spread says nothing about a place."""
        share = self.of(layer, head)
        return self.name != "spread" and share >= 2 * self.chance and share - self.chance >= _MIN_MARGIN


def head_scores(pattern: torch.Tensor, text: str, block_size: int, *, causal: bool = True) -> list[HeadScore]:
    """The scores of all heads of a `pattern` [layer, head, query, key] (L, H, N, N) of `text`, N characters.

    A row counts for a score if its window contains that place and at least one other: without a choice, a row says
    nothing. A score for which no row counts is left out, such as last_space in a single word.
    """
    ids = torch.tensor([[ord(character) for character in text]])
    first, last = attention_window(len(text), block_size, causal=causal)
    keys = _keys(ids, ord(" "), first, last)
    return _means([_Sums.of([layer[None] for layer in pattern], keys, first, last)])


def passage_scores(
    model: MicroLLM, windows: torch.Tensor, space: int | None, before_each: Callable[[], None] = lambda: None
) -> list[HeadScore]:
    """The scores of all heads of `model` over windows (W, T) of token ids, such as `Corpus.validation_windows` gives.

    `space` is the id of the space, None if the vocabulary has none. `before_each` is called before each batch; it may
    sleep, or raise an exception to end early. Raises NotFinite if the attention weights are not numbers.
    """
    T = windows.shape[1]
    first, last = attention_window(T, T, causal=model.config.causal)
    sums = []
    for some in windows.split(max(1, _TOKENS_AT_ONCE // T)):
        before_each()
        some, patterns = some.long(), []
        with evaluating(model):
            x = model.embed(some)
            for block in model.blocks:
                x, record = trace_block(block, x)
                patterns.append(record.pattern)
            sums.append(_Sums.of(patterns, _keys(some, space, first, last), first, last))
    scores = _means(sums)
    if not all(score.shares.isfinite().all() for score in scores):
        raise NotFinite
    return scores


def attention_window(length: int, block_size: int, *, causal: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """The first and the last place (N,) that each of `length` characters can attend to, as `trace` computes them."""
    rows = torch.arange(length)
    first = (rows - block_size + 1).clamp(min=0)
    return first, rows if causal else rows.clamp(min=min(block_size, length) - 1)


def _keys(ids: torch.Tensor, space: int | None, first: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """Where each score looks: the key (W, N, P) of each row of ids (W, N), for the P names in PLACES; -1 if nowhere.

    Row i can attend to the places from first[i] to last[i], both (N,).
    """
    W, N = ids.shape
    rows = torch.arange(N)

    def latest(matches: torch.Tensor) -> torch.Tensor:
        """The last place (W, N) before each row, in its window, that `matches` (W, N, N); -1 if there is none."""
        is_before = (rows < rows[:, None]) & (rows >= first[:, None])
        return torch.where(matches & is_before, rows, -1).amax(-1)

    same = latest(ids[:, :, None] == ids[:, None, :])
    keys = {
        "previous_token": rows - 1,
        "two_back": rows - 2,
        "three_back": rows - 3,
        "four_back": rows - 4,
        "self": rows,
        "first_token": first,
        "last_space": latest((ids == space)[:, None, :]) if space is not None else torch.tensor(-1),
        "induction": torch.where(same >= 0, same + 1, -1),
        "next_token": rows + 1,
    }
    places = torch.stack([keys[name].expand(W, N) for name in PLACES], dim=-1)
    is_visible = (places >= first[:, None]) & (places <= last[:, None])
    return torch.where(is_visible, places, -1)


@dataclass(frozen=True)
class _Sums:
    """Sums over the rows that count: of the P places and, in the last column, of the spread."""

    shares: torch.Tensor
    """(L, H, P + 1)"""
    chances: torch.Tensor
    """(P + 1,)"""
    rows: torch.Tensor
    """(P + 1,): how many rows count."""

    @classmethod
    def of(cls, patterns: list[torch.Tensor], keys: torch.Tensor, first: torch.Tensor, last: torch.Tensor) -> _Sums:
        """The sums for the `patterns` (W, H, N, N) of all layers, at the `keys` (W, N, P)."""
        visible = (last - first + 1).float()
        has_choice = (visible > 1)[:, None]
        counts = (keys >= 0) & has_choice
        wanted, is_counted = keys.clamp(min=0)[:, None], counts[:, None]
        sums = []
        for pattern in patterns:
            shares = pattern.gather(-1, wanted.expand(-1, pattern.shape[1], -1, -1))  # (W, H, N, P)
            spread = torch.special.entr(pattern).sum(-1, keepdim=True).exp()
            sums.append(torch.cat([shares * is_counted, spread * has_choice], dim=-1).sum(dim=(0, 2)))
        chances = torch.cat(
            [(counts / visible[:, None]).sum((0, 1)), len(keys) * (has_choice[:, 0] * visible).sum()[None]]
        )
        rows = torch.cat([counts.sum((0, 1)), len(keys) * has_choice.sum()[None]])
        return cls(torch.stack(sums), chances, rows)


def _means(parts: list[_Sums]) -> list[HeadScore]:
    """The scores from the sums over all rows, without those for which no row counts."""
    shares, chances, rows = (sum(getattr(part, name) for part in parts) for name in ("shares", "chances", "rows"))
    return [
        HeadScore(name, shares[..., i] / rows[i], (chances[i] / rows[i]).item())
        for i, name in enumerate((*PLACES, "spread"))
        if rows[i]
    ]


def taken_over(
    before: list[HeadScore],
    after: list[HeadScore],
    silenced: Collection[tuple[int, int]],
    silent_before: Collection[tuple[int, int]] = (),
) -> tuple[str, tuple[int, int], float, float] | None:
    """Who does more of what silenced heads did: (name of the score, (layer, head), its share before and after).

    The score is the one in which a silenced head was furthest above chance in `before`; the head is the one that is not
    silenced and whose share has risen most. None if no silenced head was clearly above chance, or no share rose.
    """
    found = [best for place in silenced if (best := strongest(before, *place))]
    if not found:
        return None
    did = max(found, key=lambda score: max(score.of(*place) for place in silenced) - score.chance)
    now = next((score for score in after if score.name == did.name), None)
    if now is None:
        return None
    rises = now.shares - did.shares
    for place in (*silenced, *silent_before):
        rises[place] = -torch.inf
    layer, head = divmod(int(rises.argmax()), rises.shape[1])
    return (did.name, (layer, head), did.of(layer, head), now.of(layer, head)) if rises[layer, head] > 0 else None


def distance_shares(pattern: torch.Tensor) -> torch.Tensor:
    """The mean attention that each head pays to each distance: (L, H, T) of `pattern` (L, B, H, T, T), causal.

    T must be above 1. The mean for a distance is over the positions that have a character that far back; the first
    position is left out, because it has no choice.
    """
    T = pattern.shape[-1]
    shares = [pattern.diagonal(-back, dim1=-2, dim2=-1)[..., int(back == 0) :] for back in range(T)]
    return torch.stack([each.mean(dim=(1, 3)) for each in shares], dim=-1)


def bias_shares(model: MicroLLM) -> torch.Tensor | None:
    """How each head would divide its attention among the distances (L, H, block_size) if all keys matched equally.

    That is the softmax of the bias of its relative positions, at the last position of a full context. None without
    relative positions, and without a causal mask, where attention goes to later characters too.
    """
    if model.config.position != "relative" or not model.config.causal:
        return None
    return torch.stack([block.attention.bias for block in model.blocks]).detach().softmax(dim=-1)


def strongest(scores: list[HeadScore], layer: int, head: int) -> HeadScore | None:
    """The score in which a head is furthest above chance; None if it is not at least twice chance and 0.1 above it."""
    places = (score for score in scores if score.name != "spread")
    best = max(places, key=lambda score: score.of(layer, head) - score.chance, default=None)
    return best if best and best.is_clear(layer, head) else None


def clear_since(
    over_time: Mapping[int, list[HeadScore]], name: str, layer: int, head: int
) -> tuple[int | None, int] | None:
    """(before, since): `since` is the first step from which a head's score `name` stays clearly above chance.

    `over_time` has the scores at some steps. `before` is the last step at which the score was not clear: the head
    specialized between the two. `before` is None if the score is clear at every step. The result is None if the score
    is not clear at the last step.
    """
    since = None
    for step in sorted(over_time, reverse=True):
        if not any(score.name == name and score.is_clear(layer, head) for score in over_time[step]):
            return None if since is None else (step, since)
        since = step
    return None if since is None else (None, since)
