"""What stands around every page: the way in, and the one way to tick.

It is on the screen before torch is imported, so nothing here may import torch at the top.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path

import streamlit as st

from . import browser_input

_STYLE = Path(__file__).with_suffix(".css").read_text("utf-8")
_is_inside = ContextVar("a page runs inside the frame", default=False)
_is_awake = threading.Event()  # all that a page needs is imported

# ---- the way in


def enter(page: str, heading: str) -> None:
    """The first statement of each page, before it imports what is slow: its heading.

    Without the frame around it, it takes the way through `app.py` and comes back: on a fresh server Streamlit runs the
    script of a deep link alone, as if `app.py` did not exist.
    """
    if not _is_inside.get():
        given = st.query_params.to_dict()
        st.session_state["detour"] = page, given
        st.switch_page("app.py", query_params=given)  # it stays in the address: who reloads meanwhile keeps it
    # In one piece, so that they are painted at once: st.html comes half a second later, and everything would jump. Both
    # are words of ours.
    st.markdown(f"<style>{_STYLE}</style>\n\n### {heading}", unsafe_allow_html=True)
    if not _is_awake.is_set():
        st.caption("PyTorch is waking up, once after each start of the server. It takes a second or two.")
        _wake_up()  # what was drawn so far is on its way to the browser, and is painted meanwhile
        st.rerun()


def _wake_up() -> None:
    from . import attention, charts, controls, fork, reader, source, strip, writer  # noqa: F401

    gc.freeze()  # what is imported stays: looking through it for garbage would hold up everybody, again and again
    _is_awake.set()


def show(page) -> None:
    """Run the page that navigation chose, with the strip around it."""
    browser_input.guard()
    if "detour" in st.session_state:
        target, query_params = st.session_state.pop("detour")
        st.switch_page(target, query_params=query_params)
    if _is_awake.is_set():
        from . import strip

        strip.show(pace=2.0 if page.url_path == "train" else 1.0)  # the plot there moves; each tick costs the browser
    else:
        with st.bottom:
            st.caption("One moment …")
    token = _is_inside.set(True)
    try:
        page.run()
    finally:
        _is_inside.reset(token)


# ---- ticking

_FEW = 8
_QUICK, _CALM = 0.0001, 0.002  # seconds
_windows: set[str] = set()
_crowd = 1
_tidying: threading.Timer | None = None


def come(window: str) -> None:
    """Count a window among those that are open."""
    _windows.add(window)
    _look_round()


def go(window: str) -> None:
    """Count a window no more. When no other goes for a while, what they all have left is cleared away."""
    global _tidying
    _windows.discard(window)
    _look_round()
    if _tidying:
        _tidying.cancel()
    # so long Streamlit keeps a window that has gone, in case it comes back
    _tidying = threading.Timer(st.get_option("server.disconnectedSessionTTL") + 5.0, _tidy)
    _tidying.daemon = True
    _tidying.start()


def _tidy() -> None:
    """Give memory back: runs that were opened, texts, Streamlit's sessions (circles of objects), and what the C library
    keeps of what threads freed. Who still looks at a run or a text opens it again.
    """
    from .. import texts
    from . import reader, session

    session.opened.cache_clear()
    texts.load_corpus.let_go()
    reader.parts.cache_clear()
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


def crowd() -> int:
    """How many times slower everything ticks: 1 for a few windows, twice as slow with each doubling after that."""
    return _crowd


def _times_slower(windows: int) -> int:
    return 1 << (max(0, windows - 1) // _FEW).bit_length()


def _look_round() -> None:
    """See how crowded it is. It is calmer only when a quarter has gone: who reloads a page makes no other page anew.

    A training thread needs the interpreter often, but each time briefly; a crowd would do nothing but take turns.
    """
    global _crowd
    here = len(_windows)
    if _times_slower(here) > _crowd or _times_slower(here + here // 3) < _crowd:
        _crowd = _times_slower(here)
    sys.setswitchinterval(_QUICK if _crowd == 1 else _CALM)


def live(part: Callable[[], None], every: float, *, key: str, when: bool = True) -> None:
    """Show `part`, and again every so many seconds `when` asked to: the only way in which anything here ticks.

    In a crowd it ticks slower: what many windows draw must leave time for answers, and for training. It stands in a
    container of its own, because a click at the moment of a tick makes the element after a ticking fragment vanish
    (streamlit #16708).
    """
    with st.container(key=key):
        st.fragment(_or_the_whole_page(part), run_every=every * crowd() if when else None)()


def _or_the_whole_page(part: Callable[[], None]) -> Callable[[], None]:
    """`part`, as long as the run on show is that for which it was drawn, and there still is one: else the whole page is
    drawn anew. (What a person did last may arrive when the part is on the page no more.)
    """
    from ..runs import RunProblem
    from . import session

    its_run = session.run_id()

    @functools.wraps(part)
    def shown() -> None:
        if session.run_id() != its_run:
            st.rerun()
        try:
            part()
        except RunProblem:
            if not session.is_gone():
                raise
            st.rerun()

    return shown
