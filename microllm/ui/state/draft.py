"""The draft: settings, text and guess of the next run, as set by the controls of the Train page, on every page."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from ...config import ModelConfig, TrainConfig, configs_from, flat, knobs
from ...data import texts
from ...data.decode import TextProblem, likely_encoding
from ...data.files import decode_text
from ...data.published import PUBLIC_TEXTS, PUBLISHED_TEXTS
from ...data.store import load_text
from ...data.texts import PASTED
from ...runs import catalog
from ...runs.disk import check_disk
from ...runs.info import RunInfo, RunProblem
from ..server import published, use_one_thread
from . import uploads
from .link import Link
from .session import knob_key, session

TEXT_KEYS = {"source": "text", "how": "text-how", "first": "text-first"}
"""The keys of the text's widgets: its source, how it is modified, and how many characters are used."""

MAX_PASTED_CHARACTERS = 1_000_000
"""The most characters of a pasted text. A browser sends all of it again with every click on the page, and the server
closes the connection at a message of 25 MB.
"""

# ---- the settings


def draft() -> tuple[str, ModelConfig, TrainConfig]:
    """(preset, model, train) as the controls have them.

    Values of widgets have priority: in a button's callback, what was typed just before the click is only there.
    """
    preset = session().preset
    typed = {name: st.session_state.get(knob_key(name)) for name in knobs()}
    typed = {name: value for name, value in typed.items() if value is not None}
    return preset, *configs_from((session().settings or {}) | typed, preset)


def remember_draft(preset: str, values: dict) -> None:
    """Keep the settings: Streamlit forgets the widgets of a page that is not shown."""
    session().preset, session().settings = preset, values


def adopt(info: RunInfo, **changes) -> None:
    """Use the settings and the text of a run, with some changes, as the draft."""
    set_draft(info.preset, flat(info.model, info.train) | changes)
    source = info.text.source
    if source in PUBLIC_TEXTS:
        choose_text(source, info.text.how, info.text.first)
    elif is_at_hand(info.text):
        session().own.text, session().own.field = info.text, None
        choose_text("own")


def to_link() -> Link:
    """The draft as a link."""
    preset, model, train = draft()
    choice, own = text_choice(), session().own.text
    return Link(
        preset,
        flat(model, train),
        choice["source"],
        choice["how"],
        choice["first"],
        own=(own.sha256, own.name, own.encoding) if own and choice["source"] == "own" else None,
        guess=guess(),
    )


def apply_link(link: Link) -> dict[str, str | None]:
    """Set the controls to what a link says. Returns what could not be used, as `Session.notes` has it."""
    problems = {problem: link.ignored.get(problem) for problem in link.wrong}
    if link.preset or link.values:
        preset = link.preset or "quick"
        set_draft(preset, flat(*configs_from(link.values, preset)))
    if link.text:
        choose_text(link.text, link.transform, link.first)
    if link.own and (problem := _load_own(*link.own)):
        problems[problem] = None
    if link.guess is not None:
        set_guess(link.guess)
    return problems


def in_use(name: str) -> str:
    """What the controls have for something that a link can name, as a link says it."""
    preset, model, train = draft()
    choice = text_choice()
    values = flat(model, train) | {"preset": preset, "text": choice["source"], "transform": choice["how"]}
    values["first"] = choice["first"] or "the whole text"
    value = values[name]
    return str(value).lower() if isinstance(value, bool) else str(value) or "none"


def set_draft(preset: str, values: dict) -> None:
    """Set the preset and the knobs, from any page."""
    remember_draft(preset, values)
    set_knobs(values)
    st.session_state["preset"] = preset


def set_knobs(values: dict) -> None:
    """Set the widgets of the knobs."""
    st.session_state.update({knob_key(name): value for name, value in values.items()})


# ---- the text


