"""What the heads of a run attend to at each of its snapshots, measured in the background on a held-out passage."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import torch

from ..corpus import split_at
from ..insight.heads import PASSAGE_CHARACTERS, HeadScore, passage_scores
from ..runs.info import RunInfo
from ..runs.run import Run
from ..runs.weights import WeightsProblem
from ..sample import NotFinite
from .background import Background

_REST_FACTOR = 4.0  # times the time of a batch: scores take a fifth of one core at most
_MAX_REST_SECONDS = 2.0
_POLL_SECONDS = 0.01
_RETRY_SECONDS = 5.0  # after which a text that was missing is looked for again
_MAX_KEPT_SNAPSHOTS = 2_000  # about 40 MB for large models
_DIGITS = 4  # after the point, in files


def measure(run: Run, step: int, before_each: Callable[[], None] = lambda: None) -> list[HeadScore]:
    """The scores of all heads at a snapshot, on the first PASSAGE_CHARACTERS of the held-out part of the run's text.

    `before_each` is as in `passage_scores`. Takes about as long as a few training steps. Raises TextProblem,
    weights.WeightsProblem and NotFinite.
    """
    windows, _ = run.load_corpus().validation_windows(run.read_info().model.block_size, PASSAGE_CHARACTERS)
    space = run.tokenizer.vocab.find(" ")
    return passage_scores(run.model_at(step), windows, None if space < 0 else space, before_each)


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


class _Ended(Exception):
    """The program ends before the scores are there."""


class HeadScores:
    """The scores of all runs in this process. Each snapshot is measured once, one at a time, in the background."""

    def __init__(self) -> None:
        self._one_at_a_time = threading.Lock()
        self._lock = threading.Lock()
        self._known: dict[tuple[str, int], list[HeadScore]] = {}
        self._work: dict[str, Background] = {}
        self._failed: dict[str, tuple[float, Exception]] = {}

    def at(self, run: Run, steps: list[int], wait: float = 0.0) -> dict[int, list[HeadScore]]:
        """The scores at those of `steps` where they are known by now, by step; the others are measured in this order.

        It waits at most `wait` seconds for the first one. Where weights are damaged there are no scores: an empty list.
        Raises TextProblem if the run's text is missing; a later call looks for it again.
        """
        if stored := run.stored_head_scores:
            return {step: _from_numbers(stored[step]) for step in steps if step in stored}
        with self._lock:
            self._drop_what_is_over()
            missing = [step for step in steps if (run.id, step) not in self._known]
            if missing and run.id not in self._failed and run.id not in self._work:
                self._work[run.id] = Background(lambda work: self._measure(run, missing, work), "head scores")
            working = self._work.get(run.id)
        deadline = time.monotonic() + wait
        while working and working.is_busy and (run.id, steps[0]) not in self._known and time.monotonic() < deadline:
            working.wait(_POLL_SECONDS)
        with self._lock:
            self._drop_what_is_over()
            if run.id in self._failed:
                raise self._failed[run.id][1]
            return {step: self._known[run.id, step] for step in steps if (run.id, step) in self._known}

    def _drop_what_is_over(self) -> None:
        """Forget finished work and, after a while, why some failed."""
        now = time.monotonic()
        self._failed = {
            run_id: (at, error) for run_id, (at, error) in self._failed.items() if now - at < _RETRY_SECONDS
        }
        for run_id, work in list(self._work.items()):
            if not work.is_busy:
                del self._work[run_id]
                if work.error:
                    self._failed[run_id] = now, work.error

    def _measure(self, run: Run, steps: list[int], work: Background) -> None:
        for step in steps:
            with self._one_at_a_time:
                try:
                    scores = measure(run, step, _resting(work))
                except (WeightsProblem, NotFinite):
                    scores = []
                except _Ended:
                    return
            with self._lock:
                while len(self._known) >= _MAX_KEPT_SNAPSHOTS:
                    del self._known[next(iter(self._known))]
                self._known[run.id, step] = scores


def _resting(work: Background) -> Callable[[], None]:
    """A function to call before each batch: it rests four times as long as the last one took, or raises _Ended."""
    began = time.monotonic()

    def rest() -> None:
        nonlocal began
        if work.cancelled.wait(min(_MAX_REST_SECONDS, _REST_FACTOR * (time.monotonic() - began))):
            raise _Ended
        began = time.monotonic()

    return rest
