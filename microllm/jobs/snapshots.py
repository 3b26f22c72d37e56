"""One value for each snapshot of a run, computed in the background while pages show those that are ready."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from ..model import MicroLLM
from ..runs.run import Run
from ..runs.weights import WeightsProblem
from .background import Background

_REST_FACTOR = 2.0  # times the time of a value: beside training they take a third of one core at most
_MAX_REST_SECONDS = 2.0
_T = TypeVar("_T")
_one_at_a_time = threading.Lock()  # in the whole process


class OverSnapshots(Generic[_T]):
    """The value of `measure(model)` at each snapshot of a run. Each is computed once; `values` has them by step.

    A snapshot that cannot be read has none: it is in `unreadable`.
    """

    def __init__(self, run: Run, measure: Callable[[MicroLLM], _T]) -> None:
        self.run = run
        self.values: dict[int, _T] = {}
        self.unreadable: set[int] = set()
        self._measure = measure
        self._wanted: list[int] = []
        self._work: Background | None = None
        self._lock = threading.Lock()

    def want(self, steps: list[int], wait: float = 0.0) -> list[int]:
        """Compute what is missing of these steps, in this order. Returns those whose values are there, sorted.

        Waits until all are there, `wait` seconds at most.
        """
        with self._lock:
            for step in self.values.keys() - set(steps):  # a copy of the keys; thinned out since
                del self.values[step]
            self._wanted = [step for step in steps if step not in self.values and step not in self.unreadable]
            if self._wanted and self._work is None:
                self._work = Background(self._compute, name="snapshots")
            work = self._work
        if work and wait:
            work.wait(wait)
        return sorted(self.values.keys() & set(steps))

    def is_complete(self, steps: list[int]) -> bool:
        """True when there is nothing left to compute for these steps."""
        return not set(steps) - self.values.keys() - self.unreadable

    def stop(self) -> None:
        """Compute no more than the value in progress."""
        with self._lock:
            self._wanted = []

    def _compute(self, work: Background) -> None:
        try:
            while (step := self._next(work)) is not None:
                with _one_at_a_time:
                    began = time.monotonic()
                    self._keep(step)
                    spent = time.monotonic() - began
                if self._wanted:
                    work.cancelled.wait(min(_MAX_REST_SECONDS, _REST_FACTOR * spent))
        finally:
            with self._lock:
                self._work = None if self._work is work else self._work

    def _keep(self, step: int) -> None:
        try:
            self.values[step] = self._measure(self.run.model_at(step))
        except WeightsProblem:
            pass
        finally:
            if step not in self.values:
                self.unreadable.add(step)

    def _next(self, work: Background) -> int | None:
        """The next step to compute. None at the end: then the thread is over, and `want` starts another."""
        with self._lock:
            self._wanted = [step for step in self._wanted if step not in self.values and step not in self.unreadable]
            if not self._wanted or work.cancelled.is_set():
                self._work = None
                return None
            return self._wanted[0]
