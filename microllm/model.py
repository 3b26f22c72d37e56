"""The model, from one attention head to the whole: Head, MultiHeadAttention, FeedForward, Block, MicroLLM.

Shapes: B sequences, T characters each, C = n_embd numbers a character, H heads of D = C / H numbers, V characters.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional as F

from .config import ModelConfig


@functools.lru_cache(maxsize=256)  # writing asks for every length up to block_size
@torch.inference_mode(False)  # kept, and used while training too
def turns(length: int, head_size: int, device: torch.device) -> torch.Tensor:
    """How far `rotate` turns each pair of numbers at each place: (length, head_size / 2), complex, of size one.

    The first pair turns by one radian a place, the last by about 1 / 10,000 (Su et al. 2021, section 3.2.2).
    """
    pace = 10_000 ** -(torch.arange(0, head_size, 2, device=device, dtype=torch.float64) / head_size)
    angle = torch.arange(length, device=device)[:, None] * pace
    return torch.polar(torch.ones_like(angle), angle).to(torch.complex64)


def rotate(x: torch.Tensor, start: int = 0) -> torch.Tensor:
    """Rotary positions: x (..., T, D) with each pair of numbers, a point of the plane, turned by an angle that grows
    with its place (the first one's is `start`). The match of two turned vectors then depends on their distance alone.
    """
    T, D = x.shape[-2:]
    wide = x.to(torch.promote_types(x.dtype, torch.float32))  # there are no complex numbers of 16 bits
    pairs = torch.view_as_complex(wide.unflatten(-1, (D // 2, 2)))
    turned = pairs * turns(start + T, D, x.device)[start:]
    return torch.view_as_real(turned).flatten(-2).to(x.dtype)


class Head:
    """One attention head, in the article's own steps: slow, and short enough to read.

    Its three matrices (D, C) are slices of the weights that `MultiHeadAttention` trains, not copies.
    """

    def __init__(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, causal: bool = True, rotary: bool = False
    ) -> None:
        self.query, self.key, self.value = query, key, value
        self.causal, self.rotary = causal, rotary

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """From x (B, T, C) to what the head found (B, T, D), and where each character looked (B, T, T).

        Scaled dot-product attention, Vaswani et al. 2017, equation 1; each row of the second result sums to one.
        """
        q = x @ self.query.T  # what each character is looking for   (B, T, D)
        k = x @ self.key.T  # what each character offers to be found by   (B, T, D)
        v = x @ self.value.T  # what it hands over when it is found   (B, T, D)
        if self.rotary:
            q, k = rotate(q), rotate(k)

        scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5  # every pair's match   (B, T, T)
        if self.causal:
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


class LayerCache:
    """What one layer keeps of the characters that were read, their keys and values, in memory taken beforehand."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        self.keys, self.values, self.length = keys, values, 0  # (B, H, block_size, D)

    def update(self, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Add those of new characters (B, H, T, D), and return all so far (B, H, length, D)."""
        start, self.length = self.length, self.length + k.shape[2]
        self.keys[:, :, start : self.length] = k
        self.values[:, :, start : self.length] = v
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]


class Cache:
    """What a model keeps of a context, so that one more character costs the work of one (Pope et al. 2022).

    `idx` (B, length) are the characters in it. Memory is taken for all block_size at once, and never more. To be used
    without gradients.
    """

    def __init__(self, model: MicroLLM, batch_size: int) -> None:
        config, weight = model.config, model.token_embedding.weight
        shape = (2, config.n_layer, batch_size, config.n_head, config.block_size, config.head_size)
        keys, values = weight.new_zeros(shape)
        self.layers = [LayerCache(*pair) for pair in zip(keys, values, strict=True)]
        self.idx = torch.empty(batch_size, 0, dtype=torch.long, device=weight.device)

    @property
    def length(self) -> int:
        """How many characters of the context are in it."""
        return self.idx.shape[1]

    def clear(self) -> None:
        """Forget everything; the memory stays taken."""
        self.idx = self.idx[:, :0]
        for layer in self.layers:
            layer.length = 0


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, causal: bool) -> torch.Tensor:
    """torch's fused attention for all heads at once: (B, H, T, D) from queries, keys and values of that shape.

    On CPUs in float32 whatever the precision around it: its backward pass in bfloat16 takes ten times longer there.
    """
    if q.dtype == torch.bfloat16 and q.device.type == "cpu":
        with torch.autocast("cpu", enabled=False):
            return F.scaled_dot_product_attention(q.float(), k.float(), v.float(), is_causal=causal)
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal)


class MultiHeadAttention(nn.Module):
    """All heads at once: one projection for every query, key and value, and torch's fused attention."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_head, self.causal, self.rotary = config.n_head, config.causal, config.position == "rotary"
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)
        self.proj = nn.Linear(config.n_embd, config.n_embd)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: torch.Tensor, cache: LayerCache | None = None) -> torch.Tensor:
        """From x (B, T, C) to what all heads found, (B, T, C). With a `cache`, x goes on after what that holds."""
        q, k, v = self.project(x, start=cache.length if cache else 0)
        if cache:
            k, v = cache.update(k, v)
        return self.look(q, k, v)

    def project(self, x: torch.Tensor, start: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values of all heads, each (B, H, T, D), from x (B, T, C), whose first stands at `start`."""
        B, T, C = x.shape
        qk, v = self.qkv(x).view(B, T, 3, self.n_head, C // self.n_head).permute(2, 0, 3, 1, 4).split((2, 1))
        if self.rotary:
            qk = rotate(qk, start=start)
        (q, k), (v,) = qk, v
        return q, k, v

    def look(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """What all heads found, (B, T, C), for all queries, or for that of the newest character alone."""
        # the newest may look at all: there is no future yet
        out = attend(q, k, v, causal=self.causal and q.shape[2] > 1)
        return self.dropout(self.proj(out.transpose(1, 2).flatten(2)))

    @property
    def heads(self) -> list[Head]:
        """The same weights as separate, readable heads. Built at each access; nothing is stored twice."""
        C = self.qkv.in_features
        matrices = self.qkv.weight.view(3, self.n_head, C // self.n_head, C)
        return [Head(*matrices[:, h], causal=self.causal, rotary=self.rotary) for h in range(self.n_head)]


class FeedForward(nn.Module):
    """Each character thinks for itself: four times as wide, nothing below zero, and back."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.squared = config.activation == "relu2"
        self.expand = nn.Linear(config.n_embd, 4 * config.n_embd)
        self.proj = nn.Linear(4 * config.n_embd, config.n_embd)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.expand(x).relu()
        if self.squared:
            x = x.square()
        return self.dropout(self.proj(x))


class Block(nn.Module):
    """Look back, then think; each adds its finding to the residual stream."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.ln1 = nn.LayerNorm(config.n_embd)
        self.attention = MultiHeadAttention(config)
        self.ln2 = nn.LayerNorm(config.n_embd)
        self.feed_forward = FeedForward(config)

    def forward(self, x: torch.Tensor, cache: LayerCache | None = None) -> torch.Tensor:
        x = x + self.attention(self.ln1(x), cache)
        x = x + self.feed_forward(self.ln2(x))
        return x


def _embedding(rows: int, width: int) -> nn.Embedding:
    """Without start values: drawing them on "meta" imports all of torch's compiler, which takes more than a second."""
    return nn.Embedding.from_pretrained(torch.empty(rows, width), freeze=False)


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
        self.config, self.vocab_size = config, vocab_size
        with torch.device("meta"):  # shapes only: torch's own constructors would draw from its global random state
            self.token_embedding = _embedding(vocab_size, config.n_embd)
            if config.lookback:  # a table for each place: its V characters, and "nothing stands there"
                self.lookback_embedding = _embedding(config.lookback * (vocab_size + 1), config.n_embd)
            if config.position == "learned":
                self.position_embedding = _embedding(config.block_size, config.n_embd)
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

        | layer                | torch                                             | zero                      |
        |----------------------|---------------------------------------------------|---------------------------|
        | Embedding            | normal, deviation 1                               | the same                  |
        | `lookback_embedding` | normal, deviation 0.3                             | the same                  |
        | Linear               | uniform within 1 / sqrt(inputs), weights and bias | the same                  |
        | `proj` and `head`    | as every Linear                                   | 0, weights and bias       |
        | LayerNorm            | weight 1, bias 0                                  | the same                  |

        With zeros each block begins by adding nothing, and the whole model by betting evenly on all characters
        (Zhang et al. 2019, "Fixup", for the blocks).
        """
        for name, module in self.named_modules():
            if isinstance(module, nn.Embedding):
                module.weight.normal_(std=0.3 if name == "lookback_embedding" else 1.0, generator=generator)
            elif isinstance(module, nn.LayerNorm):
                module.weight.fill_(1)
                module.bias.zero_()
            elif isinstance(module, nn.Linear):
                is_last = name.endswith(("proj", "head"))
                bound = 0 if is_last and self.config.initialization == "zero" else 1 / math.sqrt(module.in_features)
                for parameter in module.parameters(recurse=False):
                    parameter.uniform_(-bound, bound, generator=generator)

    def use_generator(self, generator: torch.Generator) -> None:
        """Let every dropout draw from `generator`, which the trainer seeds anew for each step."""
        for module in self.modules():
            if isinstance(module, Dropout):
                module.generator = generator

    def embed(self, idx: torch.Tensor, before: torch.Tensor | None = None) -> torch.Tensor:
        """Which character, which ones stand before it, and where: (B, T) to (B, T, C).

        `before` (B, P) is what stands in the context before idx. The vectors of the last `lookback` characters are
        added to each one's own (a window of neighbours, as in Bengio et al. 2003).
        """
        T = idx.shape[1]
        x, k = self.token_embedding(idx), self.config.lookback
        start = before.shape[1] if before is not None else 0
        if k:
            seen = idx if before is None else torch.cat([before[:, -k:], idx], dim=1)
            seen = F.pad(seen, (k + T - seen.shape[1], 0), value=self.vocab_size)
            neighbours = seen[:, :-1].unfold(1, k, 1)  # what stands k, ..., 1 places back   (B, T, k)
            table = torch.arange(k, device=idx.device) * (self.vocab_size + 1)
            x = x + self.lookback_embedding(neighbours + table).sum(dim=2)
        if self.config.position == "learned":
            x = x + self.position_embedding.weight[start : start + T]
        return self.dropout(x)

    def forward(
        self, idx: torch.Tensor, targets: torch.Tensor | None = None, cache: Cache | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Scores of the next character at every position, and how wrong they are.

        idx and targets are (B, T) int64 with T <= block_size; logits are (B, T, V); the loss is the mean of -ln p of
        the targets, in nats a character (None without targets). With a `cache`, idx goes on after what that holds: the
        whole of a context into an empty one, or one more character. Raises ValueError for more than block_size.
        """
        kept = cache.length if cache else 0
        if kept + idx.shape[1] > self.config.block_size:
            raise ValueError(f"{kept + idx.shape[1]} characters at once; this model sees {self.config.block_size}.")
        if kept and (idx.shape[1] > 1 or not self.config.causal):
            raise ValueError("A cache that holds something takes one more character at a time, of a causal model.")
        x = self.embed(idx, cache.idx if cache else None)
        for i, block in enumerate(self.blocks):
            x = block(x, cache.layers[i] if cache else None)
        if cache:
            cache.idx = torch.cat([cache.idx, idx], dim=1)
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
        with torch.inference_mode():
            yield
    finally:
        if was_training:
            model.train()


@functools.lru_cache(maxsize=1_024)
def parameter_count(config: ModelConfig, vocab_size: int) -> int:
    """How many numbers a model of this shape learns. Nothing is allocated."""
    return sum(p.numel() for p in MicroLLM(config, vocab_size, device="meta").parameters())
