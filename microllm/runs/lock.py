"""The lock of a run's folder: one writer, in any process, and any number of readers."""

from __future__ import annotations

import contextlib
from functools import cached_property
from pathlib import Path

from filelock import FileLock, Timeout

from ..storage import open_file

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


class WriterLock:
    """A lock file that the writer of a folder holds."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property  # made on demand: a list of 1,000 runs only asks `is_held`
    def _lock(self) -> FileLock:
        return FileLock(self._path, thread_local=False)

    def is_held(self) -> bool:
        """True while a thread holds it, in this or another process. False if there is no usable lock file.

        It writes nothing, so it also works in a read-only folder.
        """
        try:
            with open_file(self._path) as file:
                if fcntl:  # a shared lock: several readers do not mistake each other for the writer
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    return False
            with FileLock(self._path, timeout=0.005, poll_interval=0.001, thread_local=False):
                return False
        except (BlockingIOError, Timeout):
            return True
        except OSError:  # such as a file system without locks: then only this object is known
            return "_lock" in vars(self) and self._lock.is_locked

    def acquire(self) -> None:
        """Take it. Raises filelock.Timeout if another holds it, and OSError if it cannot be used."""
        if self._lock.is_locked:  # FileLock would let this process acquire it twice
            raise Timeout(str(self._path))
        with contextlib.suppress(FileNotFoundError):  # a lock file that readers cannot open would not protect
            open_file(self._path).close()
        self._lock.acquire(timeout=1)

    def release(self) -> None:
        """Let it go."""
        self._lock.release()
