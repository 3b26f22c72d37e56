"""Where things are kept on disk, and how a file is replaced without ever being half-written."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

# without waiting for the other end of a pipe, and never through a link; Windows has neither flag
_CAREFULLY = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)

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


def parsed(text: str | bytes) -> Any:
    """What a JSON text says. Raises ValueError, also for one that is nested too deep to be ours."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading. Raises OSError for anything else, such as a folder, a pipe, a device or a link.

    It never blocks, whatever stands there.
    """
    handle = os.open(path, _CAREFULLY)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "It is not a regular file", os.fspath(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_file(path: str | os.PathLike[str], most: int) -> bytes:
    """The content of a regular file of at most `most` bytes. Raises OSError as `open_file` does, and for a larger one.

    No more than `most` bytes are ever read, even while the file grows.
    """
    with open_file(path) as file:
        data = file.read(most + 1) if os.fstat(file.fileno()).st_size <= most else None
    if data is None or len(data) > most:
        raise OSError(errno.EFBIG, f"It has more than {most:,} bytes", os.fspath(path))
    return data


def write_atomically(path: Path, data: bytes | str) -> None:
    """Replace `path` in one step: a reader sees the old content or the new, never a part.

    Raises OSError when the disk is full or read-only; `path` is then as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data = data.encode("utf-8") if isinstance(data, str) else data
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
