"""One value for each snapshot of a run, computed in the background while pages show those that are ready."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from ..data.decode import TextProblem
from ..model import MicroLLM
from ..runs.run import Run
from ..runs.weights import WeightsProblem
from ..sample import NotFinite
from .background import Background

_RETRY_SECONDS = 5.0  # after which to look for a missing text again
_REST_FACTOR = 2.0  # beside training such work takes a third of one core
_T = TypeVar("_T")
_one_at_a_time = threading.Lock()


class OverSnapshots(Generic[_T]):
    """The value of `measure(model, rest)` at each snapshot of a run, each computed once; `values` has them by step.

    A snapshot that cannot be read has none: it is in `unreadable`. After each value the work rests `rest_factor` times
    as long as it computed; a long `measure` calls `rest` between its batches. Of all objects that share a `lock`, one
    computes at a time.
    """

    def __init__(
        self,
        run: Run,
        measure: Callable[[MicroLLM, Callable[[], None]], _T],
        *,
        rest_factor: float = _REST_FACTOR,
        lock: threading.Lock = _one_at_a_time,
    ) -> None:
        self.run = run
        self.values: dict[int, _T] = {}
        self.unreadable: set[int] = set()
        self._measure = measure
        self._rest_factor = rest_factor
        self._one_at_a_time = lock
        self._wanted: list[int] = []
        self._work: Background | None = None
        self._problem: TextProblem | None = None
        self._retry_at = 0.0
        self._lock = threading.Lock()

    def want(self, steps: list[int], wait: float = 0.0) -> dict[int, _T]:
        """The values that are ready, in the order of their steps; the others are computed in the order of `steps`.

        Waits until all are ready, `wait` seconds at most. Raises TextProblem if `measure` did and some are missing.
        """
        with self._lock:
            missing = self._missing(steps)
            if missing:
                self._wanted = missing
                if self._work is None and time.monotonic() >= self._retry_at:
                    self._work = Background(self._compute, name="snapshots")
            work = self._work
        if work and wait and missing:
            work.wait(wait)
        if self._problem and not self.is_complete(steps):
            raise self._problem
        return {step: self.values[step] for step in sorted(self.values.keys() & set(steps))}

    def is_complete(self, steps: list[int]) -> bool:
        """True when there is nothing left to compute for these steps."""
        return not self._missing(steps)

    def stop(self) -> None:
        """Stop after the value in progress."""
        with self._lock:
            self._wanted = []

    def _missing(self, steps: list[int]) -> list[int]:
        return [step for step in steps if step not in self.values and step not in self.unreadable]

    def _compute(self, work: Background) -> None:
        def rest() -> None:
            work.rest(self._rest_factor)

        try:
            while (step := self._next()) is not None:
                with self._one_at_a_time:
                    self._keep(step, rest)
                if self._wanted:
                    rest()
        finally:
            with self._lock:
                self._work = None if self._work is work else self._work

    def _keep(self, step: int, rest: Callable[[], None]) -> None:
        try:
            self.values[step] = self._measure(self.run.model_at(step), rest)
            self._problem = None
        except TextProblem as problem:
            self._problem, self._retry_at = problem, time.monotonic() + _RETRY_SECONDS
            raise
        except Exception as error:
            self.unreadable.add(step)
            if not isinstance(error, (WeightsProblem, NotFinite)):
                raise

    def _next(self) -> int | None:
        """The next step to compute. None at the end: then the thread is over, and `want` starts another.

        Values of snapshots that have been thinned out since are forgotten.
        """
        kept = set(self.run.list_snapshots())
        with self._lock:
            for step in self.values.keys() - kept:
                del self.values[step]
            self._wanted = [step for step in self._missing(self._wanted) if step in kept]
            if not self._wanted:
                self._work = None
                return None
            return self._wanted[0]
