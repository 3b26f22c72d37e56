"""The Inside page: the parts of the model, with the numbers that each computes for a sentence of your choice."""

import streamlit as st

from microllm.ui import shell

shell.enter("pages/inside.py", "Inside")

from microllm.ui.parts import inside, run_line, text_fields
from microllm.ui.state.view import look

view = look()
with st.sidebar:
    sentence = text_fields.sentence(view)
run_line.run_line(view)
mode = st.segmented_control(
    "Mode",
    ["Parts"],
    default="Parts",
    key="inside-mode",
    required=True,
    persist_state="session",
    label_visibility="collapsed",
)
if sentence and mode == "Parts":
    inside.parts(view, sentence)
