"""The optimizers and the learning-rate schedule."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import nn

from .config import TrainConfig
from .model import MicroLLM


class StackedMuon(torch.optim.Muon):
    """torch's Muon (Jordan et al. 2024) in under half the time: one product for all matrices of a shape, not one each.

    State and, up to rounding, updates are those of torch's Muon with Nesterov momentum, the original adjustment of the
    learning rate and no weight decay: other settings have no effect. Every parameter needs a gradient.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            momentum = group["momentum"]
            stacks: dict[tuple[int, ...], list[tuple[nn.Parameter, torch.Tensor]]] = {}
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(p)
                average = state["momentum_buffer"].lerp_(p.grad, 1 - momentum)
                update = p.grad.lerp(average, momentum)  # Nesterov's momentum
                stacks.setdefault(tuple(sorted(p.shape)), []).append((p, update))
            for stack in stacks.values():
                wide = torch.stack([update.T if is_tall(p) else update for p, update in stack])
                for (p, _), update in zip(stack, orthogonalized(wide, group), strict=True):
                    scale = max(1, p.shape[0] / p.shape[1]) ** 0.5
                    p.add_(update.T if is_tall(p) else update, alpha=-group["lr"] * scale)


def orthogonalized(matrices: torch.Tensor, settings: dict[str, Any]) -> torch.Tensor:
    """The nearest orthogonal matrices, roughly, to a stack (n, rows, columns) with rows <= columns, in bfloat16.

    A few rounds of a Newton-Schulz iteration bring most singular values near one, with matrix products only.
    """
    a, b, c = settings["ns_coefficients"]
    x = matrices.bfloat16()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=settings["eps"])  # no singular value above one
    for _ in range(settings["ns_steps"]):  # each: a x + (b x xT + c (x xT)^2) x
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


def is_tall(matrix: torch.Tensor) -> bool:
    """True if a matrix has more rows than columns."""
    return matrix.shape[0] > matrix.shape[1]


def make_optimizers(model: MicroLLM, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """The optimizers of a model. Raises ValueError unless each parameter is in exactly one of their groups.

    "adamw" is AdamW (Loshchilov & Hutter 2019) with torch's defaults, as in the article. "muon" is Muon (Jordan et al.
    2024, https://kellerjordan.github.io/posts/muon) for the matrices of the linear layers inside the blocks, whose
    update it makes orthogonal, and AdamW for all else: embeddings, norms, biases and `lm_head`. Both use the same
    learning rate.
    """
    fused = {"lr": config.learning_rate, "fused": True}  # one kernel for all weights
    if config.optimizer == "adamw":
        optimizers = [torch.optim.AdamW(model.parameters(), **fused)]
    else:
        matrices = [layer.weight for layer in model.blocks.modules() if isinstance(layer, nn.Linear)]
        inside = set(matrices)
        others = [p for p in model.parameters() if p not in inside]
        optimizers = [
            StackedMuon(matrices, lr=config.learning_rate, momentum=0.9, ns_steps=3, weight_decay=0),
            torch.optim.AdamW(others, betas=(0.9, 0.95), weight_decay=0, **fused),
        ]
    check_groups(model, optimizers)
    return optimizers


def check_groups(model: MicroLLM, optimizers: list[torch.optim.Optimizer]) -> None:
    """Raises ValueError, naming the parameters of `model` that are not in exactly one optimizer group."""
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