def choose_text(source: str, how: str = "none", first: int | None = None) -> None:
    """Set the controls of the text."""
    session().text_choice = choice = {"source": source, "how": how, "first": first}
    st.session_state.update({key: choice[name] for name, key in TEXT_KEYS.items()})


def text_choice() -> dict:
    """The controls of the text: source, how it is modified, and how many characters are used."""
    choice = session().text_choice
    for name, key in TEXT_KEYS.items():
        choice[name] = st.session_state.get(key, choice[name])
    return choice


def text() -> texts.Text | None:
    """The chosen text, ready for a run. None while it is still downloading. Raises TextProblem."""
    use_one_thread()
    choice = text_choice()
    source = source_in_use()
    if source is None:
        return None
    chosen = (_own if source == "own" else _kept)(source, choice["how"], choice["first"])
    session().usable_source = source
    return chosen


def public_text(source: str, how: str = "none", first: int | None = None) -> texts.Text | None:
    """A public text, ready for a run, whatever is chosen. None while it is still downloading. Raises TextProblem."""
    use_one_thread()
    return None if source in PUBLISHED_TEXTS and published(source).is_busy else _kept(source, how, first)


def source_in_use() -> str | None:
    """The source of the chosen text; None while it is downloading. If that failed, the last source that worked."""
    source = text_choice()["source"]
    if source in PUBLISHED_TEXTS and published(source).is_busy:
        return None
    if source in PUBLISHED_TEXTS and published(source).problem:
        return session().usable_source
    return source


def has_no_own_text() -> bool:
    """True while the user's own text is chosen but none was given yet, which is not an error."""
    own = session().own
    return text_choice()["source"] == "own" and own.text is None and own.problem is None


def _own(source: str, how: str, first: int | None) -> texts.Text:
    read_own_fields()
    own = session().own.text
    if own is None:
        raise TextProblem(session().own.problem or "No text yet: upload a file or paste some text.")
    if how == "none" and first is None:
        return own
    made = _kept(source, how, first, own.sha256, own.name)
    return replace(made, notice=own.notice, source=own.source, encoding=own.encoding)


def whole_text(source: str) -> texts.Text:
    """The whole of a public text or of the user's own, if there is one. Raises TextProblem."""
    return session().own.text if source == "own" else _kept(source, "none", None)


def _kept(*choice) -> texts.Text:
    prepared = _prepared(*choice)
    if texts.is_kept(prepared):
        return prepared
    forget_texts()  # its last run was deleted, or another window chose another text
    return _prepared(*choice)


@st.cache_data(show_spinner=False, max_entries=32)
def _prepared(source: str, how: str, first: int | None, sha256: str = "", name: str = "") -> texts.Text:
    try:
        check_disk()
    except RunProblem as problem:
        raise TextProblem(str(problem)) from problem
    if source in PUBLISHED_TEXTS:
        content = published(source).get(0)
        prepared = texts.prepare(content, PUBLISHED_TEXTS[source].name, how=how, first=first, source=source)
    elif source == "own":
        prepared = texts.prepare(load_text(sha256), name, how=how, first=first)
    else:
        prepared = texts.made_here(source, how=how, first=first)
    catalog.limit_unused_texts()
    return prepared


def forget_texts() -> None:
    """Prepare each chosen text again: some may have been deleted."""
    _prepared.clear()


# ---- the user's own text


def read_own_fields() -> None:
    """Use new contents of the paste box or the file field as the user's own text."""
    _forget_deleted()
    pasted, before = st.session_state.get("pasted"), session().own.pasted
    if pasted is not None and pasted != (before or ""):
        session().own.pasted = pasted
        if pasted.strip():
            _use("pasted", pasted.encode("utf-8", "surrogatepass"), PASTED)
        else:
            field_emptied("pasted")
    uploaded = uploads.uploaded("upload")
    if uploaded is not None and uploaded.file_id != session().own.upload_id:
        session().own.upload_id = uploaded.file_id
        _use_upload()


