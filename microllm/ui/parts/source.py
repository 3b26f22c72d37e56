"""The choice of a text: a published or built-in one, or the user's own; and how it is modified."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from ...data import texts
from ...data.builtin import BUILTIN_TEXTS, TRANSFORMS
from ...data.decode import ENCODINGS, TextProblem
from ...data.download import kept
from ...data.published import PUBLIC_TEXTS, PUBLISHED_TEXTS
from .. import server
from ..state import draft, ownership, uploads
from ..state.session import session
from ..state.view import View, why_no_text
from ..words import literal, percent
from .live import live

_OWN = "own"
_PREVIEW_CHARACTERS = 200


def text() -> texts.Text | None:
    """The choice of a text. None if it cannot be used now: the page then says why."""
    choice = draft.text_choice()
    for name, key in draft.TEXT_KEYS.items():
        st.session_state.setdefault(key, choice[name])
    choice["source"] = st.selectbox(
        "Text to learn",
        [*PUBLIC_TEXTS, _OWN],
        format_func=_label,
        key="text",
        persist_state="session",
        help="The last 10 % of a text is held out for validation.",
    )
    with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="xsmall", key="text-row"):
        size = st.container(width="stretch")
        change = st.popover("Modify", key="text-change")
    if choice["source"] in PUBLISHED_TEXTS:
        _published(choice["source"])
    elif choice["source"] == _OWN:
        _own_text()
    else:
        st.caption(BUILTIN_TEXTS[choice["source"]].purpose)
    with change:
        choice["how"] = st.selectbox(
            "Modification",
            list(TRANSFORMS),
            format_func=lambda how: TRANSFORMS[how].label,
            key="text-how",
            persist_state="session",
            help="From shuffled letters the model can learn only letter frequencies; from shuffled words, only "
            "spelling.",
        )
        choice["first"] = st.number_input(
            "Use only the first N characters (empty = all)",
            min_value=20,
            value=None,
            step=1_000,
            key="text-first",
            persist_state="session",
        )
    try:
        chosen = draft.text()
    except TextProblem as problem:
        if choice["source"] != _OWN or not session().own.problem:  # else it is shown below its field
            show = st.info if draft.has_no_own_text() else st.error
            show(literal(str(problem)), icon=":material/description:")
        return None
    if chosen:
        vocab_size = texts.load_corpus(chosen.sha256).vocab_size
        size.caption(f"{chosen.characters:,} characters, {vocab_size} different")
        if chosen.notice:
            st.warning(literal(chosen.notice), icon=":material/translate:")
    return chosen


def _label(source: str) -> str:
    if source in PUBLISHED_TEXTS:
        return f"{PUBLISHED_TEXTS[source].name} ({PUBLISHED_TEXTS[source].size / 1e6:.1f} MB)"
    return "Your own text" if source == _OWN else BUILTIN_TEXTS[source].name


def _published(key: str) -> None:
    st.caption(PUBLISHED_TEXTS[key].note)
    is_here(key, "download", lambda: f"Until it is downloaded, Start uses {literal(_name_in_use())}.")


def is_here(key: str, place: str, meanwhile: Callable[[], str] = str) -> bool:
    """True when a published text is on this server.

    Otherwise it shows the download, or why that failed and what to do `meanwhile`. The keys of the buttons begin with
    `place`.
    """
    download = server.published(key)
    download.wait(0.3)  # enough to read a stored text
    if download.is_busy:
        live(lambda _: _progress(key, place), 0.5, key=f"{place}-progress")
    elif download.problem:
        st.warning(f"{literal(download.problem)} {meanwhile()}", icon=":material/cloud_off:")
        st.button("Try again", key=f"{place}-again", on_click=_try_again, args=(key,))
    else:
        return True
    return False


def bring(view: View, place: str) -> None:
    """For a page that needs the text of the displayed run: its download, or why there is none."""
    text = view.info.text
    if text.source not in PUBLISHED_TEXTS or kept(PUBLISHED_TEXTS[text.source]):
        st.caption(literal(why_no_text(view.run)))
    elif is_here(text.source, place):
        st.rerun()


def _name_in_use() -> str:
    source, own = draft.source_in_use(), session().own.text
    return own.name if own and source == "own" else PUBLIC_TEXTS[source].name


def _try_again(key: str) -> None:
    if server.published(key).problem:  # else another window has already tried again
        server.published.clear(key)


def _progress(key: str, place: str) -> None:
    download = server.published(key)
    if not download.is_busy:
        st.rerun()
    st.progress(download.share, text=f"Downloading *{PUBLISHED_TEXTS[key].name}*: {percent(download.share)}")
    st.button("Cancel", key=f"{place}-cancel", on_click=download.cancel)


def _own_text() -> None:
    st.file_uploader(
        "Plain text file (.txt), up to 200 MB", key="upload", max_upload_size=200, on_change=_forget_removed_file
    )
    st.text_area(
        f"… or paste up to {draft.MAX_PASTED_CHARACTERS:,} characters",
        key="pasted",
        height=120,
        max_chars=draft.MAX_PASTED_CHARACTERS,
        persist_state="session",
    )
    st.caption(ownership.who_sees_own_texts())
    draft.read_own_fields()
    problem, own = session().own.problem, session().own.text
    if problem:
        st.error(literal(problem), icon=":material/description:")
    if own:
        st.text(f"Using: {own.name}" + (f" (your previous text, {own.characters:,} characters)" if problem else ""))
        chosen, likely = draft.encodings()
        if draft.is_from("upload") and uploads.uploaded("upload") is not None and likely in ENCODINGS:
            st.session_state.setdefault("encoding", chosen or likely)
            _encoding(own)


def _forget_removed_file() -> None:
    if st.session_state["upload"] is None:
        draft.field_emptied("upload")


def _encoding(own: texts.Text) -> None:
    """The beginning of a file whose encoding had to be assumed, and a choice of other encodings."""
    corpus = texts.load_corpus(own.sha256)
    st.code(corpus.tokenizer.decode(corpus.train[:_PREVIEW_CHARACTERS].tolist()), language=None, wrap_lines=True)
    st.selectbox(
        "If these letters look wrong, choose another encoding",
        list(ENCODINGS),
        format_func=ENCODINGS.get,
        key="encoding",
        on_change=_choose_encoding,
    )


def _choose_encoding() -> None:
    draft.choose_encoding(st.session_state["encoding"])
