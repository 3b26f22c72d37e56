"""Reading with a model: how each character surprises it, what it expected instead, what a sample owes to its text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import regex
import torch

from ..corpus import Corpus
from ..model import MicroLLM, evaluating
from ..sample import NotFinite

TOP1_CHARACTERS = 4_000
"""`top1_accuracy` asks for so many held-out characters: enough for a share that is right to about one in a hundred."""

_CHUNK = 64
_TOKENS_AT_ONCE = 2_048  # in one batch: the largest model that is offered takes about two seconds for them
_LONGEST_WORD = 40  # letters; what is longer is a sequence of bases, a key or a line without blanks

# Word boundaries (UAX 29) and line breaks (UAX 14) as Unicode defines them. Between the words of these scripts there is
# nothing: Thai, Lao, Khmer, Burmese (SA), Chinese, Japanese (ID, CJ), Balinese, Javanese (AK, AS), Tibetan.
_WORD = regex.compile(r"(?V1w)\b\p{L}.*?\b")
_UNSEPARATED = regex.compile(r"(?V1)[[\p{LB=SA}\p{LB=ID}\p{LB=CJ}\p{LB=AK}\p{LB=AS}\p{Tibetan}]&&\p{L}]")
_MAY_BE_CUT = regex.compile(r"(?V1)^[\P{WB=Other}--\s]++|[\P{WB=Other}--\s]++$")
_CUT_BEGINNING = regex.compile(r"\S{0,20}\s+|[\p{M}\p{Cf}]*+")


# ---- surprise


@dataclass(frozen=True)
class TokenSurprisals:
    """How a model takes a text of N characters.

    `nats` (N,) is the surprise of each character, -ln of the chance that the model gave it; NaN for the first one,
    which nothing stands before. `guesses` (N, k) are the ids that it held for the likeliest there, the best first, and
    `chances` (N, k) what it gave them; the first row of both is without meaning (0).
    """

    nats: torch.Tensor
    guesses: torch.Tensor
    chances: torch.Tensor

    @property
    def mean(self) -> float:
        """The mean surprise of all characters but the first, in nats a character; NaN when there are none."""
        return self.nats[1:].mean().item()


def token_surprisals(
    model: MicroLLM,
    ids: torch.Tensor,
    guesses: int = 5,
    stride: int = 1,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> TokenSurprisals | None:
    """Read `ids` (N,) with `model`, without dropout: each character from what stands before it, never beyond it.

    With stride 1 each is seen from its own last block_size characters. A larger stride is about so many times quicker:
    windows begin `stride` characters apart, so that each is seen from at least block_size - stride + 1 of them, as far
    as they exist. A model that is not causal is always read with stride 1, so that it cannot cheat here.
    None once `is_cancelled`, which is asked before each batch. Raises ValueError for an empty text or a stride out of
    range.
    """
    if not len(ids):
        raise ValueError("There is nothing to read: give at least one character.")
    if not 1 <= stride <= model.config.block_size:
        raise ValueError(f"stride is {stride}: it must be from 1 to {model.config.block_size} (block_size).")
    ids, k = ids.long(), min(guesses, model.vocab_size)
    nats, best, chances = [torch.full((1,), torch.nan)], [ids.new_zeros(1, k)], [torch.zeros(1, k)]
    at = 1
    with evaluating(model):
        for logits in _scores(model, ids[:-1], stride):
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


def _scores(model: MicroLLM, ids: torch.Tensor, stride: int) -> Iterator[torch.Tensor]:
    """The scores of the character after each of ids (N,), in order, some rows (n, V) at a time."""
    size = min(len(ids), model.config.block_size)
    if not size:
        return
    if model.config.causal:
        yield model(ids[None, :size])[0][0]
    else:  # a window would show each of its characters the answer
        stride = 1
        for end in range(1, size + 1):
            yield model(ids[None, :end])[0][:, -1]
    later = ids.unfold(0, size, stride)[1:]  # of each window only the last rows are news
    at_once = max(1, min(_CHUNK, _TOKENS_AT_ONCE // size))
    for start in range(0, len(later), at_once):
        yield model(later[start : start + at_once])[0][:, -stride:].flatten(0, 1)
    if rest := (len(ids) - size) % stride:
        yield model(ids[None, -size:])[0][0, -rest:]


def top1_accuracy(model: MicroLLM, corpus: Corpus) -> float:
    """The share (0 to 1) of held-out characters that the model's first guess gets right.

    Always the same ones: the first TOP1_CHARACTERS, in the windows of the exam, so that it goes with the
    validation loss and costs about what two training steps do.
    """
    inputs, targets = corpus.validation_windows(model.config.block_size, TOP1_CHARACTERS)
    device = model.token_embedding.weight.device
    hits = 0
    with evaluating(model):
        for start in range(0, len(inputs), _CHUNK):
            logits, _ = model(inputs[start : start + _CHUNK].long().to(device))
            hits += (logits.argmax(-1) == targets[start : start + _CHUNK].to(device)).sum().item()
    return hits / targets.numel()


# ---- what a sample owes to its text
