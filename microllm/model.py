"""The model, from one attention head to the whole: Head, MultiHeadAttention, FeedForward, Block, MicroLLM.

Shapes: B sequences, T characters each, C = n_embd numbers a character, H heads of D = C / H numbers, V characters.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional as F

from .config import ModelConfig


class Head:
    """One attention head, in the article's own steps: slow, and short enough to read.

    Its three matrices (D, C) are slices of the weights that `MultiHeadAttention` trains, not copies.
    """

    def __init__(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> None:
        self.query, self.key, self.value = query, key, value

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """From x (B, T, C) to what the head found (B, T, D), and where each character looked (B, T, T).

        Scaled dot-product attention, Vaswani et al. 2017, equation 1; each row of the second result sums to one.
        """
        q = x @ self.query.T  # what each character is looking for   (B, T, D)
        k = x @ self.key.T  # what each character offers to be found by   (B, T, D)
        v = x @ self.value.T  # what it hands over when it is found   (B, T, D)

        scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5  # every pair's match   (B, T, T)
        future = torch.ones_like(scores, dtype=torch.bool).triu(diagonal=1)
        scores = scores.masked_fill(future, -torch.inf)  # nobody may look at what comes later
        weights = scores.softmax(dim=-1)
        return weights @ v, weights


class Dropout(nn.Module):
    """Silences a share p of the numbers while training (Srivastava et al. 2014), with dice of its own."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.generator: torch.Generator | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.p == 0:
            return x
        kept = torch.rand(x.shape, generator=self.generator, device=x.device) >= self.p
        return x * kept / (1 - self.p)


class MultiHeadAttention(nn.Module):
    """All heads at once: one projection for every query, key and value, and torch's fused attention."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)
        self.proj = nn.Linear(config.n_embd, config.n_embd)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, T, C = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.n_head, C // self.n_head).permute(2, 0, 3, 1, 4)  # each (B, H, T, D)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.dropout(self.proj(out.transpose(1, 2).reshape(B, T, C)))

    @property
    def heads(self) -> list[Head]:
        """The same weights as separate, readable heads. Built at each access; nothing is stored twice."""
        C = self.qkv.in_features
        matrices = self.qkv.weight.view(3, self.n_head, C // self.n_head, C)
        return [Head(*matrices[:, h]) for h in range(self.n_head)]


class FeedForward(nn.Module):
    """Each character thinks for itself: four times as wide, a ReLU, and back."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.expand = nn.Linear(config.n_embd, 4 * config.n_embd)
        self.proj = nn.Linear(4 * config.n_embd, config.n_embd)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.proj(self.expand(x).relu()))


class Block(nn.Module):
    """Look back, then think; each adds its finding to the residual stream."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.ln1 = nn.LayerNorm(config.n_embd)
        self.attention = MultiHeadAttention(config)
        self.ln2 = nn.LayerNorm(config.n_embd)
        self.feed_forward = FeedForward(config)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.ln1(x))
        x = x + self.feed_forward(self.ln2(x))
        return x


class MicroLLM(nn.Module):
    """A character-level Transformer: embeddings, n_layer blocks, and one score for every possible next character.

    `generator` draws the start weights (None: seed 0). `device="meta"` builds the shapes alone, to count them.
    """

    def __init__(
        self,
        config: ModelConfig,
        vocab_size: int,
        *,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__()
        self.config = config
        with torch.device("meta"):  # shapes only: torch's own constructors would draw from its global random state
            self.token_embedding = nn.Embedding(vocab_size, config.n_embd)
            self.position_embedding = nn.Embedding(config.block_size, config.n_embd)
            self.dropout = Dropout(config.dropout)
            self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
            self.ln = nn.LayerNorm(config.n_embd)
            self.head = nn.Linear(config.n_embd, vocab_size)
        if torch.device(device).type != "meta":
            self.to_empty(device=device)
            self.init_weights(generator or torch.Generator(device).manual_seed(0))

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator) -> None:
        """Draw the start weights.

        | layer     | torch                                             | even                                  |
        |-----------|---------------------------------------------------|---------------------------------------|
        | Embedding | normal, deviation 1                               | the same                              |
        | Linear    | uniform within 1 / sqrt(inputs), weights and bias | the same; `head` a twentieth, no bias |
        | LayerNorm | weight 1, bias 0                                  | the same                              |
        """
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                module.weight.normal_(generator=generator)
            elif isinstance(module, nn.LayerNorm):
                module.weight.fill_(1)
                module.bias.zero_()
            elif isinstance(module, nn.Linear):
                bound = 1 / math.sqrt(module.in_features)
                for parameter in module.parameters(recurse=False):
                    parameter.uniform_(-bound, bound, generator=generator)
        if self.config.initialization == "even":
            self.head.weight.mul_(0.05)
            self.head.bias.zero_()

    def use_generator(self, generator: torch.Generator) -> None:
        """Let every dropout draw from `generator`, which the trainer seeds anew for each step."""
        for module in self.modules():
            if isinstance(module, Dropout):
                module.generator = generator

    def embed(self, idx: torch.Tensor) -> torch.Tensor:
        """Which character, plus where it stands: (B, T) to (B, T, C)."""
        where = torch.arange(idx.shape[1], device=idx.device)
        return self.dropout(self.token_embedding(idx) + self.position_embedding(where))

    def forward(
        self, idx: torch.Tensor, targets: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Scores of the next character at every position, and how wrong they are.

        idx and targets are (B, T) int64 with T <= block_size; logits are (B, T, V); the loss is the mean of -ln p of
        the targets, in nats a character (None without targets). Raises ValueError when T exceeds block_size.
        """
        if idx.shape[1] > self.config.block_size:
            raise ValueError(f"{idx.shape[1]} characters at once; this model sees {self.config.block_size}.")
        x = self.embed(idx)
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.ln(x))
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def generate(self, idx: torch.Tensor, max_new_tokens: int, **choices) -> torch.Tensor:
        """Append `max_new_tokens` sampled characters to idx (B, T): (B, T + new). `choices` as in `sample.generate`."""
        from .sample import generate  # sampling is built on the model, not the other way round

        return generate(self, idx, max_new_tokens, **choices)


@contextlib.contextmanager
def evaluating(model: MicroLLM) -> Iterator[None]:
    """Without dropout and without gradients, inside; as it was, after."""
    was_training = model.training
    if was_training:
        model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        if was_training:
            model.train()


def parameter_count(config: ModelConfig, vocab_size: int) -> int:
    """How many numbers a model of this shape learns. Nothing is allocated."""
    return sum(p.numel() for p in MicroLLM(config, vocab_size, device="meta").parameters())
