"""Where things are kept on disk, and how a file is replaced without ever being half-written."""

from __future__ import annotations

import functools
import json
import os
import tempfile
from pathlib import Path
from typing import Any


@functools.cache
def home() -> Path:
    """The folder of runs and texts: `MICROLLM_HOME`, else `.microllm` in the working folder.

    Where that cannot be written, a temporary folder stands in; `home_is_temporary` tells, so that a person can be told.
    """
    wished = Path(os.environ.get("MICROLLM_HOME") or ".microllm").absolute()
    try:
        wished.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=wished):
            return wished
    except OSError:
        return Path(tempfile.mkdtemp(prefix="microllm-"))


def home_is_temporary() -> bool:
    """True when nothing written now will be found again after the machine is cleaned."""
    return home() != Path(os.environ.get("MICROLLM_HOME") or ".microllm").absolute()


def runs_dir() -> Path:
    """The folder with one folder a run: `MICROLLM_RUNS_DIR`, else `runs` in `home()`."""
    return Path(os.environ.get("MICROLLM_RUNS_DIR") or home() / "runs").absolute()


def texts_dir() -> Path:
    """The folder of texts: what was downloaded, and `<sha256>.txt` for every text that a run learns."""
    return home() / "texts"


def parsed(text: str | bytes) -> Any:
    """What a JSON text says. Raises ValueError, also for one that is nested too deep to be ours."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


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
