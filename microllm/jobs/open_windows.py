"""The windows that keep a run training: without any, it stops after a while."""

from __future__ import annotations

import time


class OpenWindows:
    """The open windows of a run. It is abandoned `grace` seconds after the last one has closed; None: never."""

    def __init__(self, grace: float | None) -> None:
        self._grace = grace
        self._windows: set[str] = set()
        self._last_one_left = time.monotonic()

    def __bool__(self) -> bool:
        return bool(self._windows)

    def add(self, window: str) -> None:
        """Count `window` among those that keep the run training."""
        self._windows.add(window)

    def remove(self, window: str) -> None:
        """Stop counting `window`; after the last one the grace time begins."""
        self._windows.discard(window)
        self._last_one_left = time.monotonic()

    def is_abandoned(self) -> bool:
        """True when no window has been open for the grace time."""
        return self._grace is not None and not self._windows and time.monotonic() - self._last_one_left > self._grace
