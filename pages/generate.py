"""The Generate page: generate text with the model, or see how well it predicts a text."""

import streamlit as st

from microllm.ui import shell

shell.enter("pages/generate.py", "Generate text, or let the model read one")

from microllm.ui.parts import read, text_fields, write
from microllm.ui.state.view import look

view = look()
text_fields.need_a_run(view, "A language model writes one character after another. Train a model first.")
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
