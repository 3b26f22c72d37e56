"""Temperature, length, top-k, top-p, seed and the number of samples."""

from __future__ import annotations

import streamlit as st

_SAMPLING = {"temperature": 0.8, "length": 400, "sampling-seed": 0, "samples": 1, "top_k": 0, "top_p": 1.0}


def prepare_sampling() -> None:
    """Let everything that Generate reads have a value before its button is there: a quick click comes before the rest
    of the page is drawn.
    """
    for key, value in _SAMPLING.items():
        st.session_state.setdefault(key, value)


def temperature() -> None:
    """How boldly a character is chosen."""
    st.slider(
        "temperature",
        0.0,
        2.0,
        step=0.05,
        key="temperature",
        persist_state="session",
        help="0: always the likeliest character. 1: as the model bets. Above: bolder, and soon nonsense.",
    )


def sampling() -> None:
    """Length, what is cut off, the dice and how many samples."""
    with st.popover("More", icon=":material/tune:", key="sampling"):
        left, right = st.columns(2, gap="medium")
        with left:
            st.slider("length, in characters", 50, 2_000, step=50, key="length", persist_state="session")
            st.number_input("seed: the dice", 0, 2**31 - 1, key="sampling-seed", persist_state="session")
            st.slider("samples side by side, each with dice of its own", 1, 4, key="samples", persist_state="session")
        with right:
            st.slider("top-k: keep only so many of the likeliest (0: all)", 0, 50, key="top_k", persist_state="session")
            st.slider(
                "top-p: keep the fewest that reach this chance together (1: all)",
                0.05,
                1.0,
                step=0.05,
                key="top_p",
                persist_state="session",
            )
