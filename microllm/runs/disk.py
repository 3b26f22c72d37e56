"""The disk space that runs and texts use."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from ..environment import max_disk_bytes, runs_dir, texts_dir
from .info import RunProblem


def disk_use() -> int:
    """The disk space of all runs and texts in bytes."""
    return bytes_in(runs_dir()) + bytes_in(texts_dir())


def check_disk(coming: int = 0, *, spare: float = 0.0) -> None:
    """Raises RunProblem if another run or text, of at least `coming` bytes, would exceed the disk limit.

    It leaves `spare` of the limit, from 0 to 1, for others.
    """
    if (used := disk_use()) + coming > (1 - spare) * (limit := max_disk_bytes()):
        raise RunProblem(
            f"The storage is full: runs and texts use {used / 1e6:,.1f} MB of {limit / 1e6:,.0f} MB (MICROLLM_DISK)"
            + (f", and this needs {coming / 1e6:,.1f} MB" if coming else "")
            + (f"; {spare:.0%} is kept free for training" if spare else "")
            + ". Delete some runs first."
        )


def bytes_in(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):  # skips what cannot be read
        for name in names:
            with contextlib.suppress(OSError):
                found = os.lstat(os.path.join(place, name))
                size = min(found.st_size, 512 * getattr(found, "st_blocks", found.st_size))  # less for a sparse file
                total += size if stat.S_ISREG(found.st_mode) else 0
    return total
