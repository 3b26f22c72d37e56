"""One forward pass with everything written down: what the pages that look inside are made from."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .model import MicroLLM, evaluating

_CHUNK = 32


@dataclass(frozen=True)
class Trace:
    """What a model computed for one sentence of N characters.

    `pattern` [layer, head, query, key] (L, H, N, N) is where each character looked: rows sum to one, and are 0 beyond
    block_size and, in a causal model, in the future. `logits` (N, V) are the scores of the character after each.
    """

    pattern: torch.Tensor
    logits: torch.Tensor


def trace(model: MicroLLM, idx: torch.Tensor) -> Trace:
    """Follow one sentence idx (N,) through the readable heads of `model`, without dropout.

    A sentence longer than block_size is computed as when writing: each row from its own last block_size characters.
    Raises ValueError for an empty sentence.
    """
    if not len(idx):
        raise ValueError("There is nothing to look at: give at least one character.")
    size = min(len(idx), model.config.block_size)
    pattern = torch.zeros(model.config.n_layer, model.config.n_head, len(idx), len(idx))
    first = _windows(model, idx[None, :size])
    pattern[:, :, :size, :size] = first.pattern[0]
    logits = [first.logits[0]]
    # every later character ends a window of its own, of which only the last row is kept
    later = idx.unfold(0, size, 1)[1:]
    for start in range(0, len(later), _CHUNK):
        part = _last_rows(model, later[start : start + _CHUNK])
        logits.append(part.logits)
        for i, rows in enumerate(part.pattern):
            end = size + start + i + 1
            pattern[:, :, end - 1, end - size : end] = rows
    return Trace(pattern, torch.cat(logits))


def _last_rows(model: MicroLLM, idx: torch.Tensor) -> Trace:
    """What the last character of each window (B, T) computes, no more: `pattern` (B, L, H, T), `logits` (B, V).

    The last one may look at all, also in a causal model, and of the last block nobody asks for more.
    """
    with evaluating(model):
        x, layers = model.embed(idx), []
        for block in model.blocks:
            q, k, v = block.attention.project(block.ln1(x))  # each (B, H, T, D)
            last = q[:, :, -1:]
            layers.append((last @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(dim=-1)[:, :, 0])  # (B, H, T)
            if block is model.blocks[-1]:
                x, q = x[:, -1:], last
            x = x + block.attention.look(q, k, v)
            x = x + block.feed_forward(block.ln2(x))
        return Trace(torch.stack(layers, dim=1), model.head(model.ln(x[:, -1])))


def _windows(model: MicroLLM, idx: torch.Tensor) -> Trace:
    """The same for a batch of windows (B, T): `pattern` (B, L, H, T, T), `logits` (B, T, V)."""
    with evaluating(model):
        x, layers = model.embed(idx), []
        for block in model.blocks:
            normed = block.ln1(x)
            layers.append(torch.stack([head(normed)[1] for head in block.attention.heads], dim=1))
            x = block(x)
        return Trace(torch.stack(layers, dim=1), model.head(model.ln(x)))
