"""Count the open windows, slow all timers down when there are many, and free memory when windows have closed."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
import threading

import streamlit as st

_FULL_SPEED_WINDOWS, _MAX_SLOWDOWN = 8, 8
_FEW_SWITCH_SECONDS, _MANY_SWITCH_SECONDS = 0.0001, 0.002  # for sys.setswitchinterval
_M_ARENA_MAX = -8  # malloc.h
_windows: set[str] = set()
_slowdown = 1
_free_memory_timer: threading.Timer | None = None


def share_memory_pools() -> None:
    """Make all threads allocate from two memory pools (arenas) of the C library.

    By default, new threads get pools of their own, up to eight per core, and memory freed in one pool is of no use to
    another.
    """
    with contextlib.suppress(OSError, AttributeError):  # a system with another C library
        ctypes.CDLL("libc.so.6").mallopt(_M_ARENA_MAX, 2)


def allow_connections() -> None:
    """Raise the limit of open files as far as this account may: each connection is one, and 1,024 is a usual limit."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # a system without such limits, or with another rule
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def window_opened(window: str) -> None:
    """Count an open window."""
    _windows.add(window)
    _update()


def window_closed(window: str) -> None:
    """Stop counting a window. Memory is freed once no window has closed for a while."""
    global _free_memory_timer
    _windows.discard(window)
    _update()
    if _free_memory_timer:
        _free_memory_timer.cancel()
    # Streamlit keeps the session of a closed window for disconnectedSessionTTL seconds, in case it reconnects
    _free_memory_timer = threading.Timer(st.get_option("server.disconnectedSessionTTL") + 5.0, _free_memory)
    _free_memory_timer.daemon = True
    _free_memory_timer.start()


def _free_memory() -> None:
    """Free cached runs and texts, Streamlit's expired sessions (cyclic garbage), and what the C library still holds for
    threads that have ended. A window that still shows a run or a text opens it again.
    """
    from ..data import texts
    from ..insight import memorization
    from . import server

    server.opened.cache_clear()
    texts.load_corpus.let_go()
    memorization.parts.cache_clear()
    _expire_sessions()
    gc.unfreeze()  # the first window was already open when shell.py froze the imports, and its objects with them
    gc.collect()
    gc.freeze()
    with contextlib.suppress(OSError, AttributeError):  # a system with another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _expire_sessions() -> None:
    """End the sessions of windows that did not reconnect in time. Streamlit itself does so only when the next window
    opens or closes, in its event loop's thread, and has no public function for it.
    """
    with contextlib.suppress(AttributeError, RuntimeError):  # no server, or another version of Streamlit
        runtime = st.runtime.get_instance()
        sessions = runtime._session_mgr._session_storage._cache
        is_done = threading.Event()
        runtime._get_async_objs().eventloop.call_soon_threadsafe(lambda: (sessions.expire(), is_done.set()))
        is_done.wait(5.0)


def refresh_slowdown() -> int:
    """How many times slower all timers run: 1 for up to 8 windows, then 2, 4, and 8 from 9, 17 and 33 windows on."""
    return _slowdown


def _slowdown_for(windows: int) -> int:
    return min(_MAX_SLOWDOWN, 1 << (max(0, windows - 1) // _FULL_SPEED_WINDOWS).bit_length())


def _update() -> None:
    """Set the slowdown. Hysteresis: slow down at 9, 17, 33 windows, speed up only when 25 % fewer remain, so that a
    reload does not restart everybody's timers.

    The interpreter switches threads every 0.1 ms, because training threads need it often but briefly. With many windows
    that would be mostly switching: then every 2 ms.
    """
    global _slowdown
    here = len(_windows)
    if _slowdown_for(here) > _slowdown or _slowdown_for(here + here // 3) < _slowdown:
        _slowdown = _slowdown_for(here)
    sys.setswitchinterval(_FEW_SWITCH_SECONDS if _slowdown == 1 else _MANY_SWITCH_SECONDS)
