"""The Generate page: generate text with the model, or see how well it predicts a text."""

import streamlit as st

from microllm.ui import shell

shell.enter("pages/generate.py", "Generate")

from microllm.ui.parts import read, run_line, write
from microllm.ui.state.view import look

view = look()
run_line.run_line(view)
row = st.container(horizontal=True, vertical_alignment="center", gap="xsmall")
st.session_state.setdefault("view", "Write")
with row:
    mode = st.segmented_control(
        "Mode",
        ["Write", "Read"],
        key="view",
        required=True,
        persist_state="session",
        label_visibility="collapsed",
    )
with st.sidebar:
    chosen = write.panel(view) if mode == "Write" else read.panel(view)
if mode == "Write":
    write.writing(view, chosen, row)
else:
    read.reading(view, chosen)
