"""The training loop: an iterator that yields its progress after every step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from .config import LIVE, ModelConfig, TrainConfig, problems, stream_seed, with_live_changes
from .corpus import EVAL_CHARACTERS, Corpus
from .model import MicroLLM, evaluating
from .optim import learning_rate_at, make_optimizers

EVAL_CHARACTERS_AT_ONCE = 1_024
"""Validation runs on batches of this many characters: few enough to stay in the processor's cache."""


@dataclass(frozen=True)
class Progress:
    """The state of training after `step` updates. All losses are those of the same weights, in nats per character.

    `seconds` is the sum of step times, without validation. `learning_rate` is that of the next update. `val_loss` is
    None between validation steps. `old_val_loss` is the validation loss on the text that a fork learned before, if any.
    """

    step: int
    seconds: float
    train_loss: float
    learning_rate: float
    tokens_per_second: float
    val_loss: float | None = None
    old_val_loss: float | None = None


class Diverged(ArithmeticError):
    """The loss is no longer finite. `step` and `learning_rate` say where."""

    def __init__(self, step: int, learning_rate: float) -> None:
        self.step, self.learning_rate = step, learning_rate
        super().__init__(
            f"Training diverged: the loss is not a finite number at step {step:,}, with learning rate "
            f"{learning_rate:g}. Start again with a smaller one, such as {learning_rate / 10:.1g}."
        )


class Trainer:
    """Trains a model. Iterate over it: it yields the Progress of steps 0, 1, 2, ... up to max_steps or stop_at_loss.

    Each step is taken when the next Progress is requested: to pause, do not request it; to stop, leave the loop. All
    randomness of step t comes from (seed, t) alone, so the same seed always gives the same run. Raises ValueError if
    the configuration has `problems`; iterating raises Diverged when the loss is not finite.

    `device` defaults to a GPU if there is one; there the model is compiled. When `world_size` processes train together,
    process number `rank` computes its rows of every batch, and `wrap_model` makes the model average the gradients of
    all processes (see distributed.py).
    """

    def __init__(
        self,
        model_config: ModelConfig,
        train_config: TrainConfig,
        corpus: Corpus,
        *,
        device: torch.device | str | None = None,
        rank: int = 0,
        world_size: int = 1,
        wrap_model: Callable[[MicroLLM], nn.Module] | None = None,
    ) -> None:
        if found := problems(model_config, train_config, len(corpus)):
            raise ValueError(" ".join(found.values()))
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.in_bfloat16 = train_config.precision == "bfloat16" and has_fast_bfloat16(self.device)
        self.config, self.corpus = train_config, corpus.to(self.device)
        self.rank, self.world_size = rank, world_size
        self.rng = torch.Generator().manual_seed(stream_seed(train_config.seed, "weights"))
        self.dropout_rng = torch.Generator(self.device)  # dropout draws on the model's device
        self.model = MicroLLM(model_config, corpus.vocab_size, generator=self.rng).to(self.device).train()
        self.model.use_generator(self.dropout_rng)
        self.wrapped_model = wrap_model(self.model) if wrap_model else self.model
        if self.device.type == "cuda":
            self.wrapped_model = torch.compile(self.wrapped_model)
        self.optimizers = make_optimizers(self.model, train_config)
        self._parameters = list(self.model.parameters())
        self.step = 0
        self.seconds = 0.0
        self.old_corpus: Corpus | None = None
        """The text that a fork learned before, in the same characters. Validation also scores its held-out part."""
        self.to_replay: list[dict[str, Any]] = []
        """Live changes made before an interruption, to be repeated at the same steps (see history.replayed)."""

    def change(self, **live: float) -> None:
        """Change a live setting (`learning_rate`, `stop_at_loss`) from the next step on. Raises ValueError."""
        self.config = with_live_changes(self.model.config, self.config, live)

    def __iter__(self) -> Iterator[Progress]:
        while True:
            self._replay()
            val_loss = old_val_loss = None
            if eval_is_due(self.step, self.config):
                val_loss = self.evaluate()
                old_val_loss = validation_loss(self.model, self.old_corpus) if self.old_corpus else None
            is_over = self.step >= self.config.max_steps or self._loss_is_reached(val_loss)

            started = time.perf_counter()
            loss = self._forward()
            train_loss = loss.item()
            learning_rate = learning_rate_at(self.step, self.config)
            elapsed = time.perf_counter() - started

            characters = self.step * self.config.batch_size * self.model.config.block_size
            speed = characters / self.seconds if self.seconds else 0.0
            yield Progress(self.step, self.seconds, train_loss, learning_rate, speed, val_loss, old_val_loss)
            if not math.isfinite(train_loss):
                raise Diverged(self.step, learning_rate)
            if is_over:
                return

            started = time.perf_counter()
            self._update(loss, learning_rate)
            self.step += 1
            self.seconds += elapsed + time.perf_counter() - started

    def _replay(self) -> None:
        while self.to_replay and self.to_replay[0]["step"] <= self.step:
            change = self.to_replay.pop(0)
            again = {name: value for name, value in change.items() if name in (*LIVE, "max_steps")}
            self.config = replace(self.config, **again)

    def _forward(self) -> torch.Tensor:
        """The loss on this step's batch, or on this process's rows of it."""
        seed = self.config.seed
        self.rng.manual_seed(stream_seed(seed, self.step))
        self.dropout_rng.manual_seed(stream_seed(seed, f"dropout {self.step} {self.rank}"))
        rows = slice(self.rank, None, self.world_size)
        idx, targets = self.corpus.get_batch(
            "train", self.config.batch_size, self.model.config.block_size, self.rng, rows
        )
        if not self.model.training:  # the caller may have put it in eval mode between two steps
            self.wrapped_model.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.in_bfloat16):
            return self.wrapped_model(idx, targets)[1]

    def _update(self, loss: torch.Tensor, learning_rate: float) -> None:
        for parameter in self._parameters:
            parameter.grad = None
        loss.backward()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            optimizer.step()

    def evaluate(
        self, characters: int | None = EVAL_CHARACTERS, before_each: Callable[[], None] | None = None
    ) -> float:
        """The validation loss of the current weights. See `validation_loss`."""
        return validation_loss(self.model, self.corpus, characters, before_each)

    def _loss_is_reached(self, val_loss: float | None) -> bool:
        return val_loss is not None and val_loss <= self.config.stop_at_loss and self.config.stop_at_loss > 0


