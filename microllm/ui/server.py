"""What all windows of this server share: training jobs, samples, published texts, the speed of the machine."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import streamlit as st
import torch

from ..cost import Speed, measure_speed
from ..data.download import fetch
from ..data.published import PUBLISHED_TEXTS
from ..environment import grace_seconds
from ..insight.heads import HeadScore
from ..jobs.background import Background
from ..jobs.head_scores import over_snapshots
from ..jobs.knockouts import Knockouts
from ..jobs.runner import Runner
from ..jobs.samples import Samples
from ..jobs.snapshots import OverSnapshots
from ..runs import disk
from ..runs.run import Run

_EXIT_SECONDS = 8.0


@st.cache_resource(on_release=Runner.close, show_spinner=False)
def runner() -> Runner:
    """The training jobs of this server."""
    return Runner(grace=grace_seconds())


@st.cache_resource(show_spinner=False)
def published(key: str) -> Background:
    """The published text with this key, read from disk or downloaded. `published.clear(key)` tries again."""
    text = PUBLISHED_TEXTS[key]
    return Background(lambda work: fetch(text, lambda share: setattr(work, "share", share), cancelled=work.cancelled))


@st.cache_resource(show_spinner=False)
def _speed() -> Background:
    return Background(lambda work: measure_speed(lambda: work.rest(0)))


def speed() -> Speed | None:
    """How fast this server trains; None while that is being measured."""
    return _speed().result


@st.cache_resource(show_spinner=False)
def samples() -> Samples:
    """Samples of the runs while they train, shared by all windows."""
    return Samples(lambda run: runner().model_now(run, max_age=1.0, wait=0.05))


@lru_cache(maxsize=32)
def head_scores(run_id: str) -> OverSnapshots[list[HeadScore]]:
    """What the heads of a run attend to at its snapshots, shared by all windows."""
    return over_snapshots(opened(run_id))


@st.cache_resource(show_spinner=False)
def knockouts() -> Knockouts:
    """Models without some of their parts, and how much each part is worth, shared by all windows."""
    return Knockouts(lambda: runner().is_training())


@atexit.register
def _wait_for_scripts() -> None:
    """Wait for pages that are being drawn.

    Streamlit's script threads are daemons, and the interpreter aborts if it ends while one of them is inside torch.
    """
    deadline = time.monotonic() + _EXIT_SECONDS
    for thread in threading.enumerate():
        if thread.name.startswith("ScriptRunner"):
            thread.join(max(0.0, deadline - time.monotonic()))


@st.cache_data(ttl=20.0, show_spinner=False)
def disk_use() -> int:
    """Bytes that all runs and texts on this server occupy, at most 20 s old."""
    return disk.disk_use()


def use_one_thread() -> None:
    """Limit torch to one thread in the calling thread.

    More would not speed up the small products of a page, and would take cores from training. Torch keeps this number
    per thread, and pages run in many threads.
    """
    torch.set_num_threads(1)


@lru_cache(maxsize=64)  # a page calls it about forty times, and Streamlit's cache takes ten times as long
def opened(run_id: str) -> Run:
    """The run with this id: one object for all windows, so that its curve is read once. Raises RunProblem."""
    return Run.open(run_id)


def in_the_background(work: Callable[[threading.Event], Any]) -> Background:
    """Start `work` in its own thread. It should end soon after the event it gets is set."""
    return Background(lambda background: work(background.cancelled))
