"""The control of the plot's axis. A fresh server shows it before torch is imported."""

from __future__ import annotations

import streamlit as st

from ...runs.history import AXES


def plot_axis() -> str:
    """The chosen x-axis of the loss plot, one of AXES."""
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