def eval_is_due(step: int, config: TrainConfig) -> bool:
    """True every eval_interval steps, before the first of them at 8, 16, 32, ... (fast progress), and at the end."""
    early = step < config.eval_interval and step.bit_count() == 1 and step >= 8
    return step % config.eval_interval == 0 or early or step == config.max_steps


def eval_count(config: TrainConfig) -> int:
    """The number of steps from 0 to max_steps at which `eval_is_due`."""
    last, interval = config.max_steps, config.eval_interval
    early = max(0, min(last, interval - 1).bit_length() - 3)
    last_is_extra = not eval_is_due(last, replace(config, max_steps=last + 1))
    return 1 + last // interval + early + last_is_extra


def validation_loss(
    model: MicroLLM,
    corpus: Corpus,
    characters: int | None = EVAL_CHARACTERS,
    before_each: Callable[[], None] | None = None,
) -> float:
    """The mean of -ln p over the validation windows of `corpus`, in nats per character. Deterministic.

    It scores the first `characters` held-out characters (None: all). `before_each` is called before each batch and may
    raise an exception to end early.
    """
    inputs, targets = corpus.validation_windows(model.config.block_size, characters)
    rows, total = max(1, EVAL_CHARACTERS_AT_ONCE // model.config.block_size), 0.0
    for x, y in zip(inputs.split(rows), targets.split(rows), strict=True):
        if before_each:
            before_each()
        with evaluating(model):
            _, loss = model(x.long(), y.long())
        total += loss.item() * y.numel()
    return total / targets.numel()


def has_fast_bfloat16(device: torch.device) -> bool:
    """True if a device multiplies matrices faster in bfloat16 than in float32, which requires special instructions."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    known = torch.cpu.get_capabilities()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
