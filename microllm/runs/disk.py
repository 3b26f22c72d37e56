"""How much of the disk runs and texts take."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from ..environment import most_disk, runs_dir, texts_dir
from .info import RunProblem


def disk_use() -> int:
    """Bytes that all runs and texts together take on the disk."""
    return _bytes_in(runs_dir()) + _bytes_in(texts_dir())


def check_disk() -> None:
    """Raises RunProblem when there is no room for another run or text."""
    if (used := disk_use()) > (most := most_disk()):
        raise RunProblem(
            f"All runs and texts take {used / 1e6:,.1f} MB, and MICROLLM_DISK allows {most / 1e6:,.0f}: "
            "delete some first."
        )


def _bytes_in(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):  # which passes over what cannot be read, or goes meanwhile
        for name in names:
            with contextlib.suppress(OSError):
                found = os.lstat(os.path.join(place, name))
                total += found.st_size if stat.S_ISREG(found.st_mode) else 0
    return total
