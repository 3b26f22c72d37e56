"""What a model costs before it is trained: parameters, memory, and time on this very machine."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from .config import PRESETS, ModelConfig, TrainConfig
from .corpus import Corpus
from .data.builtin import drawing_room
from .model import parameter_count
from .train import EVAL_CHARACTERS_AT_ONCE, Trainer

_TIMED_STEPS = 9
_WORKSPACE = 15_000_000
"""Bytes that torch's own kernels keep, whatever the model."""


@dataclass(frozen=True)
class Speed:
    """How fast this machine trains. `seconds[optimizer]` is (for each layer of a step, for each operation of it)."""

    seconds: dict[str, tuple[float, float]]

    def seconds_per_step(self, model: ModelConfig, train: TrainConfig, vocab_size: int) -> float:
        """The expected time of one training step."""
        per_layer, per_operation = self.seconds[train.optimizer]
        work = operations_per_step(model, train, vocab_size) / thread_count(model, train, vocab_size)
        return (model.n_layer + 1) * per_layer + work * per_operation


def operations_per_step(model: ModelConfig, train: TrainConfig, vocab_size: int) -> float:
    """Floating-point operations of a step, forward and backward (Kaplan et al. 2020, table 1)."""
    tokens = train.batch_size * model.block_size
    attention = 2 * model.n_layer * model.block_size * model.n_embd
    return 6.0 * tokens * (parameter_count(model, vocab_size) + attention)


def memory_bytes(model: ModelConfig, train: TrainConfig, vocab_size: int) -> int:
    """About how much memory training takes: weights, gradients, an optimiser's two averages, and the larger of what
    the backward pass needs and what an exam needs; all in float32.

    Counted for each layer and character: some 28 vectors of n_embd (norms, queries, keys, values, what the heads find,
    the hidden layer before and after its activation, the residuals, and a copy of most while gradients are made).
    """
    step = train.batch_size * model.block_size * (28 * model.n_layer * model.n_embd + 3 * vocab_size)
    exam = EVAL_CHARACTERS_AT_ONCE * (30 * model.n_embd + 2 * vocab_size)
    return _WORKSPACE + 4 * (4 * parameter_count(model, vocab_size) + max(step, exam))


def memory_problem(model: ModelConfig, train: TrainConfig, vocab_size: int, free: int | None = None) -> str | None:
    """A sentence for a run that would not fit into `free` bytes (None: those of this machine), and what would fit.

    None when it fits. A smaller batch is tried first, which changes least what is learned; then fewer layers.
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
    """Bytes that programs can still have here, inside the container's limit if there is one. None where nobody says."""
    figures = []
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        figures.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]))
    with contextlib.suppress(OSError, ValueError):  # "max" is no limit
        limit, used = (int(Path(f"/sys/fs/cgroup/memory.{name}").read_text()) for name in ("max", "current"))
        figures.append(max(0, limit - used))
    return min(figures, default=None)


def measure_speed() -> Speed:
    """Time real steps of the recipes of `article` and `quick`, in two shapes each: a second or so in all.

    Run it in a thread of its own: it sets that thread's torch threads to one.
    """
    torch.set_num_threads(1)
    corpus, seconds = Corpus(drawing_room(20_000)), {}
    for name in ("article", "quick"):
        preset, points = PRESETS[name], []
        for shape in ({"block_size": 8, "n_embd": 32}, {"block_size": 32, "n_embd": 64}):
            model = replace(preset.model, **shape)
            work = operations_per_step(model, preset.train, corpus.vocab_size)
            points.append((work, _step_time(model, preset.train, corpus)))
        (small, short), (large, long) = points
        per_operation = max(0.0, (long - short) / (large - small))
        per_layer = max(0.0, short - per_operation * small) / (preset.model.n_layer + 1)
        seconds[preset.train.optimizer] = per_layer, per_operation
    return Speed(seconds)


def _step_time(model: ModelConfig, train: TrainConfig, corpus: Corpus) -> float:
    times, before = [], None
    for progress in Trainer(model, replace(train, max_steps=_TIMED_STEPS, eval_interval=10_000), corpus):
        if before is not None:
            times.append(progress.seconds - before)
        before = progress.seconds
    return min(times)  # a busy moment only ever adds


_TWO_THREADS_PAY_FROM = 20e9


def thread_count(model: ModelConfig, train: TrainConfig, vocab_size: int) -> int:
    """How many torch threads a run should use: one, unless a step is so large that two pay even on a busy machine.

    A rule of size and cores alone, never a timing: with another count the same sums come out in another order.
    """
    tokens = train.batch_size * model.block_size
    operations = 6 * parameter_count(model, vocab_size) * tokens
    return 1 if operations < _TWO_THREADS_PAY_FROM else max(1, min(4, (os.cpu_count() or 1)))
