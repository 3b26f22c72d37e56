"""How a run ended, and links to the other pages."""

from __future__ import annotations

import streamlit as st

from ..state import view
from ..state.view import is_active
from ..words import choices, literal
from .take_away import take_away


def outcome() -> None:
    """How the run on show ended; nothing while it trains."""
    run = view.run()
    if run is None or is_active():
        return
    info = run.read_info()
    if info.state == "failed":
        st.error(literal(info.message), icon=":material/error:")
    elif info.full_val_loss is not None:
        loss = info.full_val_loss
        st.success(
            f"Finished. On all of the held-out text: {loss:.4f} nats a character ({choices(loss)}).",
            icon=":material/flag:",
        )
        if info.guess is not None and (val_losses := run.history.read().val_losses):
            last = val_losses[-1][1]
            where = "lower" if last < info.guess else "higher"
            st.caption(
                f"You guessed that validation would end at {info.guess:.2f}. It ended at {last:.2f}: "
                f"{abs(last - info.guess):.2f} {where}."
            )
    elif info.message:
        st.info(literal(info.message), icon=":material/info:")


def page_links() -> None:
    """Links to the pages that look at the run, for on a phone the navigation is folded away; and a way to keep it."""
    if view.run():
        with st.container(horizontal=True):
            st.page_link("pages/attention.py", label="See where it looks", icon=":material/visibility:")
            st.page_link("pages/generate.py", label="Let it write", icon=":material/edit_note:")
        take_away()
