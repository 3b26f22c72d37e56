"""What MicroLLM is measured against, each as short as it is usually written: the article's own code, with one head
after another, and the common fused style, with one projection for all heads.

Both are the same Transformer: learned positions, LayerNorm first, ReLU, AdamW at 1e-3, torch's initialization. The
scores are divided by the square root of head_size; in the article's train.py, by that of n_embd.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from microllm import ModelConfig


class Head(nn.Module):
    """One head with matrices of its own."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.key, self.query, self.value = (nn.Linear(config.n_embd, config.head_size, bias=False) for _ in range(3))
        self.register_buffer("tril", torch.tril(torch.ones(config.block_size, config.block_size)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        T = x.shape[1]
        q, k, v = self.query(x), self.key(x), self.value(x)
        scores = q @ k.transpose(-2, -1) * k.shape[-1] ** -0.5
        scores = scores.masked_fill(self.tril[:T, :T] == 0, float("-inf"))
        return F.softmax(scores, dim=-1) @ v


class PerHead(nn.Module):
    """The article's attention: a list of heads, and a loop over it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = nn.ModuleList(Head(config) for _ in range(config.n_head))
        self.proj = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.proj(torch.cat([head(x) for head in self.heads], dim=-1))


class Fused(nn.Module):
    """The common way: one projection, and torch's fused attention."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)
        self.proj = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, T, C = x.shape
        q, k, v = (z.view(B, T, self.n_head, C // self.n_head).transpose(1, 2) for z in self.qkv(x).split(C, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.proj(y.transpose(1, 2).contiguous().view(B, T, C))


class PlainBlock(nn.Module):
    """Attention and feed-forward, each added to its input."""

    def __init__(self, config: ModelConfig, attention: type[nn.Module]) -> None:
        super().__init__()
        C = config.n_embd
        self.attention = attention(config)
        self.feed_forward = nn.Sequential(
            nn.Linear(C, 4 * C), nn.ReLU(), nn.Linear(4 * C, C), nn.Dropout(config.dropout)
        )
        self.ln1, self.ln2 = nn.LayerNorm(C), nn.LayerNorm(C)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.ln1(x))
        return x + self.feed_forward(self.ln2(x))


class PlainModel(nn.Module):
    """The whole model, with `PerHead` or `Fused` attention."""

    def __init__(self, config: ModelConfig, vocab_size: int, attention: type[nn.Module]) -> None:
        super().__init__()
        self.block_size = config.block_size
        self.token_embedding = nn.Embedding(vocab_size, config.n_embd)
        self.position_embedding = nn.Embedding(config.block_size, config.n_embd)
        self.blocks = nn.Sequential(*(PlainBlock(config, attention) for _ in range(config.n_layer)))
        self.ln = nn.LayerNorm(config.n_embd)
        self.head = nn.Linear(config.n_embd, vocab_size)

    def forward(self, idx: torch.Tensor, targets: torch.Tensor | None = None):
        T = idx.shape[1]
        x = self.token_embedding(idx) + self.position_embedding(torch.arange(T, device=idx.device))
        logits = self.head(self.ln(self.blocks(x)))
        if targets is None:
            return logits, None
        B, T, V = logits.shape
        return logits, F.cross_entropy(logits.view(B * T, V), targets.reshape(B * T))

    def generate(self, idx: torch.Tensor, max_new_tokens: int) -> torch.Tensor:
        """The article's generation, which recomputes the whole context for each character."""
        for _ in range(max_new_tokens):
            logits, _ = self(idx[:, -self.block_size :])
            chosen = torch.multinomial(F.softmax(logits[:, -1, :], dim=-1), num_samples=1)
            idx = torch.cat((idx, chosen), dim=1)
        return idx


class PlainTraining:
    """The usual loop, step by step. The article's stacks the windows of its batch one after another ("stacked")."""

    def __init__(
        self, config: ModelConfig, batch_size: int, ids: torch.Tensor, vocab_size: int, style: str, seed: int = 1337
    ) -> None:
        torch.manual_seed(seed)
        self.model = PlainModel(config, vocab_size, {"per head": PerHead, "fused": Fused}[style]).to(ids.device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, fused=style == "fused")
        self.ids, self.batch_size, self.block_size = ids.long(), batch_size, config.block_size

    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Random windows, and the same one character later."""
        T = self.block_size
        starts = torch.randint(len(self.ids) - T, (self.batch_size,))
        x = torch.stack([self.ids[i : i + T] for i in starts])
        return x, torch.stack([self.ids[i + 1 : i + T + 1] for i in starts])

    def step(self) -> float:
        """Take one step. Returns its loss in nats per character."""
        _, loss = self.model(*self.batch())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.item()
