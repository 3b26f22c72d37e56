"""The Inside page: what each part computes and what it is worth, the map of characters, and a training step."""

import streamlit as st

from microllm.ui import shell

shell.enter("pages/inside.py", "Inside")

from microllm.ui.parts import (
    character_map,
    inside,
    knockout_effect,
    knockout_map,
    run_line,
    side_by_side,
    text_fields,
    training_step,
)
from microllm.ui.state.view import look

view = look()
run_line.run_line(view)
st.session_state.setdefault("inside-mode", "Parts")
mode = st.segmented_control(
    "Mode",
    ["Parts", "Knock-out", "Characters", "Training step"],
    key="inside-mode",
    required=True,
    persist_state="session",
    label_visibility="collapsed",
)
with st.sidebar:
    sentence = text_fields.sentence(view) if mode in ("Parts", "Knock-out") else None
    if mode == "Knock-out":
        knockout_map.knockout_map(view)
    elif mode == "Characters":
        character_map.panel(view)
    elif mode == "Training step":
        training_step.panel(view)
    if mode in ("Parts", "Characters"):
        side_by_side.menus(view)
if mode == "Characters":
    character_map.character_map(view)
elif mode == "Training step":
    training_step.training_step(view)
elif mode == "Knock-out":
    knockout_effect.knockout_effect(view, sentence)
elif sentence:
    inside.parts(view, sentence)
