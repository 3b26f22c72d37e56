"""Generate text with a key-value cache: the fast twin of `MicroLLM.generate`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from .config import stream_seed
from .model import Cache, MicroLLM, evaluating
from .sample import Sampling, probabilities, sample_from


def next_logits(model: MicroLLM, idx: torch.Tensor) -> torch.Tensor:
    """The scores (B, V) of the character after idx (B, T), seen through the last block_size characters."""
    with evaluating(model):
        logits, _ = model(idx[:, -model.config.block_size :])
    return logits[:, -1]


def prefill_or_decode(model: MicroLLM, cache: Cache, idx: torch.Tensor) -> torch.Tensor:
    """Add idx (B, T) to the context in `cache`: the scores (B, V) of the character after it.

    One more character costs the work of one. When the cache is full, the oldest quarter of the context is dropped and
    the rest is read anew: every character is then scored from 3/4 to all of block_size characters. Each time the scores
    are those of the model on `cache.idx`, which is the context afterwards.
    """
    size = model.config.block_size
    if cache.length and (cache.length + idx.shape[1] > size or not model.config.causal):
        kept = cache.idx[:, max(1, size // 4) :] if cache.length == size else cache.idx
        idx = torch.cat([kept, idx], dim=1)
        cache.clear()
    with evaluating(model):
        logits, _ = model(idx[:, -size:], cache=cache)
    return logits[:, -1]


def stream(
    model: MicroLLM,
    idx: torch.Tensor,
    max_new_tokens: int,
    sampling: Sampling | None = None,
    seed: int | Sequence[int] = 0,
) -> Iterator[torch.Tensor]:
    """Yield one sampled id for each of the B sequences in idx (B, T), max_new_tokens times. Leave it to stop.

    The same model, idx, sampling and seed give the same text. With a list of B seeds each sequence throws dice of its
    own, and is written as it would be alone. Raises ValueError for an empty idx or a bad sampling.
    """
    for chosen, _, _ in scored_stream(model, idx, max_new_tokens, sampling, seed):
        yield chosen


def scored_stream(
    model: MicroLLM,
    idx: torch.Tensor,
    max_new_tokens: int,
    sampling: Sampling | None = None,
    seed: int | Sequence[int] = 0,
    skip: int = 0,
) -> Iterator[tuple[torch.Tensor, torch.Tensor, int]]:
    """As `stream`, with what the choice was made from: ids (B,), the model's scores (B, V), and how many of the last
    characters it saw. The dice go on as if `skip` characters had been chosen with them before.
    """
    sampling = sampling or Sampling()
    if problem := sampling.problem():
        raise ValueError(problem)
    if not idx.shape[1]:
        raise ValueError("There is nothing to go on from: give at least one character.")
    seeds = [seed] if isinstance(seed, int) else seed
    generators = [torch.Generator(idx.device).manual_seed(stream_seed(one, "sample")) for one in seeds]
    rows = len(idx) // len(generators)  # that share the dice of one seed
    for generator in generators:
        for _ in range(skip):
            torch.rand(rows, 1, generator=generator, device=idx.device, dtype=torch.float64)
    cache = Cache(model, idx.shape[0])
    for _ in range(max_new_tokens):
        logits = prefill_or_decode(model, cache, idx)
        p = probabilities(logits, sampling).split(rows)
        idx = torch.cat([sample_from(*one) for one in zip(p, generators, strict=True)])
        yield idx[:, 0], logits, cache.length


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
    return torch.cat([idx, *(chosen[:, None] for chosen in steps)], dim=1)
