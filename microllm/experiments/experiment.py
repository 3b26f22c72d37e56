"""An experiment: runs with given settings, a question with predictions, and a check of what was measured."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..config import ModelConfig, TrainConfig, configs_from
from ..cost import Speed, run_seconds
from ..data.builtin import BUILTIN_TEXTS
from ..data.published import PUBLISHED_TEXTS
from ..model import MicroLLM
from ..runs.info import ACTIVE, RunInfo, RunProblem
from ..runs.run import Run

_USUAL_VOCABULARY = 91  # that of the book; the time of a run hardly depends on it
_HELD_OUT_SHARE = 0.1


@dataclass(frozen=True)
class Setup:
    """One run of an experiment: its text (a key of PUBLIC_TEXTS), modified as in `texts.choose`, and its settings.

    `label` tells it from the other runs of the experiment.
    """

    label: str
    text: str = "book"
    how: str = "none"
    first: int | None = None
    preset: str = "quick"
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def configs(self) -> tuple[ModelConfig, TrainConfig]:
        """The settings of the model and of its training."""
        return configs_from(self.values, self.preset)

    def fits(self, info: RunInfo) -> bool:
        """True for a run of exactly this text and these settings, even if it was trained longer afterwards."""
        model, train = self.configs
        is_text = (info.text.source, info.text.how, info.text.first) == (self.text, self.how, self.first)
        longer = replace(train, max_steps=max(train.max_steps, info.train.max_steps))
        return is_text and info.parent is None and (info.model, info.train) == (model, longer)

    def seconds(self, speed: Speed) -> float:
        """How long the run is expected to take on this machine, with its validation checks."""
        model, train = self.configs
        characters = self.first or _characters(self.text)
        held_out = max(1, round(_HELD_OUT_SHARE * characters))
        step = speed.seconds_per_step(model, train, _USUAL_VOCABULARY)
        return run_seconds(train, train.batch_size * model.block_size, held_out, step)


def _characters(text: str) -> int:
    """The approximate length of a public text, without downloading it."""
    return PUBLISHED_TEXTS[text].size if text in PUBLISHED_TEXTS else BUILTIN_TEXTS[text].length


@dataclass(frozen=True)
class Measured:
    """What was measured on one run of an experiment. Losses are in nats per character."""

    val_losses: Mapping[int, float]
    """By step, the last one being that of the setup."""
    train_loss: float
    """The running average at the end; infinite for a run whose loss is no longer a number."""
    references: Mapping[str, float]
    """The reference losses, as in RunInfo."""
    more: Mapping[str, float] = field(default_factory=dict)
    """Further measurements of this experiment. What could not be measured is missing."""

    @property
    def last(self) -> float:
        """The last validation loss; infinite for a run whose loss is no longer a number."""
        return math.inf if math.isinf(self.train_loss) else self.val_losses[max(self.val_losses)]

    @property
    def lowest(self) -> tuple[int, float]:
        """(step, loss) of the lowest validation loss."""
        return min(self.val_losses.items(), key=lambda check: check[1])

    def first_below(self, loss: float) -> int | None:
        """The step of the first validation check with a lower loss; None if there is none."""
        return next((step for step, found in sorted(self.val_losses.items()) if found < loss), None)


@dataclass(frozen=True)
class Finding:
    """A statement about what was measured, whether it is true, and the numbers behind it."""

    statement: str
    is_true: bool
    numbers: str


@dataclass(frozen=True)
class Check:
    """What the runs of an experiment say: the key of the prediction that came true (None: none), and the findings."""

    came_true: str | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Experiment:
    """A question that is answered by training, or, with `shipped`, by a run that came with MicroLLM."""

    title: str
    question: str
    predictions: Mapping[str, str]
    """The predictions by key; the person chooses one before the run."""
    watch: str
    """What to look at during the run."""
    why: str
    """The explanation, shown after the run like the findings."""
    check: Callable[[Sequence[Measured]], Check]
    """Checks the measurements of all its runs, which are in the order of `setups`."""
    setups: tuple[Setup, ...] = ()
    more: Callable[[Run, MicroLLM], dict[str, float]] = lambda run, model: {}
    """Further measurements of a run, with its last model (see Measured.more)."""
    shipped: str | None = None
    """The id of a run of the gallery."""

    def seconds(self, speed: Speed) -> float:
        """How long its runs are expected to take on this machine, one after another."""
        return sum(setup.seconds(speed) for setup in self.setups)


def is_over(run: Run, setup: Setup) -> bool:
    """True when a run has completed the steps of its setup, or its loss is no longer a number. Raises RunProblem."""
    last, (_, train) = run.history.read().last, setup.configs
    if last is None:
        return False
    if last["train_loss"] is None:
        return True
    is_whole = run.read_info().state not in ACTIVE or last["step"] > train.max_steps  # its last snapshot is saved
    return is_whole and last["step"] >= train.max_steps


def measure(run: Run, setup: Setup | None, more: Callable[[Run, MicroLLM], dict[str, float]]) -> Measured:
    """Measure a run that `is_over`; without a setup, a run of the gallery. Takes seconds with some `more`.

    Raises RunProblem if a setting was changed while the run trained, and what `more` raises, such as TextProblem.
    """
    history, info = run.history.read(), run.read_info()
    end = setup.configs[1].max_steps if setup else info.train.max_steps
    if any(change["step"] < end and "max_steps" not in change for change in run.changes()):
        raise RunProblem(f"A setting of {info.name} was changed while it trained, so it does not answer the question.")
    place = bisect_right(history.rows["step"], end) - 1
    train_loss = history.rows["smoothed"][place]
    snapshots = [step for step in run.list_snapshots() if step <= end]
    measured = more(run, run.model_at(snapshots[-1])) if train_loss is not None and snapshots else {}
    return Measured(
        {step: loss for step, loss in history.val_losses if step <= end},
        math.inf if train_loss is None else train_loss,
        info.references,
        measured,
    )


def check(experiment: Experiment, runs: Sequence[Run]) -> Check:
    """Measure the runs of an experiment, in the order of its setups, and check what they say. Raises as `measure`."""
    setups = experiment.setups or (None,)
    return experiment.check([measure(run, setup, experiment.more) for run, setup in zip(runs, setups, strict=True)])
