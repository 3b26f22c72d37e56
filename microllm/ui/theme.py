"""The color scheme of the browser."""

from __future__ import annotations

import streamlit as st


def mode() -> str:
    """ "light" or "dark": how the browser shows the app."""
    return "dark" if st.context.theme.type == "dark" else "light"
