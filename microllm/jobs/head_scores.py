"""What the heads of a run attend to at each of its snapshots, measured in the background on a held-out passage."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from ..corpus import split_at
from ..insight.heads import PASSAGE_CHARACTERS, HeadScore, passage_scores
from ..model import MicroLLM
from ..runs.info import RunInfo
from ..runs.run import Run
from .snapshots import OverSnapshots

_REST_FACTOR = 4.0  # beside training the scores take a fifth of one core
_DIGITS = 4  # after the point, in files
_one_at_a_time = threading.Lock()


def over_snapshots(run: Run) -> OverSnapshots[list[HeadScore]]:
    """The scores of all heads at each snapshot: stored with a run of the gallery, or found by `measure`.

    Without the text of the run, `want` raises TextProblem.
    """
    scores = OverSnapshots(run, partial(measure, run), rest_factor=_REST_FACTOR, lock=_one_at_a_time)
    scores.values |= {step: _from_numbers(stored) for step, stored in run.stored_head_scores.items()}
    return scores


def measure(run: Run, model: MicroLLM, before_each: Callable[[], None] = lambda: None) -> list[HeadScore]:
    """The scores of all heads of a `model` of this run, on the first PASSAGE_CHARACTERS of the held-out text.

    `before_each` is as in `passage_scores`. Takes about as long as a few training steps. Raises TextProblem and
    NotFinite.
    """
    windows, _ = run.load_corpus().validation_windows(model.config.block_size, PASSAGE_CHARACTERS)
    space = run.tokenizer.vocab.find(" ")
    return passage_scores(model, windows, None if space < 0 else space, before_each)


def passage_length(info: RunInfo) -> int:
    """The number of held-out characters on which `measure` scores the heads: whole windows only."""
    held_out = min(info.text.characters - split_at(info.text.characters), PASSAGE_CHARACTERS)
    return (held_out - 1) // info.model.block_size * info.model.block_size


def as_numbers(scores: list[HeadScore]) -> list[dict[str, Any]]:
    """Scores as they are stored with a run of the gallery."""
    return [
        {
            "name": score.name,
            "chance": round(score.chance, _DIGITS),
            "shares": [[round(share, _DIGITS) for share in layer] for layer in score.shares.tolist()],
        }
        for score in scores
    ]


def _from_numbers(stored: list[dict[str, Any]]) -> list[HeadScore]:
    return [HeadScore(one["name"], torch.tensor(one["shares"]), one["chance"]) for one in stored]
