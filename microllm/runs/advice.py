"""Suggestions for the next run, from the measurements of a run, and how that next run would differ."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from ..config import PRESETS, ModelConfig, TrainConfig, configs_from, knobs, problems
from ..data.texts import Text
from .history import History
from .info import RunInfo

# Both in nats per character. The validation loss is deterministic, but the weights fluctuate: on runs of the shipped
# presets, two validation checks in a row differ by less than _NOISE when the loss no longer changes.
_NOISE = 0.02
_CLEAR = 0.05
_MAX_SUGGESTIONS = 3
_MAX_BUTTON_CHARACTERS = 40
_MAX_DISTINCTIONS = 3
_OTHER_TEXT = "other text"
SAME = "same settings, same seed"
"""What `what_changes` returns if nothing would differ."""

_USUAL_RATE = {preset.train.optimizer: preset.train.learning_rate for preset in PRESETS.values()}


@dataclass(frozen=True)
class Suggestion:
    """One thing to try: what was measured, what to do about it, and the settings to change.

    `situation` is one of diverged, stuck, overfitting, pairs, still falling, gap.
    """

    situation: str
    measured: str
    advice: str
    changes: dict[str, Any] = field(default_factory=dict)


def next_steps(info: RunInfo, history: History) -> list[Suggestion]:
    """At most three things to try after a run has ended, the most important first; each is a valid run."""
    values = asdict(info.model) | asdict(info.train)
    valid = []
    for suggestion in _suggestions(info, history.read()):
        model, train = configs_from(values | suggestion.changes)
        if not problems(model, train, info.text.characters):
            valid.append(suggestion)
    return valid[:_MAX_SUGGESTIONS]


def overfits_since(history: History) -> int | None:
    """The step of the lowest validation loss, if validation has risen since while training loss fell; else None.

    Works during training too. It takes two validation checks in a row that are clearly above the lowest.
    """
    val_losses = _val_losses(history)
    best = min(range(len(val_losses)), key=lambda i: val_losses[i][1], default=0)
    since = val_losses[best + 1 :]
    if len(since) < 2 or min(loss for _, loss in since[-2:]) < val_losses[best][1] + _CLEAR:
        return None
    step, now = val_losses[best][0], since[-1][0]
    return step if _training(history, now) < _training(history, step) - _CLEAR else None


def _val_losses(history: History) -> list[tuple[int, float]]:
    return [(step, loss) for step, loss in list(history.val_losses) if math.isfinite(loss)]


def _training(history: History, step: float) -> float:
    """The smoothed training loss at a step, from the last row up to it that has one; NaN without one."""
    steps, losses = history.rows["step"], history.rows["smoothed"]
    for i in range(bisect_right(steps, step) - 1, -1, -1):
        if losses[i] is not None:
            return losses[i]
    return math.nan


def _validation(val_losses: list[tuple[int, float]], step: float) -> float:
    """The validation loss at a step, interpolated linearly between validation checks."""
    for (a, before), (b, after) in pairwise(val_losses):
        if a <= step <= b:
            return before + (after - before) * (step - a) / (b - a)
    return val_losses[-1][1]


def _suggestions(info: RunInfo, history: History) -> Iterator[Suggestion]:
    val_losses, last = _val_losses(history), history.last
    if last is None or not val_losses or not info.model.causal:  # without a causal mask, losses are meaningless
        return
    if last["train_loss"] is None or last["smoothed"] > val_losses[0][1] + 0.5:
        yield _diverged(info, val_losses[0][1], last)
        return
    if len(val_losses) < 3:  # too few to see a trend
        return
    last_step, now = val_losses[-1]
    drop = _validation(val_losses, 0.75 * last_step) - now  # over the last quarter
    stuck = _stuck(info, val_losses, drop)
    if stuck:
        yield stuck
        return
    if best := overfits_since(history):
        yield from _overfitting(info, val_losses, best)
        return
    if drop < _CLEAR:
        yield from _at_the_pairs(info, val_losses)
    if drop > _NOISE:
        yield _still_falling(info, last["step"], drop)
    yield from _gap(info, history, val_losses)


def _diverged(info: RunInfo, first: float, last: dict[str, Any]) -> Suggestion:
    rate = info.train.learning_rate
    if last["train_loss"] is None:
        measured = f"Training diverged: the loss has not been finite since step {last['step']:,}."
    else:
        measured = f"Training diverged: the loss rose from {first:.3f} to {last['smoothed']:.3f} nats."
    return Suggestion("diverged", measured, "Try a tenth of the learning rate.", _rate(rate / 10))


def _stuck(info: RunInfo, val_losses: list[tuple[int, float]], drop: float) -> Suggestion | None:
    """For a run no better than letter frequencies, on a text that pairs of characters predict better."""
    letters, pairs = info.references.get("table_1"), info.references.get("table_2")
    best = min(loss for _, loss in val_losses)
    if letters is None or pairs is None or pairs > letters - 2 * _CLEAR or best < letters - 2 * _CLEAR:
        return None
    rate, usual = info.train.learning_rate, _USUAL_RATE[info.train.optimizer]
    compared = "hardly better" if best < letters else "no better"
    measured = f"Its lowest validation loss, {best:.3f} nats, is {compared} than letter frequencies ({letters:.3f})."
    if rate < usual / 2:
        return Suggestion("stuck", measured, _too_low(info), _rate(usual))
    if rate > 2 * usual:
        return Suggestion(
            "stuck",
            measured,
            f"The learning rate is high: {usual:g} is usual for {info.train.optimizer}.",
            _rate(usual),
        )
    if drop > _NOISE:  # slow, but still falling
        return None
    return Suggestion("stuck", measured, "A smaller learning rate may help.", _rate(rate / 10))


def _overfitting(info: RunInfo, val_losses: list[tuple[int, float]], best: int) -> Iterator[Suggestion]:
    loss, now = dict(val_losses)[best], val_losses[-1][1]
    measured = (
        f"It memorized the training text (overfitting): validation loss was lowest at step {best:,} ({loss:.3f} nats) "
        f"and rose to {now:.3f}, while training loss fell."
    )
    yield from _against_overfitting(info, "overfitting", measured)
    yield Suggestion("overfitting", measured, "Or stop at the lowest validation loss.", {"max_steps": best})


def _against_overfitting(info: RunInfo, situation: str, measured: str) -> Iterator[Suggestion]:
    yield Suggestion(situation, measured, "Dropout works against that.", _more_dropout(info))
    if smaller := _smaller(info):
        yield Suggestion(situation, measured, "A smaller model can memorize less.", smaller)


def _at_the_pairs(info: RunInfo, val_losses: list[tuple[int, float]]) -> Iterator[Suggestion]:
    """For a run just as good as a table of pairs, on a text that longer contexts predict better."""
    pairs, triples = info.references.get("table_2"), info.references.get("table_3")
    best, size = min(loss for _, loss in val_losses), info.model.block_size
    if pairs is None or triples is None or abs(best - pairs) > 2 * _CLEAR:
        return
    if size > 2 and triples > pairs - 2 * _CLEAR:  # (with a block_size of 1 or 2 the tables see no more either)
        return
    measured = f"It levels off at {best:.3f} nats, about what counting pairs of characters achieves ({pairs:.3f})."
    if size < 16:
        yield Suggestion("pairs", measured, "Give it a longer context.", {"block_size": max(16, 2 * size)})
    if info.model.n_layer < 3:
        yield Suggestion("pairs", measured, "Add another layer.", {"n_layer": info.model.n_layer + 1})
    rate, usual = info.train.learning_rate, _USUAL_RATE[info.train.optimizer]
    if rate < usual / 2:
        yield Suggestion("pairs", measured, _too_low(info), _rate(min(usual, 10 * rate)))


def _still_falling(info: RunInfo, last_step: int, drop: float) -> Suggestion:
    max_steps, name = info.train.max_steps, "still falling"
    measured = f"Validation loss fell by {drop:.3f} nats in the last quarter of its steps: it is still learning."
    if last_step < max_steps and info.state == "finished":
        return Suggestion(name, measured, "Train past the loss at which it stopped.", {"stop_at_loss": 0.0})
    if last_step < max_steps:
        return Suggestion(name, measured, f"It was stopped at step {last_step:,} of {max_steps:,}: let it finish.")
    longer = min(2 * max_steps, knobs()["max_steps"].metadata["high"])
    return Suggestion(name, measured, "Train twice as long.", {"max_steps": longer})


def _gap(info: RunInfo, history: History, val_losses: list[tuple[int, float]]) -> Iterator[Suggestion]:
    """For a run whose training loss falls faster than its validation loss, which has not risen yet."""
    end = val_losses[-1][0]
    gaps = [_validation(val_losses, step) - _training(history, step) for step in (end / 2, end)]
    if not (gaps[1] > 2 * _CLEAR and gaps[1] > gaps[0] + _CLEAR):
        return
    measured = (
        f"The gap between validation and training loss grew from {gaps[0]:.3f} to {gaps[1]:.3f} nats in the second "
        "half: it begins to memorize the training text (overfitting)."
    )
    yield from _against_overfitting(info, "gap", measured)


def _too_low(info: RunInfo) -> str:
    return f"The learning rate is low: {_USUAL_RATE[info.train.optimizer]:g} is usual for {info.train.optimizer}."


def _rate(value: float) -> dict[str, float]:
    return {"learning_rate": max(knobs()["learning_rate"].metadata["low"], float(f"{value:.3g}"))}


def _more_dropout(info: RunInfo) -> dict[str, float]:
    return {"dropout": 0.2 if info.model.dropout < 0.2 else min(0.6, round(info.model.dropout + 0.2, 2))}


def _smaller(info: RunInfo) -> dict[str, int] | None:
    """About half the width, divisible by twice the number of heads."""
    multiple = 2 * info.model.n_head
    width = max(multiple, info.model.n_embd // 2 // multiple * multiple)
    return {"n_embd": width} if knobs()["n_embd"].metadata["low"] <= width < info.model.n_embd else None


# ---- what is different


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The settings in `after` that differ in `before`, in words: ["block_size 32 → 64", ...]."""
    return [
        f"{name} {_number(before[name])} → {_number(value)}" for name, value in after.items() if value != before[name]
    ]


