"""The environment variables, and the folders that they name."""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

_temporary_homes: set[Path] = set()
_is_only_read = False


@functools.cache
def home() -> Path:
    """The folder of runs and texts: `MICROLLM_HOME`, else `.microllm` in the working folder.

    If that cannot be written, it is a temporary folder (see `home_is_temporary`). Inside `only_read` it is always the
    folder that was asked for, whether or not it can be written or exists.
    """
    requested = requested_home()
    if _is_only_read:
        return requested
    try:
        requested.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=requested):
            return requested
    except OSError:
        temporary = Path(tempfile.mkdtemp(prefix="microllm-"))
        _temporary_homes.add(temporary)
        return temporary


def requested_home() -> Path:
    """The folder that was asked for, whether or not it can be written."""
    return _path(os.environ.get("MICROLLM_HOME") or ".microllm")


@contextlib.contextmanager
def only_read() -> Iterator[None]:
    """Use the home as it is: do not create it, and do not fall back to a temporary folder."""
    global _is_only_read
    home.cache_clear()
    _is_only_read = True
    try:
        yield
    finally:
        _is_only_read = False
        home.cache_clear()


def home_is_temporary() -> bool:
    """True if the home is a temporary folder, which the machine may delete."""
    return home() in _temporary_homes


def runs_dir() -> Path:
    """The folder of runs, one folder per run: `MICROLLM_RUNS_DIR`, else `runs` in `home()`."""
    return _path(os.environ.get("MICROLLM_RUNS_DIR") or home() / "runs")


def _path(requested: str | Path) -> Path:
    return Path(os.path.expanduser(requested)).absolute()


def texts_dir() -> Path:
    """The folder of texts: downloads, and `<sha256>.txt` for every text of a run."""
    return home() / "texts"


def max_disk_bytes() -> float:
    """The disk limit in bytes: `MICROLLM_DISK` (in MB), else 20 GB. Above it, new runs and uploads are refused."""
    return 1e6 * _number("MICROLLM_DISK", 20_000.0)


def mirror() -> str | None:
    """`MICROLLM_MIRROR`: a folder or address of the operator with the published texts. It is tried first."""
    return os.environ.get("MICROLLM_MIRROR") or None


def lists_all_runs() -> bool:
    """True if `MICROLLM_LIST` is "all": every window lists every run of this server, as on your own machine."""
    return os.environ.get("MICROLLM_LIST") == "all"


def grace_seconds() -> float:
    """`MICROLLM_GRACE`, else 60: how many seconds a run continues after its last window was closed."""
    return _number("MICROLLM_GRACE", 60.0)


def checkpoint_seconds() -> float:
    """`MICROLLM_CHECKPOINT`, else 15: the seconds between checkpoints, which is the most training a crash can cost."""
    return _number("MICROLLM_CHECKPOINT", 15.0)


def process_count() -> int:
    """`WORLD_SIZE`, which torchrun sets: the number of processes that train one model together; else 1."""
    return _count("WORLD_SIZE", 1)


def default_slots() -> int:
    """`MICROLLM_SLOTS`, else the number of cores minus one for the server; at least one."""
    return _count("MICROLLM_SLOTS", (os.cpu_count() or 1) - 1)


def _number(name: str, default: float) -> float:
    """The number in a variable if it is zero or more, else `default`."""
    with contextlib.suppress(KeyError, ValueError):
        if (requested := float(os.environ[name])) >= 0:  # False for NaN
            return requested
    return default


def _count(name: str, default: int) -> int:
    """The whole number in a variable, else `default`; at least one."""
    requested = os.environ.get(name, "")
    return max(1, int(requested) if requested.isdecimal() else default)
