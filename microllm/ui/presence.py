"""Count the open windows, and slow every timer down when there are many."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
import threading

import streamlit as st

_FEW = 8
_QUICK, _CALM = 0.0001, 0.002  # seconds
_windows: set[str] = set()
_slowdown = 1
_freeing: threading.Timer | None = None


def window_opened(window: str) -> None:
    """Count a window among those that are open."""
    _windows.add(window)
    _update()


def window_closed(window: str) -> None:
    """Count a window no more. When no other goes for a while, what they all have left is cleared away."""
    global _freeing
    _windows.discard(window)
    _update()
    if _freeing:
        _freeing.cancel()
    # so long Streamlit keeps a window that has gone, in case it comes back
    _freeing = threading.Timer(st.get_option("server.disconnectedSessionTTL") + 5.0, _free_memory)
    _freeing.daemon = True
    _freeing.start()


def _free_memory() -> None:
    """Give memory back: runs that were opened, texts, Streamlit's sessions (circles of objects), and what the C library
    keeps of what threads freed. Who still looks at a run or a text opens it again.
    """
    from ..data import texts
    from ..insight import memorization
    from . import server

    server.opened.cache_clear()
    texts.load_corpus.let_go()
    memorization.parts.cache_clear()
    _end_sessions()
    gc.unfreeze()  # the first window was open when what is imported was set aside
    gc.collect()
    gc.freeze()
    with contextlib.suppress(OSError, AttributeError):  # a system with another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _end_sessions() -> None:
    """End the sessions that Streamlit keeps for windows which did not come back in time. By itself it does so when the
    next window comes or goes, in its own thread; there is no public way to ask for it.
    """
    with contextlib.suppress(AttributeError, RuntimeError):  # no server, or another version
        runtime = st.runtime.get_instance()
        sessions = runtime._session_mgr._session_storage._cache
        is_done = threading.Event()
        runtime._get_async_objs().eventloop.call_soon_threadsafe(lambda: (sessions.expire(), is_done.set()))
        is_done.wait(5.0)


def refresh_slowdown() -> int:
    """How many times slower everything ticks: 1 for a few windows, twice as slow with each doubling after that."""
    return _slowdown


def _times_slower(windows: int) -> int:
    return 1 << (max(0, windows - 1) // _FEW).bit_length()


def _update() -> None:
    """See how crowded it is. It is calmer only when a quarter has gone: who reloads a page makes no other page anew.

    A training thread needs the interpreter often, but each time briefly; a refresh_slowdown would do nothing but take turns.
    """
    global _slowdown
    here = len(_windows)
    if _times_slower(here) > _slowdown or _times_slower(here + here // 3) < _slowdown:
        _slowdown = _times_slower(here)
    sys.setswitchinterval(_QUICK if _slowdown == 1 else _CALM)
