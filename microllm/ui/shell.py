"""What stands around every page: the way in, and the one way to tick.

It is on the screen before torch is imported, so nothing here may import torch at the top.
"""

from __future__ import annotations

import gc
import threading
from contextvars import ContextVar
from pathlib import Path

import streamlit as st

from . import browser_input
from .state.session import session

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
        session().detour = page, given
        st.switch_page("app.py", query_params=given)  # it stays in the address: who reloads meanwhile keeps it
    # In one piece, so that they are painted at once: st.html comes half a second later, and everything would jump. Both
    # are words of ours.
    st.markdown(f"<style>{_STYLE}</style>\n\n### {heading}", unsafe_allow_html=True)
    if not _is_awake.is_set():
        st.caption("PyTorch is waking up, once after each start of the server. It takes a second or two.")
        _wake_up()  # what was drawn so far is on its way to the browser, and is painted meanwhile
        st.rerun()


def _wake_up() -> None:
    from .parts import write  # noqa: F401

    gc.freeze()  # what is imported stays: looking through it for garbage would hold up everybody, again and again
    _is_awake.set()


def show(page) -> None:
    """Run the page that navigation chose, with the strip around it."""
    browser_input.guard()
    if detour := session().detour:
        session().detour = None
        target, query_params = detour
        st.switch_page(target, query_params=query_params)
    if _is_awake.is_set():
        from .parts import run_bar

        run_bar.show(pace=2.0 if page.url_path == "train" else 1.0)  # the plot there moves; each tick costs the browser
    else:
        with st.bottom:
            st.caption("One moment …")
    token = _is_inside.set(True)
    try:
        page.run()
    finally:
        _is_inside.reset(token)


# ---- ticking
