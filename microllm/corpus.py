"""The text as token ids: the training and validation parts, batches, and the loss that simple counting reaches."""

from __future__ import annotations

import copy
import math
from functools import cached_property

import torch

from .tokenizer import CharTokenizer

EVAL_CHARACTERS = 32_000
"""Validation uses the first 32,000 held-out characters; at the end of a run all of them are scored too."""

COUNTED_CHARACTERS = 5_000_000
"""Counting tables use at most the first 5 million training characters, so that building them takes a few seconds."""

TABLE_SIZES = (1, 2, 3, 5)


def split_at(length: int) -> int:
    """The number of characters to train on: the first 90 %. The rest is held out for validation."""
    return int(0.9 * length)


class Corpus:
    """A text as token ids: `train`, the first 90 %, and `val`, the 10 % held out for validation.

    Both are one-dimensional tensors, uint8 if the text has at most 256 different characters. Without a `tokenizer`,
    the vocabulary is all characters of the text.
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
        """The same corpus with its ids on `device`; the corpus itself if they are there already."""
        if self.train.device == device:
            return self
        moved = copy.copy(self)
        moved.train, moved.val = self.train.to(device), self.val.to(device)
        return moved

    def __len__(self) -> int:
        return len(self.train) + len(self.val)

    @property
    def nbytes(self) -> int:
        """The memory of the ids in bytes, without the counting tables."""
        return self.train.nbytes + self.val.nbytes

    def get_batch(
        self,
        split: str,
        batch_size: int,
        block_size: int,
        generator: torch.Generator,
        rows: slice = slice(None),
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """A batch of random windows from "train" or "val": inputs and targets, both (B, T) int64.

        The targets are the inputs shifted by one: at every position the model has to predict the next character. When
        several processes share a batch, each takes its own `rows` of it. `generator` is on the CPU; the batch is on the
        device of the ids.
        """
        ids = {"train": self.train, "val": self.val}[split]
        starts = torch.randint(len(ids) - block_size, (batch_size, 1), generator=generator)[rows].to(ids.device)
        windows = ids[starts + torch.arange(block_size + 1, device=ids.device)].long()  # (B, T + 1)
        return windows[:, :-1], windows[:, 1:]

    def validation_windows(
        self, block_size: int, characters: int | None = EVAL_CHARACTERS
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Consecutive windows over the first `characters` of `val` (None: all): inputs and targets, both (N, T)."""
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
        """Counts of all sequences of 1 to 5 characters in the training part."""
        return CountingTables(self.train[:COUNTED_CHARACTERS], self.vocab_size)

    def reference_losses(self, block_size: int) -> dict[str, float]:
        """The reference losses, computed without a network, in nats per character, on the validation windows.

        `uniform` guesses blindly: all V characters are equally likely, so the loss is ln V. `table_n` predicts from
        the previous n - 1 characters, or from fewer at the start of a window.
        """
        if block_size not in self._references:
            inputs, targets = self.validation_windows(block_size)
            losses = {f"table_{n}": self.tables.loss(inputs, targets, n) for n in TABLE_SIZES}
            self._references[block_size] = {"uniform": math.log(self.vocab_size)} | losses
        return dict(self._references[block_size])


class CountingTables:
    """An n-gram model: it counts all sequences of 1 to 5 characters in `ids` and predicts from these counts.

    A sequence is stored as one integer, its ids being the digits in base V: with V <= 6,000, five fit into 63 bits.
    """

    smoothing = 0.01
    """Added to every count, so that a sequence that never occurred is unlikely, not impossible (additive smoothing)."""

    def __init__(self, ids: torch.Tensor, vocab_size: int) -> None:
        self.vocab_size = vocab_size
        self.length = len(ids)
        self._ngrams: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        ids = ids.long()
        keys = torch.zeros(len(ids) + 1, dtype=torch.long)
        for n in range(1, max(TABLE_SIZES) + 1):
            keys = keys[:-1] * vocab_size + ids[n - 1 :]  # key i: the n characters that start at position i
            if not len(keys):
                break
            self._ngrams[n] = keys.unique(return_counts=True)

    def count(self, keys: torch.Tensor, n: int) -> torch.Tensor:
        """How often each sequence of n characters occurs; `keys` and the result have the same shape."""
        if n not in self._ngrams:
            return torch.zeros_like(keys)
        ngrams, counts = self._ngrams[n]
        place = torch.searchsorted(ngrams, keys).clamp(max=len(ngrams) - 1)
        return torch.where(ngrams[place] == keys, counts[place], 0)

    def keys(self, ids: torch.Tensor) -> torch.Tensor:
        """Sequences of ids (..., k) as one integer each (...); 0 for the empty sequence."""
        digits = self.vocab_size ** torch.arange(ids.shape[-1] - 1, -1, -1)
        return (ids.long() * digits).sum(dim=-1)

    def followers(self, contexts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """How often each character follows some contexts (..., k) of 0 to 4 ids, and how often each context occurs.

        That is (..., V) and (...). Sequences with the same context are neighbors in the sorted table of k + 1.
        """
        keys, n = self.keys(contexts), contexts.shape[-1] + 1
        hits = torch.zeros(keys.numel(), self.vocab_size, dtype=torch.long)
        if n in self._ngrams:
            ngrams, counts = self._ngrams[n]
            lowest = keys.flatten() * self.vocab_size
            first, end = torch.searchsorted(ngrams, torch.stack([lowest, lowest + self.vocab_size]))
            rows = torch.arange(len(first)).repeat_interleave(end - first)
            before = (end - first).cumsum(0) - (end - first)  # how many belong to the contexts before
            places = torch.arange(len(rows)) + (first - before)[rows]
            hits[rows, ngrams[places] % self.vocab_size] = counts[places]
        seen = self.count(keys, n - 1) if n > 1 else torch.full_like(keys, self.length)
        return hits.reshape(*keys.shape, self.vocab_size), seen

    def chances(self, contexts: torch.Tensor) -> torch.Tensor:
        """The probability (..., V) of each next character after contexts (..., k): a table of k + 1 characters."""
        hits, seen = self.followers(contexts)
        return (hits + self.smoothing).double() / (seen + self.smoothing * self.vocab_size)[..., None]

    def loss(self, inputs: torch.Tensor, targets: torch.Tensor, n: int) -> float:
        """The mean of -ln p over all positions of windows (N, T), in nats per character; sequences of n characters.

        Like a model, it sees one window at a time: at position t (from 0) it knows t + 1 characters.
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
