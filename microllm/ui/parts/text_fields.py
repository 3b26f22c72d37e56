"""The text fields that pages share: the sentence and the prompt."""

from __future__ import annotations

import contextlib

import streamlit as st

from ...data.decode import TextProblem
from ...jobs.samples import PROMPT, prompt_for
from ...tokenizer import CharTokenizer, visible_alone
from ..state import link
from ..state.session import session
from ..state.view import SENTENCE, View

MAX_PROMPT_CHARACTERS = 200
_TWO_LINES = 96  # pixels, with the label: the minimum that Streamlit allows


def sentence(view: View, *, is_for_model: bool = True) -> str:
    """The sentence that all pages share, without characters that the model does not know; those are named.

    If it `is_for_model`, and not for a counting table, a long one has a note on how far back the model sees.
    """
    _set_default(view, "sentence", SENTENCE)
    return _field(view, "Your sentence", "sentence", link.SENTENCE_LENGTH, is_for_model)


def prompt(view: View, *, is_for_model: bool = True) -> str:
    """The prompt, in the same way as `sentence`."""
    _set_default(view, prompt_key(), PROMPT)
    return _field(view, "Prompt", prompt_key(), MAX_PROMPT_CHARACTERS, is_for_model)


def typed_prompt() -> str:
    """The prompt in its field, up to the limit. In a callback this includes what was typed just before."""
    return st.session_state[prompt_key()][:MAX_PROMPT_CHARACTERS]


def prompt_key() -> str:
    """The key of the prompt's field. Each `set_prompt` makes a new one: a tick in progress has the old value."""
    return f"prompt-{version}" if (version := session().prompt_version) else "prompt"


def set_prompt(text: str) -> None:
    """Put another prompt into its field, from a callback."""
    session().prompt_version += 1
    st.session_state[prompt_key()] = text


def _set_default(view: View, key: str, words: str) -> None:
    """Put `words` into a field that nobody has edited; if the run's text lacks them, a piece of that text."""
    defaults = session().offered  # everything that a field has had as its default
    if st.session_state.get(key) in (None, *defaults):
        with contextlib.suppress(TextProblem):  # the text is not on this server
            words = prompt_for(view.run, words)
        st.session_state[key] = words
        defaults += [words] if words not in defaults else []


def _field(view: View, label: str, key: str, max_characters: int, is_for_model: bool) -> str:
    hint = "Enter starts a new line. Ctrl+Enter or a click elsewhere applies your text."
    written = st.text_area(label, key=key, height=_TWO_LINES, placeholder=hint, persist_state="session")
    known = readable(view.run.tokenizer, written, max_characters)
    if not known:
        st.warning("Write at least one character that the model knows.")
    elif is_for_model and len(known) > (size := view.info.model.block_size):
        st.caption(f"The model sees at most the last {size} characters when it predicts the next one (block_size).")
    return known


def readable(tokenizer: CharTokenizer, written: str, max_characters: int) -> str:
    """The first `max_characters` of a text, without those that the model does not know.

    What is left out is named. (Streamlit's own limit drops the whole of a pasted text that is too long, silently.)
    """
    if len(written) > max_characters:
        st.caption(f"Only the first {max_characters:,} of {len(written):,} characters are used.")
        written = written[:max_characters]
    unknown = tokenizer.unknown(written)
    if unknown:
        st.text(f"Left out, because the model does not know them: {' '.join(map(visible_alone, unknown))}")
        if other_form := tokenizer.other_form(written):
            st.caption(other_form)
    return "".join(c for c in written if c not in unknown)
