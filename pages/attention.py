"""The Attention page: which earlier characters each head attends to, for a sentence of your choice."""

import streamlit as st

from microllm.ui import shell

shell.enter("pages/attention.py", "Attention")

from microllm.ui.parts import attention, experiment_note, run_line, side_by_side, text_fields
from microllm.ui.state.view import look

view = look()
with st.sidebar:
    sentence = text_fields.sentence(view)
    if sentence:
        side_by_side.menus(view, has_heads=True)
        attention.measurements(view, sentence)
run_line.run_line(view)
experiment_note.experiment_note(view)
if sentence:
    attention.attention(view, sentence)
