"""Where things are kept on disk, and how a file is replaced without ever being half-written."""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

_stand_ins: set[Path] = set()
_is_only_read = False


@functools.cache
def home() -> Path:
    """The folder of runs and texts: `MICROLLM_HOME`, else `.microllm` in the working folder.

    Where that cannot be written, a temporary folder stands in; `home_is_temporary` tells, so that a person can be told.
    In `only_read` it is the folder that was asked for, whether or not it can be written or is there at all.
    """
    wished = wished_home()
    if _is_only_read:
        return wished
    try:
        wished.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=wished):
            return wished
    except OSError:
        stand_in = Path(tempfile.mkdtemp(prefix="microllm-"))
        _stand_ins.add(stand_in)
        return stand_in


def wished_home() -> Path:
    """The folder that was asked for, whether or not it can be written."""
    return _path(os.environ.get("MICROLLM_HOME") or ".microllm")


@contextlib.contextmanager
def only_read() -> Iterator[None]:
    """Use the home as it is: nothing is made in it to try it, and nothing stands in for it."""
    global _is_only_read
    home.cache_clear()
    _is_only_read = True
    try:
        yield
    finally:
        _is_only_read = False
        home.cache_clear()


def home_is_temporary() -> bool:
    """True when nothing written now will be found again after the machine is cleaned."""
    return home() in _stand_ins


def runs_dir() -> Path:
    """The folder with one folder a run: `MICROLLM_RUNS_DIR`, else `runs` in `home()`."""
    return _path(os.environ.get("MICROLLM_RUNS_DIR") or home() / "runs")


def _path(wished: str | Path) -> Path:
    return Path(os.path.expanduser(wished)).absolute()


def texts_dir() -> Path:
    """The folder of texts: what was downloaded, and `<sha256>.txt` for every text that a run learns."""
    return home() / "texts"


def most_disk() -> float:
    """`MICROLLM_DISK` in MB, else 20,000; in bytes. With more on the disk no run is begun and no upload taken."""
    with contextlib.suppress(KeyError, ValueError):
        if (wished := 1e6 * float(os.environ["MICROLLM_DISK"])) >= 0:  # NaN is not
            return wished
    return 20e9


def grace_seconds() -> float:
    """`MICROLLM_GRACE`, else 60: how long a run outlives its last window, in seconds."""
    return _seconds("MICROLLM_GRACE", 60.0)


def checkpoint_seconds() -> float:
    """`MICROLLM_CHECKPOINT`, else 15: how many seconds of training a crash can cost, at most."""
    return _seconds("MICROLLM_CHECKPOINT", 15.0)


def _seconds(name: str, default: float) -> float:
    try:
        return float(os.environ[name])
    except (KeyError, ValueError):
        return default


def default_slots() -> int:
    """`MICROLLM_SLOTS`, else one fewer than there are cores (the server needs one), at least one."""
    wished = os.environ.get("MICROLLM_SLOTS", "")
    return max(1, int(wished)) if wished.isdecimal() else max(1, (os.cpu_count() or 1) - 1)
