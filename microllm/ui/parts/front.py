"""The first screen of MicroLLM: what it is, a run as a film, and two ways to begin.

A fresh server shows it before torch is imported, so this module must not import torch.
"""

from __future__ import annotations

import streamlit as st

from ...plots import film_data
from ...runs import gallery
from ..components.film import film
from ..state import path
from ..state.session import session
from ..words import duration, literal

ARTICLE = (
    "https://github.com/BastionAI/bastionai.github.io/blob/"
    "076ceb4da1789125ae479c7495918594b25398cc/"
    "_posts/2025-08-01-building-a-micro-llm-from-scratch.md"
)
ABOUT = (
    "Build a small language model, train it and look inside it, as in the article "
    f'<a href="{ARTICLE}" target="_blank" rel="noopener">Beyond the Black Box</a>.'
)
"""What MicroLLM is, in HTML."""

LOADING = "Loading PyTorch. This happens once after the server starts and takes a second or two."
"""Shown in place of everything that needs torch, until it is imported."""

WATCH, PATH, TWINS, GLOSSARY = "watch", "path", "twins", "glossary"
_SECTIONS = {WATCH: "Watch", PATH: "The six steps", TWINS: "Twins", GLOSSARY: "Glossary"}


def first_paint() -> None:
    """What can be shown before torch is imported."""
    if st.query_params.get("lesson") in path.CARDS or "term" in st.query_params:
        st.caption(LOADING)
        return
    sections()
    front()


def sections() -> str:
    """The sections of the page Learn, and the progress on the path. Returns the chosen section."""
    others = {GLOSSARY: session().is_in_glossary, TWINS: session().is_with_twins}
    shown = PATH if session().lesson else next(filter(others.get, others), WATCH)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="learn-row"):
        # a key of its own for each section: a late tick could overwrite the value of a widget that stays
        st.segmented_control(
            "Section",
            list(_SECTIONS),
            default=shown,
            format_func=_SECTIONS.get,
            key=f"learn-{shown}",
            required=True,
            label_visibility="collapsed",
            on_change=_choose,
            args=(shown,),
        )
        if session().browser_keeps is not None:  # before that it is not known
            st.markdown(f"**{len(session().done_cards)} of {len(path.CARDS)}** cards done", width="content")
    return shown


def open_card(card: str) -> None:
    """Open a card of the path."""
    session().lesson = card


def _follow() -> None:
    session().lesson = path.first_open(session().done_cards) or next(iter(path.CARDS))


def _choose(shown: str) -> None:
    section = st.session_state[f"learn-{shown}"]
    session().lesson = session().asked_term = None
    session().is_in_glossary = section == GLOSSARY
    session().is_with_twins = section == TWINS
    if section == PATH:
        _follow()


def front() -> None:
    """The sentence, the two buttons, and the film of the first run of the gallery."""
    shown = gallery.preview()
    with st.container(key="front-columns"):
        words, picture = st.columns([2, 3], gap="large", vertical_alignment="center")
    with words, st.container(key="front", gap="medium"):
        st.markdown(f'<div class="front">{ABOUT}</div>', unsafe_allow_html=True)  # our own words
        with st.container(horizontal=True, gap="small", key="front-ways"):
            if st.button("Train your own", key="front-train", type="primary", icon=":material/play_arrow:"):
                st.switch_page("pages/train.py", query_params=st.query_params.to_dict())
            st.button("Follow the six steps", key="front-path", icon=":material/footprint:", on_click=_follow)
        with st.container(key="front-steps"):
            st.caption(f"The steps: {', '.join(path.STEPS).lower()}.")
    with picture, st.container(key="film", gap="xsmall"):
        film(film_data(shown.history, shown.samples, shown.references, shown.max_steps, about=shown.name))
        st.caption(
            f"A run that came with MicroLLM, on *{literal(shown.text)}*: {shown.max_steps:,} steps in "
            f"{duration(shown.history.rows['seconds'][-1])}, always the same prompt and random seed. Watch the text "
            "become English as the loss falls."
        )
