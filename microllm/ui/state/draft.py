"""What the controls of the Train page say, on whichever page one is: settings, text and guess of the next run."""

from __future__ import annotations

from dataclasses import asdict, replace

import streamlit as st

from ...config import ModelConfig, TrainConfig, configs_from, knobs
from ...data import texts
from ...data.builtin import BUILTIN_TEXTS
from ...data.decode import TextProblem, likely_encoding
from ...data.files import decode_text
from ...data.gutenberg import BOOK
from ...data.store import load_text
from ...data.texts import PASTED
from ...runs import catalog
from ...runs.disk import check_disk
from ...runs.info import RunInfo, RunProblem
from ..server import book, use_one_thread
from . import uploads
from .link import Link
from .session import knob_key, session

TEXT_KEYS = {"source": "text", "how": "text-how", "first": "text-first"}
"""The widgets of a text: source, how it is turned, how much of it is taken."""

MOST_PASTED = 1_000_000
"""Most characters in a box for a pasted text: a browser sends all of it again with every click on the page, and the
server closes the connection at a message of 25 MB.
"""

# ---- the settings


def draft() -> tuple[str, ModelConfig, TrainConfig]:
    """The preset and the configuration that the controls of the train page say, on whichever page one is.

    The widgets come first: in the callback of a button, what was typed just before the click stands only there.
    """
    preset = session().preset
    typed = {name: st.session_state.get(knob_key(name)) for name in knobs()}
    typed = {name: value for name, value in typed.items() if value is not None}
    return preset, *configs_from((session().settings or {}) | typed, preset)


def remember_draft(preset: str, values: dict) -> None:
    """Keep what the controls say: Streamlit forgets widgets of a page that is not shown."""
    session().preset, session().settings = preset, values


def adopt(info: RunInfo, **changes) -> None:
    """Make the settings and the text of a run, with some changes, the draft of the next one."""
    set_draft(info.preset, asdict(info.model) | asdict(info.train) | changes)
    source = info.text.source
    if source == "book" or source in BUILTIN_TEXTS:
        choose_text(source, info.text.how, info.text.first)
    elif is_at_hand(info.text):
        session().own.text, session().own.field = info.text, None
        choose_text("own")


def said() -> Link:
    """All that the controls say about the next run."""
    preset, model, train = draft()
    choice, own = text_choice(), session().own.text
    return Link(
        preset,
        asdict(model) | asdict(train),
        choice["source"],
        choice["how"],
        choice["first"],
        own=(own.sha256, own.name, own.encoding) if own and choice["source"] == "own" else None,
        guess=guess(),
    )


def follow(said: Link) -> list[str]:
    """Let the controls say what a link says. Sentences about what it says in vain."""
    wrong = list(said.wrong)
    if said.preset or said.values:
        preset = said.preset or "quick"
        model, train = configs_from(said.values, preset)
        set_draft(preset, asdict(model) | asdict(train))
    if said.text:
        choose_text(said.text, said.transform, said.first)
    if said.own and (problem := _take_kept(*said.own)):
        wrong.append(problem)
    if said.guess is not None:
        set_guess(said.guess)
    return wrong


def set_draft(preset: str, values: dict) -> None:
    """Let the controls say this, on whichever page they stand."""
    remember_draft(preset, values)
    set_knobs(values)
    st.session_state["preset"] = preset


def set_knobs(values: dict) -> None:
    """Let the knobs say this."""
    st.session_state.update({knob_key(name): value for name, value in values.items()})


# ---- the text


def choose_text(source: str, how: str = "none", first: int | None = None) -> None:
    """Let the controls say this text."""
    session().text_choice = choice = {"source": source, "how": how, "first": first}
    st.session_state.update({key: choice[name] for name, key in TEXT_KEYS.items()})


def text_choice() -> dict:
    """What the text controls say: source, how it is turned, and how much of it is taken."""
    choice = session().text_choice
    for name, key in TEXT_KEYS.items():
        choice[name] = st.session_state.get(key, choice[name])
    return choice


def text() -> texts.Text | None:
    """The chosen text, ready for a run. None while the book is still on its way. Raises TextProblem."""
    use_one_thread()
    choice = text_choice()
    source, how, first = choice["source"], choice["how"], choice["first"]
    if source == "book" and book().is_busy:
        return None
    if source == "book" and book().problem:
        source = "drawing-room"
    if source == "own":
        take_own()
        own = session().own.text
        if own is None:
            raise TextProblem("No text yet: upload a file or paste some text.")
        if how == "none" and first is None:
            return own
        made = _kept("own", how, first, own.sha256, own.name)
        return replace(made, notice=own.notice, source=own.source, encoding=own.encoding)
    return _kept(source, how, first)


def _kept(source: str, how: str, first: int | None, *own: str) -> texts.Text:
    """The chosen text, kept. Of those that were cut or changed a window keeps one, and those that runs have learned."""
    is_made = how != "none" or first is not None
    before = session().modified_text
    prepared = _prepared(source, how, first, *own)
    if not texts.is_kept(prepared):  # its last run was deleted, or another window chose another one
        forget_texts()
        prepared = _prepared(source, how, first, *own)
    if before not in (None, prepared.sha256):
        catalog.forget_unused({before})
    session().modified_text = prepared.sha256 if is_made else None
    return prepared


