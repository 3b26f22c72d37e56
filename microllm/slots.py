"""Places to train in, fewer than runs, handed round in turns so that everybody's curve moves."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable


class Slots:
    """`count` places. A run keeps asking `may_train`; while others wait, it keeps a place for `turn` seconds at a time.

    A new run comes before those that wait. Its first turn lasts `first` seconds, or longer (three times, at most) until
    it says that it has begun. The clock gives seconds.
    """

    def __init__(
        self,
        count: int | None = None,
        turn: float = 3.0,
        first: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.count = count or default_slots()
        self.turn, self.first, self._clock = turn, first, clock
        self._lock = threading.Lock()
        self._ends: dict[str, float] = {}  # who has a place, and when the turn is over
        self._waiting: deque[str] = deque()
        self._served: set[str] = set()  # who has had a place before; all others are new
        self._on_first_turn: set[str] = set()

    def may_train(self, run: str, has_begun: bool = True) -> bool:
        """True when `run` has a place now. A run that has none is put in the queue."""
        with self._lock:
            now = self._clock()
            if run in self._ends:
                is_slow = run in self._on_first_turn and not has_begun and now < self._ends[run] + 2 * self.first
                if self._waiting and self._ends[run] <= now and not is_slow:
                    self._vacate(run)
                    self._waiting.append(run)
            elif run not in self._waiting:
                self._arrive(run, now)
            self._hand_out(now)
            return run in self._ends

    def leave(self, run: str) -> None:
        """Give back the place of `run`, or its wait for one."""
        with self._lock:
            self._vacate(run)
            if run in self._waiting:
                self._waiting.remove(run)
            self._hand_out(self._clock())

    def seconds_to_turn(self, run: str) -> float | None:
        """About how long until it is the turn of `run`; None when it has a place or does not wait."""
        with self._lock:
            if run not in self._waiting:
                return None
            now = self._clock()
            free_in = [max(0.0, end - now) for end in self._ends.values()]
            for other in self._waiting:
                soonest = min(free_in, default=0.0)
                if other == run:
                    return soonest
                free_in.remove(soonest)
                free_in.append(soonest + (self.turn if other in self._served else self.first))
            return None

    def _arrive(self, run: str, now: float) -> None:
        if run in self._served:
            self._waiting.append(run)
            return
        new_ones = sum(other not in self._served for other in self._waiting)
        self._waiting.insert(new_ones, run)
        # for each new one, one that has had its first seconds makes room at once
        leaving = sum(end <= now for end in self._ends.values())
        settled = [other for other, end in self._ends.items() if end > now and other not in self._on_first_turn]
        if len(self._ends) >= self.count and leaving <= new_ones and settled:
            self._ends[min(settled, key=self._ends.__getitem__)] = now

    def _vacate(self, run: str) -> None:
        self._ends.pop(run, None)
        self._on_first_turn.discard(run)

    def _hand_out(self, now: float) -> None:
        while self._waiting and len(self._ends) < self.count:
            run = self._waiting.popleft()
            if run in self._served:
                self._ends[run] = now + self.turn
            else:
                self._served.add(run)
                self._on_first_turn.add(run)
                self._ends[run] = now + self.first


def default_slots() -> int:
    """`MICROLLM_SLOTS`, else one fewer than there are cores (the server needs one), at least one."""
    wished = os.environ.get("MICROLLM_SLOTS", "")
    return max(1, int(wished)) if wished.isdigit() else max(1, (os.cpu_count() or 1) - 1)
