"""Write a run's metrics.jsonl and events.jsonl."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..storage import parsed, write_atomically
from ..train import Progress
from .history import History
from .lines import MAX_EVENTS_BYTES, whole_lines

_BLOCK_BYTES = 2**16  # read at once, from the end of a file


def cut_torn_line(path: Path) -> None:
    """Remove an incomplete last line, which a crash may leave, so that the next line starts on its own."""
    with contextlib.suppress(FileNotFoundError), path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - _BLOCK_BYTES)
            file.seek(start)
            if whole := file.read(end - start).rfind(b"\n") + 1:
                file.truncate(start + whole)
                return
            end = start
        file.truncate(0)


class Writer:
    """Appends to a run's `metrics.jsonl` and `events.jsonl`, from any thread.

    When the disk is full, lines wait in memory until there is space.
    """

    def __init__(self, folder: Path, history: History) -> None:
        self._folder, self._history = folder, history
        self._lock = threading.RLock()
        self._metrics = self._open()
        self._waiting = b""
        self._flushed = 0.0
        self.problem: str | None = None
        """Why lines cannot be written at the moment; None when they can."""

    def _open(self):
        return (self._folder / "metrics.jsonl").open("ab", buffering=0)

    def log(self, progress: Progress) -> None:
        """Append a line. Readers see it within 0.2 seconds; at once if it has a validation loss."""
        row = {name: value for name, value in asdict(progress).items() if value is not None}
        bad = sorted(name for name, value in row.items() if not math.isfinite(value))
        for name in bad:
            row[name] = None  # JSON has neither NaN nor infinity
        if bad:
            row["not_finite"] = bad
        line = _line(row)
        with self._lock:
            self._waiting += line
            if progress.val_loss is not None or bad or time.monotonic() - self._flushed > 0.2:
                self.flush()

    def flush(self) -> None:
        """Write all lines that wait in memory, if the disk accepts them."""
        with self._lock:
            try:
                while self._waiting:
                    self._waiting = self._waiting[self._metrics.write(self._waiting) :]
                self.problem = None
            except OSError as error:
                self.problem = error.strerror or str(error)
            self._flushed = time.monotonic()

    def close(self) -> None:
        """Write what can be written, and close the file."""
        self.flush()
        self._metrics.close()

    def event(self, step: int, changes: dict[str, float], instead_of: Sequence[dict[str, Any]] = ()) -> None:
        """Append a live change and the step from which it applies. Call it before making the change.

        It replaces the changes in `instead_of`. Raises OSError if the line cannot be written whole; the file is then
        unchanged.
        """
        path, line = self._folder / "events.jsonl", _line({"step": step, **changes})
        if instead_of:
            kept = [_line(change) for change in self._history.changes() if change not in instead_of]
            write_atomically(path, b"".join([*kept, line]))
            return
        with path.open("ab", buffering=0) as events:
            before = events.tell()
            if before + len(line) > MAX_EVENTS_BYTES:  # readers ignore a larger file
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
            try:
                if events.write(line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                events.truncate(before)
                raise

    def cut(self, step: int) -> None:
        """Remove the lines from `step` on; later lines are appended to the rest."""
        self.close()
        path = self._folder / "metrics.jsonl"
        write_atomically(path, logged_before(path, step))
        self._metrics = self._open()


def logged_before(path: Path, step: int) -> bytes:
    """The complete lines of a metrics.jsonl before `step`."""
    lines = []
    for line in whole_lines(path):
        with contextlib.suppress(ValueError):
            row = parsed(line)
            if isinstance(row, dict) and isinstance(row.get("step"), int) and row["step"] < step:
                lines.append(line)
    return b"".join(lines)


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row).encode() + b"\n"
