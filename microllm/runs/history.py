"""The curve of a run, read from its `metrics.jsonl` while somebody else writes it."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..config import LIVE, ModelConfig, TrainConfig, knobs, problems
from ..storage import open_file, parsed, read_file

LONGEST_LINE = 4096
"""Bytes of a line of metrics.jsonl or events.jsonl. A longer one is not ours: it is skipped without being parsed."""

MOST_METRICS = 300 * 2**20
"""Bytes of a metrics.jsonl: a row for each step of the longest run takes less. What is beyond is not read."""

MOST_EVENTS = 2**18
"""Bytes of an events.jsonl: thousands of live changes. A larger one is not read."""

AXES = {"log": "step (log)", "step": "step", "seconds": "seconds of training"}

_PER_DOUBLING = 64
_MOST_POINTS = 1_000
_MOST_EXAMS = 256
_LINES_AT_ONCE = 100
_PIECE = 2**20  # bytes that are read at once
_LAST_STEP = knobs()["max_steps"].metadata["high"]
_TAILS = (2**16, 2**22)  # bytes at the end of the file in which the newest exam is looked for
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
    `val_losses` lists (step, validation loss) of every exam so far, and `best` is the lowest of these losses, None before;
    `old_val_losses` lists the losses on the text that a fork has learned before.
    A last line that is not whole yet is left for the next time; a file that was cut or replaced is read anew.
    Lines that are no rows of ours are skipped, and so are steps that do not go up: there are at most 1,000,001 rows.
    A file that cannot be read is one without news.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._events: tuple[bytes, list[dict[str, Any]]] = b"", []
        self._forget()

    def _forget(self) -> None:
        self.rows = {name: Column("q" if name == "step" else "d") for name in _COLUMNS}
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
        """Take in what is new, and return itself."""
        with self._lock, contextlib.suppress(OSError), open_file(self.path) as file:
            found = os.fstat(file.fileno())
            if found.st_size < self._offset or found.st_ino != self._inode:  # shorter, or another file by now
                self._forget()
                self._inode = found.st_ino
            while self._offset < min(found.st_size, MOST_METRICS):
                file.seek(self._offset)
                piece = file.read(_PIECE)
                whole = piece.rfind(b"\n") + 1
                if not whole and len(piece) < _PIECE:
                    break  # the last line is not whole yet
                self._offset += whole or len(piece)
                lines = piece[:whole].splitlines()
                for row in _rows_in(lines[1:] if self._is_in_long_line else lines):
                    if _is_row(row) and row["step"] > self._last_step:
                        self._append(row)
                self._is_in_long_line = not whole
        return self

    @property
    def _last_step(self) -> int:
        return self.rows["step"][-1] if len(self) else -1

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
            self.val_losses.append((row["step"], val_loss))
            self.best = val_loss if self.best is None else min(self.best, val_loss)
            self._val_rows.append(i)
        if row.get("old_val_loss") is not None:
            self.old_val_losses.append((row["step"], row["old_val_loss"]))

    def changes(self) -> list[dict[str, Any]]:
        """The live changes of the run, from the `events.jsonl` beside: the `step` of each, and what it set.

        They come in the order in which they take effect: where a crash came between, that of the file is another.
        Lines that are no changes of ours are skipped; of the others only the settings that we know are taken.
        """
        try:
            data = read_file(self.path.with_name("events.jsonl"), MOST_EVENTS)
        except OSError:
            return []
        if data != self._events[0]:  # checking thousands of them takes its time, and every tick asks
            changes = filter(None, map(_change_in, _rows_in(data.splitlines())))
            self._events = data, sorted(changes, key=lambda change: change["step"])
        return list(self._events[1])

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
        """Some hundred rows to draw, a thousand or so at most, as columns: the newest among them, and the val_losses.

        A row that was chosen stays chosen as the curve grows (on even axes, and of many validation checks, until a doubling), so
        nothing shimmers.
        """
        with self._lock:
            chosen = self._on_log_axis if axis == "log" else self._on_even_axis
            stride = 1 << (len(self._val_rows) // _MOST_EXAMS).bit_length()
            val_losses = self._val_rows[::stride]
            kept = sorted({*chosen, *val_losses, *range(len(self))[-1:]})
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


def newest_val_loss(path: Path) -> tuple[int, float] | None:
    """(step, validation loss) of the newest exam in a `metrics.jsonl`; None where its last 4 MB have none.

    For lists of runs: the file is read from its end.
    """
    for size in _TAILS:
        try:
            with open_file(path) as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - size))
                tail = file.read(size)
        except OSError:
            return None
        end = tail.rfind(b"\n")  # what follows is not whole yet
        while (found := tail.rfind(b'"val_loss"', 0, max(0, end))) >= 0:
            start, stop = tail.rfind(b"\n", 0, found) + 1, tail.find(b"\n", found)
            for row in _rows_in([tail[start:stop]]):
                if _is_row(row) and row.get("val_loss") is not None:
                    return row["step"], row["val_loss"]
            end = start - 1
    return None


def whole_lines(path: Path) -> Iterator[bytes]:
    """The whole lines of a file that are not longer than LONGEST_LINE, each with its end. Raises OSError."""
    with open_file(path) as file:
        is_inside = False  # of a line that is too long
        while line := file.readline(LONGEST_LINE + 1):
            has_end = line.endswith(b"\n")
            if has_end and not is_inside:
                yield line
            is_inside = not has_end


def _is_row(row: Any) -> bool:
    """True for what a writer of ours has written: a step, and numbers or nothing."""
    if not isinstance(row, dict) or type(row.get("step")) is not int or not 0 <= row["step"] <= _LAST_STEP:
        return False
    seconds, *rest = [row.get(name) for name in _COLUMNS[1:]]
    numbers = [seconds, *filter(None, rest)]
    return {*map(type, rest)} <= _NUMBERS and seconds is not None and all(-_MOST < it < _MOST for it in numbers)


def _change_in(row: Any) -> dict[str, Any] | None:
    """The step and the settings that a line of events.jsonl says; None where that is no change that could be made."""
    if not isinstance(row, dict) or type(row.get("step")) is not int or not 0 <= row["step"] <= _LAST_STEP:
        return None
    said = {name: row[name] for name in (*LIVE, "max_steps", "max_steps_before") if name in row}
    after = {name: value for name, value in said.items() if name != "max_steps_before"}
    before = {"max_steps": said["max_steps_before"]} if "max_steps_before" in said else {}
    if any(problems(ModelConfig(), replace(TrainConfig(), **changes)) for changes in (after, before)):
        return None
    return {"step": row["step"]} | said


def _rows_in(lines: list[bytes]) -> Iterator[Any]:
    """What each line says, without those that are too long, or torn by a crash, that a later start wrote on after."""
    for start in range(0, len(lines), _LINES_AT_ONCE):
        some = [line for line in lines[start : start + _LINES_AT_ONCE] if len(line) <= LONGEST_LINE]
        rows = []
        with contextlib.suppress(ValueError):
            rows = parsed(b"[" + b",".join(some) + b"]")  # as one line they take half the time
        if len(rows) == len(some):
            yield from rows
            continue
        for line in some:
            with contextlib.suppress(ValueError):
                yield parsed(line)


def replayed(train: TrainConfig, changes: list[dict[str, Any]], step: int) -> TrainConfig:
    """The configuration of a run as it stood at `step`: `train`, what was asked, with the live changes up to there.

    `changes` are lines of events.jsonl: the step at which each takes effect, and what it sets. `train` already says how
    long the run is after its last extension, so before that one it is what the extension says it was.
    """
    for change in changes:
        if change["step"] <= step:
            train = replace(train, **{name: value for name, value in change.items() if name in LIVE})
    later = [change["max_steps_before"] for change in changes if change["step"] > step and "max_steps_before" in change]
    return replace(train, max_steps=later[0]) if later else train
