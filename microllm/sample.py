"""From scores to text: the chances of the next character, what temperature, top-k and top-p leave of them, the dice."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Sampling:
    """How a character is chosen. `problem` tells what is wrong with it; nothing is checked on construction.

    temperature 0 always takes the likeliest; top_k 0 and top_p 1 cut nothing off.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def problem(self) -> str | None:
        """One sentence when a value is out of range, else None."""
        if not 0 <= self.temperature <= 100:  # also catches NaN
            return f"temperature is {self.temperature}: it must be from 0 (always the likeliest) to 100."
        if self.top_k < 0:
            return f"top_k is {self.top_k}: it must be 0 (no limit) or the number of characters to keep."
        if not 0 < self.top_p <= 1:
            return f"top_p is {self.top_p}: it must be more than 0, and at most 1 (no limit)."
        return None


def probabilities(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """The chances (..., V) from which the next character is drawn, given its scores (..., V).

    Temperature divides the scores; top-k keeps exactly the k likeliest (Fan et al. 2018); then top-p keeps the fewest
    whose chances reach p together (nucleus, Holtzman et al. 2020). What is left is scaled to sum to one.
    Raises ValueError for a value out of range.
    """
    if problem := sampling.problem():
        raise ValueError(problem)
    top_k = sampling.top_k if sampling.temperature > 0 else 1
    scores, order = logits.double(), None
    if top_k or sampling.top_p < 1:
        scores, order = scores.sort(dim=-1, descending=True, stable=True)
    scores = scores - scores.amax(dim=-1, keepdim=True)  # the likeliest at 0, so that no temperature can overflow
    if sampling.temperature > 0:
        scores = scores / sampling.temperature
    if top_k:
        scores[..., top_k:] = -torch.inf
    p = scores.softmax(dim=-1)
    if sampling.top_p < 1:
        enough = p.cumsum(dim=-1) - p >= sampling.top_p  # those before it reach top_p already
        p = p.masked_fill(enough, 0)
        p = p / p.sum(dim=-1, keepdim=True)
    return p if order is None else torch.zeros_like(p).scatter(-1, order, p)


def likeliest(
    logits: torch.Tensor, sampling: Sampling, most: int = 10, also: int | None = None
) -> list[tuple[int, float, float]]:
    """The likeliest characters given the scores (V,) of all: (id, the model's own chance, the chance it is drawn with).

    The best first; `also` is among them in any case, at the end if need be.
    """
    own, drawn = probabilities(logits, Sampling()), probabilities(logits, sampling)
    best = own.topk(min(most, len(own))).indices.tolist()
    if also is not None and also not in best:
        best[-1] = also
    return [(i, own[i].item(), drawn[i].item()) for i in best]


def sample_from(p: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """One id for each row of chances p (B, V), as (B, 1): where their running sum passes a number from the dice."""
    so_far = p.cumsum(dim=-1)
    dice = torch.rand(len(p), 1, generator=generator, device=p.device, dtype=p.dtype)
    return torch.searchsorted(so_far, dice * so_far[:, -1:], right=True)
