"""A part of a page that opens and closes."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator


def disclosure(label: str, *, key: str) -> DeltaGenerator | None:
    """A button that opens and closes the container below it: that container, or None while it is closed.

    `st.session_state[key]` is True while it is open, even after a visit to another page. It is not an `st.expander`: if
    one is removed during its fade, the browser keeps the whole page around it in memory, because React Aria's table of
    running transitions learns of the end of only one of its four border transitions.
    """
    is_open = st.session_state.setdefault(key, False)
    place = st.container(key=key, gap="small")
    place.button(
        label,
        key=f"{key}-button",
        icon=":material/expand_less:" if is_open else ":material/expand_more:",
        type="tertiary",
        on_click=_set,
        args=(key, not is_open),  # fixed when drawn, because Streamlit may deliver a click twice
    )
    return place if is_open else None


def _set(key: str, is_open: bool) -> None:
    st.session_state[key] = is_open
