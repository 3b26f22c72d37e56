"""Temperature, length, top-k, top-p, seed and the number of samples."""

from __future__ import annotations

import streamlit as st

_DEFAULTS = {"temperature": 0.8, "length": 400, "sampling-seed": 0, "samples": 1, "top_k": 0, "top_p": 1.0}


def prepare_sampling() -> None:
    """Set defaults before the Generate button is drawn: a quick click can arrive before the rest of the page is."""
    for key, value in _DEFAULTS.items():
        st.session_state.setdefault(key, value)


def temperature() -> None:
    """How random the choice of the next character is."""
    st.slider(
        "temperature",
        0.0,
        2.0,
        step=0.05,
        key="temperature",
        persist_state="session",
        help="0: always the most likely character. 1: sample from the model's own probabilities. Above 1: more "
        "surprising, and soon nonsense.",
    )


def sampling() -> None:
    """Length, seed, number of samples, top-k and top-p."""
    with st.popover("More", icon=":material/tune:", key="sampling"):
        left, right = st.columns(2, gap="medium")
        with left:
            st.slider("length (characters)", 50, 2_000, step=50, key="length", persist_state="session")
            st.number_input("random seed", 0, 2**31 - 1, key="sampling-seed", persist_state="session")
            st.slider("samples side by side, each with its own seed", 1, 4, key="samples", persist_state="session")
        with right:
            st.slider(
                "top-k: sample only from the k most likely characters (0: all)",
                0,
                50,
                key="top_k",
                persist_state="session",
            )
            st.slider(
                "top-p: sample only from the most likely characters that together reach probability p (1: all)",
                0.05,
                1.0,
                step=0.05,
                key="top_p",
                persist_state="session",
            )
