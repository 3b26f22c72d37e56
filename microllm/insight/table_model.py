"""A counting table with the interface of a model, so that all code that reads or writes with a model works with it."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..config import ModelConfig
from ..corpus import CountingTables
from ..model import Cache


class TableModel(nn.Module):
    """The table of n-character sequences, called like `MicroLLM`. It has no weights, so training changes nothing.

    Its logits are the logarithms of the table's probabilities, so its loss on the validation windows is the reference
    loss of this table. `config.block_size` is n - 1 (at least 1), the number of characters that it sees.
    """

    def __init__(self, tables: CountingTables, n: int) -> None:
        super().__init__()
        self.tables, self.n, self.vocab_size = tables, n, tables.vocab_size
        self.config = ModelConfig(block_size=max(1, n - 1), n_embd=1, n_head=1, n_layer=0)
        # what a `Cache` asks a model for: its layers (none) and its device
        self.blocks = nn.ModuleList()
        self.token_embedding = nn.Embedding.from_pretrained(torch.empty(self.vocab_size, 0))
        self.eval()

    def forward(
        self, idx: torch.Tensor, targets: torch.Tensor | None = None, cache: Cache | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Logits (B, T, V) and the loss, as `MicroLLM` returns them, for idx (B, T).

        A position t (from 0) sees the last n - 1 of its t + 1 characters. T may be more than block_size.
        """
        seen = idx if cache is None else torch.cat([cache.idx, idx], dim=1)
        if cache is not None:
            cache.idx = seen
        logits = self._log_chances(seen, seen.shape[1] - idx.shape[1]).float()
        if targets is None:
            return logits, None
        # not cross_entropy, which would normalize: after the very end of the text the sum is not exactly one
        return logits, functional.nll_loss(logits.flatten(0, 1), targets.flatten())

    def _log_chances(self, idx: torch.Tensor, start: int) -> torch.Tensor:
        """The logarithm of each probability after idx[:, : t + 1], for t = `start`, ..., T - 1: (B, T - start, V)."""
        B, T = idx.shape
        k = self.n - 1
        parts = [self.tables.chances(idx[:, None, : t + 1]) for t in range(start, min(k - 1, T))]
        if k == 0:
            parts = [self.tables.chances(idx.new_empty(0)).expand(B, T - start, -1)]
        elif k <= T:
            windows = idx.unfold(1, k, 1)  # (B, T - k + 1, k): those that end at k - 1, ..., T - 1
            parts.append(self.tables.chances(windows[:, max(0, start - (k - 1)) :]))
        return torch.cat(parts, dim=1).log()
