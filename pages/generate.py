"""Write with the model as it is now, choosing at every place if one likes, and see what it makes of a text."""

import streamlit as st

from microllm.ui import shell

shell.enter("pages/generate.py", "Write and read")

from microllm.ui.parts import read, text_fields, write

text_fields.need_a_run("A model writes one character after another. Train one first, for half a minute.")
view = st.segmented_control(
    "What to do",
    ["Write", "Read"],
    default="Write",
    key="view",
    required=True,
    persist_state="session",
    label_visibility="collapsed",
)
if view == "Write":
    write.write()
else:
    read.read()
