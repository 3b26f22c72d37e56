"""Estimates before training: memory and time on this machine, and how many threads to use."""

from __future__ import annotations

import contextlib
import math
import os
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from .config import PRESETS, ModelConfig, TrainConfig, knobs
from .corpus import EVAL_CHARACTERS, Corpus
from .data.builtin import drawing_room
from .model import MicroLLM, parameter_count
from .train import EVAL_CHARACTERS_AT_ONCE, Trainer, eval_count

_FORWARD_SHARE = 0.3
"""The share of a step's time that its forward pass takes, by which the time of validation is estimated."""

_MAX_STEPS = knobs()["max_steps"].metadata["high"]
_ROUND_NUMBERS = sorted(
    {number for power in range(7) for digits in range(1, 100) if (number := digits * 10**power) <= _MAX_STEPS}
)
_TIMED_STEPS = 9
_WORKSPACE = 15_000_000
"""Memory in bytes that torch needs for any model."""


@dataclass(frozen=True)
class Speed:
    """The speed of this machine. `seconds[optimizer]` is (seconds per layer, seconds per operation) of a step."""

    seconds: dict[str, tuple[float, float]]

    def seconds_per_step(self, model: ModelConfig, train: TrainConfig, vocab_size: int) -> float:
        """The expected seconds for one training step."""
        per_layer, per_operation = self.seconds[train.optimizer]
        work = operations_per_step(model, train, vocab_size) / thread_count(model, train, vocab_size)
        return (model.n_layer + 1) * per_layer + work * per_operation

    def seconds_per_check(self, model: ModelConfig, train: TrainConfig, vocab_size: int) -> float:
        """The expected seconds for one validation check."""
        _, per_operation = self.seconds[train.optimizer]
        windows = replace(train, batch_size=max(1, EVAL_CHARACTERS // model.block_size))
        work = operations_per_step(model, windows, vocab_size) / thread_count(model, train, vocab_size)
        return _FORWARD_SHARE * work * per_operation


def run_seconds(train: TrainConfig, tokens: int, held_out: int, step: float) -> float:
    """The expected seconds of a whole run, including all validation checks, the last one on all `held_out` characters.

    Each step trains on `tokens` characters and takes `step` seconds.
    """
    validated = eval_count(train) * min(EVAL_CHARACTERS, held_out) + held_out
    return step * (train.max_steps + _FORWARD_SHARE * validated / tokens)


def steps_for(seconds: float, train: TrainConfig, tokens: int, held_out: int, step: float) -> int:
    """The max_steps, with at most two significant digits, of a run that is expected to take about `seconds`."""

    def expected(max_steps: int) -> float:
        return run_seconds(replace(train, max_steps=max_steps), tokens, held_out, step)

    i = bisect_left(_ROUND_NUMBERS, seconds, key=expected)  # the first that takes at least `seconds`
    return min(_ROUND_NUMBERS[max(0, i - 1) : i + 1], key=lambda max_steps: abs(expected(max_steps) - seconds))


def operations_per_step(model: ModelConfig, train: TrainConfig, vocab_size: int) -> float:
    """Floating-point operations of one step, forward and backward (Kaplan et al. 2020, table 1)."""
    tokens = train.batch_size * model.block_size
    attention = 2 * model.n_layer * model.block_size * model.n_embd
    return 6.0 * tokens * (parameter_count(model, vocab_size) + attention)


@dataclass(frozen=True)
class PartSize:
    """The parameters of one kind of part of a model: its name, the shapes of its tensors, and how often it occurs."""

    name: str
    shapes: tuple[tuple[int, ...], ...]
    copies: int

    @property
    def count(self) -> int:
        """The number of parameters in all copies."""
        return self.copies * sum(map(math.prod, self.shapes))


_PARTS = {
    "token_embedding": "Token embedding",
    "lookback_embedding": "Embedding of previous characters",
    "position_embedding": "Position embedding",
    "blocks.attention": "Attention, per layer",
    "blocks.feed_forward": "Feed-forward network, per layer",
    "blocks.ln": "Layer normalization, per layer",
    "ln_f": "Final layer normalization",
    "lm_head": "Scores of the next character (lm_head)",
}


def part_sizes(model: ModelConfig, vocab_size: int) -> list[PartSize]:
    """The parameters of a model of this shape part by part, counted in the model itself. Nothing is allocated."""
    shapes: dict[str, list[tuple[int, ...]]] = {name: [] for name in _PARTS}
    for name, parameter in MicroLLM(model, vocab_size, device="meta").named_parameters():
        layer, _, inside = name.removeprefix("blocks.").partition(".") if name.startswith("blocks.") else ("0", "", "")
        key = f"blocks.{inside}" if inside else name
        part = next(part for part in _PARTS if key.startswith(part))
        if layer == "0":  # all layers are alike
            shapes[part].append(tuple(parameter.shape))
    return [
        PartSize(_PARTS[part], tuple(found), model.n_layer if part.startswith("blocks.") else 1)
        for part, found in shapes.items()
        if found
    ]


def memory_bytes(model: ModelConfig, train: TrainConfig, vocab_size: int) -> int:
    """The approximate memory for training in bytes, all in float32.

    It counts weights, gradients, the two averages of AdamW, and the larger of what the backward pass and what
    validation needs. Per layer and character that is about 28 vectors of n_embd numbers: norms, queries, keys, values,
    the output of the heads, the hidden layer before and after its activation, residuals, and gradients of most of them.
    With relative positions the attention weights are kept as well: n_head * block_size numbers.
    """
    weights = model.n_head * model.block_size if model.position == "relative" else 0
    step = 28 * model.n_layer * model.n_embd + (model.n_layer + 3) * weights + 3 * vocab_size  # 3: scores and gradients
    step *= train.batch_size * model.block_size
    validation = EVAL_CHARACTERS_AT_ONCE * (30 * model.n_embd + 3 * weights + 2 * vocab_size)
    return _WORKSPACE + 4 * (4 * parameter_count(model, vocab_size) + max(step, validation))


def memory_problem(model: ModelConfig, train: TrainConfig, vocab_size: int, free: int | None = None) -> str | None:
    """A sentence if training does not fit into `free` bytes (None: the free memory of this machine), else None.

    It suggests what would fit: a smaller batch first, which changes the result least, then fewer layers.
    """
    free = free_memory() if free is None else free
    needed = memory_bytes(model, train, vocab_size)
    if free is None or needed <= free:
        return None
    sentence = (
        f"This model needs about {needed / 1e6:,.0f} MB of memory to train, and {free / 1e6:,.0f} MB are free here."
    )
    batch_size, n_layer = train.batch_size, model.n_layer
    while batch_size > 1 or n_layer > 1:
        batch_size, n_layer = (batch_size // 2, n_layer) if batch_size > 1 else (1, n_layer // 2)
        if memory_bytes(replace(model, n_layer=n_layer), replace(train, batch_size=batch_size), vocab_size) <= free:
            layers = "" if n_layer == model.n_layer else f" and n_layer {n_layer}"
            return f"{sentence} batch_size {batch_size}{layers} would fit."
    return f"{sentence} A smaller n_embd or block_size needs less."


def free_memory() -> int | None:
    """The free memory in bytes, within the limit of the container if there is one; None if unknown."""
    figures = []
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        figures.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]))
    with contextlib.suppress(OSError, ValueError):  # "max" means no limit
        limit, used = (int(Path(f"/sys/fs/cgroup/memory.{name}").read_text()) for name in ("max", "current"))
        figures.append(max(0, limit - used))
    return min(figures, default=None)


