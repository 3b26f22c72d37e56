"""Another moment of the displayed run, or another run, beside the current view."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import streamlit as st

from ...runs import catalog
from ...runs.advice import distinction
from ...runs.info import RunInfo, RunProblem
from ...tokenizer import visible_alone
from ..state.session import session
from ..state.view import View, look_at
from ..words import literal
from . import compare

_NOTHING, _NEWEST = "", -1  # the values of the menus; a menu needs one for "none"


def menus(view: View, *, has_heads: bool = False) -> None:
    """The menus of what to show beside the displayed run: nothing, another moment or another run; and which head."""
    infos = {info.id: info for info in _candidates(view)}
    if session().beside not in infos and session().beside != view.run.id:  # deleted since, or of another text
        session().beside = None
    labels = {_NOTHING: "Nothing", view.run.id: "Another moment of this run"}
    labels |= {run_id: f"{info.name}: {_note(view.info, info)}" for run_id, info in infos.items()}
    _menu("Compare with", "beside", labels, session().beside or _NOTHING, lambda value: _choose(view, value))
    if (other := beside(view)) is None:
        return
    newest = "Live" if other.is_active else "The end"
    moments = {step: f"step {step:,}" for step in other.snapshots} | {_NEWEST: newest}
    chosen = _NEWEST if other.moment is None else other.moment
    _menu("At", "beside-moment", moments, chosen, _choose_moment)
    if has_heads and other.run.id != view.run.id:
        model = other.info.model
        heads = [(layer, head) for layer in range(model.n_layer) for head in range(model.n_head)]
        named = {place: f"Layer {layer + 1}, head {head + 1}" for place, (layer, head) in enumerate(heads)}
        _menu("Its head", "beside-head", named, heads.index(head_of(other)), lambda place: _choose_head(*heads[place]))


def beside(view: View) -> View | None:
    """The run and the moment that this window shows beside the displayed one; None for nothing."""
    if session().beside is None:
        return None
    with suppress(RunProblem):  # deleted since
        return look_at(session().beside, session().beside_moment)
    return None


def is_active(view: View) -> bool:
    """True while one of the two trains, so that parts that show both have to tick."""
    other = beside(view)
    return view.is_active or (other is not None and other.is_active)


def head_of(other: View) -> tuple[int, int]:
    """The (layer, head) to show of the other run: the chosen one, or the nearest that it has."""
    layer, head = session().beside_head or session().head
    return min(layer, other.info.model.n_layer - 1), min(head, other.info.model.n_head - 1)


def title(view: View, other: View, step: int) -> str:
    """What is shown beside, in a few words of Markdown."""
    name = "" if other.run.id == view.run.id else f"{literal(other.info.name)}, "
    return f"{name}step {step:,}{', whole model' if view.without else ''}"


def lacks(other: View, text: str) -> str | None:
    """A sentence that names the characters of `text` that the other run does not know; None if it knows all."""
    if not (unknown := other.run.tokenizer.unknown(text)):
        return None
    named = " ".join(literal(visible_alone(character)) for character in unknown)
    return f"{literal(other.info.name)} cannot read this sentence: its text does not contain {named}."


def _candidates(view: View) -> list[RunInfo]:
    """The runs on the same text that the loss plot offers too, and all that came with MicroLLM."""
    found = compare.candidates(view)
    known = {view.run.id, *(info.id for info in found)}
    return found + [run.read_info() for run in catalog.gallery_runs() if run.id not in known]


def _note(shown: RunInfo, other: RunInfo) -> str:
    return distinction(shown, other) if other.text.sha256 == shown.text.sha256 else other.text.name


def _menu(label: str, key: str, labels: dict, value: object, choose: Callable[[object], None]) -> None:
    """A select box over the keys of `labels`.

    The choice is kept in the session, not in the widget, because the options change as runs and snapshots come and go.
    """
    st.session_state[key] = value

    def chosen() -> None:
        if st.session_state.get(key) in labels:
            choose(st.session_state[key])

    st.selectbox(label, list(labels), format_func=labels.get, key=key, on_change=chosen)


def _choose(view: View, run_id: str) -> None:
    session().beside, session().beside_moment, session().beside_head = run_id or None, None, None
    if run_id == view.run.id and view.without:  # the same moment of the whole model
        session().beside_moment = view.moment
    elif run_id == view.run.id and view.moment is None:  # the newest moment is displayed already
        session().beside_moment = next(iter(view.snapshots), None)


def _choose_moment(step: int) -> None:
    session().beside_moment = None if step == _NEWEST else step


def _choose_head(layer: int, head: int) -> None:
    session().beside_head = layer, head
