"""Four challenges, which are checked by what was measured on a person's own runs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from ..config import TrainConfig
from ..model import parameter_count
from ..runs.info import RunInfo
from ..runs.run import Run
from .measurements import WRITTEN_CHARACTERS

RECITED_CHARACTERS = 200
MAX_RECITING_LOSS = 1.0
"""Recitation is measured only below this training loss: it takes a second, and other models never come close."""
MOST_PARAMETERS = 50_000
MOST_SECONDS = 60.0
MOST_RATIO = 2.0
"""The largest rate counts as found if another, at most this many times as large, does not train."""


@dataclass(frozen=True)
class Attempt:
    """What the challenges look at in one run. Losses are in nats per character."""

    info: RunInfo
    parameters: int
    val_losses: tuple[tuple[int, float], ...]
    """(step, validation loss), in order."""
    train_loss: float | None
    """The running average at the last validation check; None before one, or if it is not a number."""
    in_a_minute: float | None
    """The lowest validation loss of the first 60 seconds of training."""
    is_over: bool
    """True when the run has completed all its steps, or its loss is no longer a number."""
    was_changed: bool
    """True if a setting was changed while it trained."""
    recited: int | None = None
    """How many characters it recites (see measurements.longest_recitation); None until that is measured."""

    @property
    def has_diverged(self) -> bool:
        """True for a run that is over because its loss is no longer a number."""
        return self.is_over and self.train_loss is None

    @property
    def last(self) -> float | None:
        """The last validation loss; None without one, or if the training loss is not a number."""
        return self.val_losses[-1][1] if self.val_losses and self.train_loss is not None else None


def attempt(run: Run) -> Attempt:
    """What the challenges look at in a run, except its recitation. Raises RunProblem."""
    info, history = run.read_info(), run.history.read()
    checks, rows, last = tuple(history.val_losses), history.rows, history.last
    diverged = last is not None and last["train_loss"] is None
    train_loss = None
    if checks and not diverged:
        train_loss = rows["smoothed"][bisect_right(rows["step"], checks[-1][0]) - 1]
    in_time = [loss for step, loss in checks if history.row_of(step)["seconds"] <= MOST_SECONDS]
    return Attempt(
        info,
        parameter_count(info.model, run.tokenizer.vocab_size),
        checks,
        train_loss,
        min(in_time, default=None),
        diverged or (last is not None and last["step"] >= info.train.max_steps),
        bool(run.changes()),
    )


@dataclass(frozen=True)
class Standing:
    """How far a person has come: whether the challenge is met, the best value in words, and the run that has it.

    Without an attempt that counts, there is neither value nor run.
    """

    is_met: bool
    best: str = ""
    run_id: str | None = None


@dataclass(frozen=True)
class Challenge:
    """Something for a person to achieve with their own runs."""

    title: str
    rule: str
    """What exactly counts."""
    judge: Callable[[list[Attempt]], Standing]


def _of(one: Attempt, is_met: bool, best: str) -> Standing:
    return Standing(is_met, best, one.info.id)


def _worse_than_blind(attempts: list[Attempt]) -> Standing:
    found = [one for one in attempts if _knows_its_text(one) and one.last is not None]
    if not found:
        return Standing(False)
    best = max(found, key=lambda one: one.last - one.info.references["uniform"])
    blind = best.info.references["uniform"]
    return _of(best, best.last > blind, f"validation loss {best.last:.3f}; guessing blindly gives {blind:.3f}")


def _knows_its_text(one: Attempt) -> bool:
    letters = one.info.references.get("table_1")
    return one.train_loss is not None and letters is not None and one.train_loss < letters


def _recite(attempts: list[Attempt]) -> Standing:
    found = [one for one in attempts if one.recited is not None]
    if not found:
        return Standing(False)
    best = max(found, key=lambda one: one.recited)
    return _of(best, best.recited >= RECITED_CHARACTERS, f"{best.recited:,} characters")


def _largest_rate(attempts: list[Attempt]) -> Standing:
    counted = [one for one in attempts if one.is_over and not one.was_changed and _is_fair(one)]
    trained = [one for one in counted if _trains(one)]
    failed = [one for one in counted if not _trains(one)]
    if not trained:
        return Standing(False)
    pairs = [
        (good, bad)
        for good in trained
        for bad in failed
        if _rate(good) < _rate(bad) <= MOST_RATIO * _rate(good) and _family(good) == _family(bad)
    ]
    if pairs:
        good, bad = max(pairs, key=lambda pair: _rate(pair[0]))
        return _of(good, True, f"{_rate(good):g} trains, {_rate(bad):g} does not")
    best = max(trained, key=_rate)
    above = [_rate(one) for one in failed if _family(one) == _family(best) and _rate(one) > _rate(best)]
    rest = f"{min(above):g} does not" if above else "no run with the same settings and a larger rate has failed"
    return _of(best, False, f"{_rate(best):g} trains; {rest}")


def _is_fair(one: Attempt) -> bool:
    """True for a run that began at step 0 and cannot see the answer."""
    return one.info.parent is None and one.info.model.causal


def _rate(one: Attempt) -> float:
    return one.info.train.learning_rate


def _trains(one: Attempt) -> bool:
    pairs = one.info.references.get("table_2")
    return one.last is not None and pairs is not None and one.last < pairs


def _family(one: Attempt) -> tuple:
    """Equal for two runs that differ only in their learning rate (and seed)."""
    train = replace(one.info.train, learning_rate=TrainConfig.learning_rate, seed=TrainConfig.seed)
    return one.info.model, train, one.info.text.sha256


def _small_and_good(attempts: list[Attempt]) -> Standing:
    found = [one for one in attempts if _is_small_on_the_book(one) and one.in_a_minute is not None]
    if not found:
        return Standing(False)
    best = min(found, key=lambda one: one.in_a_minute)
    line = best.info.references.get("table_5", 0.0)
    numbers = f"{best.in_a_minute:.3f} with {best.parameters:,} parameters; the 5-character table gives {line:.3f}"
    return _of(best, best.in_a_minute < line, numbers)


def _is_small_on_the_book(one: Attempt) -> bool:
    text = one.info.text
    is_book = (text.source, text.how, text.first) == ("book", "none", None)
    return is_book and _is_fair(one) and one.parameters < MOST_PARAMETERS


CHALLENGES: dict[str, Challenge] = {
    "worse-than-blind": Challenge(
        "Worse than guessing blindly",
        "Train a model that is better than letter frequencies on its training text (running average) and, at its last "
        "validation check, worse than guessing blindly on held-out text.",
        _worse_than_blind,
    ),
    "recite": Challenge(
        "Recite 200 characters",
        f"A model with a training loss below {MAX_RECITING_LOSS:g} writes {WRITTEN_CHARACTERS} characters after its "
        f"usual prompt (temperature 0.5, seed 0). {RECITED_CHARACTERS} of them in a row occur word for word in its "
        "training text.",
        _recite,
    ),
    "largest-rate": Challenge(
        "The largest learning rate that still trains",
        "With the causal mask, a run trains if its last validation loss is below the line of pairs of characters. Find "
        "a rate that trains and, with all other settings the same, one at most twice as large that does not.",
        _largest_rate,
    ),
    "small-and-good": Challenge(
        "Small, fast and good",
        f"On the whole book, with fewer than {MOST_PARAMETERS:,} parameters and in the first {MOST_SECONDS:.0f} "
        "seconds of training, reach a validation loss below the 5-character table.",
        _small_and_good,
    ),
}
"""By key, in the order of the page."""


def standings(attempts: Iterable[Attempt]) -> dict[str, Standing]:
    """How far a person has come in each challenge, by its key, with these runs of theirs."""
    counted = list(attempts)
    return {key: challenge.judge(counted) for key, challenge in CHALLENGES.items()}
