"""Scrolls to a part of the page. An invisible component."""

from __future__ import annotations

import streamlit as st

from . import declare

KEY = "scroll"
_scroll = declare(KEY, "<i></i>")


def scroll_to(key: str, *, only_on_a_phone: bool = False) -> None:
    """Scroll the container with this key into view, once per visit of the page. With "", it does nothing."""
    with st.container(key=f"{KEY}-place"):
        _scroll(key=KEY, data={"to": key, "onlyOnAPhone": only_on_a_phone})
