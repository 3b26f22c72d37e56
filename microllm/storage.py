"""Write files atomically, and read files and JSON that are not trusted."""

from __future__ import annotations

import errno
import json
import os
import stat
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

# do not wait for the other end of a pipe, and do not follow links; Windows has neither flag
_SAFE_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def parsed(text: str | bytes) -> Any:
    """Parse JSON. Raises ValueError, even if it is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading, without ever blocking.

    Raises OSError for anything else, such as a folder, a pipe, a device or a link.
    """
    handle = os.open(path, _SAFE_FLAGS)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "It is not a regular file", os.fspath(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_file(path: str | os.PathLike[str], max_bytes: int) -> bytes:
    """The content of a regular file. Raises OSError like `open_file`, and if it has more than `max_bytes` bytes.

    It never reads more than that, even if the file grows meanwhile.
    """
    with open_file(path) as file:
        data = file.read(max_bytes + 1) if os.fstat(file.fileno()).st_size <= max_bytes else None
    if data is None or len(data) > max_bytes:
        raise OSError(errno.EFBIG, f"It is larger than {max_bytes:,} bytes", os.fspath(path))
    return data


def write_atomically(path: Path, data: bytes | str) -> None:
    """Replace the content of `path` atomically: a reader sees either the old content or the new.

    Raises OSError if the disk is full or read-only; `path` is then unchanged.
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
