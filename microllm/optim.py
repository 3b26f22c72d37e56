"""The optimisers and the learning-rate curve."""

from __future__ import annotations

import torch

from .config import TrainConfig
from .model import MicroLLM


def make_optimizers(model: MicroLLM, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """What corrects the weights after each step; together they hold every parameter exactly once.

    "adamw" is AdamW (Loshchilov & Hutter 2019) with torch's defaults, as in the article. "muon" is Muon (Jordan et al.
    2024, https://kellerjordan.github.io/posts/muon) for the matrices inside the blocks, where an update can turn all
    directions alike, and AdamW for embeddings, norms, biases and scores. Both take the same learning rate.
    """
    fused = {"lr": config.learning_rate, "fused": True}  # one kernel for all weights
    if config.optimizer == "adamw":
        return [torch.optim.AdamW(model.parameters(), **fused)]
    matrices = [p for p in model.blocks.parameters() if p.ndim == 2]
    inside = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in inside]
    assert len(matrices) + len(others) == len(list(model.parameters()))
    return [
        torch.optim.Muon(matrices, lr=config.learning_rate, momentum=0.9, ns_steps=3, weight_decay=0),
        torch.optim.AdamW(others, betas=(0.9, 0.95), weight_decay=0, **fused),
    ]


def learning_rate_at(step: int, config: TrainConfig) -> float:
    """The learning rate of the update after `step` updates: a function of the step alone.

    Up in a straight line during `warmup_steps`, then level ("constant") or down to nothing at max_steps ("linear").
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return config.learning_rate
    done = (step - config.warmup_steps) / max(1, config.max_steps - config.warmup_steps)
    return config.learning_rate * max(0.0, 1 - done)
