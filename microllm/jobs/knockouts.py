"""Knocked-out models and the effects of knock-outs, computed in the background so that nothing waits for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ..inference import stream
from ..insight.knockout import (
    MEAN_CHARACTERS,
    Change,
    Means,
    Part,
    change,
    knock_out,
    mean_outputs,
    parts_of,
    standing_in,
    window_losses,
)
from ..insight.surprisal import token_surprisals
from ..model import MicroLLM, parameter_count
from ..runs.run import Run
from ..sample import Sampling
from ..tokenizer import known_ids
from .results import Measured, Results, Work

SAMPLE_CHARACTERS = 160
SAMPLING = Sampling(temperature=0.8)
"""The sampling of both samples, which have seed 0."""

_CHARACTERS_BETWEEN_RESTS = 16  # of a sample
_KEPT_NUMBERS = 64  # means and losses of whole models
_MAX_KEPT = 64  # results of each kind
_KEPT_BYTES = 200_000_000  # of the models that they hold, which may have 42 MB each


@dataclass(frozen=True)
class KnockedOut:
    """The unchanged model of training step `step`, and one without some `parts`, replaced by their `means` if any."""

    step: int
    whole: MicroLLM
    parts: tuple[Part, ...]
    means: Means | None
    model: MicroLLM


@dataclass(frozen=True)
class KnockoutMap:
    """How much each single knock-out raises `loss`, the validation loss of the model at `step` (nats per character)."""

    step: int
    whole: MicroLLM
    means: Means | None
    loss: float
    changes: dict[Part, Change]
    losses: dict[Part | None, torch.Tensor]
    """The loss of each validation window, without each part; None is the whole model."""


@dataclass(frozen=True)
class Pair:
    """What knocking out `part` costs: alone, with another part, and how much more than the sum of the two that is."""

    part: Part
    alone: Change
    both: Change
    extra: Change


@dataclass(frozen=True)
class Effect:
    """How the two models of `changed` differ.

    `loss` is the validation loss before, and `change` how much it rises. `samples` continue the same sentence with the
    same seed, before and after. `nats` are the surprisals (N,) of a passage, before and after. Without the text of the
    run, or if nothing is knocked out, there are only samples.
    """

    changed: KnockedOut
    samples: tuple[str, str]
    loss: float | None = None
    change: Change | None = None
    nats: tuple[torch.Tensor, torch.Tensor] | None = None


class Knockouts:
    """The slow computations about knock-outs, for all windows of this process.

    For a run in training (`is_live`), the result is the newest available, whatever its step, until the next is done.
    `is_training` says whether any model trains here: then the work sleeps most of the time.
    """

    def __init__(self, is_training: Callable[[], bool] = lambda: False) -> None:
        self._models, self._maps = Results("knock-out", is_training), Results("knock-out", is_training)
        self._effects, self._pairs = Results("knock-out", is_training), Results("knock-out", is_training)
        self._known: dict[tuple, Any] = {}  # means and losses of whole models, which several results need

    def model(
        self, run: Run, step: int, model: MicroLLM, parts: tuple[Part, ...], by: str, *, is_live: bool, wait: float
    ) -> KnockedOut | None:
        """The `model` of `step` without some parts, replaced `by` their "mean" or by "zero".

        For a run in training, it is that of an earlier step if this one takes more than `wait` seconds. Raises
        TextProblem for "mean" when the text of the run is not on this server.
        """

        def compute(_) -> KnockedOut:  # it rests afterwards, because a page is waiting
            means = self._means(run, step, model, lambda: None) if by == "mean" else None
            return KnockedOut(step, model, parts, means, knock_out(model, parts, means))

        key, keep = (run.id, parts, by), _most_kept(model)
        if is_live and by == "mean":
            return self._models.ask(key, step, compute, keep, is_live=True, wait=wait).result
        return self._models.now(key, step, compute, keep)

    def map(self, run: Run, step: int, model: MicroLLM, by: str, *, is_live: bool, wait: float = 0.0) -> Measured:
        """What each single knock-out costs: a KnockoutMap, or some of its changes so far. Raises TextProblem."""
        windows = run.load_corpus().validation_windows(model.config.block_size)

        def compute(work: Work) -> KnockoutMap:
            means = self._means(run, step, model, work.pause) if by == "mean" else None
            parts, work.so_far = parts_of(model.config), {}
            losses: dict[Part | None, torch.Tensor] = {None: self._losses(run, step, model, work.pause)}
            for number, part in enumerate(parts):
                work.share = (number + 1) / (len(parts) + 1)
                losses[part] = window_losses(knock_out(model, [part], means), *windows, work.pause)
                work.so_far = work.so_far | {part: change(losses[None], losses[part])}
            return KnockoutMap(step, model, means, losses[None].mean().item(), work.so_far, losses)

        return self._maps.ask((run.id, by), step, compute, _most_kept(model), is_live=is_live, wait=wait)

    def pairs(self, run: Run, singles: KnockoutMap, part: Part, wait: float = 0.0) -> Measured:
        """`part` with each other part: a list of Pair, the one with the largest extra first. Raises TextProblem."""
        windows = run.load_corpus().validation_windows(singles.whole.config.block_size)
        others = [other for other in singles.changes if other != part]

        def compute(work: Work) -> list[Pair]:
            whole, first, pairs = singles.losses[None], singles.losses[part], []
            for number, other in enumerate(others):
                work.share = number / len(others)
                both = window_losses(knock_out(singles.whole, [part, other], singles.means), *windows, work.pause)
                extra = standing_in(whole, first, singles.losses[other], both)
                pairs.append(Pair(other, singles.changes[other], change(whole, both), extra))
            return sorted(pairs, key=lambda pair: -pair.extra.nats)

        key = run.id, part, singles.means is None
        return self._pairs.ask(key, singles.step, compute, _MAX_KEPT, is_live=False, wait=wait)

    def effect(
        self,
        run: Run,
        changed: KnockedOut,
        sentence: str,
        passage: torch.Tensor | None,
        *,
        is_live: bool,
        wait: float = 0.0,
    ) -> Measured:
        """What a knock-out changes, on `sentence` and on a held-out `passage` (N,): an Effect.

        `passage` is None when the text of the run is not on this server. Without any parts there are only samples.
        """
        prompt = known_ids(run.tokenizer, sentence)
        both = changed.whole, changed.model

        def compute(work: Work) -> Effect:
            models = both if changed.parts else both[:1]
            samples = [run.tokenizer.decode(_written(model, prompt, work.pause)) for model in models]
            samples = samples[0], samples[-1]
            if passage is None or not changed.parts:
                return Effect(changed, samples)
            stride = max(1, changed.model.config.block_size // 8)
            work.share = 0.2
            nats = tuple(_surprisals(model, passage, stride, work.pause) for model in both)
            work.share = 0.4
            before = self._losses(run, changed.step, changed.whole, work.pause)
            work.share = 0.7
            windows = run.load_corpus().validation_windows(changed.model.config.block_size)
            after = window_losses(changed.model, *windows, work.pause)
            return Effect(changed, samples, before.mean().item(), change(before, after), nats)

        where = None if passage is None else passage.numpy().tobytes()
        key = run.id, changed.parts, changed.means is None, sentence, where
        return self._effects.ask(key, changed.step, compute, _most_kept(changed.whole), is_live=is_live, wait=wait)

    def _means(self, run: Run, step: int, model: MicroLLM, rest: Callable[[], None]) -> Means:
        def compute() -> Means:
            inputs, _ = run.load_corpus().validation_windows(model.config.block_size, MEAN_CHARACTERS)
            return mean_outputs(model, inputs, rest)

        return self._once(("means", run.id, step), compute)

    def _losses(self, run: Run, step: int, model: MicroLLM, rest: Callable[[], None]) -> torch.Tensor:
        def compute() -> torch.Tensor:
            return window_losses(model, *run.load_corpus().validation_windows(model.config.block_size), rest)

        return self._once(("losses", run.id, step), compute)

    def _once(self, key: tuple, compute: Callable[[], Any]) -> Any:
        """The result for `key`, computed if necessary. Two threads may compute it at once, with the same result."""
        found = self._known.get(key)
        if found is None:
            found = compute()
            while len(self._known) >= _KEPT_NUMBERS:
                self._known.pop(next(iter(self._known)), None)
            self._known[key] = found
        return found


def _most_kept(model: MicroLLM) -> int:
    """How many results that hold such a model are kept."""
    return max(2, min(_MAX_KEPT, _KEPT_BYTES // (4 * parameter_count(model.config, model.vocab_size))))


def _written(model: MicroLLM, prompt: torch.Tensor, rest: Callable[[], None]) -> list[int]:
    """The ids that `model` writes after `prompt` (N,)."""
    written = []
    for (chosen,) in stream(model, prompt[None], SAMPLE_CHARACTERS, SAMPLING, seed=0):
        written.append(chosen.item())
        if len(written) % _CHARACTERS_BETWEEN_RESTS == 0:
            rest()
    return written


def _surprisals(model: MicroLLM, passage: torch.Tensor, stride: int, rest: Callable[[], None]) -> torch.Tensor:
    def go_on() -> bool:
        rest()
        return False

    return token_surprisals(model, passage, guesses=1, stride=stride, is_cancelled=go_on).nats
