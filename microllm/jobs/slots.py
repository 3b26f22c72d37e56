"""Places to train in, fewer than runs, handed round in turns so that everybody's curve moves."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable

from ..environment import default_slots


class Slots:
    """`count` places. A run keeps asking `may_train`; while others wait, it keeps a place for `turn` seconds at a time.

    A new run comes before those that wait. Its first turn lasts `first` seconds, or longer (three times, at most) until
    it says that it has begun. One that has begun makes room for new ones that have not, and has the rest of its first
    turn after them: when many come at once, every curve begins soon. The clock gives seconds.
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
        self._on_first_turn: set[str] = set()  # some of them
        self._beginning: dict[str, float] = {}  # some of those, which have not begun, and since when
        self._new: deque[str] = deque()  # who waits, and comes first
        self._lent: dict[str, float] = {}  # who waits for the rest of a first turn, and how many seconds that is
        self._others: deque[str] = deque()  # who waits for one more turn
        self._served: set[str] = set()  # who has had a place before
        self._to_begin = first  # about how many seconds a new run needs

    def may_train(self, run: str, has_begun: bool = True) -> bool:
        """True when `run` has a place now. A run that has none is put in the queue."""
        with self._lock:
            now = self._clock()
            if run in self._ends:
                if has_begun and run in self._beginning:
                    self._to_begin = (self._to_begin + now - self._beginning.pop(run)) / 2
                self._make_room(run, now)
            elif run not in self._queue():
                self._arrive(run, now)
            self._hand_out(now)
            return run in self._ends

    def leave(self, run: str) -> None:
        """Give back the place of `run`, or its wait for one."""
        with self._lock:
            self._vacate(run)
            self._lent.pop(run, None)
            for queue in (self._new, self._others):
                if run in queue:
                    queue.remove(run)
            self._hand_out(self._clock())

    def seconds_to_turn(self, run: str) -> float | None:
        """About how long until it is the turn of `run`; None when it has a place or does not wait."""
        with self._lock:
            queue, is_new, now = self._queue(), run in self._new, self._clock()
            if run not in queue:
                return None
            first = self._to_begin if is_new else self.first
            free_in = [max(0.0, self._leaves(other, for_new=is_new) - now) for other in self._ends]
            for other in queue[: queue.index(run)]:
                lasts = first if other in self._new else self._lent.get(other, self.turn)
                free_in.append(free_in.pop(free_in.index(min(free_in))) + lasts)
            return min(free_in, default=0.0)

    def _queue(self) -> list[str]:
        """All that wait, in the order in which they will be served."""
        return [*self._new, *self._lent, *self._others]

    def _leaves(self, run: str, for_new: bool) -> float:
        """When `run` makes room, for a new run or for another."""
        if not (for_new and run in self._on_first_turn):
            return self._ends[run]
        return self._beginning[run] + self._to_begin if run in self._beginning else -math.inf

    def _arrive(self, run: str, now: float) -> None:
        if run in self._served:
            self._others.append(run)
            return
        # for each new one, one that has had its first seconds makes room at once
        leaving = sum(self._leaves(other, for_new=True) <= now for other in self._ends)
        settled = [other for other, end in self._ends.items() if end > now and other not in self._on_first_turn]
        if len(self._ends) >= self.count and leaving <= len(self._new) and settled:
            self._ends[min(settled, key=self._ends.__getitem__)] = now
        self._new.append(run)

    def _make_room(self, run: str, now: float) -> None:
        """End the turn of `run` if it is time, and somebody waits."""
        left = self._ends[run] - now
        if run in self._beginning:
            is_time = left <= -2 * self.first
        else:
            is_time = left <= 0 or (run in self._on_first_turn and len(self._new) > 0)
        if is_time and self._queue():
            self._vacate(run)
            if left > 0:
                self._lent[run] = left
            else:
                self._others.append(run)

    def _vacate(self, run: str) -> None:
        self._ends.pop(run, None)
        self._on_first_turn.discard(run)
        self._beginning.pop(run, None)

    def _hand_out(self, now: float) -> None:
        while len(self._ends) < self.count and self._queue():
            if self._new:
                run, lasts = self._new.popleft(), self.first
                self._served.add(run)
                self._on_first_turn.add(run)
                self._beginning[run] = now
            elif self._lent:
                run, lasts = next(iter(self._lent.items()))
                del self._lent[run]
                self._on_first_turn.add(run)
            else:
                run, lasts = self._others.popleft(), self.turn
            self._ends[run] = now + lasts
