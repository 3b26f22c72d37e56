"""The sentence about a run that came with MicroLLM. A fresh server shows it before torch is imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:  # it needs torch
    from ..state.view import View

_SENTENCE = "Trained earlier: this run came with MicroLLM. Your own runs appear here once you press **Start**."


def gallery_note(view: View | None = None) -> None:
    """Say that the displayed run is not the visitor's; None stands for the first run, before there is a View."""
    place = st.container(key="gallery-note")  # always there, so that what is below it does not move
    if view is None or view.is_from_gallery:
        place.caption(_SENTENCE)
