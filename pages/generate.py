"""Write with the model as it is now, choosing at every place if one likes, and see what it makes of a text."""

import streamlit as st

from microllm.ui import shell

shell.enter("pages/generate.py", "Write and read")

from microllm.ui.parts import read, text_fields, write
from microllm.ui.state.view import look

view = look()
text_fields.need_a_run(view, "A model writes one character after another. Train one first, for half a minute.")
activity = st.segmented_control(
    "What to do",
    ["Write", "Read"],
    default="Write",
    key="view",
    required=True,
    persist_state="session",
    label_visibility="collapsed",
)
if activity == "Write":
    write.write(view)
else:
    read.read(view)
