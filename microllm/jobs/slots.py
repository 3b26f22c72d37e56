"""Slots for training: runs take turns using them, so that every curve moves."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable

from ..environment import default_slots


class Slots:
    """`count` slots, given to runs first come, first served, in rounds, with a longer first turn.

    A run asks `may_train` before every step. While others wait, a turn lasts `turn` seconds. New runs come first: their
    first turn lasts `first` seconds, extended up to three times until they have begun (taken some steps). When more new
    runs arrive, a run that has begun interrupts its first turn and gets the rest later, so that if a whole class starts
    at once, every curve starts early. `clock` returns seconds.
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
        self._ends: dict[str, float] = {}  # run in a slot: when its turn ends
        self._on_first_turn: set[str] = set()  # runs in a slot on their first turn
        self._beginning: dict[str, float] = {}  # runs on their first turn that have not begun: since when
        self._new: deque[str] = deque()  # new runs that wait: these come first
        self._seconds_left: dict[str, float] = {}  # runs that wait for the rest of a first turn: how long that is
        self._others: deque[str] = deque()  # runs that wait for another turn
        self._served: set[str] = set()  # runs that have had a turn
        self._seconds_to_begin = first  # seconds that a new run needs, on average

    def may_train(self, run: str, has_begun: bool = True) -> bool:
        """True if `run` has a slot now. Otherwise it is put in the queue."""
        with self._lock:
            now = self._clock()
            if run in self._ends:
                if has_begun and run in self._beginning:
                    self._seconds_to_begin = (self._seconds_to_begin + now - self._beginning.pop(run)) / 2
                self._make_room(run, now)
            elif run not in self._queue():
                self._enqueue(run, now)
            self._hand_out(now)
            return run in self._ends

    def leave(self, run: str) -> None:
        """Free the slot of `run`, or remove it from the queue."""
        with self._lock:
            self._vacate(run)
            self._seconds_left.pop(run, None)
            for queue in (self._new, self._others):
                if run in queue:
                    queue.remove(run)
            self._hand_out(self._clock())

    def runs(self) -> set[str]:
        """All runs that have a slot or wait for one."""
        with self._lock:
            return {*self._ends, *self._queue()}

    def seconds_to_turn(self, run: str) -> float | None:
        """The approximate seconds until `run` gets a slot; None if it has one or does not wait."""
        with self._lock:
            queue, is_new, now = self._queue(), run in self._new, self._clock()
            if run not in queue:
                return None
            first = self._seconds_to_begin if is_new else self.first
            free_in = [max(0.0, self._free_at(other, for_new=is_new) - now) for other in self._ends]
            for other in queue[: queue.index(run)]:
                seconds = first if other in self._new else self._seconds_left.get(other, self.turn)
                free_in.append(free_in.pop(free_in.index(min(free_in))) + seconds)
            return min(free_in, default=0.0)

    def _queue(self) -> list[str]:
        """All waiting runs in the order in which they get slots."""
        return [*self._new, *self._seconds_left, *self._others]

    def _free_at(self, run: str, for_new: bool) -> float:
        """When `run` will free its slot, for a new run or for another."""
        if not (for_new and run in self._on_first_turn):
            return self._ends[run]
        return self._beginning[run] + self._seconds_to_begin if run in self._beginning else -math.inf

    def _enqueue(self, run: str, now: float) -> None:
        if run in self._served:
            self._others.append(run)
            return
        # each new run ends the turn of a run that is past its first turn
        leaving = sum(self._free_at(other, for_new=True) <= now for other in self._ends)
        settled = [other for other, end in self._ends.items() if end > now and other not in self._on_first_turn]
        if len(self._ends) >= self.count and leaving <= len(self._new) and settled:
            self._ends[min(settled, key=self._ends.__getitem__)] = now
        self._new.append(run)

    def _make_room(self, run: str, now: float) -> None:
        """End the turn of `run` if its time is over and another run waits."""
        left = self._ends[run] - now
        if run in self._beginning:
            is_time = left <= -2 * self.first
        else:
            is_time = left <= 0 or (run in self._on_first_turn and len(self._new) > 0)
        if is_time and self._queue():
            self._vacate(run)
            if left > 0:
                self._seconds_left[run] = left
            else:
                self._others.append(run)

    def _vacate(self, run: str) -> None:
        self._ends.pop(run, None)
        self._on_first_turn.discard(run)
        self._beginning.pop(run, None)

    def _hand_out(self, now: float) -> None:
        while len(self._ends) < self.count and self._queue():
            if self._new:
                run, seconds = self._new.popleft(), self.first
                self._served.add(run)
                self._on_first_turn.add(run)
                self._beginning[run] = now
            elif self._seconds_left:
                run, seconds = next(iter(self._seconds_left.items()))
                del self._seconds_left[run]
                self._on_first_turn.add(run)
            else:
                run, seconds = self._others.popleft(), self.turn
            self._ends[run] = now + seconds
