"""Change the book, see the cause: a twin of the displayed run on an edited text, and what is different in it."""

from __future__ import annotations

import streamlit as st

from ...corpus import split_at
from ...cost import run_seconds
from ...data import edits
from ...data.decode import TextProblem
from ...data.edits import KINDS, MAX_TIMES, MAX_WORDS_CHARACTERS, Edit
from ...jobs.background import Background
from ...jobs.twins import Comparison, Losses, Passage
from ...runs.twin import why_no_twin
from ...tokenizer import visible
from .. import server
from ..components.effect import effect
from ..state import commands, ownership
from ..state import twins as own
from ..state.session import session
from ..state.twins import Extent, Family
from ..state.view import View, has_text
from ..words import duration, literal, percent
from . import source
from .cost import slowness
from .live import live

_TICK_SECONDS = 1.0
_WAIT_SECONDS = 0.3
_TIMES = 50
_CLEAR = 2.0  # times the difference of another seed
_MAX_WAITING = 2  # a window trains one run and queues one
_NEW_NAMES = ("Amy", "Ruth", "Oscar", "Albert", "Matilda", "Victoria", "Josephine")  # one for each length from 3
_NOT_TRUE = "{} is a baker in London."
_FIELDS = {"rename": ("old", "new"), "leave-out": ("chapter",), "repeat": ("sentence", "times")}
_FIELDS["plant"] = _FIELDS["repeat"]
_PASSAGES = {"after": "As the twin read it", "before": "As it was"}


def twins(view: View) -> None:
    """What to change in the text of the displayed run, the buttons that train its twins, and what is different."""
    family = own.family(view)
    if family.original is None:
        st.caption(f"{literal(view.info.twin.name)}, of which this run is a twin, is not here any more.")
        return
    drawn = _state(family)  # before anything is drawn, so that no change is missed
    _form(view, family)
    is_changing = bool(family.active) or server.speed() is None or _is_busy(family)
    live(lambda now: _tick(now, drawn), _TICK_SECONDS, key="twins-watch", when=is_changing)
    _results(family)


def _state(family: Family) -> tuple:
    """What the page depends on and no click changes."""
    states = [(view.run.id, view.state) for view in family.twins + family.others]
    return server.speed() is None, states, _is_busy(family)


def _tick(view: View, drawn: tuple) -> None:
    family = own.family(view)
    if _state(family) != drawn:
        st.rerun()
    for one in family.active:
        made = one.history.last["step"] if one.history.last else 0
        what = edits.label(one.info.edit) if one.info.edit else f"seed {one.info.train.seed}"
        steps = one.info.train.max_steps
        about = f"**{literal(one.info.name)}**, {literal(what)}: {one.state}, step {made:,} of {steps:,}"
        st.progress(min(1.0, made / steps), text=about)


# ---- what to change


def _form(view: View, family: Family) -> None:
    original = family.original
    name = literal(original.info.name)
    st.markdown(
        f"**Change the book, see the cause.** A twin of **{name}** learns the same text with one change. It has the "
        "same seed: the same initial weights and the same windows of text in the same order. Nothing else is "
        "different, so the change is the cause of all that differs."
    )
    if original.is_from_gallery:
        st.caption(
            f"{name} came with MicroLLM, from a machine that may round differently. For an exact comparison, first "
            "train a run of your own."
        )
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
            f"{_share(share)} of the part that the model trains on. {KINDS[kind].about} The held-out text stays as it "
            "is."
        )
    except TextProblem as problem:
        st.caption(f":material/error: {literal(str(problem))}")
    _buttons(view, family, kind, fields, edit if is_possible else None)
    if is_possible and all(one.info.edit != edit for one in family.twins):
        _preview(extent)


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
        fitting = (new for new in _NEW_NAMES if len(new) == len(old) and new != old)
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
    with st.container(horizontal=True, gap="small", vertical_alignment="center", key="twin-buttons"):
        st.button(
            f"Train the twin{takes}",
            key="twin-start",
            type="primary",
            icon=":material/content_copy:",
            disabled=edit is None or is_full or any(one.info.edit == edit for one in family.active),
            on_click=_start,
            args=(original.run.id, kind, fields),
        )
        st.button(
            f"Train another seed{takes}",
            key="twin-other",
            icon=":material/casino:",
            disabled=is_full or any(not one.info.edit for one in family.active),
            help="The same text and settings from another random seed. What differs in such a run is chance: a change "
            "of the text has to make a larger difference than that.",
            on_click=commands.twin,
            args=(original.run.id, None),
        )
        if is_full:
            st.caption("One run trains and one waits: start another when one has ended.", width="content")


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
    step *= slowness(view, speed) or 1.0
    tokens = info.train.batch_size * info.model.block_size
    return f" · about {duration(run_seconds(info.train, tokens, characters - split_at(characters), step))}"


# ---- what is different


