"""Write with the model as it is now, and see what it would choose next."""

import streamlit as st

from microllm.ui import frame

frame.enter("pages/generate.py", "Write with the model")

from microllm.ui import charts, controls, writer

controls.need_a_run("A model writes one character after another. Train one first, for half a minute.")
prompt = controls.prompt()
choices, bars = st.columns([3, 2], gap="medium")
with choices:
    controls.sampling()
    writer.panel()
with bars:
    charts.next_character(prompt)
