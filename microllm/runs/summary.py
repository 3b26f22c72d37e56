"""What a list of runs shows of a curve, without reading all of it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path

from ..storage import open_file
from .lines import BLOCK_BYTES, LINES_PER_PARSE, MAX_METRICS_BYTES, is_row, rows_in

_MAX_SUMMARIES = 10_000
_VAL_LOSS = re.compile(rb'"val_loss"\s*:\s*(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)[,}\s]')


@dataclass(frozen=True)
class Summary:
    """What a list of runs shows of a `metrics.jsonl`: the last step, the seconds of training until then, the lowest
    validation loss; None without one.

    `end` is the number of bytes read so far, of the file with this `inode`.
    """

    step: int | None = None
    seconds: float | None = None
    best: float | None = None
    end: int = 0
    inode: int | None = None


_summaries: dict[str, Summary] = {}  # by path


def summary(path: Path) -> Summary:
    """The summary of a `metrics.jsonl`. It agrees with `History`, for files that the program wrote.

    It is made for lists of runs: only the last lines are parsed, validation losses are searched for in the bytes, and a
    file is read again only from where it has grown since. A file that cannot be read has an empty summary.
    """
    known = _summaries.get(str(path), Summary())
    try:
        with open_file(path) as file:
            found = os.fstat(file.fileno())
            if found.st_ino != known.inode or found.st_size < known.end:  # it was replaced or shortened
                known = Summary(inode=found.st_ino)
            file.seek(known.end)
            while known.end < min(found.st_size, MAX_METRICS_BYTES):
                piece = file.read(BLOCK_BYTES)
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
    """The summary with more complete lines added."""
    losses = map(float, _VAL_LOSS.findall(lines))
    rows = filter(is_row, rows_in(lines.splitlines()[-LINES_PER_PARSE:]))
    last = max(rows, key=itemgetter("step"), default={"step": known.step, "seconds": known.seconds})
    return replace(
        known,
        step=last["step"],
        seconds=last["seconds"],
        best=min([*losses, *([] if known.best is None else [known.best])], default=None),
        end=known.end + len(lines),
    )
