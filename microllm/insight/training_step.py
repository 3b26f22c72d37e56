"""One training step, taken by hand: predictions, losses, gradients and the update.

Shapes: B windows of T = block_size characters, V characters in the vocabulary.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..config import TrainConfig, stream_seed
from ..corpus import Corpus
from ..model import MicroLLM, evaluating, parameter_count
from ..optim import learning_rate_at, make_optimizers
from ..train import Diverged

MAX_WORK = 2_000_000_000
"""The limit for parameters times characters of a batch: about two seconds on one core. Larger ones are shortened."""

SHARE_AFTER_THE_END = 0.1
"""The share of the peak learning rate that is used where a schedule has ended at zero."""


@dataclass(frozen=True)
class PartStep:
    """What a step did to the `weights` (their number) of one part of the model."""

    name: str
    """Such as "embedding" or "layer 1 attention", whose layer norm belongs to it."""
    weights: int
    gradient: float
    """The norm of the loss gradient with respect to these weights, in nats per character (weights have no unit)."""
    moved: float
    """The norm of their change, divided by their own norm before: 0.01 is one percent."""


@dataclass(frozen=True)
class TrainingStep:
    """The update after `step` updates. All losses are in nats per character, of the weights before and after it.

    All but the gradient is measured without dropout.
    """

    step: int
    learning_rate: float
    windows: int
    """B, the windows of the batch."""
    inputs: torch.Tensor
    """(T,) int64: the first window of the batch."""
    targets: torch.Tensor
    """(T,) int64: the same one character later."""
    log_p: tuple[torch.Tensor, torch.Tensor]
    """(T, V), before and after: ln of the probability of every character at every place of that window."""
    loss: tuple[float, float]
    """The mean loss of the whole batch, before and after."""
    held_out: tuple[float, float]
    """The same of a batch of held-out text, which is the same for all steps of a run."""
    gradient: float
    """The norm of the loss gradient with respect to all weights."""
    parts: tuple[PartStep, ...]
    """In the order of the model, from the embedding to lm_head."""
    model: MicroLLM
    """The updated copy, in eval mode."""
    memory: list[dict[str, Any]]
    """The state of its optimizers, for another step."""

    @property
    def losses(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss (T,) at each place of the first window, -ln p of its target, before and after."""
        return tuple(-each.gather(1, self.targets[:, None])[:, 0] for each in self.log_p)


def training_step(
    model: MicroLLM,
    train: TrainConfig,
    corpus: Corpus,
    step: int,
    *,
    learning_rate: float,
    memory: list[dict[str, Any]] | None = None,
) -> TrainingStep:
    """Take a step with a copy of `model`, on the batch and with the optimizers of its run. `model` is not changed.

    `train` are the settings of the run after `step` updates. Without the `memory` of a previous step, the optimizers
    start fresh, as at step 0; at step 0 this is exactly the run's own step, in float32 and if the batch is not too
    large. Raises Diverged if a loss is not finite.
    """
    changed = copy.deepcopy(model).requires_grad_(True)
    optimizers = make_optimizers(changed, train)
    for optimizer, state in zip(optimizers, memory or [], strict=bool(memory)):
        optimizer.load_state_dict(state)

    windows, batch = windows_of(model, train), step_batch(model, train, corpus, step)
    rng = torch.Generator().manual_seed(stream_seed(train.seed, "held-out batch"))
    held_out = corpus.get_batch("val", windows, model.config.block_size, rng)

    log_p, loss = _measure(changed, *batch)
    _, held_out_loss = _measure(changed, *held_out)
    _backward(changed, *batch, train.seed, step)
    parts = weights_by_part(changed)
    gradients = {name: _norm(p.grad for p in weights) for name, weights in parts.items()}
    starts = {name: [p.detach().clone() for p in weights] for name, weights in parts.items()}
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        optimizer.step()
    changed.zero_grad()
    changed.requires_grad_(False)
    log_p_after, loss_after = _measure(changed, *batch)
    _, held_out_after = _measure(changed, *held_out)
    if not all(map(math.isfinite, (loss, loss_after, held_out_loss, held_out_after))):
        raise Diverged(step, learning_rate)
    return TrainingStep(
        step,
        learning_rate,
        windows,
        *(ids[0] for ids in batch),
        (log_p[0].clone(), log_p_after[0].clone()),
        (loss, loss_after),
        (held_out_loss, held_out_after),
        math.hypot(*gradients.values()),
        tuple(
            PartStep(name, sum(p.numel() for p in weights), gradients[name], _moved(starts[name], weights))
            for name, weights in parts.items()
        ),
        changed,
        [optimizer.state_dict() for optimizer in optimizers],
    )


def windows_of(model: MicroLLM, train: TrainConfig) -> int:
    """The number of windows of a batch that are used: all of the run's, within the limit of MAX_WORK."""
    work = parameter_count(model.config, model.vocab_size) * model.config.block_size
    return max(1, min(train.batch_size, MAX_WORK // work))


def step_batch(model: MicroLLM, train: TrainConfig, corpus: Corpus, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The batch of the run's own update after `step` updates: inputs and targets (B, T) of the windows in use."""
    rng = torch.Generator().manual_seed(stream_seed(train.seed, step))
    return corpus.get_batch("train", train.batch_size, model.config.block_size, rng, slice(windows_of(model, train)))


def usable_learning_rate(step: int, train: TrainConfig) -> float:
    """The learning rate of the update after `step` updates; where that is zero, a share of the peak."""
    return learning_rate_at(step, train) or SHARE_AFTER_THE_END * train.learning_rate


def weights_by_part(model: MicroLLM) -> dict[str, list[nn.Parameter]]:
    """All weights of a model by part, in the order of the model."""
    parts = {"embedding": [table for table in model.children() if isinstance(table, nn.Embedding)]}
    for number, block in enumerate(model.blocks, 1):
        parts[f"layer {number} attention"] = [block.ln1, block.attention]
        parts[f"layer {number} feed-forward"] = [block.ln2, block.feed_forward]
    parts["lm_head"] = [model.ln_f, model.lm_head]
    return {name: [p for module in modules for p in module.parameters()] for name, modules in parts.items()}


def _measure(model: MicroLLM, idx: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, float]:
    """ln p (B, T, V) of all characters, and the mean loss."""
    with evaluating(model):
        logits, loss = model(idx, targets)
        return logits.log_softmax(-1), loss.item()


def _backward(model: MicroLLM, idx: torch.Tensor, targets: torch.Tensor, seed: int, step: int) -> None:
    """Compute the gradient of the loss, with the dropout of the run's own step. Afterwards `model` is in eval mode."""
    model.train().use_generator(torch.Generator().manual_seed(stream_seed(seed, f"dropout {step} 0")))
    model(idx, targets)[1].backward()
    model.eval().use_generator(None)


def _norm(tensors: Iterable[torch.Tensor]) -> float:
    return math.hypot(*(tensor.norm().item() for tensor in tensors))


def _moved(before: list[torch.Tensor], after: list[nn.Parameter]) -> float:
    change = _norm(new - old for old, new in zip(before, after, strict=True))
    return change / max(_norm(before), 1e-12)
