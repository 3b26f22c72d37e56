"""Slow work in the background: one thread for each piece of work, which never outlives the program."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from typing import Any

import torch

from ..data.decode import TextProblem
from ..runs.info import RunProblem
from ..runs.weights import WeightsProblem
from ..sample import NotFinite

_EXPECTED = (TextProblem, RunProblem, WeightsProblem, NotFinite, OSError)
_EXIT_SECONDS = 12.0
_MAX_REST_SECONDS = 2.0

_running: set[Background] = set()


class Cancelled(BaseException):
    """Ends work that was cancelled. It is not an Exception, so that no handler of errors catches it."""


class Background:
    """Runs `work(self)` once, in a daemon thread that uses one torch thread.

    `work` may set `share`, and should end soon after `cancelled` is set: `rest` then raises Cancelled. An error of a
    kind that can be explained to the user is kept in `error`; any other is kept and also printed. When the program
    ends, it cancels all work and waits for it, 12 seconds at most: the interpreter aborts if it ends while a thread
    still computes.
    """

    def __init__(self, work: Callable[[Background], Any], name: str = "background") -> None:
        self.name = name
        self.share = 0.0
        """How much is done, from 0 to 1."""
        self.result: Any = None
        self.error: Exception | None = None
        self.cancelled = threading.Event()
        self._rested_at = 0.0  # seconds that the thread had computed by then
        self._thread = threading.Thread(target=self._run, args=(work,), name=name, daemon=True)
        _running.add(self)
        self._thread.start()

    def _run(self, work: Callable[[Background], Any]) -> None:
        torch.set_num_threads(1)  # the matrices are small: more threads would only slow down training
        try:
            self.result = work(self)
        except Cancelled:
            pass
        except _EXPECTED as error:
            self.error = error
        except Exception as error:
            self.error = error
            raise
        finally:
            _running.discard(self)

    @property
    def is_busy(self) -> bool:
        """True until there is a result or an error."""
        return self._thread.is_alive()

    @property
    def problem(self) -> str | None:
        """A sentence that says what went wrong, for the user; None when nothing did."""
        return str(self.error) if isinstance(self.error, _EXPECTED) else None

    def rest(self, factor: float) -> None:
        """Sleep `factor` times as long as `work` computed since its last rest, 2 s at most, so that training can run.

        Called by `work`, between its pieces. Raises Cancelled.
        """
        if self.cancelled.wait(min(_MAX_REST_SECONDS, self.owed(factor))):
            raise Cancelled
        self._rested_at = time.thread_time()

    def owed(self, factor: float) -> float:
        """The seconds that `rest` would sleep, without the limit. Called by `work`."""
        return factor * (time.thread_time() - self._rested_at)

    def wait(self, seconds: float) -> None:
        """Wait for the end, `seconds` at most."""
        self._thread.join(seconds)

    def get(self, seconds: float) -> Any:
        """The result, or None if it takes more than `seconds`. Raises the error of the work."""
        self.wait(seconds)
        if self.error:
            raise self.error
        return self.result

    def cancel(self) -> None:
        """Request cancellation and wait up to 0.3 s."""
        self.cancelled.set()
        self.wait(0.3)


def running(name: str) -> int:
    """How many pieces of work with this name are running."""
    return sum(work.name == name for work in list(_running))


@atexit.register
def _end_all() -> None:
    deadline, all_work = time.monotonic() + _EXIT_SECONDS, list(_running)
    for work in all_work:
        work.cancelled.set()
    for work in all_work:
        work.wait(max(0.0, deadline - time.monotonic()))
