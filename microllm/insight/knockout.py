"""Knock-out (ablation): a copy of a model in which some parts no longer depend on the text, and what that costs.

Shapes: N windows of T characters, L layers, H heads, C = n_embd, D = C / H (head size).
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from ..config import ModelConfig
from ..model import MicroLLM, evaluating
from ..sample import NotFinite
from ..train import EVAL_CHARACTERS_AT_ONCE
from .trace import trace_blocks

MEAN_CHARACTERS = 8_000
"""A part's mean output is taken over the first 8,000 held-out characters."""


@functools.total_ordering
@dataclass(frozen=True)
class Part:
    """A part of a model that can be knocked out: an attention head, or the feed-forward network of a layer (head None).

    Both numbers are from 0. As text they are from 1: "2.3" is head 3 of layer 2, and "2.ff" its feed-forward network.
    """

    layer: int
    head: int | None

    def __str__(self) -> str:
        return f"{self.layer + 1}.{'ff' if self.head is None else self.head + 1}"

    def __lt__(self, other: Part) -> bool:
        """In the order of the model: in each layer the heads, then the feed-forward network."""
        return self._place < other._place

    @property
    def _place(self) -> tuple[int, bool, int]:
        return self.layer, self.head is None, self.head or 0

    @classmethod
    def parse(cls, text: str) -> Part:
        """The part with this text, such as "2.3" or "2.ff". Raises ValueError."""
        found = re.fullmatch(r"([1-9][0-9]{0,2})\.(ff|[1-9][0-9]{0,2})", text)
        if not found:
            raise ValueError(
                f"{text[:40]!r} is not a part of a model: write 2.3 for layer 2, head 3, and 2.ff for the feed-forward "
                "network of layer 2."
            )
        return cls(int(found[1]) - 1, None if found[2] == "ff" else int(found[2]) - 1)


def parts_of(config: ModelConfig) -> list[Part]:
    """All parts of a model that can be knocked out, in the order of the model."""
    return [Part(layer, head) for layer in range(config.n_layer) for head in (*range(config.n_head), None)]


@dataclass(frozen=True)
class Means:
    """The mean outputs of all parts over some text: `heads` (L, H, D) and `feed_forward` (L, C)."""

    heads: torch.Tensor
    feed_forward: torch.Tensor


def mean_outputs(model: MicroLLM, windows: torch.Tensor, before_each: Callable[[], None] = lambda: None) -> Means:
    """The mean output of each part over all positions of some windows (N, T).

    `before_each` is called before each batch, and may raise an exception to end early.
    """
    heads = feed_forward = 0.0
    for batch in windows.split(_windows_at_once(windows)):
        before_each()
        records = trace_blocks(model, batch.long())
        heads = heads + torch.stack([record.z.sum(dim=(0, 2)) for record in records]).double()
        feed_forward = feed_forward + torch.stack([record.mlp_out.sum(dim=(0, 1)) for record in records]).double()
    return Means((heads / windows.numel()).float(), (feed_forward / windows.numel()).float())


def _windows_at_once(windows: torch.Tensor) -> int:
    return max(1, EVAL_CHARACTERS_AT_ONCE // windows.shape[1])


def knock_out(model: MicroLLM, parts: Iterable[Part], means: Means | None = None) -> MicroLLM:
    """A copy of `model` in which each of the `parts` has a constant output, whatever the text is.

    That is its mean output, from `mean_outputs`, so that later layers get inputs in their usual range (mean ablation;
    Wang et al. 2023, "Interpretability in the Wild", section 2.1), or zero without `means` (zero ablation). The copy is
    an ordinary model. Raises IndexError for a part that the model does not have.
    """
    changed, offered = copy.deepcopy(model), set(parts_of(model.config))
    with torch.no_grad():
        for part in sorted(set(parts)):
            if part not in offered:
                raise IndexError(
                    f"There is no part {part}: this model has {model.config.n_layer} layers of {model.config.n_head} "
                    "heads and one feed-forward network each."
                )
            block = changed.blocks[part.layer]
            if part.head is None:
                proj = block.feed_forward.proj
                proj.weight.zero_()
                proj.bias.copy_(means.feed_forward[part.layer] if means else torch.zeros_like(proj.bias))
            else:
                proj = block.attention.proj
                columns = proj.weight.unflatten(1, (model.config.n_head, -1))[:, part.head]  # those that read this head
                if means:
                    proj.bias += columns @ means.heads[part.layer, part.head]
                columns.zero_()
    return changed


@dataclass(frozen=True)
class Change:
    """How much a loss changes, in nats per character: the mean over some windows, and its standard error.

    The error is None for a single window, from which it cannot be estimated.
    """

    nats: float
    error: float | None


def window_losses(
    model: MicroLLM, inputs: torch.Tensor, targets: torch.Tensor, before_each: Callable[[], None] = lambda: None
) -> torch.Tensor:
    """The loss of each window (N,), in nats per character, for inputs and targets (N, T). Their mean is the loss.

    `before_each` is called before each batch, and may raise an exception to end early. Raises NotFinite.
    """
    rows, losses = _windows_at_once(inputs), []
    for x, y in zip(inputs.split(rows), targets.split(rows), strict=True):
        before_each()
        with evaluating(model):
            logits, _ = model(x.long())
            losses.append(F.cross_entropy(logits.transpose(1, 2), y.long(), reduction="none").double().mean(dim=1))
    found = torch.cat(losses)
    if not found.isfinite().all():
        raise NotFinite
    return found


def change(before: torch.Tensor, after: torch.Tensor) -> Change:
    """How the loss changes between two models, from their losses (N,) on the same windows.

    The difference is taken window by window (paired), so a window that is hard for both models adds no noise.
    """
    difference = after - before
    error = difference.std().item() / len(difference) ** 0.5 if len(difference) > 1 else None
    return Change(difference.mean().item(), error)


def standing_in(whole: torch.Tensor, first: torch.Tensor, second: torch.Tensor, both: torch.Tensor) -> Change:
    """The change from knocking out two parts, minus the sum of the changes from knocking out each of them alone.

    The losses (N,) are those of the whole model, without the first part, without the second, and without both. The
    result is positive if each part backs up the other: it does some of its work while the other is out.
    """
    return change(first + second, both + whole)
