"""Anatomy: the numbers of each stage of one forward pass, what they were computed from, and the source code.

Shapes: N characters of one context (at most block_size).
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ..model import MicroLLM
from .stages import HEAD_STAGES, Stage
from .trace import Trace

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Source:
    """A function in its source file: the path, the number of its first line, its lines, and which of them to mark."""

    file: str
    first: int
    lines: tuple[str, ...]
    marked: tuple[int, ...]
    """Indices into `lines`."""


def numbers(name: str, model: MicroLLM, traced: Trace, ids: torch.Tensor, layer: int, head: int) -> torch.Tensor:
    """The matrix of a stage (N, columns), from the trace of one context `ids` (N,); layer and head count from 0.

    Raises ValueError for more than block_size ids: their rows would come from different windows.
    """
    if len(ids) > model.config.block_size:
        raise ValueError(f"{len(ids)} characters do not fit: this model sees {model.config.block_size}.")
    blocks = traced.blocks
    if name == "characters":
        return ids[:, None].float()
    if name == "embedding":
        return blocks.resid_pre[0]
    if name == "match":
        return blocks.q[layer, head] @ blocks.k[layer, head].T
    if name == "probabilities":
        return traced.logits.softmax(-1)
    if name == "scores":
        return blocks.attn_scores[layer, head]
    if name in HEAD_STAGES:
        return getattr(blocks, name)[layer, head]
    return getattr(blocks, name)[layer] if hasattr(blocks, name) else getattr(traced, name)


def factors(
    name: str, model: MicroLLM, traced: Trace, layer: int, head: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None] | None:
    """(a (N, M), b (columns, M), bias (columns,) or None) of a stage whose numbers are a @ b.T + bias; else None.

    Each value of such a stage is a dot product (M products) of a row of `a` and a row of `b`.
    """
    blocks, block = traced.blocks, model.blocks[layer]
    attention, mlp, mine = block.attention, block.feed_forward, block.attention.heads[head]
    if name in ("q", "k") and model.config.position == "rotary":
        return None  # rotated afterwards
    found = {
        "q": lambda: (blocks.ln1[layer], mine.query, None),
        "k": lambda: (blocks.ln1[layer], mine.key, None),
        "match": lambda: (blocks.q[layer, head], blocks.k[layer, head], None),
        "v": lambda: (blocks.ln1[layer], mine.value, None),
        "z": lambda: (blocks.pattern[layer, head], blocks.v[layer, head].T, None),
        "attn_out": lambda: (blocks.z[layer].transpose(0, 1).flatten(1), attention.proj.weight, attention.proj.bias),
        "mlp_pre": lambda: (blocks.ln2[layer], mlp.expand.weight, mlp.expand.bias),
        "mlp_out": lambda: (blocks.mlp_post[layer], mlp.proj.weight, mlp.proj.bias),
        "logits": lambda: (traced.ln_f, model.lm_head.weight, model.lm_head.bias),
    }.get(name)
    return found and tuple(None if one is None else one.detach() for one in found())


def inputs(stage: Stage, layer: int, n_layer: int) -> list[tuple[str, int]]:
    """The stages (name, layer) that a stage of this layer was computed from."""
    found = []
    for name in stage.inputs:
        if name == "stream":
            found.append(("resid_post", layer - 1) if layer else ("embedding", layer))
        elif name == "last":
            found.append(("resid_post", n_layer - 1))
        else:
            found.append((name, layer))
    return found


@functools.cache
def source(function: Callable, names: tuple[str, ...]) -> Source:
    """The source of a function, read from its file.

    It marks the statements that assign to one of `names` or use an attribute of that name; "return" stands for all
    return statements.
    """
    lines, first = inspect.getsourcelines(function)
    text = textwrap.dedent("".join(lines))
    marked: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.stmt) and not hasattr(node, "body") and _matters(node, names):
            marked.update(range(node.lineno - 1, node.end_lineno))
    file = Path(inspect.getsourcefile(function)).relative_to(_ROOT).as_posix()
    return Source(file, first, tuple(text.splitlines()), tuple(sorted(marked)))


def _matters(statement: ast.stmt, names: tuple[str, ...]) -> bool:
    if isinstance(statement, ast.Return) and "return" in names:
        return True
    for node in ast.walk(statement):
        if isinstance(node, ast.Attribute) and node.attr in names:
            return True
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in names:
            return True
    return False
