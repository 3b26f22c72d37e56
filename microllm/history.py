"""The curve of a run, read from its `metrics.jsonl` while somebody else writes it."""

from __future__ import annotations

import contextlib
import math
import threading
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .home import parsed

AXES = {"log": "step (log)", "step": "step", "seconds": "seconds of training"}

_PER_DOUBLING = 64
_MOST_POINTS = 1_000
_MOST_EXAMS = 256
_AT_ONCE = 1_000
_COLUMNS = (
    "step",
    "seconds",
    "train_loss",
    "smoothed",
    "val_loss",
    "old_val_loss",
    "learning_rate",
    "tokens_per_second",
)


_MOST = 2**53  # beyond it JSON has no whole numbers
_NUMBERS = {int, float, type(None)}


class Column(Sequence[float | None]):
    """One number a row, None where it has none: eight bytes each, for a run may have a million rows."""

    def __init__(self, kind: str = "d") -> None:
        self._numbers = array(kind)

    def append(self, number: float | None) -> None:
        """Add the number of another row."""
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
    """Rows of `metrics.jsonl` as columns. `read` takes in what was appended since the last time, from a byte offset.

    `rows[name]` is a column with one number a logged step; losses are nats a character, None where there is none.
    `exams` lists (step, validation loss) of every exam so far, and `best` is the lowest of these losses, None before;
    `old_exams` lists the losses on the text that a fork has learned before.
    A last line that is not whole yet is left for the next time; a file that was cut or replaced is read anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self.rows = {name: Column("q" if name == "step" else "d") for name in _COLUMNS}
        self.exams: list[tuple[int, float]] = []
        self.old_exams: list[tuple[int, float]] = []
        self.best: float | None = None
        self._offset = 0
        self._inode: int | None = None
        self._mean = 0.0
        self._exam_rows: list[int] = []
        self._on_log_axis: list[int] = []
        self._on_even_axis: list[int] = []
        self._stride = 1

    def __len__(self) -> int:
        return len(self.rows["step"])

    def read(self) -> History:
        """Take in what is new, and return itself."""
        with self._lock:
            try:
                found = self.path.stat()
                if found.st_size < self._offset or found.st_ino != self._inode:  # shorter, or another file by now
                    self._forget()
                    self._inode = found.st_ino
                if found.st_size == self._offset:
                    return self
                with self.path.open("rb") as file:
                    file.seek(self._offset)
                    data = file.read()
            except FileNotFoundError:
                return self
            whole = data.rfind(b"\n") + 1
            self._offset += whole
            for row in _rows_in(data[:whole].splitlines()):
                if _is_row(row):
                    self._append(row)
        return self

    def _append(self, row: dict[str, Any]) -> None:
        loss = row.get("train_loss")
        if loss is not None:
            # a forgetting mean of the last twentieth of the steps, of 50 at most: smooth late, not late early
            share = 1 / min(50, 1 + len(self) / 20)
            self._mean += share * (loss - self._mean)
        row["smoothed"] = self._mean if loss is not None else None
        for name in _COLUMNS:
            self.rows[name].append(row.get(name))
        i = len(self) - 1
        self._choose(i, row["step"])
        if row.get("val_loss") is not None:
            val_loss = row["val_loss"]
            self.exams.append((row["step"], val_loss))
            self.best = val_loss if self.best is None else min(self.best, val_loss)
            self._exam_rows.append(i)
        if row.get("old_val_loss") is not None:
            self.old_exams.append((row["step"], row["old_val_loss"]))

    def changes(self) -> list[dict[str, Any]]:
        """The live changes of the run, from the `events.jsonl` beside: the `step` of each, and what it set.

        They come in the order in which they take effect: where a crash came between, that of the file is another.
        """
        try:
            lines = self.path.with_name("events.jsonl").read_bytes().splitlines()
        except FileNotFoundError:
            return []
        rows = [row for row in _rows_in(lines) if isinstance(row, dict) and isinstance(row.get("step"), int)]
        return sorted(rows, key=lambda row: row["step"])

    @property
    def last(self) -> dict[str, Any] | None:
        """The newest row, None before the first."""
        return self._row(-1) if len(self) else None

    def row_of(self, step: int) -> dict[str, Any]:
        """What was logged at a step. Raises KeyError when nothing was."""
        i = bisect_left(self.rows["step"], step)
        if i == len(self) or self.rows["step"][i] != step:
            raise KeyError(step)
        return self._row(i)

    def _row(self, i: int) -> dict[str, Any]:
        return {name: column[i] for name, column in self.rows.items()}

    def steps_per_second(self) -> float | None:
        """The rate over the last few seconds of training, None before the second step."""
        seconds, steps = self.rows["seconds"], self.rows["step"]
        start = len(seconds) - 1
        while start > 0 and seconds[-1] - seconds[start] < 3:
            start -= 1
        spent = seconds[-1] - seconds[start] if seconds else 0
        return (steps[-1] - steps[start]) / spent if spent > 0 else None

    def points(self, axis: str = "log") -> dict[str, list[Any]]:
        """Some hundred rows to draw, a thousand or so at most, as columns: the newest among them, and the exams.

        A row that was chosen stays chosen as the curve grows (on even axes, and of many exams, until a doubling), so
        nothing shimmers.
        """
        with self._lock:
            chosen = self._on_log_axis if axis == "log" else self._on_even_axis
            stride = 1 << (len(self._exam_rows) // _MOST_EXAMS).bit_length()
            exams = self._exam_rows[::stride]
            kept = sorted({*chosen, *exams, *range(len(self))[-1:]})
            return {name: column.at(kept) for name, column in self.rows.items()}

    def _choose(self, i: int, step: int) -> None:
        """Note the new row i among those to draw: 64 a doubling of the step, or every so many steps."""
        if step % (1 << max(0, step.bit_length() - _PER_DOUBLING.bit_length())) == 0:
            self._on_log_axis.append(i)
        if i % self._stride == 0:
            self._on_even_axis.append(i)
        if len(self._on_even_axis) > _MOST_POINTS:
            self._stride *= 2
            self._on_even_axis = self._on_even_axis[::2]


def _is_row(row: Any) -> bool:
    """True for what a writer of ours has written: a step, and numbers or nothing."""
    if not isinstance(row, dict) or type(row.get("step")) is not int or not 0 <= row["step"] < _MOST:
        return False
    seconds, *rest = [row.get(name) for name in _COLUMNS[1:]]
    numbers = [seconds, *filter(None, rest)]
    return {*map(type, rest)} <= _NUMBERS and seconds is not None and all(-_MOST < it < _MOST for it in numbers)


def _rows_in(lines: list[bytes]) -> Iterator[Any]:
    """What each line says, without those torn by a crash, that a later start wrote on after."""
    for start in range(0, len(lines), _AT_ONCE):
        some, rows = lines[start : start + _AT_ONCE], []
        with contextlib.suppress(ValueError):
            rows = parsed(b"[" + b",".join(some) + b"]")  # as one line they take half the time
        if len(rows) == len(some):
            yield from rows
            continue
        for line in some:
            with contextlib.suppress(ValueError):
                yield parsed(line)
