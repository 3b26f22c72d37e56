"""What the controls of the Train page say, on whichever page one is: settings, text and guess of the next run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace

import streamlit as st

from .. import texts
from ..builtin import BUILTIN_TEXTS
from ..config import ModelConfig, TrainConfig, configs_from, knobs
from ..download import TextProblem, load_text
from ..gutenberg import BOOK
from ..run_info import RunInfo
from ..runs import RunProblem, check_disk
from .shared import be_modest, book

TEXT_KEYS = {"source": "text", "how": "text-how", "first": "text-first"}
"""The widgets of a text: source, how it is turned, how much of it is taken."""

# ---- the settings


def draft() -> tuple[str, ModelConfig, TrainConfig]:
    """The preset and the configuration that the controls of the train page say, on whichever page one is.

    The widgets come first: in the callback of a button, what was typed just before the click stands only there.
    """
    preset = st.session_state.get("draft_preset", "quick")
    typed = {name: st.session_state[name] for name in knobs() if st.session_state.get(name) is not None}
    return preset, *configs_from(st.session_state.get("draft", {}) | typed, preset)


def remember_draft(preset: str, values: dict) -> None:
    """Keep what the controls say: Streamlit forgets widgets of a page that is not shown."""
    st.session_state["draft_preset"], st.session_state["draft"] = preset, values


def adopt(info: RunInfo, **changes) -> None:
    """Make the settings and the text of a run, with some changes, the draft of the next one."""
    set_draft(info.preset, asdict(info.model) | asdict(info.train) | changes)
    source = info.text.source
    if source == "book" or source in BUILTIN_TEXTS:
        choose_text(source, info.text.how, info.text.first)
    elif is_at_hand(info.text):
        st.session_state["own_text"] = info.text
        choose_text("own")


def set_draft(preset: str, values: dict) -> None:
    """Let the controls say this, on whichever page they stand."""
    remember_draft(preset, values)
    st.session_state.update(values | {"preset": preset})


# ---- the text


def choose_text(source: str, how: str = "none", first: int | None = None) -> None:
    """Let the controls say this text."""
    st.session_state["text_choice"] = choice = {"source": source, "how": how, "first": first}
    st.session_state.update({key: choice[name] for name, key in TEXT_KEYS.items()})


def text_choice() -> dict:
    """What the text controls say: source, how it is turned, and how much of it is taken."""
    choice = st.session_state.setdefault("text_choice", {"source": "book", "how": "none", "first": None})
    for name, key in TEXT_KEYS.items():
        choice[name] = st.session_state.get(key, choice[name])
    return choice


def text() -> texts.Text | None:
    """The chosen text, ready for a run. None while the book is still on its way. Raises TextProblem."""
    be_modest()
    choice = text_choice()
    source, how, first = choice["source"], choice["how"], choice["first"]
    if source == "book" and book().is_busy:
        return None
    if source == "book" and book().problem:
        source = "drawing-room"
    if source == "own":
        let_go_of_what_is_deleted()
        take_pasted()
        own = st.session_state.get("own_text")
        if own is None:
            raise TextProblem("No text yet: upload a file or paste some text.")
        if how == "none" and first is None:
            return own
        return replace(_kept("own", how, first, own.sha256, own.name), notice=own.notice)
    return _kept(source, how, first)


def _kept(*choice) -> texts.Text:
    prepared = _prepared(*choice)
    if not texts.is_kept(prepared):  # its last run was deleted, by whomever
        forget_texts()
        prepared = _prepared(*choice)
    return prepared


@st.cache_data(show_spinner=False, max_entries=32)
def _prepared(source: str, how: str, first: int | None, sha256: str = "", name: str = "") -> texts.Text:
    if source == "book":
        return texts.prepare(book().result, BOOK, how=how, first=first, source="book")
    if source == "own":
        return texts.prepare(load_text(sha256), name, how=how, first=first)
    return texts.made_here(source, how=how, first=first)


def forget_texts() -> None:
    """Prepare each chosen text anew: some may have been deleted."""
    _prepared.clear()


def let_go_of_what_is_deleted() -> None:
    """Forget one's own text that went with its last run: what stands in its fields is taken anew."""
    own = st.session_state.get("own_text")
    if own and not texts.is_kept(own):
        for key in ("own_text", "uploaded_id", "pasted_text"):
            st.session_state.pop(key, None)


def is_at_hand(text: texts.Text) -> bool:
    """True when `adopt` can choose this text: it can be had again, or is kept here."""
    return text.source == "book" or text.source in BUILTIN_TEXTS or texts.is_kept(text)


def take_pasted() -> None:
    """Take what was pasted since the last time as the person's own text."""
    pasted = st.session_state.get("pasted")
    if pasted and pasted != st.session_state.get("pasted_text"):
        st.session_state["pasted_text"] = pasted
        take(lambda: (pasted.replace("\r\n", "\n"), None), "Pasted text")


def take(read: Callable[[], tuple[str, str | None]], name: str) -> None:
    """Take a person's text, which `read` gives with a notice. Why it cannot be used is left in `own_text_problem`."""
    st.session_state["own_text_problem"] = None
    try:
        check_disk()
        content, notice = read()
        st.session_state["own_text"] = texts.prepare(content, name, notice=notice)
    except (TextProblem, RunProblem, OSError) as problem:
        st.session_state["own_text_problem"] = str(problem)


# ---- the guess


def guess() -> float | None:
    """What the person expects the last validation loss of the next run to be, in nats a character."""
    return st.session_state.get("guess")


def set_guess(loss: float) -> None:
    """Let the field of the guess say this."""
    st.session_state["guess"] = loss
