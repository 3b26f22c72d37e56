"""Knock-out: a copy of a model in which some attention heads no longer tell anything about the text."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch

from ..model import MicroLLM, evaluating
from .trace import trace_block


def mean_outputs(model: MicroLLM, windows: torch.Tensor) -> torch.Tensor:
    """The mean output of each head over all positions of some windows (N, T): (n_layer, n_head, head_size)."""
    means = []
    with evaluating(model):
        x = model.embed(windows)
        for block in model.blocks:
            x, record = trace_block(block, x)
            means.append(record.z.mean(dim=(0, 2)))
    return torch.stack(means)


def knocked_out(model: MicroLLM, heads: Iterable[tuple[int, int]], means: torch.Tensor | None = None) -> MicroLLM:
    """A copy of `model` in which each of the `heads` (layer, head) always says the same.

    That is its mean output, from `mean_outputs`, so that the layers after it see what they are used to (mean ablation;
    Wang et al. 2023, "Interpretability in the Wild", section 2.1). Without `means` it says nothing (zero ablation).
    """
    model = copy.deepcopy(model)
    with torch.no_grad():
        for layer, head in heads:
            proj, size = model.blocks[layer].attention.proj, model.config.head_size
            columns = proj.weight[:, head * size : (head + 1) * size]  # that read this head
            if means is not None:
                proj.bias += columns @ means[layer, head]
            columns.zero_()
    return model
