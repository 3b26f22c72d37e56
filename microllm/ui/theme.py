"""Light or dark, as the browser shows the app."""

from __future__ import annotations

import streamlit as st


def mode() -> str:
    """ "light" or "dark", as the browser shows the app."""
    return "dark" if st.context.theme.type == "dark" else "light"
