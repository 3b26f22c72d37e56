"""Training steps that a person takes one by one with a copy of a model, computed in the background."""

from __future__ import annotations

from dataclasses import dataclass

from ..insight.training_step import TrainingStep, training_step, usable_learning_rate
from ..model import MicroLLM
from ..runs.fork import settings_at
from ..runs.run import Run
from ..train import Diverged
from .background import Background, Cancelled


@dataclass(frozen=True)
class Taken:
    """The steps taken so far. Losses are in nats per character."""

    last: TrainingStep | None = None
    losses: tuple[tuple[float, float], ...] = ()
    """The loss on the batch of each step, before and after it."""
    held_out: tuple[float, ...] = ()
    """The loss on held-out text, before the first step and after each."""

    @property
    def number(self) -> int:
        """The number of steps."""
        return len(self.losses)


class TrainingSteps:
    """Steps from the `model` of a run after `first` updates, which is not changed. `factor` scales the learning rate.

    The first step is always computed, because it is shown before the person takes it. Raises TextProblem.
    """

    def __init__(self, run: Run, first: int, model: MicroLLM, factor: float = 1.0) -> None:
        self.first, self.model, self.factor = first, model, factor
        self.train, self.corpus = settings_at(run, first), run.load_corpus()
        self.wanted = 0
        """How many steps the person has asked for."""
        self.done = Taken()
        """The steps that are computed; the thread replaces it as a whole."""
        self.problem = ""
        """Why there can be no further step, in a sentence."""
        self._work: Background | None = None

    @property
    def is_waiting(self) -> bool:
        """True while there are fewer steps than wanted."""
        return self.done.number < max(1, self.wanted) and not self.problem

    def rate_at(self, step: int) -> float:
        """The learning rate of the update after `step` updates."""
        return self.factor * usable_learning_rate(step, self.train)

    def go_on(self, wait: float) -> None:
        """Compute the requested steps in the background; wait `wait` seconds at most. Raises the error of a step."""
        if self.is_waiting and not (self._work and self._work.is_busy):
            self._work = Background(self._compute, name="training steps")
        if self.is_waiting:
            self._work.get(wait)

    def stop(self) -> None:
        """Compute no further step. Does not wait for the current one."""
        if self._work:
            self._work.cancelled.set()

    def _compute(self, work: Background) -> None:
        while self.is_waiting:
            if work.cancelled.is_set():
                raise Cancelled
            self._take()

    def _take(self) -> None:
        done, step = self.done, self.first + self.done.number
        model, memory = (done.last.model, done.last.memory) if done.last else (self.model, None)
        rate = self.rate_at(step)
        try:
            taken = training_step(model, self.train, self.corpus, step, learning_rate=rate, memory=memory)
        except Diverged:
            self.problem = f"The learning rate {rate:.3g} is too large: the loss is no longer a finite number."
            return
        held_out = done.held_out or taken.held_out[:1]
        self.done = Taken(taken, (*done.losses, taken.loss), (*held_out, taken.held_out[1]))
