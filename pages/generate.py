"""The Generate page: generate text with the model, or see how well it predicts a text."""

import streamlit as st

from microllm.ui import shell

shell.enter("pages/generate.py", "Generate text, or let the model read one")

from microllm.ui.parts import read, run_line, write
from microllm.ui.state.view import look

view = look()
run_line.run_line(view)
mode = st.segmented_control(
    "Mode",
    ["Write", "Read"],
    default="Write",
    key="view",
    required=True,
    persist_state="session",
    label_visibility="collapsed",
)
if mode == "Write":
    write.write(view)
else:
    read.read(view)
