"""What the challenges look at in the runs of a window, including what they recite, measured in the background."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import lru_cache

from ...experiments import challenges
from ...experiments.challenges import MAX_RECITING_LOSS, Attempt, Standing
from ...experiments.measurements import longest_recitation
from ...jobs.background import Background
from ...runs.info import ACTIVE, RunInfo
from ...runs.run import Run
from ..server import opened
from .experiments import own_runs

_MAX_KEPT = 512
_REST_FACTOR = 2.0
_one_at_a_time = threading.Lock()


def standings() -> dict[str, Standing]:
    """How far this window's runs have come in each challenge, by its key."""
    return challenges.standings(_attempt(run, info) for run, info in own_runs())


def is_measuring() -> bool:
    """True until it is known what all runs recite."""
    return any((asked := _asked(run, info)) and asked.is_busy for run, info in own_runs())


def _attempt(run: Run, info: RunInfo) -> Attempt:
    found = _losses(run.id, len(run.history.read()), info.state, info.train.max_steps)
    asked = _asked(run, info)
    known = asked.result if asked and not asked.is_busy else None
    return replace(found, recited=known["recited"] if known else None)


def _asked(run: Run, info: RunInfo) -> Background | None:
    """The measurement of what a run recites; None while it trains, and for a model that is not measured."""
    found = _losses(run.id, len(run.history.read()), info.state, info.train.max_steps)
    steps = run.list_snapshots()
    if info.state in ACTIVE or not steps or found.train_loss is None or found.train_loss >= MAX_RECITING_LOSS:
        return None
    return _recitation(run.id, steps[-1])


@lru_cache(maxsize=_MAX_KEPT)
def _losses(run_id: str, rows: int, state: str, max_steps: int) -> Attempt:
    """The attempt of a run that has logged this many rows and is in this state."""
    return challenges.attempt(opened(run_id))


@lru_cache(maxsize=_MAX_KEPT)
def _recitation(run_id: str, step: int) -> Background:
    def work(background: Background) -> dict[str, float]:
        run = opened(run_id)
        with _one_at_a_time:
            found = longest_recitation(run, run.model_at(step))
            background.rest(_REST_FACTOR)
        return found

    return Background(work, name="recitation")
