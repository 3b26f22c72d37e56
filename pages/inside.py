"""The Inside page: switch off parts of the model, and see what is different without them."""

import streamlit as st

from microllm.ui import shell

shell.enter("pages/inside.py", "Inside")

from microllm.ui.parts import knockout, run_line, text_fields
from microllm.ui.state.view import look

view = look()
with st.sidebar:
    sentence = text_fields.sentence(view)
run_line.run_line(view)
mode = st.segmented_control(
    "Mode",
    ["Knock-out"],
    default="Knock-out",
    key="inside-mode",
    persist_state="session",
    required=True,
    label_visibility="collapsed",
)
if mode == "Knock-out":
    with st.sidebar:
        knockout.panel(view)
    knockout.knockout(view, sentence)
