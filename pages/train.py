"""Choose a text and a size, start, and watch the loss fall."""

import streamlit as st

from microllm.ui import shell

shell.enter("pages/train.py", "Train a language model, one character at a time")

from microllm.ui import advice, charts, controls, fork, guess, source

picture, panel = st.columns([2, 1], gap="medium")

with panel, st.container(border=True, key="panel"):
    text = source.text()
    model, train, problems = controls.settings(text.characters if text else None)
    if text:
        controls.cost(model, train, text)
    controls.guess()
    controls.start_buttons(advice.start_label(model, train, text), can_start=text is not None and not problems)

with picture:
    fork.origin()
    charts.loss(None if problems else text, model.block_size, train.max_steps)
    advice.by_heart()
    charts.outcome()
    advice.next_steps()
    fork.offer()
    guess.offer()
    charts.ways_on()
    controls.live_settings()
