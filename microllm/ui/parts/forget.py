"""For shared computers: remove what the browser keeps for this person."""

from __future__ import annotations

import streamlit as st

from ..state import browser_storage


def forget() -> None:
    """Let a person remove their owner keys and their draft from this browser."""
    is_sure = st.checkbox(
        "Forget your runs on this browser",
        key="forget-sure",
        help="For a shared computer. Your unstarted settings and text are forgotten, too.",
    )
    if not is_sure:
        return
    st.caption(
        "Your runs stay on this server. You can no longer control them, and those on your own texts disappear from the "
        "lists. Copy the links of those that you want to see again. A run that is training stops soon."
    )
    if st.button("Forget them now", key="forget", icon=":material/logout:"):
        browser_storage.forget()
        st.rerun()
