"""A text as ids: its two parts, batches, the windows of the exam, and what plain counting achieves."""

from __future__ import annotations

import copy
import math
from functools import cached_property

import torch

from .tokenizer import CharTokenizer

EVAL_CHARACTERS = 32_000
"""Validation is scored on the first so many held-out characters; the end of a run scores all of them too."""

COUNTED_CHARACTERS = 5_000_000
"""Counting tables are made from at most so many characters of the training part, so that they take seconds at most."""

TABLE_SIZES = (1, 2, 3, 5)

REFERENCE_NAMES = {
    "uniform": "blind guess",
    "table_1": "letter frequencies",
    "table_2": "pairs of characters",
    "table_3": "table of 3",
    "table_5": "table of 5",
    "floor": "no model can do better",
}


def split_at(length: int) -> int:
    """The number of characters to train on, of a text of this length: the first 90 %."""
    return int(0.9 * length)


class Corpus:
    """A text, its tokenizer and its two parts: the first 90 % to train, the last 10 % held out ("val").

    `train` and `val` are one-dimensional tensors of ids, uint8 when there are at most 256 different characters.
    """

    def __init__(self, text: str, tokenizer: CharTokenizer | None = None) -> None:
        self.tokenizer = tokenizer or CharTokenizer.from_text(text)
        ids = self.tokenizer.encode_tensor(text)
        self.train, self.val = ids.tensor_split([split_at(len(ids))])
        self._references: dict[int, dict[str, float]] = {}

    @property
    def vocab_size(self) -> int:
        """The number of different characters, V."""
        return self.tokenizer.vocab_size

    def to(self, device: torch.device) -> Corpus:
        """The same corpus with its ids on another device; itself when they are there already."""
        if self.train.device == device:
            return self
        moved = copy.copy(self)
        moved.train, moved.val = self.train.to(device), self.val.to(device)
        return moved

    def __len__(self) -> int:
        return len(self.train) + len(self.val)

    @property
    def nbytes(self) -> int:
        """Bytes that its ids take, without its tables."""
        return self.train.nbytes + self.val.nbytes

    def get_batch(
        self,
        split: str,
        batch_size: int,
        block_size: int,
        generator: torch.Generator,
        rows: slice = slice(None),
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`batch_size` windows drawn at random from "train" or "val": inputs and targets, both (B, T) int64.

        The targets are the inputs one character later: every position is a question with its answer. Of a batch that
        several processes share, `rows` are the windows of this one. The dice are a CPU's; the gather is done where the
        text is.
        """
        ids = {"train": self.train, "val": self.val}[split]
        starts = torch.randint(len(ids) - block_size, (batch_size, 1), generator=generator)[rows].to(ids.device)
        windows = ids[starts + torch.arange(block_size + 1, device=ids.device)].long()  # one gather: (B, T + 1)
        return windows[:, :-1], windows[:, 1:]

    def validation_windows(
        self, block_size: int, characters: int | None = EVAL_CHARACTERS
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Non-overlapping windows over the first `characters` held-out ones (None: all): inputs, targets (N, T)."""
        ids = self.val[:characters]
        count = (len(ids) - 1) // block_size
        inputs = ids[: count * block_size].view(count, block_size)
        targets = ids[1 : count * block_size + 1].view(count, block_size)
        return inputs, targets

    @cached_property
    def counts(self) -> list[int]:
        """How often each of the V characters occurs in the whole text."""
        both = (part.bincount(minlength=self.vocab_size) for part in (self.train, self.val))
        return sum(both).tolist()

    @cached_property
    def tables(self) -> CountingTables:
        """How often each run of 1 to 5 characters occurs in the training part."""
        return CountingTables(self.train[:COUNTED_CHARACTERS], self.vocab_size)

    def reference_losses(self, block_size: int) -> dict[str, float]:
        """What can be had without a network, in nats a character, on the very windows of the exam.

        `uniform` is ln V; `table_n` guesses from the n - 1 characters before, fewer where the window starts.
        """
        if block_size not in self._references:
            inputs, targets = self.validation_windows(block_size)
            losses = {f"table_{n}": self.tables.loss(inputs, targets, n) for n in TABLE_SIZES}
            self._references[block_size] = {"uniform": math.log(self.vocab_size)} | losses
        return dict(self._references[block_size])


class CountingTables:
    """Counts of every run of 1 to 5 characters in `ids`, and the guesses they give: the oldest language model.

    A run c1 .. cn is kept as one integer, its digits written in base V: with V <= 6,000, five fit in 63 bits.
    """

    smoothing = 0.01
    """Added to every count, so that what was never seen is unlikely but not impossible (additive smoothing)."""

    def __init__(self, ids: torch.Tensor, vocab_size: int) -> None:
        self.vocab_size = vocab_size
        self.length = len(ids)
        self._runs: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        ids = ids.long()
        keys = torch.zeros(len(ids) + 1, dtype=torch.long)
        for n in range(1, max(TABLE_SIZES) + 1):
            keys = keys[:-1] * vocab_size + ids[n - 1 :]  # key i is now the run of n characters that starts at i
            if not len(keys):
                break
            self._runs[n] = keys.unique(return_counts=True)

    def count(self, keys: torch.Tensor, n: int) -> torch.Tensor:
        """How often each run of n characters was seen; `keys` and the answer have any one shape."""
        if n not in self._runs:
            return torch.zeros_like(keys)
        runs, counts = self._runs[n]
        place = torch.searchsorted(runs, keys).clamp(max=len(runs) - 1)
        return torch.where(runs[place] == keys, counts[place], 0)

    def loss(self, inputs: torch.Tensor, targets: torch.Tensor, n: int) -> float:
        """The mean of -ln p over all positions of windows (N, T), in nats a character, for the table of n characters.

        A position sees its own window only, as a model does: the t-th (from 1) has t characters in sight.
        """
        total = 0.0
        for t in range(inputs.shape[1]):
            seen = min(n - 1, t + 1)
            context = torch.zeros(len(inputs), dtype=torch.long)
            for j in range(t + 1 - seen, t + 1):
                context = context * self.vocab_size + inputs[:, j].long()
            hits = self.count(context * self.vocab_size + targets[:, t].long(), seen + 1)
            tries = self.count(context, seen) if seen else self.length
            p = (hits + self.smoothing) / (tries + self.smoothing * self.vocab_size)
            total -= p.double().log().sum().item()
        return total / inputs.numel()