def choose_encoding(encoding: str) -> None:
    """Read the uploaded file in this encoding, a key of ENCODINGS."""
    if (uploaded := uploads.uploaded("upload")) is not None:
        session().own.encoding = uploaded.file_id, encoding
        _use_upload()


def encodings() -> tuple[str | None, str | None]:
    """(the encoding chosen for the uploaded file, the one that was assumed before, if any)."""
    file_id, encoding = session().own.encoding
    uploaded = uploads.uploaded("upload")
    return encoding if uploaded and file_id == uploaded.file_id else None, session().own.likely_encoding


def _use_upload() -> None:
    uploaded, (encoding, _) = uploads.uploaded("upload"), encodings()
    if uploaded is None or (data := uploads.content(uploaded)) is None:
        session().own.problem = "The upload has expired. Choose the file again."
        return
    own = _use("upload", data, uploaded.name, encoding)
    if encoding is None:
        st.session_state.pop("encoding", None)
        session().own.likely_encoding = likely_encoding(data) if own and own.notice else None


def _use(field: str, data: bytes, name: str, encoding: str | None = None) -> texts.Text | None:
    """Use the contents of a field as the user's own text.

    If that fails, `own.problem` says why, and the previous text stays.
    """
    session().own.problem = None
    try:
        check_disk()
        content, notice = decode_text(data, name, encoding)
        own = texts.prepare(content, name, notice=notice, encoding=encoding)
        catalog.limit_unused_texts()
    except (TextProblem, RunProblem, OSError) as problem:
        session().own.problem = str(problem)
        if session().own.text is None and (before := session().own.removed):
            session().own.text, session().own.field = before, field
        return None
    session().own.removed = None
    session().own.text, session().own.field = own, field
    return own


def is_from(field: str) -> bool:
    """True when the user's own text comes from this field: "upload" or "pasted"."""
    return session().own.text is not None and session().own.field == field


def field_emptied(field: str) -> None:
    """Stop using the text of a field that was emptied. The other field is read again."""
    session().own.problem = None
    if is_from(field):
        # the browser removes a file before it replaces it: if the new file cannot be used, this text comes back
        own = session().own
        own.removed, own.text = own.text, None
        if field == "pasted":
            own.upload_id = None
        else:
            own.pasted = None


def _forget_deleted() -> None:
    """Forget the user's own text if it was deleted with its last run. Its field is read again."""
    own = session().own
    if own.text is None or texts.is_kept(own.text):
        return
    if not is_from("pasted"):
        own.upload_id = None
    if not is_from("upload"):
        own.pasted = None
    own.text = None


def is_at_hand(text: texts.Text) -> bool:
    """True when `adopt` can choose this text: it can be generated again, or is stored on this server."""
    return text.source in PUBLIC_TEXTS or texts.is_kept(text)


def _load_own(sha256: str, name: str, encoding: str | None) -> str | None:
    """Use a text that is stored on this server as the user's own. Returns a sentence if that is not possible."""
    if (own := session().own.text) and own.sha256 == sha256:
        return None
    try:
        content = load_text(sha256)
        own = texts.prepare(content, name, encoding=encoding)
    except (TextProblem, OSError):
        problem = f"Your text {name!r} is no longer on this server. Upload or paste it again."
        session().own.text, session().own.problem = None, problem
        return problem
    session().own.text, session().own.problem = own, None
    session().own.field = "pasted" if name == PASTED else "upload"
    if name == PASTED and len(content) <= MAX_PASTED_CHARACTERS:  # put it back into its box
        st.session_state["pasted"] = session().own.pasted = content
    return None


# ---- the guess


def guess() -> float | None:
    """The person's guess of the final validation loss of the next run, in nats per character."""
    return st.session_state.get("guess")


def set_guess(loss: float) -> None:
    """Set the field of the guess."""
    st.session_state["guess"] = loss
