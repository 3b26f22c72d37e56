"""What a model costs before it is trained: parameters, memory, and time on this very machine."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from .builtin import drawing_room
from .config import PRESETS, ModelConfig, TrainConfig
from .corpus import Corpus
from .model import parameter_count
from .train import Trainer, thread_count

_TIMED_STEPS = 9


@dataclass(frozen=True)
class Speed:
    """How fast this machine trains: a step takes so long for each layer, and so long for each operation."""

    seconds_per_layer: float
    seconds_per_operation: float

    def seconds_per_step(self, model: ModelConfig, train: TrainConfig, vocab_size: int) -> float:
        """The expected time of one training step."""
        threads = thread_count(model, train, vocab_size)
        work = operations_per_step(model, train, vocab_size) * self.seconds_per_operation / threads
        return (model.n_layer + 1) * self.seconds_per_layer + work


def operations_per_step(model: ModelConfig, train: TrainConfig, vocab_size: int) -> float:
    """Floating-point operations of a step, forward and backward (Kaplan et al. 2020, table 1)."""
    tokens = train.batch_size * model.block_size
    attention = 2 * model.n_layer * model.block_size * model.n_embd
    return 6.0 * tokens * (parameter_count(model, vocab_size) + attention)


def memory_bytes(model: ModelConfig, train: TrainConfig, vocab_size: int) -> int:
    """About how much memory training takes: weights, gradients, AdamW's two averages, and what backward needs.

    Per layer and character about 16 vectors of n_embd are kept (two norms, query, key, value, the heads' sum, the
    hidden layer before and after ReLU, the residuals), and two of the vocabulary at the end; all in float32.
    """
    kept = train.batch_size * model.block_size * (16 * model.n_layer * model.n_embd + 2 * vocab_size)
    return 4 * (4 * parameter_count(model, vocab_size) + kept)


def measure_speed() -> Speed:
    """Time real training steps of two shapes, about half a second in all, and solve for the two unknowns of Speed.

    Run it in a thread of its own: it sets that thread's torch threads to one.
    """
    torch.set_num_threads(1)
    corpus = Corpus(drawing_room(20_000))
    small = PRESETS["article"]
    large = replace(small.model, block_size=32, n_embd=64), small.train
    (t1, layers, w1), (t2, _, w2) = (
        (_step_time(model, train, corpus), model.n_layer + 1, operations_per_step(model, train, corpus.vocab_size))
        for model, train in ((small.model, small.train), large)
    )
    per_operation = max(0.0, (t2 - t1) / (w2 - w1))
    return Speed(max(0.0, (t1 - per_operation * w1) / layers), per_operation)


def _step_time(model: ModelConfig, train: TrainConfig, corpus: Corpus) -> float:
    times, before = [], None
    for progress in Trainer(model, replace(train, max_steps=_TIMED_STEPS, eval_interval=10_000), corpus):
        if before is not None:
            times.append(progress.seconds - before)
        before = progress.seconds
    return min(times)  # a busy moment only ever adds
