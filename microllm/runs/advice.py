"""What a run's own measurements suggest to do next, and what the next run would do differently."""

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

# All in nats a character. An exam is deterministic, but the weights it scores tremble: on runs of the shipped presets
# two validation checks in a row differ by less than this when nothing happens.
_TREMBLE = 0.02
_CLEARLY = 0.05
_MOST = 3
_SHORT = 40  # characters that fit on a button
_USUAL_RATE = {preset.train.optimizer: preset.train.learning_rate for preset in PRESETS.values()}


@dataclass(frozen=True)
class Suggestion:
    """One thing to try: what was measured, what to do about it, and the settings that would differ from the run's.

    `situation` is one of diverged, stuck, by heart, pairs, still falling, gap.
    """

    situation: str
    measured: str
    advice: str
    changes: dict[str, Any] = field(default_factory=dict)


def next_steps(info: RunInfo, history: History) -> list[Suggestion]:
    """At most three things to try after a run that is over, the most telling first; each would be a valid run."""
    values = asdict(info.model) | asdict(info.train)
    good = []
    for suggestion in _suggestions(info, history.read()):
        model, train = configs_from(values | suggestion.changes)
        if not problems(model, train, info.text.characters):
            good.append(suggestion)
    return good[:_MOST]


def learns_by_heart(history: History) -> int | None:
    """The step of the best exam, when validation has risen since while training went on falling; None otherwise.

    To be asked while a run trains as well as after it: it takes two validation checks in a row above the best one.
    """
    val_losses = _val_losses(history)
    best = min(range(len(val_losses)), key=lambda i: val_losses[i][1], default=0)
    since = val_losses[best + 1 :]
    if len(since) < 2 or min(loss for _, loss in since[-2:]) < val_losses[best][1] + _CLEARLY:
        return None
    step, now = val_losses[best][0], since[-1][0]
    return step if _training(history, now) < _training(history, step) - _CLEARLY else None


def _val_losses(history: History) -> list[tuple[int, float]]:
    return [(step, loss) for step, loss in list(history.val_losses) if math.isfinite(loss)]


def _training(history: History, step: float) -> float:
    """The smoothed training loss at a step: of the last row until then that has one. NaN without one."""
    steps, losses = history.rows["step"], history.rows["smoothed"]
    for i in range(bisect_right(steps, step) - 1, -1, -1):
        if losses[i] is not None:
            return losses[i]
    return math.nan


def _validation(val_losses: list[tuple[int, float]], step: float) -> float:
    """The validation loss at a step, on the straight line between the validation checks around it."""
    for (a, before), (b, after) in pairwise(val_losses):
        if a <= step <= b:
            return before + (after - before) * (step - a) / (b - a)
    return val_losses[-1][1]


def _suggestions(info: RunInfo, history: History) -> Iterator[Suggestion]:
    val_losses, last = _val_losses(history), history.last
    if last is None or not val_losses or not info.model.causal:  # the losses of a run that cheats mean something else
        return
    if last["train_loss"] is None or last["smoothed"] > val_losses[0][1] + 0.5:
        yield _diverged(info, val_losses[0][1], last)
        return
    if len(val_losses) < 3:  # nothing is known of how it went on
        return
    reached, now = val_losses[-1]
    drop = _validation(val_losses, 0.75 * reached) - now  # over the last quarter
    stuck = _stuck(info, val_losses, drop)
    if stuck:
        yield stuck
        return
    if best := learns_by_heart(history):
        yield from _by_heart(info, val_losses, best)
        return
    if drop < _CLEARLY:
        yield from _at_the_pairs(info, val_losses)
    if drop > _TREMBLE:
        yield _still_falling(info, last["step"], drop)
    yield from _gap(info, history, val_losses)


def _diverged(info: RunInfo, first: float, last: dict[str, Any]) -> Suggestion:
    rate = info.train.learning_rate
    if last["train_loss"] is None:
        measured = f"The loss stopped being a number at step {last['step']:,}: the corrections were too big."
    else:
        measured = (
            f"The training loss rose from {first:.2f} to {last['smoothed']:.2f} nats: the corrections were too big."
        )
    return Suggestion("diverged", measured, "A tenth of the learning rate.", _rate(rate / 10))


def _stuck(info: RunInfo, val_losses: list[tuple[int, float]], drop: float) -> Suggestion | None:
    """Not better than letter frequencies, on a text in which pairs of characters tell more than those."""
    letters, pairs = info.references.get("table_1"), info.references.get("table_2")
    best = min(loss for _, loss in val_losses)
    if letters is None or pairs is None or pairs > letters - 2 * _CLEARLY or best < letters - 2 * _CLEARLY:
        return None
    rate, usual = info.train.learning_rate, _USUAL_RATE[info.train.optimizer]
    compared = "hardly better" if best < letters else "no better"
    measured = f"Its best, {best:.2f} nats, is {compared} than what letter frequencies alone reach ({letters:.2f})."
    if rate < usual / 2:
        return Suggestion(
            "stuck",
            measured,
            f"Its corrections are small: with {info.train.optimizer}, {usual:g} is usual.",
            _rate(usual),
        )
    if rate > 2 * usual:
        return Suggestion(
            "stuck",
            measured,
            f"Its corrections are so big that they undo each other: with {info.train.optimizer}, {usual:g} is usual.",
            _rate(usual),
        )
    if drop > _TREMBLE:  # slow, but on its way
        return None
    return Suggestion("stuck", measured, "A smaller learning rate may find the way down.", _rate(rate / 10))