def measure_speed(between: Callable[[], None] = lambda: None) -> Speed:
    """Time real training steps of the presets `article` and `quick`, in two sizes each: about a second in all.

    Run it in a thread of its own: it sets torch to one thread there. `between` is called between two steps; it may
    raise.
    """
    torch.set_num_threads(1)
    corpus, seconds = Corpus(drawing_room(20_000)), {}
    for name in ("article", "quick"):
        preset, points = PRESETS[name], []
        for shape in ({"block_size": 8, "n_embd": 32}, {"block_size": 32, "n_embd": 64}):
            model = replace(preset.model, **shape)
            work = operations_per_step(model, preset.train, corpus.vocab_size)
            points.append((work, _step_time(model, preset.train, corpus, between)))
        (small, short), (large, long) = points
        per_operation = max(0.0, (long - short) / (large - small))
        per_layer = max(0.0, short - per_operation * small) / (preset.model.n_layer + 1)
        seconds[preset.train.optimizer] = per_layer, per_operation
    return Speed(seconds)


def _step_time(model: ModelConfig, train: TrainConfig, corpus: Corpus, between: Callable[[], None]) -> float:
    times, before = [], None
    for progress in Trainer(model, replace(train, max_steps=_TIMED_STEPS, eval_interval=10_000), corpus):
        if before is not None:
            times.append(progress.seconds - before)
        before = progress.seconds
        between()
    return min(times)  # other load can only add time


_MIN_OPERATIONS_FOR_THREADS = 20e9


def thread_count(model: ModelConfig, train: TrainConfig, vocab_size: int) -> int:
    """How many torch threads to use: one, unless a step is so large that more help even on a busy machine.

    It depends on the model and the number of cores only, never on timing: other thread counts round differently.
    """
    tokens = train.batch_size * model.block_size
    operations = 6 * parameter_count(model, vocab_size) * tokens
    return 1 if operations < _MIN_OPERATIONS_FOR_THREADS else max(1, min(4, (os.cpu_count() or 1)))
