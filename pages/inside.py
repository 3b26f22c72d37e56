"""The Inside page: what each part computes for your sentence, what each part is worth, and the map of characters."""

import streamlit as st

from microllm.ui import shell

shell.enter("pages/inside.py", "Inside")

from microllm.ui.parts import character_map, inside, knockout, run_line, side_by_side, text_fields
from microllm.ui.state.view import look

view = look()
run_line.run_line(view)
st.session_state.setdefault("inside-mode", "Parts")
mode = st.segmented_control(
    "Mode",
    ["Parts", "Knock-out", "Characters"],
    key="inside-mode",
    required=True,
    persist_state="session",
    label_visibility="collapsed",
)
with st.sidebar:
    if mode == "Characters":
        character_map.panel(view)
        side_by_side.menus(view)
    else:
        sentence = text_fields.sentence(view)
    if mode == "Knock-out":
        knockout.panel(view)
if mode == "Characters":
    character_map.character_map(view)
elif mode == "Knock-out":
    knockout.knockout(view, sentence)
elif sentence:
    inside.parts(view, sentence)
