"""The choice of a text to learn: the book, one made here, or one's own; and what is done to it first."""

from __future__ import annotations

import streamlit as st

from .. import texts
from ..builtin import BUILTIN_TEXTS, TRANSFORMS
from ..decoding import ENCODINGS
from ..download import TextProblem
from ..gutenberg import BOOK
from . import next_run, session, shared, uploads
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
            f"{literal(book.problem)} Until you have it, Start uses {BUILTIN_TEXTS['drawing-room'].name}.",
            icon=":material/cloud_off:",
        )
        st.button("Try again", key="book-again", on_click=_try_book_again)


def _try_book_again() -> None:
    if shared.book().problem:  # else another window was first
        shared.book.clear()


def _book_progress() -> None:
    book = shared.book()
    if not book.is_busy:
        st.rerun()
    st.progress(book.share, text=f"Downloading *{BOOK}* from Project Gutenberg: {book.share:.0%}")
    st.button("Cancel", key="book-cancel", on_click=book.cancel)


def _own_text() -> None:
    st.file_uploader(
        "A plain text file (.txt), up to 200 MB", key="upload", max_upload_size=200, on_change=_give_up_removed
    )
    st.text_area(
        f"… or paste some text, up to {next_run.MOST_PASTED:,} characters (a longer one as a file)",
        key="pasted",
        height=120,
        max_chars=next_run.MOST_PASTED,
        persist_state="session",
    )
    st.caption(session.who_sees_own_texts())
    next_run.take_own()
    problem, own = st.session_state.get("own_text_problem"), st.session_state.get("own_text")
    if problem:
        st.error(literal(problem), icon=":material/description:")
    if own:
        st.text(f"Using: {own.name}" + (f", the earlier text of {own.characters:,} characters" if problem else ""))
        likely = st.session_state.get("likely_encoding")
        if next_run.is_from("upload") and uploads.uploaded("upload") is not None and likely in ENCODINGS:
            _encoding(own, likely)


def _give_up_removed() -> None:
    if st.session_state["upload"] is None:
        next_run.give_up("upload")


def _encoding(own: texts.Text, likely: str) -> None:
    """How a file begins whose bytes do not tell in which letters it is written, and the choice of others."""
    st.session_state.setdefault("encoding", likely)
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
    if uploads.uploaded("upload") is not None:
        next_run.take_uploaded(st.session_state["encoding"])
