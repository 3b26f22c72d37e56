"""The choice of a text to learn: the book, one made here, or one's own; and what is done to it first."""

from __future__ import annotations

import streamlit as st

from ...data import texts
from ...data.builtin import BUILTIN_TEXTS, TRANSFORMS
from ...data.decode import ENCODINGS, TextProblem
from ...data.gutenberg import BOOK
from .. import server
from ..state import draft, ownership, uploads
from ..state.session import session
from ..words import literal
from .live import live

_TEXTS = {"book": BOOK} | {key: made.name for key, made in BUILTIN_TEXTS.items()} | {"own": "My own text"}
_PREVIEW = 200  # characters


def text() -> texts.Text | None:
    """The choice of a text. None while there is none to train on; the reason is on the page then."""
    choice = draft.text_choice()
    for name, key in draft.TEXT_KEYS.items():
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
        chosen = draft.text()
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
    book = server.book()
    book.wait(0.3)  # a kept book is here at once
    if book.is_busy:
        live(lambda _: _book_progress(), 0.5, key="book-progress")
    elif book.problem:
        st.warning(
            f"{literal(book.problem)} Until you have it, Start uses {BUILTIN_TEXTS['drawing-room'].name}.",
            icon=":material/cloud_off:",
        )
        st.button("Try again", key="book-again", on_click=_try_book_again)


def _try_book_again() -> None:
    if server.book().problem:  # else another window was first
        server.book.clear()


def _book_progress() -> None:
    book = server.book()
    if not book.is_busy:
        st.rerun()
    st.progress(book.share, text=f"Downloading *{BOOK}* from Project Gutenberg: {book.share:.0%}")
    st.button("Cancel", key="book-cancel", on_click=book.cancel)


def _own_text() -> None:
    st.file_uploader(
        "A plain text file (.txt), up to 200 MB", key="upload", max_upload_size=200, on_change=_give_up_removed
    )
    st.text_area(
        f"… or paste some text, up to {draft.MOST_PASTED:,} characters (a longer one as a file)",
        key="pasted",
        height=120,
        max_chars=draft.MOST_PASTED,
        persist_state="session",
    )
    st.caption(ownership.who_sees_own_texts())
    draft.take_own()
    problem, own = session().own.problem, session().own.text
    if problem:
        st.error(literal(problem), icon=":material/description:")
    if own:
        st.text(f"Using: {own.name}" + (f", the earlier text of {own.characters:,} characters" if problem else ""))
        chosen, likely = draft.encodings()
        if draft.is_from("upload") and uploads.uploaded("upload") is not None and likely in ENCODINGS:
            st.session_state.setdefault("encoding", chosen or likely)
            _encoding(own)


def _give_up_removed() -> None:
    if st.session_state["upload"] is None:
        draft.give_up("upload")


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
    draft.choose_encoding(st.session_state["encoding"])
