"""The Train page: choose a text and a model size, start a run, and watch the loss fall."""

import streamlit as st

from microllm.ui import shell
from microllm.ui.parts.first_paint import first_paint

shell.enter("pages/train.py", "Train", first_paint)

from microllm.ui.parts import (
    advice,
    cost,
    experiment_note,
    fork,
    guess_game,
    loss,
    outcome,
    run_line,
    settings,
    source,
    steer,
    twins,
)
from microllm.ui.state.view import look

view = look()

run_line.run_line(view, is_whole=True)
experiment_note.experiment_note(view)
loss.loss(view)  # before the sidebar: on a return to this page one looks for the curve
with st.sidebar:
    st.markdown("**Next run**")
    text = source.text()
    model, train, problems = settings.settings(text.characters if text else None)
    if text:
        cost.cost(view, model, train, text)
    label, differences = advice.start_label(view, model, train, text)
    steer.start_buttons(label, differences, can_start=text is not None and not problems)

advice.overfitting(view)
outcome.outcome(view)
advice.next_steps(view)
fork.fork_form(view)
twins.link()
guess_game.guess_form(view)
outcome.page_links(view)
