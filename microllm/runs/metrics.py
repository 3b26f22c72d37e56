"""Append to a run's metrics.jsonl and events.jsonl."""

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
from .history import MOST_EVENTS, History, whole_lines

_TAIL = 2**16  # bytes in which the last line end of a file is looked for at once


def cut_torn_line(path: Path) -> None:
    """Remove a last line that a crash has left without its end, so that the next one stands alone."""
    with contextlib.suppress(FileNotFoundError), path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - _TAIL)
            file.seek(start)
            if whole := file.read(end - start).rfind(b"\n") + 1:
                file.truncate(start + whole)
                return
            end = start
        file.truncate(0)


class Writer:
    """Appends to a run's `metrics.jsonl` and `events.jsonl`. On a full disk lines wait here until there is room.

    Any thread may log.
    """

    def __init__(self, folder: Path, history: History) -> None:
        self._folder, self._history = folder, history
        self._lock = threading.RLock()
        self._metrics = self._open()
        self._waiting = b""
        self._flushed = 0.0
        self.problem: str | None = None
        """Why the disk refuses lines, while it does."""

    def _open(self):
        return (self._folder / "metrics.jsonl").open("ab", buffering=0)

    def log(self, progress: Progress) -> None:
        """Append a line. It reaches readers within a fifth of a second, an exam's at once."""
        row = {name: value for name, value in asdict(progress).items() if value is not None}
        bad = sorted(name for name, value in row.items() if not math.isfinite(value))
        for name in bad:
            row[name] = None  # JSON has no NaN and no infinity
        if bad:
            row["not_finite"] = bad
        line = _line(row)
        with self._lock:
            self._waiting += line
            if progress.val_loss is not None or bad or time.monotonic() - self._flushed > 0.2:
                self.flush()

    def flush(self) -> None:
        """Let readers see everything that was logged, as far as the disk takes it."""
        with self._lock:
            try:
                while self._waiting:
                    self._waiting = self._waiting[self._metrics.write(self._waiting) :]
                self.problem = None
            except OSError as error:
                self.problem = error.strerror or str(error)
            self._flushed = time.monotonic()

    def close(self) -> None:
        """Write what can be written, and end."""
        self.flush()
        self._metrics.close()

    def event(self, step: int, changes: dict[str, float], instead_of: Sequence[dict[str, Any]] = ()) -> None:
        """Append a live change and the step at which it takes effect; call it before the change is made.

        The changes that it stands `instead_of` are removed. Raises OSError when the disk takes no whole line; then all
        stands there as before.
        """
        path, line = self._folder / "events.jsonl", _line({"step": step, **changes})
        if instead_of:
            kept = [_line(change) for change in self._history.changes() if change not in instead_of]
            write_atomically(path, b"".join([*kept, line]))
            return
        with path.open("ab", buffering=0) as events:
            before = events.tell()
            if before + len(line) > MOST_EVENTS:  # nobody would read it
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
            try:
                if events.write(line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                events.truncate(before)
                raise

    def cut(self, step: int) -> None:
        """Forget what was logged from `step` on, and go on writing after the rest."""
        self.close()
        path = self._folder / "metrics.jsonl"
        write_atomically(path, logged_before(path, step))
        self._metrics = self._open()


def logged_before(path: Path, step: int) -> bytes:
    """The whole lines of a metrics.jsonl before a step."""
    lines = []
    for line in whole_lines(path):
        with contextlib.suppress(ValueError):
            row = parsed(line)
            if isinstance(row, dict) and isinstance(row.get("step"), int) and row["step"] < step:
                lines.append(line)
    return b"".join(lines)


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row).encode() + b"\n"
