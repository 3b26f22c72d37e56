"""The Inside page: what the model has inside, drawn from its weights."""

import streamlit as st

from microllm.ui import shell

shell.enter("pages/inside.py", "Inside")

from microllm.ui.parts import character_map, run_line, side_by_side
from microllm.ui.state.view import look

view = look()
run_line.run_line(view)
mode = st.segmented_control(
    "Mode",
    ["Characters"],
    default="Characters",
    key="inside-mode",
    required=True,
    persist_state="session",
    label_visibility="collapsed",
)
with st.sidebar:
    character_map.panel(view)
    side_by_side.menus(view)
character_map.character_map(view)
