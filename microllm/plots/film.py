"""A run as a film: its loss curve, and what it wrote on the way, always from the same prompt and random seed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from ..config import REFERENCE_NAMES
from ..runs.gallery import ScoredSample
from ..runs.history import History
from .loss import in_words

_LINES = {"uniform": "", "table_5": "simple counting: "}
"""The reference losses that are drawn, with a prefix for their names: where a run begins, and the best of counting."""


def film_data(
    history: History,
    samples: Sequence[ScoredSample],
    references: dict[str, float],
    max_steps: int,
    *,
    about: str,
) -> dict[str, Any]:
    """What the component `film` shows of a trained run. `about` identifies it: for another one the film starts over.

    The curve is the training loss and its running average over log(step), with one value and the seconds of training so
    far for each `step`. `frames` are the samples in order, without the `prompt` that they all begin with.
    """
    points = history.points("log")
    rows = [i for i, step in enumerate(points["step"]) if step]  # step 0 has no logarithm
    ordered = sorted(samples, key=lambda sample: sample.step)
    prompt = _beginning(*(sample.text for sample in ordered))
    return {
        "about": about,
        "max": max_steps,
        "step": [points["step"][i] for i in rows],
        "seconds": [round(points["seconds"][i], 1) for i in rows],
        "raw": [_rounded(points["train_loss"][i]) for i in rows],
        "smoothed": [_rounded(points["smoothed"][i]) for i in rows],
        "first_loss": _rounded(points["train_loss"][0]) if points["step"] else None,
        "references": [
            {"name": word + REFERENCE_NAMES[key], "loss": references[key]}
            for key, word in _LINES.items()
            if key in references
        ],
        "prompt": prompt,
        "frames": [
            {"step": sample.step, "text": sample.text[len(prompt) :], "words": sample.real_words} for sample in ordered
        ],
        "alt": in_words(history, references),
    }


def _beginning(*texts: str) -> str:
    """The common prefix of these texts."""
    same = (characters[0] for characters in takewhile(lambda some: len({*some}) == 1, zip(*texts, strict=False)))
    return "".join(same)


def _rounded(loss: float | None) -> float | None:
    return None if loss is None else round(loss, 4)
