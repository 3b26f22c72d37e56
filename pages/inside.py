"""The Inside page: what each part of the model computes for your sentence, and the model without some of its parts."""

import streamlit as st

from microllm.ui import shell

shell.enter("pages/inside.py", "Inside")

from microllm.ui.parts import inside, knockout, run_line, text_fields
from microllm.ui.state.view import look

view = look()
with st.sidebar:
    sentence = text_fields.sentence(view)
run_line.run_line(view)
mode = st.segmented_control(
    "Mode",
    ["Parts", "Knock-out"],
    default="Parts",
    key="inside-mode",
    required=True,
    persist_state="session",
    label_visibility="collapsed",
)
if mode == "Knock-out":
    with st.sidebar:
        knockout.panel(view)
    knockout.knockout(view, sentence)
elif sentence:
    inside.parts(view, sentence)
