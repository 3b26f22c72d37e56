"""Trace: one forward pass that records every intermediate value, with the names of TransformerLens.

Shapes: L layers, H heads, N tokens of one sentence, C = n_embd, D = C / H (head size), V = vocabulary size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from ..model import Block, MicroLLM, evaluating

_WINDOWS_PER_BATCH = 32


@dataclass(frozen=True)
class BlockTrace:
    """What a block computes for each position: (B, N, C), or (B, H, N, D) per head, unless another shape is given."""

    resid_pre: torch.Tensor
    """The residual stream that enters the block."""
    ln1: torch.Tensor
    """resid_pre after layer normalization: what the heads read."""
    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    """Queries, keys and values, after rotary positions."""
    attn_scores: torch.Tensor
    """(B, H, N, N): query times key / sqrt(D), plus the bias of their distance; minus infinity if the key is hidden."""
    pattern: torch.Tensor
    """(B, H, N, N): the attention weights [query, key], softmax of the scores; each row sums to one."""
    z: torch.Tensor
    """Each head's output: the values, weighted by its pattern; zero for a silenced head."""
    attn_out: torch.Tensor
    """What attention adds to the residual stream."""
    resid_mid: torch.Tensor
    """resid_pre + attn_out."""
    ln2: torch.Tensor
    """resid_mid after layer normalization: what the feed-forward network reads."""
    mlp_pre: torch.Tensor
    mlp_post: torch.Tensor
    """(B, N, 4C): the hidden layer of the feed-forward network before and after its activation."""
    mlp_out: torch.Tensor
    """What the feed-forward network adds to the residual stream."""
    resid_post: torch.Tensor
    """resid_mid + mlp_out: the input of the next block."""


@dataclass(frozen=True)
class Trace:
    """What a model computed for one sentence of N tokens. In `blocks`, layers take the place of the batch.

    So `blocks.pattern` [layer, head, query, key] is (L, H, N, N) and `blocks.resid_post` (L, N, C). A key that is more
    than block_size back, or in the future of a causal model, has weight 0 and score minus infinity. The residual stream
    begins as the sum of the embeddings: `blocks.resid_pre[0]`.
    """

    token_embed: torch.Tensor
    """(N, C): the embedding of each token."""
    previous_embed: torch.Tensor | None
    """(N, C): the sum of the embeddings of the `lookback` tokens before it; None for a model without them."""
    position_embed: torch.Tensor | None
    """(N, C): the embedding of its position; None unless positions are learned."""
    blocks: BlockTrace
    ln_f: torch.Tensor
    """(N, C): the last resid_post after the final layer normalization."""
    logits: torch.Tensor
    """(N, V): row i predicts token i + 1."""

    @property
    def pattern(self) -> torch.Tensor:
        """The attention weights of all heads (L, H, N, N)."""
        return self.blocks.pattern


def trace(model: MicroLLM, idx: torch.Tensor) -> Trace:
    """Trace one sentence idx (N,) through `model`, without dropout.

    A sentence longer than block_size is computed as in generation: each token from its own last block_size tokens.
    Raises ValueError for an empty sentence.
    """
    if not len(idx):
        raise ValueError("The sentence is empty: it needs at least one character.")
    windows = idx.unfold(0, min(len(idx), model.config.block_size), 1)
    # each token after the first window ends its own window, and only the last row of that window is kept
    first, *later = windows[:1], *windows[1:].split(_WINDOWS_PER_BATCH)
    with evaluating(model):
        parts = [_trace_windows(model, first, slice(None))]
        parts += [_trace_windows(model, some, slice(-1, None)) for some in later if len(some)]
    rows = {name: torch.cat([part[name] for part, _ in parts], dim=-2) for name in parts[0][0]}
    for name, hidden in {"attn_scores": -torch.inf, "pattern": 0.0}.items():
        rows[name] = _over_the_sentence(rows[name], len(idx), hidden)
    around = {name: torch.cat([part[name] for _, part in parts]) for name in parts[0][1]}
    missing = dict.fromkeys(("previous_embed", "position_embed"))
    return Trace(blocks=BlockTrace(**rows), **missing | around)


