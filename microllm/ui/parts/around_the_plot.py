"""The elements around the loss plot. A fresh server shows them before torch is imported."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ...runs.history import AXES
from ..glossary import term


def plot_row() -> DeltaGenerator:
    """The row above the plot."""
    return st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="plot-row")


def plot_axis() -> str:
    """The control of the x-axis of the loss plot. Returns a key of AXES."""
    return st.segmented_control(
        "Axis",
        list(AXES),
        default="log",
        format_func={"log": "Log steps", "step": "Steps", "seconds": "Seconds"}.get,
        key="axis",
        required=True,
        persist_state="session",
        label_visibility="collapsed",
    )


def plot_caption() -> None:
    """How to read the plot. The style sheet shows how to zoom with a mouse (emphasized), or with fingers (strong)."""
    with st.container(key="plot-caption"):
        st.caption(
            f"Look for the {term('loss')} falling below the dashed lines, those of "
            f"{term('n-gram', 'simple counting')}. *Drag across* **Pinch** the plot to zoom."
        )
