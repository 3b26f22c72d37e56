"""Forking the displayed run: a new run that starts from the weights of this one."""

from __future__ import annotations

import streamlit as st

from ...config import knobs, step_near
from ...data import texts
from ...data.decode import TextProblem
from ...data.published import PUBLIC_TEXTS, PUBLISHED_TEXTS
from ...runs import fork
from ...runs.run import Run
from ...tokenizer import visible
from ..state import commands, draft, ownership
from ..state.session import session
from ..state.view import View
from ..words import literal
from .disclosure import disclosure
from .source import is_here

_MAX_NAMED_CHARACTERS = 12


def fork_form(view: View) -> None:
    """What a fork of the displayed run may change, collapsed; a click starts it. Not for a part that ticks."""
    place = st.container()  # always there, so that what is below it does not move when a run begins
    if not view.snapshots:
        return
    moment = view.moment
    with place:
        inside = disclosure(
            "Fork from this moment" if moment is None else f"Fork from step {moment:,}",
            key="fork",
        )
    if inside is None:
        return
    with inside:
        name = literal(view.info.name)
        when = "now" if moment is None else f"at step {moment:,}"
        st.markdown(
            f"A fork is a new run. It starts from the weights that **{name}** has {when} and trains with the settings "
            f"below. {name} itself does not change."
        )
        _form(view)


def _form(view: View) -> None:
    run, moment = view.run, view.moment
    try:
        to_learn = _text_to_learn(view)
    except TextProblem as problem:
        st.error(literal(str(problem)), icon=":material/error:")
        return
    if to_learn is None:
        return
    text, characters = to_learn
    last = view.history.last
    step = moment if moment is not None else last["step"] if last else 0
    first_step = 0 if text else step
    situation = run.id, moment, text and text.sha256, view.is_active, view.info.train.max_steps
    where = "-".join(map(str, situation))
    values = _fields(run, step, first_step, where)
    try:
        fork.settings(run, step, first_step, characters, **values)
    except ValueError as problem:
        st.error(literal(str(problem)), icon=":material/error:")
        return
    st.button(
        "Start the fork",
        key="fork-start",
        type="primary",
        icon=":material/fork_right:",
        on_click=_start,
        args=(run.id, moment, text, where),
        help=f"{literal(view.info.name)} stops at this step and is kept." if ownership.owned_job() else None,
    )


def _start(parent: str, moment: int | None, text: texts.Text | None, where: str) -> None:
    """Fork with the values in the fields at the time of the click, which may have changed, and close the form."""
    st.session_state["fork"] = False
    values = {name: st.session_state.get(f"fork-{name}-{where}") for name in fork.CHANGES}
    if None not in values.values():  # else the form has gone, with a run that was deleted
        commands.fork(parent, moment, text, values)


def _text_to_learn(view: View) -> tuple[texts.Text | None, int] | None:
    """(the text for the fork to train on, how many of its characters the model knows).

    The text is None for the run's own. Returns None, and shows the download, if the text is not on this server yet.
    Raises TextProblem if the model knows too little of a text.
    """
    others = _other_texts(view)
    names = {"same": f"{view.info.text.name} (as before)"} | others
    source = st.selectbox("Text to train on", list(names), format_func=names.get, key=f"fork-text-{view.run.id}")
    if source == "same":
        view.run.load_corpus()  # a run of the gallery came without its text
        return None, view.info.text.characters
    if source in PUBLISHED_TEXTS and not is_here(source, "fork-download"):
        return None
    chosen = draft.text() if source == "next" else draft.whole_text(source)
    left, unknown = fork.what_is_left(view.run.tokenizer, chosen)
    if unknown:
        shown = " ".join(visible(c) for c in unknown[:_MAX_NAMED_CHARACTERS])
        shown += " …" if len(unknown) > _MAX_NAMED_CHARACTERS else ""
        st.text(
            f"{left:,} of its {chosen.characters:,} characters remain. These are removed, because the model does not "
            f"know them: {shown}"
        )
    st.caption("The plot then shows both texts: what the model learns of the new one and forgets of the old one.")
    return chosen, left


def _other_texts(view: View) -> dict[str, str]:
    """The names of all texts but the run's own: that of the next run, the public ones, the user's own."""
    learned, own = view.info.text, session().own.text
    try:
        chosen = draft.text()
    except TextProblem:
        chosen = None
    names = {}
    if chosen and chosen.sha256 != learned.sha256:
        names["next"] = f"{chosen.name} (chosen for the next run)"
    named = [learned.name, chosen.name if chosen else ""]
    names |= {key: text.name for key, text in PUBLIC_TEXTS.items() if text.name not in named}
    if own and own not in (learned, chosen):
        names["own"] = own.name
    return names


def _fields(run: Run, step: int, first_step: int, where: str) -> dict[str, float]:
    """The fields of what a fork may change. `where` is in their keys, so that each situation has its own defaults."""
    values = fork.usual_changes(run, step, first_step)
    with st.container(horizontal=True):
        return {name: _field(name, value, f"fork-{name}-{where}") for name, value in values.items()}


def _field(name: str, value: float, key: str) -> float:
    meta = knobs()[name].metadata
    style = "%d" if name == "max_steps" else "%g"
    return st.number_input(
        name,
        meta["low"],
        meta["high"],
        value,
        step=step_near(name, st.session_state.get(key, value)),
        format=style,
        key=key,
        help=meta["help"],
        width=170,
    )
