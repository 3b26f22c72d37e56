"""What opens and closes on a page, beneath a line that says what is in it."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator


def disclosure(label: str, *, key: str) -> DeltaGenerator | None:
    """A button that opens and closes the place beneath it: that place, or None while it is closed.

    `st.session_state[key]` says whether it is open, also after a visit to another page. It is no `st.expander`: of one
    that goes away while it fades, the browser keeps the whole page around it in memory (React Aria's table of running
    transitions hears of the end of one of its four borders only).
    """
    is_open = st.session_state.setdefault(key, False)
    place = st.container(key=key, gap="small")
    place.button(
        label,
        key=f"{key}-button",
        icon=":material/expand_less:" if is_open else ":material/expand_more:",
        type="tertiary",
        on_click=_set,
        args=(key, not is_open),  # what it was to do when it was drawn: Streamlit may deliver a click twice
    )
    return place if is_open else None


def _set(key: str, is_open: bool) -> None:
    st.session_state[key] = is_open
