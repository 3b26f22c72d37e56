"""What to change in the text of a run, and the buttons that train its twins."""

from __future__ import annotations

import streamlit as st

from ...config import flat
from ...corpus import split_at
from ...cost import run_seconds
from ...data.decode import TextProblem
from ...data.edits import KINDS, MAX_TIMES, MAX_WORDS_CHARACTERS, Edit
from ...experiments.experiment import Setup
from ...runs.info import RunInfo
from ...runs.twin import why_no_twin
from ...tokenizer import visible
from .. import server
from ..state import commands, ownership
from ..state import twins as own
from ..state.session import session
from ..state.twins import Extent, Family
from ..state.view import View, has_text
from ..words import duration, literal, percent
from . import run_line, source
from .cost import slowness

_TIMES = 50
_MAX_WAITING = 2  # a window trains one run and queues one
_NEW_NAMES = ("Amy", "Ruth", "Oscar", "Albert", "Matilda", "Victoria", "Josephine")  # one for each length from 3
_NOT_TRUE = "{} is a baker in London."
_FIELDS = {"rename": ("old", "new"), "leave-out": ("chapter",), "repeat": ("sentence", "times")}
_FIELDS["plant"] = _FIELDS["repeat"]


def twin_form(view: View, family: Family) -> None:
    """What to change in the text of the original, how much that is, and the buttons that train twins."""
    original = family.original
    is_exact = original.info.is_repeatable and not original.is_from_gallery
    st.markdown(
        f"**Change the book, see the effect.** A twin of **{literal(original.info.name)}** learns the same text with "
        "one change. It has the same seed: the same initial weights and the same windows of text in the same order."
        + (" Nothing else is different, so the change is the cause of all that differs." if is_exact else "")
    )
    st.caption(run_line.settings(original.info))
    if original.is_from_gallery:
        _train_it_here(view, original)
    if problem := why_no_twin(original.run):
        st.caption(literal(problem))
        return
    if not has_text(original.run):
        source.bring(original, "twins-text")
        return
    kind = st.segmented_control(
        "What to change",
        list(KINDS),
        default="rename",
        format_func=lambda key: KINDS[key].title,
        key="twin-kind",
        required=True,
        persist_state="session",
        label_visibility="collapsed",
    )
    sha256 = original.info.text.sha256
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom", key=f"twin-fields-{kind}"):
        fields = _fields(kind, original, f"{kind}-{sha256[:8]}")
    edit = _edit(kind, fields)
    is_possible = False
    try:
        extent = own.extent(sha256, edit)
        is_possible = True
        share = extent.characters / split_at(original.info.text.characters)
        st.caption(
            f"Changes {extent.characters:,} characters at {extent.places:,} "
            f"{'place' if extent.places == 1 else 'places'}, "
            f"{_share(share)} of the part that the model trains on. {KINDS[kind].about} "
            "The held-out text is unchanged."
        )
    except TextProblem as problem:
        st.caption(f":material/error: {literal(str(problem))}")
    _buttons(view, family, kind, fields, edit if is_possible else None)
    if is_possible and all(one.info.edit != edit for one in family.ready):
        _preview(extent)


def _train_it_here(view: View, original: View) -> None:
    """Why a twin of a run that came with MicroLLM is not exact, and a button that trains the same run here."""
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="twin-gallery"):
        st.caption(
            f"{literal(original.info.name)} was trained on another machine, which may round differently. For an exact "
            "comparison, train the same run here first.",
            width="content",
        )
        st.button(
            f"Train it here{_seconds(view, original)}",
            key="twin-original",
            icon=":material/play_arrow:",
            type="tertiary",
            disabled=not has_text(original.run),
            help="The run that is training now is stopped and kept." if ownership.jobs() else None,
            on_click=_train_again,
            args=(original.info,),
        )


def _train_again(info: RunInfo) -> None:
    text = info.text
    commands.start(setup=Setup("", text.source, text.how, text.first, info.preset, flat(info.model, info.train)))


def _preview(extent: Extent) -> None:
    """One place of the text, as it is and as the twin reads it."""
    for column, title, text in zip(
        st.columns(2), ("As it is", "As the twin reads it"), (extent.before, extent.after), strict=True
    ):
        with column, st.container(border=True):
            st.caption(f"{title}, for example")
            st.text(visible(text, keep=" "))


