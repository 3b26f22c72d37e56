"""What all windows of this server share: the runs that train, what they write, the book, the speed of the machine."""

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


@st.cache_resource(on_release=Runner.close, show_spinner=False)
def runner() -> Runner:
    """The runs that train in this server."""
    return Runner(grace=grace_seconds())


class Background:
    """Something slow that is done once, in a thread, while pages show that it is being done."""

    def __init__(self, work) -> None:
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
        """Wait for the end, `seconds` at most."""
        self._thread.join(seconds)

    def cancel(self) -> None:
        """Ask the work to end, for all windows, and wait a moment for it."""
        self.cancelled.set()
        self.wait(0.3)


@st.cache_resource(show_spinner=False)
def book() -> Background:
    """*Pride and Prejudice*: kept already, or on its way. `book.clear()` tries again."""
    return Background(lambda it: texts.book(lambda share: setattr(it, "share", share), it.cancelled))


@st.cache_resource(show_spinner=False)
def _speed() -> Background:
    measuring = Background(lambda it: measure_speed())
    atexit.register(measuring.wait, 8.0)  # a thread that still computes when the program ends would abort it
    return measuring


def speed() -> Speed | None:
    """How fast this server trains; None while that is being measured."""
    return _speed().result


@st.cache_resource(show_spinner=False)
def samples() -> Samples:
    """What the runs write as they learn, for all windows."""
    return Samples(lambda run: runner().model_now(run, max_age=1.0, wait=0.05))


@st.cache_data(ttl=20.0, show_spinner=False)
def disk_use() -> int:
    """Bytes that all runs and texts on this server take, as of some seconds ago."""
    return disk.disk_use()


def use_one_thread() -> None:
    """A page's small products must not take threads from training, nor wait for cores that are busy.

    Torch keeps the number for each thread, and pages run in many.
    """
    torch.set_num_threads(1)


@lru_cache(maxsize=64)  # a page asks some forty times: Streamlit's own cache would be a tenth of its work
def opened(run_id: str) -> Run:
    """The run with this id, one object for all windows, so that a curve is read once. Raises RunProblem."""
    return Run.open(run_id)


_busy: weakref.WeakSet[Background] = weakref.WeakSet()


def in_the_background(work: Callable[[threading.Event], Any]) -> Background:
    """Begin `work` in a thread of its own, which uses one of torch's threads. It should end soon after the event that
    it is given is set; the program waits for that.
    """

    def modestly(background: Background) -> Any:
        torch.set_num_threads(1)  # small products: more threads would only disturb training
        return work(background.cancelled)

    background = Background(modestly)
    _busy.add(background)
    return background


@atexit.register
def _wait_for_all() -> None:
    """A thread that still computes when the program ends would abort it."""
    for background in list(_busy):
        background.cancelled.set()
    for background in list(_busy):
        background.wait(8.0)
