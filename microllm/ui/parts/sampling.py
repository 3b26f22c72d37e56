"""One or two temperatures, length, top-k, top-p, seed and the number of samples."""

from __future__ import annotations

import secrets

import streamlit as st

from ...sample import Sampling

_DEFAULTS = {
    "temperature": 0.8,
    "two-temperatures": False,
    "second-temperature": 1.2,
    "length": 400,
    "sampling-seed": 0,
    "samples": 1,
    "top_k": 0,
    "top_p": 1.0,
}
_MAX_SEED = 2**31 - 1


def prepare_sampling() -> None:
    """Set defaults before the Generate button is drawn: a quick click can arrive before the rest of the page is."""
    for key, value in _DEFAULTS.items():
        st.session_state.setdefault(key, value)


def samplings() -> list[Sampling]:
    """One sampling, or one for each of two temperatures, from the controls."""
    values = st.session_state
    temperatures = [values["temperature"]] + [values["second-temperature"]] * values["two-temperatures"]
    return [Sampling(temperature, values["top_k"], values["top_p"]) for temperature in temperatures]


def temperature() -> None:
    """How random the choice of the next character is; on request a second one, to compare."""
    _temperature(
        "temperature",
        "0: always the most likely character. 1: sample from the model's own probabilities. Above 1: more surprising, "
        "and soon nonsense.",
    )
    st.checkbox("Compare two temperatures", key="two-temperatures", persist_state="session")
    if st.session_state["two-temperatures"]:
        _temperature("second temperature", "The same prompt and random seed, written beside the first.")


def _temperature(name: str, help: str) -> None:
    key = name.replace(" ", "-")
    st.slider(name, 0.0, 2.0, step=0.05, key=key, persist_state="session", help=help)


def sampling() -> None:
    """Length, seed, number of samples, top-k and top-p."""
    st.slider("length · characters", 50, 2_000, step=50, key="length", persist_state="session")
    with st.container(horizontal=True, wrap=False, vertical_alignment="bottom", gap="xsmall"):
        st.number_input("random seed", 0, _MAX_SEED, key="sampling-seed", persist_state="session")
        st.button("New seed", key="new-seed", icon=":material/casino:", help="New seed", on_click=_new_seed)
    st.slider(
        "samples side by side",
        1,
        4,
        key="samples",
        persist_state="session",
        help="Each has its own random seed: the next number.",
    )
    st.slider(
        "top-k · only the k most likely",
        0,
        50,
        key="top_k",
        persist_state="session",
        help="Sample only from the k most likely characters. 0: all of them.",
    )
    st.slider(
        "top-p · only the most likely, up to p",
        0.05,
        1.0,
        step=0.05,
        key="top_p",
        persist_state="session",
        help="Sample only from the most likely characters that together reach probability p. 1: all of them.",
    )


def _new_seed() -> None:
    st.session_state["sampling-seed"] = secrets.randbelow(_MAX_SEED + 1)
