"""The metrics of a run, read from its `metrics.jsonl` while another thread or process writes it."""

from __future__ import annotations

import contextlib
import math
import os
import statistics
import threading
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..config import LIVE, TrainConfig
from ..storage import open_file, read_file
from .lines import BLOCK_BYTES, COLUMNS, MAX_EVENTS_BYTES, MAX_METRICS_BYTES, change_in, is_row, rows_in

AXES = {"log": "step (log)", "step": "step", "seconds": "seconds of training"}

_MIN_TIMED_STEPS = 40
_POINTS_PER_DOUBLING = 64
_MAX_EVEN_POINTS = 1_000
_MAX_VALIDATION_POINTS = 256


class Column(Sequence[float | None]):
    """One number (or None) per row, in eight bytes each, since a run may have a million rows."""

    def __init__(self, kind: str = "d") -> None:
        self._numbers = array(kind)

    def append(self, number: float | None) -> None:
        """Append the number of another row."""
        self._numbers.append(math.nan if number is None else number)

    def at(self, places: Iterable[int]) -> list[float | None]:
        """The numbers of these rows."""
        numbers = self._numbers
        return [None if (number := numbers[i]) != number else number for i in places]

    def __getitem__(self, i):
        return self.at(range(len(self))[i]) if isinstance(i, slice) else self.at([i])[0]

    def __iter__(self) -> Iterator[float | None]:
        return iter(self.at(range(len(self))))

    def __len__(self) -> int:
        return len(self._numbers)

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented


