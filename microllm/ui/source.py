"""The choice of a text to learn: the book, one made here, or one's own; and what is done to it first."""

from __future__ import annotations

import streamlit as st

from .. import texts
from ..builtin import BUILTIN_TEXTS, TRANSFORMS
from ..download import BOOK, ENCODINGS, TextProblem, decode_text
from . import next_run, session, shared
from .frame import live
from .words import literal

_TEXTS = {"book": BOOK} | {key: made.name for key, made in BUILTIN_TEXTS.items()} | {"own": "My own text"}
_PREVIEW = 200  # characters


def text() -> texts.Text | None:
    """The choice of a text. None while there is none to train on; the reason is on the page then."""
    choice = next_run.text_choice()
    for name, key in next_run.TEXT_KEYS.items():
        st.session_state.setdefault(key, choice[name])
    choice["source"] = st.selectbox(
        "Text to learn",
        list(_TEXTS),
        format_func=_TEXTS.get,
        key="text",
        persist_state="session",
    )
    if choice["source"] == "book":
        _book_status()
    elif choice["source"] == "own":
        _own_text()
    else:
        st.caption(BUILTIN_TEXTS[choice["source"]].purpose)
    with st.popover("Change the text first", key="text-change"):
        choice["how"] = st.selectbox(
            "Take it",
            list(TRANSFORMS),
            format_func=lambda how: TRANSFORMS[how].label,
            key="text-how",
            persist_state="session",
            help="With the letters shuffled, only their frequencies can be learned; with the words, only spelling.",
        )
        choice["first"] = st.number_input(
            "Only the first characters (empty: all)",
            min_value=20,
            value=None,
            step=1_000,
            key="text-first",
            persist_state="session",
        )
    try:
        chosen = next_run.text()
    except TextProblem as problem:
        st.error(literal(str(problem)), icon=":material/description:")
        return None
    if chosen:
        characters = texts.load_corpus(chosen.sha256).vocab_size
        st.caption(f"{chosen.characters:,} characters, {characters} different; the last tenth is held out.")
        if chosen.notice:
            st.warning(literal(chosen.notice), icon=":material/translate:")
    return chosen


def _book_status() -> None:
    book = shared.book()
    book.wait(0.3)  # a kept book is here at once
    if book.is_busy:
        live(_book_progress, 0.5, key="book-progress")
    elif book.problem:
        st.warning(
            f"{literal(book.problem)} Until then Start uses {BUILTIN_TEXTS['drawing-room'].name}.",
            icon=":material/wifi_off:",
        )
        st.button("Try again", key="book-again", on_click=shared.book.clear)


def _book_progress() -> None:
    book = shared.book()
    if not book.is_busy:
        st.rerun()
    st.progress(book.share, text=f"Fetching *{BOOK}* from Project Gutenberg")


def _own_text() -> None:
    uploaded = st.file_uploader("A plain text file (.txt), up to 200 MB", key="upload", max_upload_size=200)
    st.text_area(
        f"… or paste some text, up to {next_run.MOST_PASTED:,} characters (a longer one as a file)",
        key="pasted",
        height=120,
        max_chars=next_run.MOST_PASTED,
        persist_state="session",
    )
    st.caption(session.who_sees_own_texts())
    next_run.let_go_of_what_is_deleted()
    if uploaded is not None and uploaded.file_id != st.session_state.get("uploaded_id"):
        st.session_state["uploaded_id"] = uploaded.file_id
        st.session_state.pop("encoding", None)
        _take(uploaded)
        st.rerun()  # what was drawn before does not know this text yet
    next_run.take_pasted()
    if problem := st.session_state.get("own_text_problem"):
        st.error(literal(problem), icon=":material/description:")
    if own := st.session_state.get("own_text"):
        st.text(f"Using: {own.name}")
        is_guessed = own.notice or "encoding" in st.session_state  # a choice of letters leaves no notice
        if uploaded is not None and own.name == uploaded.name and is_guessed:
            _encoding(own)


def _take(uploaded, encoding: str | None = None) -> None:
    next_run.take(lambda: decode_text(uploaded.getvalue(), uploaded.name, encoding), uploaded.name)


def _encoding(own: texts.Text) -> None:
    """How a file begins whose bytes do not tell in which letters it is written, and the choice of others."""
    corpus = texts.load_corpus(own.sha256)
    st.code(corpus.tokenizer.decode(corpus.train[:_PREVIEW].tolist()), language=None, wrap_lines=True)
    st.selectbox(
        "If these letters look wrong, read it as",
        list(ENCODINGS),
        format_func=ENCODINGS.get,
        key="encoding",
        on_change=_read_again,
    )


def _read_again() -> None:
    if (uploaded := st.session_state.get("upload")) is not None:
        _take(uploaded, st.session_state["encoding"])
