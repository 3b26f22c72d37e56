"""Sampling: from logits to probabilities, with temperature, top-k and top-p, and from probabilities to a token."""

from __future__ import annotations

from dataclasses import dataclass

import torch


class NotFinite(ValueError):
    """The logits are not finite, so nothing can be sampled from them."""

    def __init__(self) -> None:
        super().__init__("The model's logits are not finite numbers: its weights are damaged.")


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. Values are not checked on construction: see `problem`.

    temperature 0 always takes the most likely token; top_k 0 and top_p 1 exclude nothing.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def problem(self) -> str | None:
        """A sentence if a value is out of range, else None."""
        if not 0 <= self.temperature <= 100:  # also catches NaN
            return f"temperature is {self.temperature}: it must be from 0 (always the most likely character) to 100."
        if self.top_k < 0:
            return f"top_k is {self.top_k}: it must be 0 (no limit) or more."
        if not 0 < self.top_p <= 1:
            return f"top_p is {self.top_p}: it must be above 0 and at most 1 (no limit)."
        return None


def probabilities(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """The probabilities (..., V) from which the next token is drawn, given the logits (..., V).

    The logits are divided by the temperature. Top-k keeps the k most likely tokens (Fan et al. 2018). Top-p then keeps
    the most likely ones until their probabilities add up to p (nucleus sampling, Holtzman et al. 2020). The rest get
    probability 0. Raises ValueError for a setting out of range, and NotFinite.
    """
    if problem := sampling.problem():
        raise ValueError(problem)
    if not logits.isfinite().all():
        raise NotFinite
    top_k = sampling.top_k if sampling.temperature > 0 else 1
    scores, order = logits.double(), None
    if top_k or sampling.top_p < 1:
        scores, order = scores.sort(dim=-1, descending=True, stable=True)
    scores = scores - scores.amax(dim=-1, keepdim=True)  # the largest is 0, so that no temperature overflows
    if sampling.temperature > 0:
        scores = scores / sampling.temperature
    if top_k:
        scores[..., top_k:] = -torch.inf
    p = scores.softmax(dim=-1)
    if sampling.top_p < 1:
        excluded = p.cumsum(dim=-1) - p >= sampling.top_p  # the more likely tokens reach top_p without it
        p = p.masked_fill(excluded, 0)
        p = p / p.sum(dim=-1, keepdim=True)
    return p if order is None else torch.zeros_like(p).scatter(-1, order, p)


def likeliest(
    logits: torch.Tensor, sampling: Sampling, count: int = 10, also: int | None = None
) -> list[tuple[int, float, float]]:
    """The `count` most likely tokens given logits (V,): (id, the model's probability, the probability used to sample).

    The most likely comes first. `also` is always among them, in the last place if it is less likely.
    """
    own, drawn = probabilities(logits, Sampling()), probabilities(logits, sampling)
    best = own.topk(min(count, len(own))).indices.tolist()
    if also is not None and also not in best:
        best[-1] = also
    return [(i, own[i].item(), drawn[i].item()) for i in best]


def sample_from(p: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Draw one id (B, 1) for each row of probabilities p (B, V).

    It is the first id at which the cumulative probability exceeds a random number from 0 to 1.
    """
    cumulative = p.cumsum(dim=-1)
    threshold = torch.rand(len(p), 1, generator=generator, device=p.device, dtype=p.dtype)
    return torch.searchsorted(cumulative, threshold * cumulative[:, -1:], right=True)
