"""How a run ended, and links to the other pages."""

from __future__ import annotations

import streamlit as st

from ..state.view import View
from ..words import choices, literal
from .take_away import take_away


def outcome(view: View) -> None:
    """How the displayed run ended; nothing while it is active, or if it came with MicroLLM."""
    if view.is_active or view.is_from_gallery:
        return
    info = view.info
    if info.state == "failed":
        st.error(literal(info.message), icon=":material/error:")
    elif info.full_val_loss is not None:
        loss = info.full_val_loss
        st.success(
            f"Finished. Loss on all of the held-out text: {loss:.3f} nats per character, as unsure as {choices(loss)}.",
            icon=":material/flag:",
        )
        if info.guess is not None and view.history.val_losses:
            last = view.history.val_losses[-1][1]
            where = "lower" if last < info.guess else "higher"
            st.caption(
                f"You guessed a final validation loss of {info.guess:.3f}. It is {last:.3f}: "
                f"{abs(last - info.guess):.3f} {where}."
            )
    elif info.message:
        st.info(literal(info.message), icon=":material/info:")


def page_links(view: View) -> None:
    """Links to the other pages, because a phone hides the navigation; and the downloads."""
    with st.container(horizontal=True):
        st.page_link("pages/attention.py", label="See what it attends to", icon=":material/visibility:")
        st.page_link("pages/generate.py", label="Let it write", icon=":material/edit_note:")
    take_away(view)
