"""Surprisal: how unexpected each character of a text is to a model, and what the model expected instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from ..corpus import Corpus
from ..model import MicroLLM, evaluating
from ..sample import NotFinite

TOP1_CHARACTERS = 4_000
"""The number of held-out characters that `top1_accuracy` scores: enough for an accuracy of about 1 %."""

_MAX_WINDOWS = 64  # in one batch
_MAX_TOKENS = 2_048  # in one batch: the largest model on offer takes about two seconds for them


@dataclass(frozen=True)
class TokenSurprisals:
    """How surprising a text of N characters is to a model.

    `nats` (N,) is the surprisal of each character, -ln of the probability that the model gave it; NaN for the first,
    which has no context. `guesses` (N, k) are the ids that the model considered most likely there, most likely first,
    and `chances` (N, k) their probabilities; row 0 of both is meaningless (0).
    """

    nats: torch.Tensor
    guesses: torch.Tensor
    chances: torch.Tensor

    @property
    def mean(self) -> float:
        """The loss on the text: mean surprisal in nats per character, without the first; NaN for one character."""
        return self.nats[1:].mean().item()


def token_surprisals(
    model: MicroLLM,
    ids: torch.Tensor,
    guesses: int = 5,
    stride: int = 1,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> TokenSurprisals | None:
    """The surprisals of `ids` (N,) under `model`, without dropout: each character is predicted from earlier ones only.

    With stride 1, it is predicted from the previous block_size characters. A larger stride is about that many times
    faster: windows begin `stride` characters apart, so a character is predicted from at least block_size - stride + 1,
    where there are that many. A model without a causal mask always gets stride 1, so that it cannot see the answer.
    Returns None once `is_cancelled`, which is called before each batch, returns True. Raises ValueError for an empty
    text or a stride out of range, NotFinite if the model does not return numbers.
    """
    if not len(ids):
        raise ValueError("The text is empty: it needs at least one character.")
    if not 1 <= stride <= model.config.block_size:
        raise ValueError(f"stride is {stride}: it must be from 1 to {model.config.block_size} (block_size).")
    ids, k = ids.long(), min(guesses, model.vocab_size)
    nats, best, chances = [torch.full((1,), torch.nan)], [ids.new_zeros(1, k)], [torch.zeros(1, k)]
    at = 1
    with evaluating(model):
        for logits in _logits(model, ids[:-1], stride):
            if is_cancelled():
                return None
            if not logits.isfinite().all():
                raise NotFinite
            log_p = logits.float().log_softmax(-1)
            targets = ids[at : at + len(log_p), None]
            nats.append(-log_p.gather(-1, targets)[:, 0])
            top = log_p.topk(k)
            best.append(top.indices)
            chances.append(top.values.exp())
            at += len(log_p)
    return TokenSurprisals(torch.cat(nats), torch.cat(best), torch.cat(chances))


def context_start(model: MicroLLM, at: int, length: int, stride: int) -> int:
    """Where the context of character `at` begins when `token_surprisals` reads a text of this length."""
    size, stride = model.config.block_size, stride if model.config.causal else 1
    windows = -(-max(0, at - size) // stride)  # after the first one
    return max(0, min(windows * stride, length - 1 - size))


def _logits(model: MicroLLM, ids: torch.Tensor, stride: int) -> Iterator[torch.Tensor]:
    """The logits of the character after each of ids (N,), in order, some rows (n, V) at a time."""
    size = min(len(ids), model.config.block_size)
    if not size:
        return
    if model.config.causal:
        yield model(ids[None, :size])[0][0]
    else:  # in a window, each character would see the next one
        stride = 1
        for end in range(1, size + 1):
            yield model(ids[None, :end])[0][:, -1]
    later = ids.unfold(0, size, stride)[1:]  # only the last rows of each window are new
    at_once = max(1, min(_MAX_WINDOWS, _MAX_TOKENS // size))
    for start in range(0, len(later), at_once):
        yield model(later[start : start + at_once])[0][:, -stride:].flatten(0, 1)
    if rest := (len(ids) - size) % stride:
        yield model(ids[None, -size:])[0][0, -rest:]


def top1_accuracy(model: MicroLLM, corpus: Corpus) -> float:
    """The share (0 to 1) of held-out characters that the model's most likely guess gets right.

    It always scores the same characters, the first TOP1_CHARACTERS in the windows of the validation loss, so the two
    are comparable. It costs about as much as two training steps.
    """
    inputs, targets = corpus.validation_windows(model.config.block_size, TOP1_CHARACTERS)
    device = model.token_embedding.weight.device
    hits = 0
    with evaluating(model):
        for start in range(0, len(inputs), _MAX_WINDOWS):
            logits, _ = model(inputs[start : start + _MAX_WINDOWS].long().to(device))
            hits += (logits.argmax(-1) == targets[start : start + _MAX_WINDOWS].to(device)).sum().item()
    return hits / targets.numel()
