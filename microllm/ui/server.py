"""What all windows of this server share: training jobs, samples, the book, the speed of the machine."""

from __future__ import annotations

import atexit
import threading
import weakref
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import streamlit as st
import torch

from ..cost import Speed, measure_speed
from ..data import texts
from ..data.decode import TextProblem
from ..environment import grace_seconds
from ..jobs.runner import Runner
from ..jobs.samples import Samples
from ..runs import disk
from ..runs.info import RunProblem
from ..runs.run import Run
from ..sample import NotFinite

_EXIT_SECONDS = 8.0
"""The longest that the exiting program waits for a thread. A thread that still computes at exit would abort it."""


@st.cache_resource(on_release=Runner.close, show_spinner=False)
def runner() -> Runner:
    """The training jobs of this server."""
    return Runner(grace=grace_seconds())


class Background:
    """Slow work that is done once, in a thread, while pages show its progress."""

    def __init__(self, work: Callable[[Background], Any]) -> None:
        self.share, self.result, self.problem = 0.0, None, None
        self.cancelled = threading.Event()

        def run() -> None:
            try:
                self.result = work(self)
            except (TextProblem, RunProblem, NotFinite, OSError) as problem:
                self.problem = str(problem)

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        """True until there is a result or a problem."""
        return self._thread.is_alive()

    def wait(self, seconds: float) -> None:
        """Wait for the end, at most `seconds`."""
        self._thread.join(seconds)

    def cancel(self) -> None:
        """Cancel the work for all windows, and wait at most 0.3 s for it to end."""
        self.cancelled.set()
        self.wait(0.3)


@st.cache_resource(show_spinner=False)
def book() -> Background:
    """*Pride and Prejudice*, from disk or being downloaded. `book.clear()` tries again."""
    return Background(lambda it: texts.book(lambda share: setattr(it, "share", share), it.cancelled))


@st.cache_resource(show_spinner=False)
def _speed() -> Background:
    measuring = Background(lambda it: measure_speed())
    atexit.register(measuring.wait, _EXIT_SECONDS)
    return measuring


def speed() -> Speed | None:
    """How fast this server trains; None while that is being measured."""
    return _speed().result


@st.cache_resource(show_spinner=False)
def samples() -> Samples:
    """Samples of the runs while they train, shared by all windows."""
    return Samples(lambda run: runner().model_now(run, max_age=1.0, wait=0.05))


@st.cache_data(ttl=20.0, show_spinner=False)
def disk_use() -> int:
    """Bytes that all runs and texts on this server occupy, at most 20 s old."""
    return disk.disk_use()


def use_one_thread() -> None:
    """Limit torch to one thread in the calling thread. The small products of a page gain nothing from more, and would
    take cores from training. Torch keeps this number per thread, and pages run in many threads.
    """
    torch.set_num_threads(1)


@lru_cache(maxsize=64)  # a page asks about forty times: Streamlit's cache takes ten times as long
def opened(run_id: str) -> Run:
    """The run with this id: one object for all windows, so that its curve is read once. Raises RunProblem."""
    return Run.open(run_id)


_busy: weakref.WeakSet[Background] = weakref.WeakSet()


def in_the_background(work: Callable[[threading.Event], Any]) -> Background:
    """Start `work` in its own thread, with one torch thread. It gets an event and should end soon after that is set;
    the exiting program waits for it.
    """

    def with_one_thread(background: Background) -> Any:
        use_one_thread()
        return work(background.cancelled)

    background = Background(with_one_thread)
    _busy.add(background)
    return background


@atexit.register
def _cancel_all() -> None:
    for background in list(_busy):
        background.cancelled.set()
    for background in list(_busy):
        background.wait(_EXIT_SECONDS)
