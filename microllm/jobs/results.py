"""Results of slow work on the steps of runs: computed beside training, and abandoned when no page asks for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from .background import Background, Cancelled, running

_REST_FACTOR = 4.0  # beside training such work takes a fifth of one core
_ABANDONED_SECONDS = 15.0  # after the last window has asked


@dataclass(frozen=True)
class Measured:
    """A result, None until there is one; how much is done (0 to 1), and what is known `so_far` of the next one."""

    result: Any
    share: float
    so_far: Any = None

    @property
    def is_waiting(self) -> bool:
        """True while the first result is being computed."""
        return self.result is None and self.share < 1


class Work(Background):
    """Work that rests beside training and beside other work of its name, and is abandoned when no page asks for it."""

    def __init__(self, work: Callable[[Work], Any], name: str, is_training: Callable[[], bool]) -> None:
        self.so_far: Any = None
        """What the work has found before its end."""
        self.asked = time.monotonic()
        self._is_training = is_training
        super().__init__(work, name)

    def pause(self) -> None:
        """Rest. Called between the pieces of the work; raises Cancelled."""
        if time.monotonic() - self.asked > _ABANDONED_SECONDS:
            raise Cancelled
        self.rest(self.rest_factor)

    @property
    def rest_factor(self) -> float:
        """The factor with which all such work together takes at most one core."""
        return max(1, running(self.name)) * (1 + _REST_FACTOR * self._is_training()) - 1


class Results:
    """Results of slow work of one `name`, by key and step, each computed once; the newest are kept.

    `is_training` says whether any model trains here: then the work sleeps most of the time.
    """

    def __init__(self, name: str, is_training: Callable[[], bool]) -> None:
        self._name, self._is_training = name, is_training
        self._lock = threading.Lock()
        self._done: dict[tuple[Hashable, int], Any] = {}
        self._newest: dict[Hashable, int] = {}
        self._working: dict[Hashable, tuple[int, Work, int, bool]] = {}
        self._rests_until: dict[Hashable, float] = {}

    def now(self, key: Hashable, step: int, compute: Callable[[Any], Any], keep: int) -> Any:
        """The result for this step, computed by the caller if it is not there yet; the newest `keep` are kept."""
        with self._lock:
            if (key, step) in self._done:
                return self._done[key, step]
        result = compute(None)
        with self._lock:
            self._store(key, step, result, keep, is_live=False)
        return result

    def ask(
        self, key: Hashable, step: int, compute: Callable[[Work], Any], keep: int, *, is_live: bool, wait: float = 0.0
    ) -> Measured:
        """What is known now. Starts the work if it is due; the newest `keep` results are kept. Raises its error.

        For a run in training (`is_live`), the result is the newest available, whatever its step.
        """
        with self._lock:
            self._collect(key)
            if (key, step) in self._done:
                return Measured(self._done[key, step], 1.0)
            at_work = self._working.get(key)
            if at_work and at_work[0] != step and not is_live:
                at_work[1].cancelled.set()
                at_work = None
            if at_work is None and not (is_live and time.monotonic() < self._rests_until.get(key, 0.0)):
                at_work = self._begin(key, step, compute, keep, is_live)
            newest = self._done.get((key, self._newest[key])) if is_live and key in self._newest else None
        if at_work is None:
            return Measured(newest, 1.0)
        work = at_work[1]
        work.asked = time.monotonic()
        if wait and newest is None:
            work.wait(wait)
            with self._lock:
                self._collect(key)
                newest = self._done.get((key, at_work[0]))
        return Measured(newest, work.share, work.so_far)

    def _begin(self, key: Hashable, step: int, compute: Callable[[Work], Any], keep: int, is_live: bool) -> tuple:
        def compute_then_rest(work: Work) -> Any:
            try:
                return compute(work)
            finally:
                self._rests_until[key] = time.monotonic() + work.owed(work.rest_factor)

        self._working[key] = step, Work(compute_then_rest, self._name, self._is_training), keep, is_live
        return self._working[key]

    def _collect(self, key: Hashable) -> None:
        """Take the results of all work that has ended. Raises the error of the work for `key`."""
        for other in [other for other, at_work in self._working.items() if not at_work[1].is_busy]:
            step, work, keep, is_live = self._working.pop(other)
            if work.result is not None:
                self._store(other, step, work.result, keep, is_live)
            elif work.error and other == key:
                raise work.error

    def _store(self, key: Hashable, step: int, result: Any, keep: int, is_live: bool) -> None:
        if is_live and key in self._newest:  # no page returns to an earlier step of a run in training
            self._done.pop((key, self._newest[key]), None)
        while len(self._done) >= keep:
            oldest = next(iter(self._done))
            del self._done[oldest]
            if self._newest.get(oldest[0]) == oldest[1]:
                del self._newest[oldest[0]]
                self._rests_until.pop(oldest[0], None)
        self._done[key, step] = result
        self._newest[key] = step