@st.cache_data(show_spinner=False, max_entries=32)
def _prepared(source: str, how: str, first: int | None, sha256: str = "", name: str = "") -> texts.Text:
    try:
        check_disk()
    except RunProblem as problem:
        raise TextProblem(str(problem)) from problem
    if source == "book":
        return texts.prepare(book().result, BOOK, how=how, first=first, source="book")
    if source == "own":
        return texts.prepare(load_text(sha256), name, how=how, first=first)
    return texts.made_here(source, how=how, first=first)


def forget_texts() -> None:
    """Prepare each chosen text anew: some may have been deleted."""
    _prepared.clear()


def take_own() -> None:
    """Make what stands in the fields of one's own text, and was not there before, the person's text."""
    _let_go_of_what_is_deleted()
    pasted, before = st.session_state.get("pasted"), session().own.pasted
    if pasted is not None and pasted != (before or ""):
        session().own.pasted = pasted
        if pasted.strip():
            _take("pasted", pasted.encode("utf-8", "surrogatepass"), PASTED)
        else:
            give_up("pasted")
    uploaded = uploads.uploaded("upload")
    if uploaded is not None and uploaded.file_id != session().own.upload_id:
        session().own.upload_id = uploaded.file_id
        _take_uploaded()


def choose_encoding(encoding: str) -> None:
    """Read the uploaded file in this encoding, a key of ENCODINGS."""
    if (uploaded := uploads.uploaded("upload")) is not None:
        session().own.encoding = uploaded.file_id, encoding
        _take_uploaded()


def encodings() -> tuple[str | None, str | None]:
    """(the encoding that was chosen for the uploaded file, what it was read as before if something was assumed)."""
    file_id, encoding = session().own.encoding
    uploaded = uploads.uploaded("upload")
    return encoding if uploaded and file_id == uploaded.file_id else None, session().own.likely_encoding


def _take_uploaded() -> None:
    uploaded, (encoding, _) = uploads.uploaded("upload"), encodings()
    if uploaded is None or (data := uploads.content(uploaded)) is None:
        session().own.problem = "The file that you uploaded is not here any more: choose it again."
        return
    own = _take("upload", data, uploaded.name, encoding)
    if encoding is None:
        st.session_state.pop("encoding", None)
        session().own.likely_encoding = likely_encoding(data) if own and own.notice else None


def _take(field: str, data: bytes, name: str, encoding: str | None = None) -> texts.Text | None:
    """Take a person's text from a field. Why it cannot be used is left in `own_text_problem`; the one before stays."""
    session().own.problem = None
    try:
        check_disk()
        content, notice = decode_text(data, name, encoding)
        own = texts.prepare(content, name, notice=notice, encoding=encoding)
    except (TextProblem, RunProblem, OSError) as problem:
        session().own.problem = str(problem)
        if session().own.text is None and (before := session().own.removed):
            session().own.text, session().own.field = before, field
        return None
    session().own.removed = None
    session().own.text, session().own.field = own, field
    return own


def is_from(field: str) -> bool:
    """True when the person's own text is what stands in this field: "upload" or "pasted"."""
    return session().own.text is not None and session().own.field == field


def give_up(field: str) -> None:
    """Use no longer what stood in this field, which was emptied; what still stands in the other is taken anew."""
    session().own.problem = None
    if is_from(field):
        # a file that is replaced by another one is first removed: if that one cannot be used, this text comes back
        own = session().own
        own.removed, own.text = own.text, None
        if field == "pasted":
            own.upload_id = None
        else:
            own.pasted = None


def _let_go_of_what_is_deleted() -> None:
    """Forget one's own text that went with its last run: what stands in its field is taken anew."""
    own = session().own
    if own.text is None or texts.is_kept(own.text):
        return
    if not is_from("pasted"):
        own.upload_id = None
    if not is_from("upload"):
        own.pasted = None
    own.text = None


def is_at_hand(text: texts.Text) -> bool:
    """True when `adopt` can choose this text: it can be had again, or is kept here."""
    return text.source == "book" or text.source in BUILTIN_TEXTS or texts.is_kept(text)


def _take_kept(sha256: str, name: str, encoding: str | None) -> str | None:
    """Take a text that was kept here before as the person's own; or the sentence that says why not."""
    if (own := session().own.text) and own.sha256 == sha256:
        return None
    try:
        content = load_text(sha256)
        own = texts.prepare(content, name, encoding=encoding)
    except (TextProblem, OSError):
        problem = f"Your text {name!r} is not kept on this server any more: choose it again."
        session().own.text, session().own.problem = None, problem
        return problem
    session().own.text, session().own.problem = own, None
    session().own.field = "pasted" if name == PASTED else "upload"
    if name == PASTED and len(content) <= MOST_PASTED:  # it stands in its box again
        st.session_state["pasted"] = session().own.pasted = content
    return None


# ---- the guess


def guess() -> float | None:
    """What the person expects the last validation loss of the next run to be, in nats a character."""
    return st.session_state.get("guess")


def set_guess(loss: float) -> None:
    """Let the field of the guess say this."""
    st.session_state["guess"] = loss