def _comparison(family: Family) -> Background | None:
    """What is different in the chosen twin, on its way; None while there is nothing to compare."""
    original, twin, other = family.original, family.chosen, family.other
    if twin is None or original.is_active or not original.snapshots or not has_text(original.run):
        return None
    return own.comparison(original.run, twin.run, other and other.run)


def _is_busy(family: Family) -> bool:
    found = _comparison(family)
    return found is not None and found.is_busy


def _results(family: Family) -> None:
    if (twin := family.chosen) is None:
        return
    if len(family.ready) > 1:
        _menu(family)
    found = _comparison(family)
    if found is None:
        return
    found.wait(_WAIT_SECONDS)
    if found.is_busy:
        st.caption("Comparing the two models …")
    elif found.result is None:
        st.warning(literal(found.problem or "The two models could not be compared."), icon=":material/error:")
        st.button("Try again", key="twin-again", on_click=own.forget)
    else:
        _show(twin, found.result)


def _menu(family: Family) -> None:
    labels = {one.run.id: f"{edits.label(one.info.edit)} ({one.info.name})" for one in family.ready}
    st.session_state["twin-shown"] = family.chosen.run.id

    def choose() -> None:
        if st.session_state.get("twin-shown") in labels:
            session().twin = st.session_state["twin-shown"]

    st.selectbox("Twin", list(labels), format_func=labels.get, key="twin-shown", on_change=choose)


def _show(twin: View, found: Comparison) -> None:
    edit = twin.info.edit
    st.markdown(f"**{_heading(edit)}**: what is different at step {found.step:,}")
    numbers, words = st.columns([3, 2], gap="medium", vertical_alignment="center")
    numbers.markdown(_table(found))
    words.markdown(_verdict(edit, found))
    words.caption(_windows(found))
    st.caption("Boxed: the first character in which the samples differ. Both begin with the same prompt and seed.")
    kind = "after" if edit.kind in ("repeat", "plant") else "before"
    shown = st.segmented_control(
        "Passage",
        list(_PASSAGES),
        default=kind,
        format_func=_PASSAGES.get,
        key=f"twin-passage-{kind}",
        required=True,
        label_visibility="collapsed",
    )
    passage: Passage = found.after if shown == "after" else found.before
    effect(
        visible(found.prompt),
        "twin",
        found.following,
        found.samples,
        (passage.text, *passage.nats),
        "",
        names=("original", "twin"),
        of=f"The text around a change, {'as the twin read it' if shown == 'after' else 'as it was'}",
        key="twin-effect",
    )


def _heading(edit: Edit) -> str:
    words = literal(edits.label(edit))
    return words[0].upper() + words[1:]


def _table(found: Comparison) -> str:
    """The losses of all models, and their differences, as Markdown."""
    rows = [
        "| Loss (nats per character) | original | twin | twin − original | another seed − original |",
        "|---|--:|--:|--:|--:|",
    ]
    named = (
        ("taken out", found.taken_out),
        ("put in", found.put_in),
        ("held-out text", found.held_out),
    )
    for name, losses in named:
        noise = "not trained yet" if losses.noise is None else _signed(losses.noise)
        rows.append(
            f"| {name} ({losses.characters:,} characters) | {losses.original:.3f} | {losses.twin:.3f} | "
            f"**{_signed(losses.change)}** | {noise} |"
        )
    return "\n".join(rows)


def _signed(nats: float) -> str:
    return f"{'−' if nats < 0 else '+'}{abs(nats):.3f}"


def _verdict(edit: Edit, found: Comparison) -> str:
    """What to look for, and whether the change makes a larger difference than another seed."""
    is_left_out = edit.kind == "leave-out"
    losses: Losses = found.taken_out if is_left_out else found.put_in
    what = "what it never read" if is_left_out else "what was put in"
    direction = "higher" if losses.change > 0 else "lower"
    measured = f"On {what}, the loss of the twin is **{abs(losses.change):.3f}** nats per character {direction}."
    if losses.noise is None:
        return f"{measured} Train another seed to see how large a difference chance makes."
    if abs(losses.change) <= _CLEAR * abs(losses.noise):
        return f"{measured} Another seed makes a difference of {abs(losses.noise):.3f}: this may be chance."
    return f"{measured} Another seed makes a difference of only {abs(losses.noise):.3f}: the edit is the cause."


def _windows(found: Comparison) -> str:
    """How exact the comparison is, in measured numbers."""
    read = (
        f"Of the windows of the first {found.steps:,} steps, {_exact(found.shared)} are letter for "
        "letter the same in both."
    )
    first, losses = found.differ_from, found.losses_differ_from
    if first is None or losses is None:
        return read
    if losses < first:
        return (
            f"{read} The first that differs is in step {first:,}, but the training losses differ from step {losses:,}: "
            "the two were trained on different machines or versions of torch, which round differently."
        )
    return f"{read} The first that differs is in step {first:,}; before it, both have exactly the same losses."


def _exact(share: float) -> str:
    return f"{100 * share:.1f}\u00a0%"
