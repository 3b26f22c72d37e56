"""What surrounds every page: the entry, the style sheet and the run bar.

It appears before torch is imported, so this module must not import torch at the top.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path

import streamlit as st
from streamlit.delta_generator_singletons import context_dg_stack, get_default_dg_stack_value

from . import browser_input, connections, late_ticks
from .components.storage import has_key, storage, without_key
from .parts.front import ABOUT, LOADING
from .presence import allow_connections, share_memory_pools
from .state.session import session

_STYLE = Path(__file__).with_suffix(".css").read_text("utf-8")
_PAINTING_SECONDS = 0.3  # of the browser, after it has received the first page
_is_inside = ContextVar("app.py runs the page", default=False)
_is_ready = threading.Event()  # set when everything that a page needs is imported


def enter(
    page: str,
    heading: str,
    first_paint: Callable[[], None] | None = None,
    *,
    has_about: bool = True,
    has_sidebar: bool = True,
) -> None:
    """Show the heading of a page, and the open card of the path if it is done on this page.

    Each page calls this first, before its slow imports. With `has_about` the sentence about MicroLLM is shown too. On a
    fresh server it shows `first_paint` while torch is imported, unless the link names a run.

    For a deep link on a fresh server, Streamlit runs the script of the page without `app.py`. Then this switches to
    `app.py`, which comes back here.
    """
    if not _is_inside.get():
        query_params = st.query_params.to_dict()
        if has_key(query_params) and session().link_with_key is None:  # the switch would leave it in the history
            session().link_with_key = query_params
            storage(asked=page, draft="", keep=[], drop=[])
            st.stop()  # the browser answers when it has removed the key from its address
        query_params = without_key(query_params)
        session().detour = page, query_params
        st.switch_page("app.py", query_params=query_params)  # so that a reload in between does not lose them
    # One element, so that style and heading are painted together: st.html would arrive half a second later and the
    # page would jump. Both strings are our own, so unsafe_allow_html is safe.
    about = f"<p>{ABOUT}</p>" if has_about else ""
    st.markdown(f'<style>{_STYLE}</style><div class="about"><h3>{heading}</h3>{about}</div>', unsafe_allow_html=True)
    if has_sidebar:
        st.sidebar.empty()  # reserves the sidebar's space at once, even after a page without a sidebar
    if not _is_ready.is_set():
        if first_paint and "run" not in st.query_params:
            first_paint()
        else:
            st.caption(LOADING)
        st.fragment(_complete_when_asked(), run_every=_PAINTING_SECONDS)()
        st.stop()
    from .parts import path_task

    path_task.task(Path(page).stem)


def _complete_when_asked() -> Callable[[], None]:
    """A fragment that imports everything and draws the whole page, not at once but when the browser reruns it.

    Importing takes most of the interpreter's time, and until that rerun the browser is busy painting the first page.
    """
    asked = []

    def complete() -> None:
        if asked:
            import_everything()
            st.rerun()
        asked.append(True)

    return complete


def import_everything() -> None:
    """Import all that any page needs."""
    # seconds; other threads keep answering, such as the one that sends the browser its scripts
    sys.setswitchinterval(0.0001)
    share_memory_pools()
    allow_connections()
    from .parts import write  # noqa: F401

    gc.freeze()  # imported modules are never freed, and scanning them in each collection would delay every page
    _is_ready.set()


def show(page) -> None:
    """Run the page that navigation chose, with the run bar below it."""
    # Streamlit leaves the last fragment's place set as the current one, and may run a whole page next in this thread
    context_dg_stack.set(get_default_dg_stack_value())
    browser_input.guard()
    connections.limit()
    late_ticks.guard()
    if detour := session().detour:
        session().detour = None
        target, query_params = detour
        st.switch_page(target, query_params=query_params)
    if _is_ready.is_set():
        from .parts import run_bar

        run_bar.show(page.url_path)
    else:
        with st.bottom:
            st.caption("Loading …")
    token = _is_inside.set(True)
    try:
        page.run()
    finally:
        _is_inside.reset(token)
