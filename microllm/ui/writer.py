"""Writing on the generate page: begins on a click, streams while training ticks on, and can be stopped."""

from __future__ import annotations

import streamlit as st

from ..writing import Writing
from . import session
from .frame import live
from .words import literal


def panel() -> None:
    """The buttons, the text so far, and the way to take it along."""
    writing = session.window().writings.get(session.run_id())
    is_writing = writing is not None and writing.is_alive()
    with st.container(horizontal=True):
        st.button(
            "Generate",
            key="generate",
            type="primary",
            icon=":material/edit_note:",
            on_click=_begin,
        )
        if is_writing:
            st.button("Stop writing", key="stop-writing", icon=":material/stop:", on_click=writing.stop)
    if problem := st.session_state.get("writing_problem"):
        st.error(literal(problem), icon=":material/error:")
    if writing is None:
        st.caption("Press Generate: it goes on from your prompt, character by character.")
        return
    live(lambda: _show(writing, is_writing), 0.25, key="writing-live", when=is_writing)
    if not is_writing:
        st.download_button(
            "Download",
            writing.prompt + writing.text,
            file_name="microllm.txt",
            mime="text/plain",
            key="download",
            icon=":material/download:",
            on_click="ignore",
        )


def _begin() -> None:
    st.session_state.pop("writing_problem", None)
    writings = session.window().writings
    if before := writings.get(session.run_id()):
        before.stop()
    now = session.model_shown(max_age=0.0)
    if now is None:
        st.session_state["writing_problem"] = "The model is still being made: try again in a second."
        return
    step, model = now
    try:
        writing = Writing(model, session.run().tokenizer, *session.wish(), step)
    except ValueError as problem:
        st.session_state["writing_problem"] = str(problem)
        return
    writings[session.run_id()] = writing
    writing.start()


def _show(writing: Writing, was_writing: bool) -> None:
    if was_writing and not writing.is_alive():
        st.rerun()  # the end of the timer, and the download
    st.code(writing.prompt + writing.text, language=None, wrap_lines=True)
    st.caption(
        f"{len(writing.text):,} characters, written by the model of step {writing.step:,}. When the "
        f"{session.run().info.model.block_size} characters that it can see are full, the oldest quarter is dropped and "
        "the rest read anew; in between it reads only the newest one (key-value cache)."
    )
