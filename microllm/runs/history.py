"""The metrics of a run, read from its `metrics.jsonl` while another thread or process writes it."""

from __future__ import annotations

import contextlib
import math
import os
import threading
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..config import LIVE, ModelConfig, TrainConfig, knobs, problems
from ..storage import open_file, parsed, read_file

MAX_LINE_BYTES = 4096
"""The maximum bytes of a line in metrics.jsonl or events.jsonl. Longer lines are skipped without being parsed."""

MAX_METRICS_BYTES = 300 * 2**20
"""The maximum bytes of a metrics.jsonl that are read: more than a row for each of 1,000,000 steps takes."""

MAX_EVENTS_BYTES = 2**18
"""The maximum bytes of an events.jsonl: thousands of live changes. A larger one is not read."""

AXES = {"log": "step (log)", "step": "step", "seconds": "seconds of training"}

_MIN_TIMED_STEPS = 40
_POINTS_PER_DOUBLING = 64
_MAX_EVEN_POINTS = 1_000
_MAX_VALIDATION_POINTS = 256
_LINES_PER_PARSE = 100
_MAX_SUMMARIES = 10_000
_BLOCK_BYTES = 2**20
_LAST_STEP = knobs()["max_steps"].metadata["high"]
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

_MAX_NUMBER = 2**53  # larger integers are not exact in JSON
_NUMBERS = {int, float, type(None)}


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
        """Add what is new, and return itself."""
        with self._lock, contextlib.suppress(OSError), open_file(self.path) as file:
            found = os.fstat(file.fileno())
            if found.st_size < self._offset or found.st_ino != self._inode:  # it was shortened or replaced
                self._forget()
                self._inode = found.st_ino
            while self._offset < min(found.st_size, MAX_METRICS_BYTES):
                file.seek(self._offset)
                piece = file.read(_BLOCK_BYTES)
                whole = piece.rfind(b"\n") + 1
                if not whole and len(piece) < _BLOCK_BYTES:
                    break  # the last line is incomplete
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
            # an exponential average over a twentieth of all steps, at most 50: little delay early, smooth later
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
        """The live changes of the run, from the `events.jsonl` next to it: the `step` of each, and the new values.

        They are sorted by step, because after a crash the file may not be. Lines that are not valid changes are
        skipped, and so are unknown settings.
        """
        try:
            data = read_file(self.path.with_name("events.jsonl"), MAX_EVENTS_BYTES)
        except OSError:
            return []
        if data != self._events[0]:  # every tick of a page asks, and checking thousands takes long
            changes = filter(None, map(_change_in, _rows_in(data.splitlines())))
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
        """The mean duration of the last 200 steps without the slowest tenth, such as those after a pause, which begin
        with a cold cache. None before 40 steps.
        """
        first = max(0, len(self) - 201)
        steps, seconds = self.rows["step"][first:], self.rows["seconds"][first:]
        times = sorted((b - a) / (j - i) for i, j, a, b in zip(steps, steps[1:], seconds, seconds[1:], strict=False))
        kept = times[: len(times) - len(times) // 10]
        return sum(kept) / len(kept) if len(times) >= _MIN_TIMED_STEPS else None

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


@dataclass(frozen=True)
class Summary:
    """What a list of runs says about a `metrics.jsonl`: the last step and the lowest validation loss, None without one.

    `end` is the number of bytes read so far, of the file with this `inode`.
    """

    step: int | None = None
    best: float | None = None
    end: int = 0
    inode: int | None = None


_summaries: dict[str, Summary] = {}  # by path


def summary(path: Path) -> Summary:
    """The summary of a `metrics.jsonl`. It agrees with `History`, for files that the program wrote.

    It is made for lists of runs: only the last lines and those with a validation loss are parsed, and a file is read
    again only from where it has grown since. A file that cannot be read has an empty summary.
    """
    known = _summaries.get(str(path), Summary())
    try:
        with open_file(path) as file:
            found = os.fstat(file.fileno())
            if found.st_ino != known.inode or found.st_size < known.end:  # it was replaced or shortened
                known = Summary(inode=found.st_ino)
            file.seek(known.end)
            while known.end < min(found.st_size, MAX_METRICS_BYTES):
                piece = file.read(_BLOCK_BYTES)
                whole = piece.rfind(b"\n") + 1
                if not whole:  # an incomplete line, or one that is far too long
                    break
                known = _extended(known, piece[:whole])
                file.seek(known.end)
    except OSError:
        return Summary()
    if len(_summaries) >= _MAX_SUMMARIES:
        _summaries.clear()
    _summaries[str(path)] = known
    return known


def _extended(known: Summary, lines: bytes) -> Summary:
    """The summary with some more whole lines."""
    found, place = [], lines.find(b'"val_loss"')
    while place >= 0:
        end = lines.find(b"\n", place)
        found.append(lines[lines.rfind(b"\n", 0, place) + 1 : end])
        place = lines.find(b'"val_loss"', end)
    losses = [row["val_loss"] for row in _rows_in(found) if _is_row(row) and row.get("val_loss") is not None]
    last = filter(_is_row, _rows_in(lines.splitlines()[-_LINES_PER_PARSE:]))
    steps = [row["step"] for row in last]
    return replace(
        known,
        step=max(steps, default=known.step),
        best=min([*losses, *([] if known.best is None else [known.best])], default=None),
        end=known.end + len(lines),
    )


def whole_lines(path: Path) -> Iterator[bytes]:
    """The complete lines of a file, with their line ends, without those above MAX_LINE_BYTES. Raises OSError."""
    with open_file(path) as file:
        is_inside = False  # a line that is too long
        while line := file.readline(MAX_LINE_BYTES + 1):
            has_end = line.endswith(b"\n")
            if has_end and not is_inside:
                yield line
            is_inside = not has_end


def _is_row(row: Any) -> bool:
    """True for a valid row: a step, and numbers or None."""
    if not isinstance(row, dict) or type(row.get("step")) is not int or not 0 <= row["step"] <= _LAST_STEP:
        return False
    seconds, *rest = [row.get(name) for name in _COLUMNS[1:]]
    numbers = [seconds, *filter(None, rest)]
    return (
        {*map(type, rest)} <= _NUMBERS
        and seconds is not None
        and all(-_MAX_NUMBER < number < _MAX_NUMBER for number in numbers)
    )


def _change_in(row: Any) -> dict[str, Any] | None:
    """The step and the settings in a line of events.jsonl; None if it is not a valid change."""
    if not isinstance(row, dict) or type(row.get("step")) is not int or not 0 <= row["step"] <= _LAST_STEP:
        return None
    found = {name: row[name] for name in (*LIVE, "max_steps", "max_steps_before") if name in row}
    after = {name: value for name, value in found.items() if name != "max_steps_before"}
    before = {"max_steps": found["max_steps_before"]} if "max_steps_before" in found else {}
    if any(problems(ModelConfig(), replace(TrainConfig(), **changes)) for changes in (after, before)):
        return None
    return {"step": row["step"]} | found


def _rows_in(lines: list[bytes]) -> Iterator[Any]:
    """The parsed lines, without those that are too long or not valid JSON, such as one that a crash truncated."""
    for start in range(0, len(lines), _LINES_PER_PARSE):
        some = [line for line in lines[start : start + _LINES_PER_PARSE] if len(line) <= MAX_LINE_BYTES]
        rows = []
        with contextlib.suppress(ValueError):
            rows = parsed(b"[" + b",".join(some) + b"]")  # parsing many lines as one takes half the time
        if len(rows) == len(some):
            yield from rows
            continue
        for line in some:
            with contextlib.suppress(ValueError):
                yield parsed(line)


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
