"""Knock-out: a copy of a model in which some attention heads no longer tell anything about the text."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import torch

from ..model import MicroLLM
from .trace import trace_blocks


def mean_outputs(model: MicroLLM, windows: torch.Tensor) -> torch.Tensor:
    """The mean output of each head over all positions of some windows (N, T): (n_layer, n_head, head_size)."""
    return torch.stack([record.z.mean(dim=(0, 2)) for record in trace_blocks(model, windows)])


def knocked_out(model: MicroLLM, heads: Iterable[tuple[int, int]], means: torch.Tensor | None = None) -> MicroLLM:
    """A copy of `model` in which each of the `heads` (layer, head), both from 0, always says the same.

    That is its mean output, from `mean_outputs`, so that the layers after it see what they are used to (mean ablation;
    Wang et al. 2023, "Interpretability in the Wild", section 2.1). Without `means` it says nothing (zero ablation).
    Raises IndexError for a head that the model does not have.
    """
    model = copy.deepcopy(model)
    with torch.no_grad():
        for layer, head in heads:
            proj = model.blocks[layer].attention.proj
            columns = proj.weight.unflatten(1, (model.config.n_head, -1))[:, head]  # that read this head
            if means is not None:
                proj.bias += columns @ means[layer, head]
            columns.zero_()
    return model
