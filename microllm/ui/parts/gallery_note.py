"""The line about a run that came with MicroLLM. A fresh server shows it before torch is imported."""

from __future__ import annotations

import streamlit as st

from ..words import literal


def gallery_note(name: str, text: str, preset: str) -> None:
    """A line in place of `run_line`, which says that the displayed run came with MicroLLM."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="run-line"):
        st.caption(
            f"**{literal(name)}** ({literal(text)}, {preset}) came with MicroLLM, already trained. "
            "Press **Start** for a run of your own.",
            width="content",
        )
