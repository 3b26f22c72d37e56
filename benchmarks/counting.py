"""Counting tables with back-off, and compression programs: what can be predicted without a network."""

from __future__ import annotations

import bz2
import gzip
import lzma
import math
from collections.abc import Callable

import torch

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip -9": lambda data: gzip.compress(data, 9),
    "bzip2 -9": lambda data: bz2.compress(data, 9),
    "xz -9e": lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME),
}


class BackOffTable:
    """Predicts from the n - 1 characters before: by how often each character followed them, and shorter contexts.

    Witten-Bell smoothing (Witten & Bell 1991, method C): with count(c, x) for how often x followed the context c and
    kinds(c) for how many different characters did, p(x | c) = (count(c, x) + kinds(c) p(x | shorter c)) / (count(c) +
    kinds(c)). With an empty context, the shorter one is a uniform guess.
    """

    def __init__(self, ids: torch.Tensor, vocab_size: int, n: int) -> None:
        if vocab_size**n >= 2**63:
            raise ValueError(f"Sequences of {n} of {vocab_size} characters do not fit into 63 bits.")
        self.vocab_size, self.n = vocab_size, n
        self._sequences, self._contexts = [], []
        keys = torch.zeros(len(ids) + 1, dtype=torch.long)
        for k in range(1, n + 1):
            keys = keys[:-1] * vocab_size + ids[k - 1 :].long()  # of the k characters that start at each place
            sequences, counts = keys.unique(return_counts=True)
            contexts, owners, kinds = (sequences // vocab_size).unique(return_inverse=True, return_counts=True)
            totals = torch.zeros_like(contexts).index_add_(0, owners, counts)
            self._sequences.append((sequences, counts))
            self._contexts.append((contexts, torch.stack([totals, kinds], dim=-1)))

    @property
    def size(self) -> int:
        """The number of different sequences that were counted."""
        return sum(len(sequences) for sequences, _ in self._sequences)

    def probabilities(self, contexts: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
        """p of each of the answers (N,) after its context (N, T), of which the last n - 1 characters are used."""
        p = torch.full(answers.shape, 1 / self.vocab_size, dtype=torch.float64)
        key = torch.zeros_like(answers, dtype=torch.long)
        for k in range(min(self.n, contexts.shape[1] + 1)):
            if k:
                key = key + contexts[:, -k].long() * self.vocab_size ** (k - 1)
            totals, kinds = _look_up(*self._contexts[k], key).unbind(-1)
            hits = _look_up(*self._sequences[k], key * self.vocab_size + answers.long())
            p = torch.where(totals > 0, (hits + kinds * p) / (totals + kinds).clamp(min=1), p)
        return p

    def loss(self, windows: torch.Tensor, targets: torch.Tensor, *, last_only: bool = False) -> float:
        """The mean of -ln p of the targets (N, T) over all positions of windows (N, T), or over the last positions."""
        T = windows.shape[1]
        places = [T - 1] if last_only else range(T)
        logs = [self.probabilities(windows[:, : t + 1], targets[:, t]).log() for t in places]
        return -torch.stack(logs).mean().item()


def _look_up(keys: torch.Tensor, values: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """The values (n, ...) of the wanted keys, of the sorted keys (n,); zeros where there is none."""
    place = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
    found = (keys[place] == wanted).view(-1, *[1] * (values.dim() - 1))
    return torch.where(found, values[place], 0)


def compressed_loss(compress: Callable[[bytes], bytes], known: str, new: str) -> float:
    """How many nats per character `new` adds to the compressed size of `known`."""
    added = len(compress((known + new).encode())) - len(compress(known.encode()))
    return added * 8 * math.log(2) / len(new)
