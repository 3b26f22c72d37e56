"""Closes the sidebar on a phone after a choice. An invisible component."""

from __future__ import annotations

import streamlit as st

from . import declare

KEY = "sidebar"
_sidebar = declare(KEY, "<i></i>")


def close_on_a_phone_after(about: str) -> None:
    """Close the sidebar on a phone, where it covers the page, when `about` (the page and its run) has changed."""
    with st.container(key=f"{KEY}-place"):
        _sidebar(key=KEY, data={"about": about})
