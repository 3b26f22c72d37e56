"""The model, from one attention head to the whole: Head, MultiHeadAttention, FeedForward, Block, MicroLLM.

Shapes: B sequences of T tokens (here characters), C = n_embd, H = n_head, D = C / H (head size), V = vocabulary size.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional as F

from .activations import ACTIVATIONS
from .config import ModelConfig, stream_seed
from .sample import Sampling, probabilities, sample_from


@functools.lru_cache(maxsize=256)  # generation asks for every length up to block_size
@torch.inference_mode(False)  # the cached tensor is used in training too
def rotary_frequencies(length: int, head_size: int, device: torch.device) -> torch.Tensor:
    """The rotation of each pair of numbers at each position: (length, head_size / 2), complex, of magnitude one.

    The first pair turns by one radian per position, the last by about 1 / 10,000 (Su et al. 2021, section 3.2.2).
    """
    frequency = 10_000 ** -(torch.arange(0, head_size, 2, device=device, dtype=torch.float64) / head_size)
    angle = torch.arange(length, device=device)[:, None] * frequency
    return torch.polar(torch.ones_like(angle), angle).to(torch.complex64)


def apply_rotary(x: torch.Tensor, start: int = 0) -> torch.Tensor:
    """Rotary positions (Su et al. 2021) for queries or keys x (..., T, D), the first of which is at position `start`.

    Each pair of numbers is a point in the plane, rotated by an angle that grows with its position. The dot product of a
    rotated query and a rotated key then depends on the distance between them alone.
    """
    T, D = x.shape[-2:]
    wide = x.to(torch.promote_types(x.dtype, torch.float32))  # torch has no 16-bit complex numbers
    pairs = torch.view_as_complex(wide.unflatten(-1, (D // 2, 2)))
    rotated = pairs * rotary_frequencies(start + T, D, x.device)[start:]
    return torch.view_as_real(rotated).flatten(-2).to(x.dtype)


RELATIVE_SCALE = 10.0
"""Factor of the trained numbers of relative positions. AdamW changes all weights about equally fast, but the scores of
attention have to change by several units before a head looks at one place only. Saved weights depend on it."""

RELATIVE_START = 3.0
"""What is added to scores before training: in the first head for the previous character, in the second head for the one
before that, and so on, while there are distances left. Without it most heads choose the previous character."""


def by_distance(bias: torch.Tensor, queries: int, keys: int, *, causal: bool) -> torch.Tensor:
    """The bias of each distance i - j, laid out as scores (H, queries, keys) for the last of `keys` tokens.

    bias[:, d] is for the key d back; without a causal mask bias[:, -d] is for the one d later, and with it later keys
    get minus infinity. The rows are views of one line with the bias of every i - j, each shifted by one: no copies.
    """
    near, later = bias[:, :keys], bias.flip(-1)[:, : keys - 1]
    if causal:
        later = torch.full_like(later, -torch.inf)
    line = torch.cat([near.flip(-1), later], dim=-1)  # i - j = keys - 1, ..., 1, 0, -1, ..., 1 - keys
    return line.unfold(-1, keys, 1)[:, :queries].flip(-2)


class Head:
    """One attention head, step by step as in the article: slow, and short enough to read.

    Its three matrices (D, C) are slices of the weights that `MultiHeadAttention` trains, not copies. With relative
    positions, `bias` is added to the scores by distance (see `by_distance`).
    """

    def __init__(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        *,
        causal: bool = True,
        rotary: bool = False,
        bias: torch.Tensor | None = None,
    ) -> None:
        self.query, self.key, self.value = query, key, value
        self.causal, self.rotary, self.bias = causal, rotary, bias

    def __call__(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """From x (B, T, C) to the head's output (B, T, D) and its attention weights (B, T, T), whose rows sum to one.

        Scaled dot-product attention, Vaswani et al. 2017, equation 1.
        """
        q = x @ self.query.T  # what each token looks for   (B, T, D)
        k = x @ self.key.T  # what each token offers to be found by   (B, T, D)
        v = x @ self.value.T  # what each token passes on when it is attended to   (B, T, D)
        if self.rotary:
            q, k = apply_rotary(q), apply_rotary(k)

        scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5  # how well each query matches each key   (B, T, T)
        if self.bias is not None:
            place = torch.arange(x.shape[1], device=x.device)
            scores = scores + self.bias[place[:, None] - place]  # relative positions: what the distance adds
        if self.causal:
            future = torch.ones_like(scores, dtype=torch.bool).triu(diagonal=1)
            scores = scores.masked_fill(future, -torch.inf)  # the causal mask: no token attends to a later one
        weights = scores.softmax(dim=-1)
        return weights @ v, weights


class Dropout(nn.Module):
    """Sets a share p of the numbers to zero while training (Srivastava et al. 2014), with a generator of its own."""

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
    """The keys and values of one layer for the tokens read so far, in memory that is allocated once.

    `bias` (H, block_size, block_size) is what relative positions add to the scores, laid out once for all tokens.
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, bias: torch.Tensor | None) -> None:
        self.keys, self.values, self.length = keys, values, 0  # (B, H, block_size, D)
        self.bias = bias

    def update(self, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Append the keys and values of new tokens (B, H, T, D); return all so far, each (B, H, length, D)."""
        start, self.length = self.length, self.length + k.shape[2]
        self.keys[:, :, start : self.length] = k
        self.values[:, :, start : self.length] = v
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]


class Cache:
    """The key-value cache: with it, each new token costs the work of one token only (Pope et al. 2022).

    `idx` (B, length) are the tokens in it. Memory for block_size tokens is allocated once. For use without gradients.
    """

    def __init__(self, model: MicroLLM, batch_size: int) -> None:
        config, weight = model.config, model.token_embedding.weight
        shape = (2, config.n_layer, batch_size, config.n_head, config.block_size, config.head_size)
        keys, values = weight.new_zeros(shape)
        with torch.no_grad():
            biases = [block.attention.bias_scores(config.block_size, config.block_size) for block in model.blocks]
        self.layers = [LayerCache(*layer) for layer in zip(keys, values, biases, strict=True)]
        self.idx = torch.empty(batch_size, 0, dtype=torch.long, device=weight.device)

    @property
    def length(self) -> int:
        """How many tokens are in it."""
        return self.idx.shape[1]

    def clear(self) -> None:
        """Empty it; the memory stays allocated."""
        self.idx = self.idx[:, :0]
        for layer in self.layers:
            layer.length = 0


def attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, causal: bool, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """The attention of all heads at once: (B, H, T, D) from queries (B, H, T, D), keys and values (B, H, S, D).

    A `bias` (H, T, S) is added to the scores; it must hide the future too. Without a bias this is torch's fused
    attention, which is slower with a trained bias. It computes in float32 even under bfloat16, except when fused on a
    GPU: a CPU's bfloat16 backward pass takes ten times as long.
    """
    if q.dtype == torch.bfloat16 and (bias is not None or q.device.type == "cpu"):
        with torch.autocast(q.device.type, enabled=False):
            return attend(q.float(), k.float(), v.float(), causal=causal, bias=bias)
    if bias is None:
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return ((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1) + bias).softmax(dim=-1) @ v


class MultiHeadAttention(nn.Module):
    """All heads at once: one matrix computes every query, key and value, and `attend` does the rest.

    With relative positions each head adds a trained number for each distance to its scores (`bias`, after Raffel et al.
    2020, section 2.1, without their buckets).
    """

    def __init__(self, config: ModelConfig, layer: int = 0) -> None:
        super().__init__()
        self.n_head, self.causal, self.rotary = config.n_head, config.causal, config.position == "rotary"
        self.silenced = sorted(head for at, head in config.silenced_heads if at == layer)
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd, bias=False)
        self.proj = nn.Linear(config.n_embd, config.n_embd)
        if config.position == "relative":
            distances = config.block_size if config.causal else 2 * config.block_size - 1  # back, and forward
            self.relative_bias = nn.Parameter(torch.empty(config.n_head, distances))
        self.dropout = Dropout(config.dropout)

    @property
    def bias(self) -> torch.Tensor | None:
        """What each head adds to its scores (see `by_distance`): (H, distances); None without relative positions."""
        return RELATIVE_SCALE * self.relative_bias if hasattr(self, "relative_bias") else None

    def forward(self, x: torch.Tensor, cache: LayerCache | None = None) -> torch.Tensor:
        """From x (B, T, C) to (B, T, C). With a `cache`, x continues the tokens that are in it."""
        q, k, v = self.project_qkv(x, start=cache.length if cache else 0)
        if cache:
            k, v = cache.update(k, v)
        return self.attend_and_project(q, k, v, cache.bias if cache else None)

    def project_qkv(self, x: torch.Tensor, start: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values of all heads, each (B, H, T, D), of x (B, T, C), whose first token is at `start`."""
        B, T, C = x.shape
        qk, v = self.qkv(x).view(B, T, 3, self.n_head, C // self.n_head).permute(2, 0, 3, 1, 4).split((2, 1))
        if self.rotary:
            qk = apply_rotary(qk, start=start)
        (q, k), (v,) = qk, v
        return q, k, v

    def bias_scores(self, queries: int, keys: int) -> torch.Tensor | None:
        """`bias` laid out for the last `queries` of `keys` tokens: (H, queries, keys)."""
        return None if self.bias is None else by_distance(self.bias, queries, keys, causal=self.causal)

    def attend_and_project(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, laid_out: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The output of all heads through `proj`: (B, T, C), for all queries or for that of the newest token only.

        `laid_out` is what `bias_scores` returns for a whole context, if it was already computed.
        """
        queries, keys = q.shape[2], k.shape[2]
        bias = self.bias_scores(queries, keys) if laid_out is None else laid_out[:, keys - queries : keys, :keys]
        # the newest token may attend to all others: none is later
        out = self.silence(attend(q, k, v, causal=self.causal and queries > 1, bias=bias))
        return self.dropout(self.proj(out.transpose(1, 2).flatten(2)))

    def silence(self, z: torch.Tensor) -> torch.Tensor:
        """The outputs z (B, H, T, D) of all heads, zero for those that are silenced: see ModelConfig."""
        return z.index_fill(1, torch.tensor(self.silenced, device=z.device), 0) if self.silenced else z

    @property
    def heads(self) -> list[Head]:
        """The same weights as separate, readable heads, made at each access. Their matrices are views, not copies.

        A silenced head is among them: it computes its output, but `forward` puts zeros in its place.
        """
        C = self.qkv.in_features
        matrices = self.qkv.weight.view(3, self.n_head, C // self.n_head, C)
        bias = [None] * self.n_head if self.bias is None else self.bias
        return [Head(*matrices[:, h], causal=self.causal, rotary=self.rotary, bias=bias[h]) for h in range(self.n_head)]


class FeedForward(nn.Module):
    """A two-layer network applied to each token on its own: to four times the width, the activation, and back."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.expand = nn.Linear(config.n_embd, 4 * config.n_embd)
        self.activate = ACTIVATIONS[config.activation]
        self.proj = nn.Linear(4 * config.n_embd, config.n_embd)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dropout(self.proj(self.activate(self.expand(x))))


class Block(nn.Module):
    """Attention, then the feed-forward network; each adds its output to the residual stream."""

    def __init__(self, config: ModelConfig, layer: int = 0) -> None:
        super().__init__()
        self.ln1 = nn.LayerNorm(config.n_embd)
        self.attention = MultiHeadAttention(config, layer)
        self.ln2 = nn.LayerNorm(config.n_embd)
        self.feed_forward = FeedForward(config)

    def forward(self, x: torch.Tensor, cache: LayerCache | None = None) -> torch.Tensor:
        x = x + self.attention(self.ln1(x), cache)
        x = x + self.feed_forward(self.ln2(x))
        return x


def _embedding(rows: int, width: int) -> nn.Embedding:
    """Without initial values: drawing them on "meta" imports torch's compiler, which takes more than a second."""
    return nn.Embedding.from_pretrained(torch.empty(rows, width), freeze=False)


class MicroLLM(nn.Module):
    """A character-level Transformer: embeddings, n_layer blocks, and a logit for every possible next character.

    `generator` draws the initial weights (None: seed 0). `device="meta"` builds the shapes only, to count them.
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
            if config.lookback:  # a table for each distance: V characters, and "before the beginning"
                self.lookback_embedding = _embedding(config.lookback * (vocab_size + 1), config.n_embd)
            if config.position == "learned":
                self.position_embedding = _embedding(config.block_size, config.n_embd)
            self.dropout = Dropout(config.dropout)
            self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
            self.ln_f = nn.LayerNorm(config.n_embd)
            self.lm_head = nn.Linear(config.n_embd, vocab_size)
        if torch.device(device).type != "meta":
            self.to_empty(device=device)
            self.init_weights(generator or torch.Generator(device).manual_seed(0))

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator) -> None:
        """Draw the initial weights. Raises ValueError for a parameter that the table does not cover.

        | layer                | "torch"                                           | "zero"                    |
        |----------------------|---------------------------------------------------|---------------------------|
        | Embedding            | normal, standard deviation 1                      | the same                  |
        | `lookback_embedding` | normal, standard deviation 0.3                    | the same                  |
        | Linear               | uniform within 1 / sqrt(inputs), weights and bias | the same                  |
        | `proj`, `lm_head`    | as every Linear                                   | 0, weights and bias       |
        | `relative_bias`      | 0, but RELATIVE_START of head i at distance i     | the same                  |
        | LayerNorm            | weight 1, bias 0                                  | the same                  |

        With zeros, each block adds nothing at first and all next characters are equally likely (Zhang et al. 2019,
        "Fixup", for the blocks).
        """
        covered = set()
        for name, module in self.named_modules():
            if isinstance(module, nn.Embedding):
                module.weight.normal_(std=0.3 if name == "lookback_embedding" else 1.0, generator=generator)
            elif isinstance(module, nn.LayerNorm):
                module.weight.fill_(1)
                module.bias.zero_()
            elif isinstance(module, nn.Linear):
                is_last = name.endswith(("proj", "lm_head"))
                bound = 0 if is_last and self.config.initialization == "zero" else 1 / math.sqrt(module.in_features)
                for parameter in module.parameters(recurse=False):
                    parameter.uniform_(-bound, bound, generator=generator)
            elif isinstance(module, MultiHeadAttention) and module.bias is not None:
                module.relative_bias.zero_().diagonal(1).fill_(RELATIVE_START / RELATIVE_SCALE)
            else:
                continue
            covered.update(module.parameters(recurse=False))
        if missed := [name for name, parameter in self.named_parameters() if parameter not in covered]:
            raise ValueError(f"init_weights has no rule for {', '.join(missed)}: add a row to its table.")

    def use_generator(self, generator: torch.Generator | None) -> None:
        """Make every dropout draw from `generator` (None: torch's own), which the trainer reseeds for each step."""
        for module in self.modules():
            if isinstance(module, Dropout):
                module.generator = generator

    def embed(self, idx: torch.Tensor, before: torch.Tensor | None = None) -> torch.Tensor:
        """The embedding of each token, of the ones just before it, and of its position: (B, T) to (B, T, C).

        `before` (B, P) are the tokens of the context before idx. The vectors of the previous `lookback` characters are
        added to each one's own (as in the window of Bengio et al. 2003).
        """
        x = self.token_embedding(idx)
        if self.config.lookback:
            T, k = idx.shape[1], self.config.lookback
            seen = idx if before is None else torch.cat([before[:, -k:], idx], dim=1)
            seen = F.pad(seen, (k + T - seen.shape[1], 0), value=self.vocab_size)
            previous = seen[:, :-1].unfold(1, k, 1)  # the tokens k, ..., 1 positions back   (B, T, k)
            table = torch.arange(k, device=idx.device) * (self.vocab_size + 1)
            x = x + self.lookback_embedding(previous + table).sum(dim=2)
        if self.config.position == "learned":
            start = before.shape[1] if before is not None else 0
            x = x + self.position_embedding.weight[start : start + idx.shape[1]]
        return self.dropout(x)

    def forward(
        self, idx: torch.Tensor, targets: torch.Tensor | None = None, cache: Cache | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The logits of the next character at every position, and the loss.

        idx and targets are (B, T) int64 with T <= block_size; logits are (B, T, V); the loss is the cross-entropy, the
        mean of -ln p of the targets, in nats per character (None without targets). With a `cache`, idx continues the
        tokens in it: a whole context when it is empty, else one more token. Raises ValueError for more than block_size.
        """
        kept = cache.length if cache else 0
        if kept + idx.shape[1] > self.config.block_size:
            raise ValueError(f"{kept + idx.shape[1]} tokens do not fit: this model sees {self.config.block_size}.")
        if kept and (idx.shape[1] > 1 or not self.config.causal):
            raise ValueError("A cache that holds tokens accepts one more at a time, and only from a causal model.")
        x = self.embed(idx, cache.idx if cache else None)
        for i, block in enumerate(self.blocks):
            x = block(x, cache.layers[i] if cache else None)
        if cache:
            cache.idx = torch.cat([cache.idx, idx], dim=1)
        logits = self.lm_head(self.ln_f(x))
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def generate(
        self,
        idx: torch.Tensor,
        max_new_tokens: int,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> torch.Tensor:
        """Append `max_new_tokens` sampled tokens to idx (B, T), one after another: (B, T + max_new_tokens).

        The readable twin of `inference.generate`, which has a cache and writes the same text. When the context is full,
        its oldest quarter is dropped, so that the cache need not be computed again for every token. Raises ValueError
        for an empty idx or a bad setting (see `sample.Sampling`).
        """
        if not idx.shape[1]:
            raise ValueError("The prompt is empty: give at least one character.")
        sampling, size = Sampling(temperature, top_k, top_p), self.config.block_size
        rng = torch.Generator(idx.device).manual_seed(stream_seed(seed, "sample"))
        context = idx[:, -size:]
        with evaluating(self):
            for _ in range(max_new_tokens):
                logits, _ = self(context)
                next_token = sample_from(probabilities(logits[:, -1], sampling), rng)  # (B, 1)
                idx = torch.cat([idx, next_token], dim=1)
                if context.shape[1] == size:
                    context = context[:, max(1, size // 4) :]
                context = torch.cat([context, next_token], dim=1)
        return idx


@contextlib.contextmanager
def evaluating(model: MicroLLM) -> Iterator[None]:
    """Inside: no dropout and no gradients. Afterwards the model is in the mode it was in."""
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
    """The number of parameters of a model of this shape. Nothing is allocated."""
    return sum(p.numel() for p in MicroLLM(config, vocab_size, device="meta").parameters())
