"""Generation with a key-value cache: the same text as `MicroLLM.generate`, faster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from .config import stream_seed
from .model import Cache, MicroLLM, evaluating
from .sample import Sampling, probabilities, sample_from


def next_logits(model: MicroLLM, idx: torch.Tensor) -> torch.Tensor:
    """The logits (B, V) of the token after idx (B, T). Only the last block_size tokens are used."""
    with evaluating(model):
        logits, _ = model(idx[:, -model.config.block_size :])
    return logits[:, -1]


def prefill_or_decode(model: MicroLLM, cache: Cache, idx: torch.Tensor) -> torch.Tensor:
    """Append idx (B, T) to the context in `cache` and return the logits (B, V) of the next token.

    The first call reads the whole prompt (prefill); each further token is computed alone (decode). When the cache is
    full, the oldest quarter of the context is dropped and the rest is computed again, so every prediction uses between
    3/4 and all of block_size tokens. The logits always equal those of the model on `cache.idx`.
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
    """Yield the next token (B,) of the B sequences in idx (B, T), `max_new_tokens` times.

    The same model, idx, sampling and seed give the same text. With a list of B seeds each sequence has its own random
    numbers and becomes the text it would become alone. Raises ValueError for an empty idx or an invalid sampling.
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
    """Like `stream`, but yield (tokens (B,), the model's logits (B, V), the number of tokens in its context).

    The first `skip` random numbers are left out, to continue a text after that many sampled tokens.
    """
    sampling = sampling or Sampling()
    if problem := sampling.problem():
        raise ValueError(problem)
    if not idx.shape[1]:
        raise ValueError("The prompt is empty: give at least one character.")
    seeds = [seed] if isinstance(seed, int) else seed
    generators = [torch.Generator(idx.device).manual_seed(stream_seed(each, "sample")) for each in seeds]
    rows = len(idx) // len(generators)  # that share one seed
    for generator in generators:
        for _ in range(skip):
            torch.rand(rows, 1, generator=generator, device=idx.device, dtype=torch.float64)
    cache = Cache(model, idx.shape[0])
    for _ in range(max_new_tokens):
        logits = prefill_or_decode(model, cache, idx)
        p = probabilities(logits, sampling).split(rows)
        idx = torch.cat([sample_from(*pair) for pair in zip(p, generators, strict=True)])
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
    """idx (B, T) followed by `max_new_tokens` sampled tokens: (B, T + max_new_tokens)."""
    steps = list(stream(model, idx, max_new_tokens, Sampling(temperature, top_k, top_p), seed))
    return torch.cat([idx, *(chosen[:, None] for chosen in steps)], dim=1)
