"""From scores to text: the chances of the next character, what temperature, top-k and top-p leave of them, the dice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from .config import stream_seed
from .model import MicroLLM, evaluating


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
    scores, order = logits.double().sort(dim=-1, descending=True, stable=True)
    scores = scores - scores[..., :1]  # the likeliest at 0, so that no temperature can overflow
    if sampling.temperature == 0:
        scores = torch.where(torch.arange(scores.shape[-1], device=scores.device) == 0, scores, -torch.inf)
    else:
        scores = scores / sampling.temperature
    if sampling.top_k:
        scores[..., sampling.top_k :] = -torch.inf
    p = scores.softmax(dim=-1)
    if sampling.top_p < 1:
        enough = p.cumsum(dim=-1) - p >= sampling.top_p  # those before it reach top_p already
        p = p.masked_fill(enough, 0)
        p = p / p.sum(dim=-1, keepdim=True)
    return torch.zeros_like(p).scatter(-1, order, p)


def next_logits(model: MicroLLM, idx: torch.Tensor) -> torch.Tensor:
    """The scores (B, V) of the character after idx (B, T), seen through the last block_size characters."""
    with evaluating(model):
        logits, _ = model(idx[:, -model.config.block_size :])
    return logits[:, -1]


def stream(
    model: MicroLLM,
    idx: torch.Tensor,
    max_new_tokens: int,
    sampling: Sampling | None = None,
    seed: int = 0,
) -> Iterator[torch.Tensor]:
    """Yield one sampled id for each of the B sequences in idx (B, T), max_new_tokens times. Leave it to stop.

    The same model, idx, sampling and seed give the same text. Raises ValueError for an empty idx or a bad sampling.
    """
    sampling = sampling or Sampling()
    if problem := sampling.problem():
        raise ValueError(problem)
    if not idx.shape[1]:
        raise ValueError("There is nothing to go on from: give at least one character.")
    generator = torch.Generator(idx.device).manual_seed(stream_seed(seed, "sample"))
    for _ in range(max_new_tokens):
        idx = idx[:, -model.config.block_size :]
        p = probabilities(next_logits(model, idx), sampling)
        chosen = torch.multinomial(p, num_samples=1, generator=generator)
        idx = torch.cat([idx, chosen], dim=1)
        yield chosen[:, 0]


def generate(
    model: MicroLLM,
    idx: torch.Tensor,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int = 0,
) -> torch.Tensor:
    """idx (B, T) followed by `max_new_tokens` sampled characters: (B, T + max_new_tokens)."""
    steps = list(stream(model, idx, max_new_tokens, Sampling(temperature, top_k, top_p), seed))
    return torch.cat([idx, *(s[:, None] for s in steps)], dim=1)
