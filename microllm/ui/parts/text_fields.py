"""The text fields that pages share: the sentence and the prompt."""

from __future__ import annotations

import contextlib

import streamlit as st

from ...data.decode import TextProblem
from ...jobs.samples import PROMPT, beginning_for
from ...tokenizer import visible_alone
from ..state import link, view
from ..state.session import session

LONGEST_PROMPT = 200
_TWO_LINES = 96  # pixels, with the label: the least that Streamlit allows


def need_a_run(sentence: str) -> None:
    """Without a run to look at, end the page here: say what it is for, and show the way to one."""
    if view.run():
        return
    st.info(sentence, icon=":material/model_training:")
    st.page_link("pages/train.py", label="Train a model", icon=":material/arrow_forward:")
    st.stop()


def sentence() -> str:
    """The sentence that all pages look at. Characters the model never met are named and left out."""
    _begin_with("sentence", view.SENTENCE)
    return _field("Your sentence", "sentence", link.SENTENCE_LENGTH)


def prompt() -> str:
    """What the model goes on from. Characters it never met are named and left out."""
    _begin_with(prompt_key(), PROMPT)
    return _field("Prompt", prompt_key(), LONGEST_PROMPT)


def prompt_written() -> str:
    """The prompt as it stands in its field, as far as it is taken: in a callback, what was typed just before too."""
    return st.session_state[prompt_key()][:LONGEST_PROMPT]


def prompt_key() -> str:
    """The key of the prompt's field, another one after each `set_prompt`: a tick on its way says the old value."""
    return f"prompt-{turn}" if (turn := session().prompt_version) else "prompt"


def set_prompt(text: str) -> None:
    """Put another prompt into its field, from a callback."""
    session().prompt_version = session().prompt_version + 1
    st.session_state[prompt_key()] = text


def _begin_with(key: str, words: str) -> None:
    """Put `words` into a field that nobody has written in; for a model that never met them, some of its own text."""
    offered = session().offered  # all that ever stood in a field and was not written there
    if st.session_state.get(key) in (None, *offered):
        with contextlib.suppress(TextProblem):  # a text that is not here
            words = beginning_for(view.run(), words)
        st.session_state[key] = words
        offered += [words] if words not in offered else []


def _field(label: str, key: str, longest: int) -> str:
    hint = "Enter begins a new line; Ctrl+Enter, or a click elsewhere, applies what you wrote."
    written = st.text_area(label, key=key, height=_TWO_LINES, placeholder=hint, persist_state="session")
    known = readable(written, longest)
    if not known:
        st.warning("There is nothing to go on from: write at least one character that the model knows.")
    elif len(known) > (size := view.run().read_info().model.block_size):
        st.caption(f"The model sees the last {size} characters before each guess (block_size).")
    return known


def readable(written: str, longest: int) -> str:
    """What the model on show can read of a text: its first `longest` characters, but for those that it never met.

    What is left out is named. (Streamlit's own limit drops all of a text that is pasted and too long, in silence.)
    """
    if len(written) > longest:
        st.caption(f"The first {longest:,} of its {len(written):,} characters are taken.")
        written = written[:longest]
    tokenizer = view.run().tokenizer
    unknown = tokenizer.unknown(written)
    if unknown:
        st.text(f"Left out, because the model has never met them: {' '.join(map(visible_alone, unknown))}")
        if other_form := tokenizer.other_form(written):
            st.caption(other_form)
    return "".join(c for c in written if c not in unknown)
