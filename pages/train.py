"""The Train page: choose a text and a model size, start a run, and watch the loss fall."""

import streamlit as st

from microllm.ui import shell

shell.enter("pages/train.py", "Train a language model, one character at a time")

from microllm.ui.parts import advice, cost, fork, gallery_note, guess_game, loss, outcome, settings, source, steer
from microllm.ui.state.view import look

view = look()
picture, panel = st.columns([2, 1], gap="medium")

with panel, st.container(border=True, key="panel"):
    text = source.text()
    model, train, problems = settings.settings(text.characters if text else None)
    if text:
        cost.cost(view, model, train, text)
    loss.guess()
    steer.start_buttons(advice.start_label(view, model, train, text), can_start=text is not None and not problems)

with picture:
    gallery_note.gallery_note(view)
    fork.origin(view)
    loss.loss(view, None if problems else text, model.block_size, train.max_steps)
    advice.overfitting(view)
    outcome.outcome(view)
    advice.next_steps(view)
    fork.fork_form(view)
    guess_game.guess_form(view)
    outcome.page_links(view)
    steer.live_settings(view)