def _by_heart(info: RunInfo, val_losses: list[tuple[int, float]], best: int) -> Iterator[Suggestion]:
    loss, now = dict(val_losses)[best], val_losses[-1][1]
    measured = (
        f"It learned by heart: validation was best at step {best:,} ({loss:.2f} nats) and rose to {now:.2f}, while "
        "training fell."
    )
    yield Suggestion("by heart", measured, "Random forgetting (dropout) holds against that.", _more_dropout(info))
    if smaller := _smaller(info):
        yield Suggestion("by heart", measured, "A smaller model has less room to remember.", smaller)
    yield Suggestion("by heart", measured, "Or end where it was best.", {"max_steps": best})


def _at_the_pairs(info: RunInfo, val_losses: list[tuple[int, float]]) -> Iterator[Suggestion]:
    """As good as a table of pairs and no better, although characters further back tell more."""
    pairs, triples = info.references.get("table_2"), info.references.get("table_3")
    best, size = min(loss for _, loss in val_losses), info.model.block_size
    if pairs is None or triples is None or abs(best - pairs) > 2 * _CLEARLY:
        return
    if size > 2 and triples > pairs - 2 * _CLEARLY:  # (with 1 or 2 characters in sight, the tables see no more either)
        return
    measured = f"It stays at {best:.2f} nats, about what a table of pairs reaches ({pairs:.2f})."
    if size < 16:
        yield Suggestion("pairs", measured, "Let it look further back.", {"block_size": max(16, 2 * size)})
    if info.model.n_layer < 3:
        yield Suggestion("pairs", measured, "Give it another round of thinking.", {"n_layer": info.model.n_layer + 1})
    rate, usual = info.train.learning_rate, _USUAL_RATE[info.train.optimizer]
    if rate < usual / 2:
        yield Suggestion(
            "pairs",
            measured,
            f"Its corrections are small: with {info.train.optimizer}, {usual:g} is usual.",
            _rate(min(usual, 10 * rate)),
        )


def _still_falling(info: RunInfo, reached: int, drop: float) -> Suggestion:
    most, name = info.train.max_steps, "still falling"
    measured = f"Validation fell by {drop:.2f} nats in the last quarter of its steps: it is still learning."
    if reached < most and info.state == "finished":
        return Suggestion(name, measured, "Go on below the loss at which it stopped.", {"stop_at_loss": 0.0})
    if reached < most:
        return Suggestion(name, measured, f"It was stopped at step {reached:,} of {most:,}: let it come to its end.")
    longer = min(2 * most, knobs()["max_steps"].metadata["high"])
    return Suggestion(name, measured, "Train twice as long.", {"max_steps": longer})


def _gap(info: RunInfo, history: History, val_losses: list[tuple[int, float]]) -> Iterator[Suggestion]:
    """Training runs away from validation, though that has not risen yet."""
    end = val_losses[-1][0]
    gaps = [_validation(val_losses, step) - _training(history, step) for step in (end / 2, end)]
    if not (gaps[1] > 2 * _CLEARLY and gaps[1] > gaps[0] + _CLEARLY):
        return
    measured = (
        f"The gap between validation and training grew from {gaps[0]:.2f} to {gaps[1]:.2f} nats in the second half: it "
        "begins to learn by heart."
    )
    yield Suggestion("gap", measured, "Random forgetting (dropout) holds against that.", _more_dropout(info))
    if smaller := _smaller(info):
        yield Suggestion("gap", measured, "A smaller model has less room to remember.", smaller)


def _rate(value: float) -> dict[str, float]:
    return {"learning_rate": max(knobs()["learning_rate"].metadata["low"], float(f"{value:.3g}"))}


def _more_dropout(info: RunInfo) -> dict[str, float]:
    return {"dropout": 0.2 if info.model.dropout < 0.2 else min(0.6, round(info.model.dropout + 0.2, 2))}


def _smaller(info: RunInfo) -> dict[str, int] | None:
    """About half the width, that the heads can still share."""
    evenly = 2 * info.model.n_head
    width = max(evenly, info.model.n_embd // 2 // evenly * evenly)
    return {"n_embd": width} if knobs()["n_embd"].metadata["low"] <= width < info.model.n_embd else None


# ---- what is different


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """In words, the settings in `after` that are others in `before`: ["block_size 32 → 64", ...]."""
    return [
        f"{name} {_number(before[name])} → {_number(value)}" for name, value in after.items() if value != before[name]
    ]


def _number(value: Any) -> str:
    if isinstance(value, (bool, str)):
        return str(value).lower()
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def what_changes(before: RunInfo, model: ModelConfig, train: TrainConfig, preset: str, text: Text | None) -> str:
    """What a run of this would do differently than the one before: short enough for a button."""
    settings = differences(asdict(before.model) | asdict(before.train), asdict(model) | asdict(train))
    is_other_text = text is not None and text.sha256 != before.text.sha256
    changes = settings + ["other text"] * is_other_text
    if not changes:
        return "same settings, same seed"
    if len(changes) == 1 and model == before.model and train.seed != before.train.seed:
        return "same settings, other seed"
    if len(said := ", ".join(changes)) <= _SHORT:
        return said
    if preset != before.preset and (model, train) == configs_from({}, preset):
        said = f"preset {PRESETS[preset].title}{', other text' if is_other_text else ''}"
        return said
    return f"{len(changes)} changes"
