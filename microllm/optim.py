"""The optimiser and the learning-rate curve."""

from __future__ import annotations

import torch

from .config import TrainConfig
from .model import MicroLLM

FINAL_SHARE = 0.05
"""A falling curve ends at this share of its peak."""


def make_optimizer(model: MicroLLM, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019) with torch's defaults, as in the article; fused: one kernel for all weights."""
    return torch.optim.AdamW(model.parameters(), lr=config.learning_rate, fused=True)


def learning_rate_at(step: int, config: TrainConfig) -> float:
    """The learning rate of the update after `step` updates: a function of the step alone.

    Up in a straight line during `warmup_steps`, then level ("constant") or down to FINAL_SHARE at max_steps ("linear").
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return config.learning_rate
    done = (step - config.warmup_steps) / max(1, config.max_steps - config.warmup_steps)
    return config.learning_rate * (1 - (1 - FINAL_SHARE) * min(1.0, done))
