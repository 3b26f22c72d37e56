"""The optimizers and the learning-rate schedule."""

from __future__ import annotations

from collections import Counter

import torch
from torch import nn

from .config import TrainConfig
from .model import MicroLLM


def make_optimizers(model: MicroLLM, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """The optimizers of a model. Raises ValueError unless each parameter is in exactly one of their groups.

    "adamw" is AdamW (Loshchilov & Hutter 2019) with torch's defaults, as in the article. "muon" is Muon (Jordan et al.
    2024, https://kellerjordan.github.io/posts/muon) for the linear layers inside the blocks, whose update it makes
    orthogonal, and AdamW for all other weights: embeddings, norms, biases and `lm_head`. Both use the same learning
    rate.
    """
    fused = {"lr": config.learning_rate, "fused": True}  # one kernel for all weights
    if config.optimizer == "adamw":
        optimizers = [torch.optim.AdamW(model.parameters(), **fused)]
    else:
        matrices = [layer.weight for layer in model.blocks.modules() if isinstance(layer, nn.Linear)]
        inside = set(matrices)
        others = [p for p in model.parameters() if p not in inside]
        optimizers = [
            torch.optim.Muon(matrices, lr=config.learning_rate, momentum=0.9, ns_steps=3, weight_decay=0),
            torch.optim.AdamW(others, betas=(0.9, 0.95), weight_decay=0, **fused),
        ]
    check_groups(model, optimizers)
    return optimizers


def check_groups(model: MicroLLM, optimizers: list[torch.optim.Optimizer]) -> None:
    """Raises ValueError that names the parameters of `model` which are not in exactly one optimizer group."""
    grouped = Counter(p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"])
    if wrong := [name for name, p in model.named_parameters() if grouped[p] != 1]:
        raise ValueError(f"Not in exactly one optimizer group: {', '.join(wrong)}.")


def learning_rate_at(step: int, config: TrainConfig) -> float:
    """The learning rate of the update after `step` updates: a function of the step alone.

    It rises linearly for `warmup_steps`, then stays ("constant") or falls linearly to zero at max_steps ("linear").
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return config.learning_rate
    done = (step - config.warmup_steps) / max(1, config.max_steps - config.warmup_steps)
    return config.learning_rate * max(0.0, 1 - done)