def trace_block(block: Block, x: torch.Tensor, rows: slice = slice(None)) -> tuple[torch.Tensor, BlockTrace]:
    """(output, everything computed) for x (B, T, C): `Block.forward` step by step, recorded for some `rows`."""
    attention, feed_forward = block.attention, block.feed_forward
    ln1 = block.ln1(x)
    q, k, v = attention.project_qkv(ln1)
    q, resid_pre, ln1 = q[..., rows, :], x[..., rows, :], ln1[..., rows, :]
    attn_scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    if attention.bias is not None:
        attn_scores = attn_scores + attention.bias_scores(x.shape[1], x.shape[1])[:, rows]
    if attention.causal:
        future = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(diagonal=1)
        attn_scores = attn_scores.masked_fill(future[rows], -torch.inf)
    pattern = attn_scores.softmax(dim=-1)
    z = attention.silence(pattern @ v)
    attn_out = attention.proj(z.transpose(1, 2).flatten(2))
    resid_mid = resid_pre + attn_out
    ln2 = block.ln2(resid_mid)
    mlp_pre = feed_forward.expand(ln2)
    mlp_post = feed_forward.activate(mlp_pre)
    mlp_out = feed_forward.proj(mlp_post)
    resid_post = resid_mid + mlp_out
    k, v = k[..., rows, :], v[..., rows, :]
    return resid_post, BlockTrace(
        resid_pre=resid_pre,
        ln1=ln1,
        q=q,
        k=k,
        v=v,
        attn_scores=attn_scores,
        pattern=pattern,
        z=z,
        attn_out=attn_out,
        resid_mid=resid_mid,
        ln2=ln2,
        mlp_pre=mlp_pre,
        mlp_post=mlp_post,
        mlp_out=mlp_out,
        resid_post=resid_post,
    )


def trace_blocks(model: MicroLLM, windows: torch.Tensor) -> list[BlockTrace]:
    """What each block computes for windows (N, T) of at most block_size tokens, without dropout."""
    records = []
    with evaluating(model):
        x = model.embed(windows)
        for block in model.blocks:
            x, record = trace_block(block, x)
            records.append(record)
    return records


def _trace_windows(
    model: MicroLLM, idx: torch.Tensor, rows: slice
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """(BlockTrace's fields, Trace's others) for these rows of each window (B, T), window after window.

    The former are (L, ..., rows, ...), the latter (rows, ...).
    """
    x, layers = model.embed(idx), []
    for block in model.blocks:
        is_last = block is model.blocks[-1]  # a later layer would need all rows
        x, record = trace_block(block, x, rows if is_last else slice(None))
        layers.append(record)
    kept = {}
    for name in BlockTrace.__dataclass_fields__:
        values = torch.stack([getattr(record, name)[..., rows, :] for record in layers])  # (L, B, ..., rows, ...)
        kept[name] = torch.cat(values.unbind(1), dim=-2)
    ln_f = model.ln_f(x).flatten(0, 1)
    around = {name: part[:, rows].flatten(0, 1) for name, part in embeddings(model, idx).items()}
    return kept, around | {"ln_f": ln_f, "logits": model.lm_head(ln_f)}


def embeddings(model: MicroLLM, idx: torch.Tensor) -> dict[str, torch.Tensor]:
    """The terms of `MicroLLM.embed` for windows (B, T), each (B, T, C), under the names that Trace has for them."""
    terms = {"token_embed": model.token_embedding(idx)}
    if k := model.config.lookback:
        previous = functional.pad(idx, (k, 0), value=model.vocab_size)[:, :-1].unfold(1, k, 1)
        table = torch.arange(k, device=idx.device) * (model.vocab_size + 1)
        terms["previous_embed"] = model.lookback_embedding(previous + table).sum(dim=2)
    if model.config.position == "learned":
        terms["position_embed"] = model.position_embedding.weight[: idx.shape[1]].expand_as(terms["token_embed"])
    return terms


def _over_the_sentence(rows: torch.Tensor, length: int, hidden: float) -> torch.Tensor:
    """Rows (..., N, T) over the keys of their own windows, as (..., N, N) over the keys of the whole sentence."""
    size = rows.shape[-1]
    whole = rows.new_full((*rows.shape[:-1], length), hidden)
    for query in range(length):
        end = max(query + 1, size)
        whole[..., query, end - size : end] = rows[..., query, :]
    return whole