def distinction(info: RunInfo, other: RunInfo) -> str:
    """The settings in which `other` differs from a run, in a few words: "block_size 64, n_layer 2"."""
    values = asdict(info.model) | asdict(info.train)
    changes = [
        f"{name} {_number(value)}"
        for name, value in (asdict(other.model) | asdict(other.train)).items()
        if value != values[name]
    ]
    rest = len(changes) - _MAX_DISTINCTIONS
    return ", ".join(changes[:_MAX_DISTINCTIONS]) + (f" and {rest} more" if rest > 0 else "") or "same settings"


def _number(value: Any) -> str:
    if isinstance(value, (bool, str)):
        return str(value).lower() or "none"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def _are_the_same(text: Text, other: Text) -> bool:
    """True for the same text, even if the edition of the book has changed since a gallery run was trained."""
    is_book = text.source == other.source == "book"
    return text.sha256 == other.sha256 or (is_book and (text.how, text.first) == (other.how, other.first))


def all_changes(before: RunInfo, model: ModelConfig, train: TrainConfig, text: Text | None) -> list[str]:
    """All differences between a run with these settings and the one before, in words."""
    settings = differences(asdict(before.model) | asdict(before.train), asdict(model) | asdict(train))
    is_other_text = text is not None and not _are_the_same(text, before.text)
    return settings + [_OTHER_TEXT] * is_other_text


def what_changes(before: RunInfo, model: ModelConfig, train: TrainConfig, preset: str, text: Text | None) -> str:
    """How a run with these settings would differ from the one before, short enough for a button."""
    changes = all_changes(before, model, train, text)
    is_other_text = _OTHER_TEXT in changes
    if not changes:
        return SAME
    if len(changes) == 1 and model == before.model and train.seed != before.train.seed:
        return "same settings, other seed"
    if len(listed := ", ".join(changes)) <= _MAX_BUTTON_CHARACTERS:
        return listed
    if preset != before.preset and (model, train) == configs_from({}, preset):
        return f"preset {PRESETS[preset].title}{', other text' if is_other_text else ''}"
    return f"{len(changes)} changes"