def _fields(kind: str, original: View, where: str) -> list[str]:
    """The fields of one kind of edit. Returns their keys, of which `where` is a part: each text has its own."""
    chapters, name, sentence = own.suggestions(original.info.text.sha256)
    keys = [f"twin-{field}-{where}" for field in _FIELDS[kind]]
    if kind == "rename":
        old = _words("Word", name, keys[0], 180)
        keys[1] += f"-{len(old)}"  # another length has another suggestion
        names = _NEW_NAMES if old[:1].isupper() else map(str.lower, _NEW_NAMES)
        fitting = (
            new for new in names if len(new) == len(old) and new != old and not original.run.tokenizer.unknown(new)
        )
        _words("New word", next(fitting, ""), keys[1], 180)
    elif kind == "leave-out":
        numbers = list(range(1, len(chapters) + 1))
        st.selectbox(
            "Chapter", numbers, format_func=lambda number: chapters[number - 1].heading, key=keys[0], width=240
        )
    else:
        if kind == "plant":
            sentence = _NOT_TRUE.format(name)
            sentence = "" if original.run.tokenizer.unknown(sentence) else sentence
        _words("Sentence", sentence, keys[0], 520)
        st.number_input("Times", 1, MAX_TIMES, _TIMES, key=keys[1], width=130)
    return keys


def _edit(kind: str, fields: list[str]) -> Edit:
    """The edit that is in the fields with these keys."""
    values = [st.session_state.get(key) or "" for key in fields]
    if kind in ("repeat", "plant"):
        return Edit(kind, (values[0].strip(),), int(values[1] or 0))
    return Edit(kind, tuple(str(value).strip() for value in values))


def _words(label: str, suggested: str, key: str, width: int) -> str:
    return st.text_input(label, suggested, key=key, max_chars=MAX_WORDS_CHARACTERS, width=width).strip()


def _share(share: float) -> str:
    return f"{100 * share:.1f}\u00a0%" if share < 0.1 else percent(share)


def _buttons(view: View, family: Family, kind: str, fields: list[str], edit: Edit | None) -> None:
    original = family.original
    is_full = len(ownership.jobs()) >= _MAX_WAITING
    takes = _seconds(view, original)
    trained = next((one for one in family.twins if one.info.edit == edit and _is_there(one)), None)
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="twin-buttons"):
        st.button(
            f"Train the twin{takes}",
            key="twin-start",
            type="primary",
            icon=":material/content_copy:",
            disabled=edit is None or is_full or trained is not None,
            on_click=_start,
            args=(original.run.id, kind, fields),
        )
        st.button(
            f"Train another seed{takes}",
            key="twin-other",
            icon=":material/casino:",
            disabled=is_full or any(map(_is_there, family.others)),
            help="The same text and settings from another random seed. What differs in such a run is chance: a change "
            "of the text has to make a larger difference than that. One such run is enough for all twins.",
            on_click=commands.twin,
            args=(original.run.id, None),
        )
        if is_full:
            st.caption("One run is training and one is queued: start another when one has ended.", width="content")
        elif trained in family.ready:
            st.caption("This twin has already been trained.", width="content")
            if trained is not family.chosen:
                st.button(
                    f"Compare {literal(trained.info.name)}",
                    key="twin-compare",
                    type="tertiary",
                    on_click=_compare,
                    args=(trained.run.id,),
                )


def _compare(twin_id: str) -> None:
    session().twin = twin_id


def _is_there(one: View) -> bool:
    """True for a twin that need not be trained again: it would become the same, number for number."""
    return one.is_active or one.info.state == "finished"


def _start(original_id: str, kind: str, fields: list[str]) -> None:
    """Train a twin with what is in the fields at the click, which may be newer than the button."""
    session().twin = None
    commands.twin(original_id, _edit(kind, fields))


def _seconds(view: View, original: View) -> str:
    """How long a twin is expected to take, for the label of a button."""
    if (speed := server.speed()) is None:
        return ""
    info, characters = original.info, original.info.text.characters
    step = speed.seconds_per_step(info.model, info.train, len(original.run.tokenizer.vocab))
    step *= slowness(view, speed)
    tokens = info.train.batch_size * info.model.block_size
    return f" · about {duration(run_seconds(info.train, tokens, characters - split_at(characters), step))}"