class History:
    """The rows of `metrics.jsonl` as columns. `read` adds what was appended since the last time.

    `rows[name]` is a column with one number per logged step; losses are in nats per character, or None.
    `val_losses` lists (step, validation loss), and `best` is the lowest of these losses (None before the first).
    `old_val_losses` does the same for the text that a fork learned before.

    An incomplete last line is left for the next time, and a file that was shortened or replaced is read from the start.
    Lines that are not valid rows are skipped, and so are steps that do not increase: there are at most 1,000,001 rows.
    A file that cannot be read adds nothing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._events: tuple[bytes, list[dict[str, Any]]] = b"", []
        self._forget()

    def _forget(self) -> None:
        self.rows = {name: Column("q" if name == "step" else "d") for name in COLUMNS}
        self.val_losses: list[tuple[int, float]] = []
        self.old_val_losses: list[tuple[int, float]] = []
        self.best: float | None = None
        self._offset = 0
        self._is_in_long_line = False
        self._inode: int | None = None
        self._mean = 0.0
        self._val_rows: list[int] = []
        self._on_log_axis: list[int] = []
        self._on_even_axis: list[int] = []
        self._stride = 1

    def __len__(self) -> int:
        return len(self.rows["step"])

    def read(self) -> History:
        """Read what was appended, and return self."""
        with self._lock, contextlib.suppress(OSError), open_file(self.path) as file:
            found = os.fstat(file.fileno())
            if found.st_size < self._offset or found.st_ino != self._inode:  # it was shortened or replaced
                self._forget()
                self._inode = found.st_ino
            while self._offset < min(found.st_size, MAX_METRICS_BYTES):
                file.seek(self._offset)
                piece = file.read(BLOCK_BYTES)
                whole = piece.rfind(b"\n") + 1
                if not whole and len(piece) < BLOCK_BYTES:
                    break  # the last line is incomplete
                self._offset += whole or len(piece)
                lines = piece[:whole].splitlines()
                for row in rows_in(lines[1:] if self._is_in_long_line else lines):
                    if is_row(row) and row["step"] > self._last_step:
                        self._append(row)
                self._is_in_long_line = not whole
        return self

    @property
    def _last_step(self) -> int:
        return self.rows["step"][-1] if len(self) else -1

    def _append(self, row: dict[str, Any]) -> None:
        loss = row.get("train_loss")
        if loss is not None:
            # an exponential average over a twentieth of all steps, at most 50: little delay early, smooth later
            share = 1 / min(50, 1 + len(self) / 20)
            self._mean += share * (loss - self._mean)
        row["smoothed"] = self._mean if loss is not None else None
        for name in COLUMNS:
            self.rows[name].append(row.get(name))
        i = len(self) - 1
        self._choose(i, row["step"])
        if row.get("val_loss") is not None:
            val_loss = row["val_loss"]
            self.val_losses.append((row["step"], val_loss))
            self.best = val_loss if self.best is None else min(self.best, val_loss)
            self._val_rows.append(i)
        if row.get("old_val_loss") is not None:
            self.old_val_losses.append((row["step"], row["old_val_loss"]))

    def changes(self) -> list[dict[str, Any]]:
        """The live changes of the run, from the `events.jsonl` next to it: the `step` of each, and the new values.

        They are sorted by step, because after a crash the file may not be. Lines that are not valid changes are
        skipped, and so are unknown settings.
        """
        try:
            data = read_file(self.path.with_name("events.jsonl"), MAX_EVENTS_BYTES)
        except OSError:
            return []
        if data != self._events[0]:  # pages ask at every tick, and checking thousands takes long
            changes = filter(None, map(change_in, rows_in(data.splitlines())))
            self._events = data, sorted(changes, key=lambda change: change["step"])
        return list(self._events[1])

    def val_losses_until(self, step: int) -> list[tuple[int, float]]:
        """The (step, validation loss) of the checks up to `step`."""
        return [check for check in self.val_losses if check[0] <= step]

    @property
    def last(self) -> dict[str, Any] | None:
        """The newest row; None before the first."""
        return self._row(-1) if len(self) else None

    def row_of(self, step: int) -> dict[str, Any]:
        """The row of a step. Raises KeyError if there is none."""
        i = bisect_left(self.rows["step"], step)
        if i == len(self) or self.rows["step"][i] != step:
            raise KeyError(step)
        return self._row(i)

    def _row(self, i: int) -> dict[str, Any]:
        return {name: column[i] for name, column in self.rows.items()}

    def steps_per_second(self) -> float | None:
        """The speed over the last 3 seconds of training; None before the second step."""
        seconds, steps = self.rows["seconds"], self.rows["step"]
        start = len(seconds) - 1
        while start > 0 and seconds[-1] - seconds[start] < 3:
            start -= 1
        spent = seconds[-1] - seconds[start] if seconds else 0
        return (steps[-1] - steps[start]) / spent if spent > 0 else None

    def usual_step_seconds(self) -> float | None:
        """The mean duration of the last 500 steps, without those that took over five times the median, such as steps
        after a pause, which begin with a cold cache. None before 40 steps.
        """
        first = max(0, len(self) - 501)
        steps, seconds = self.rows["step"][first:], self.rows["seconds"][first:]
        pairs = zip(steps, steps[1:], seconds, seconds[1:], strict=False)
        times = [(b - a) / (j - i) for i, j, a, b in pairs if b >= a]
        if len(times) < _MIN_TIMED_STEPS:
            return None
        usual = 5 * statistics.median(times)
        return statistics.fmean(time for time in times if time <= usual)

    def points(self, axis: str = "log") -> dict[str, list[Any]]:
        """Some of the rows, at most about 1,000, as columns to plot. They include the newest row and validation losses.

        A chosen row stays chosen while the curve grows (on even axes, and for validation losses above 256, until their
        number doubles), so that the plotted curve does not flicker.
        """
        with self._lock:
            chosen = self._on_log_axis if axis == "log" else self._on_even_axis
            stride = 1 << (len(self._val_rows) // _MAX_VALIDATION_POINTS).bit_length()
            val_losses = self._val_rows[::stride]
            kept = sorted({*chosen, *val_losses, *range(len(self))[-1:]})
            return {name: column.at(kept) for name, column in self.rows.items()}

    def _choose(self, i: int, step: int) -> None:
        """Choose whether to plot the new row i: 64 per doubling of the step (log axis), or every n-th (even axes)."""
        if step % (1 << max(0, step.bit_length() - _POINTS_PER_DOUBLING.bit_length())) == 0:
            self._on_log_axis.append(i)
        if i % self._stride == 0:
            self._on_even_axis.append(i)
        if len(self._on_even_axis) > _MAX_EVEN_POINTS:
            self._stride *= 2
            self._on_even_axis = self._on_even_axis[::2]


def without_lost_extension(changes: list[dict[str, Any]], train: TrainConfig) -> list[dict[str, Any]]:
    """The changes of a run that `train` of its run.json agrees with.

    An extension is appended to events.jsonl before run.json is written. If a crash came between, the run was not
    extended: then the last extension has another `max_steps` than run.json.
    """
    last = next((change for change in reversed(changes) if "max_steps" in change), None)
    return [change for change in changes if change is not last or change["max_steps"] == train.max_steps]


def replayed(train: TrainConfig, changes: list[dict[str, Any]], step: int) -> TrainConfig:
    """The configuration of a run at `step`: the original `train` with all live changes up to that step.

    `changes` are as `History.changes` returns them. `max_steps` in `train` is that after the last extension of the run;
    an earlier value is found in the extension (`max_steps_before`).
    """
    for change in changes:
        if change["step"] <= step:
            train = replace(train, **{name: value for name, value in change.items() if name in LIVE})
    later = [change["max_steps_before"] for change in changes if change["step"] > step and "max_steps_before" in change]
    return replace(train, max_steps=later[0]) if later else train
