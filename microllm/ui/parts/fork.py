"""Another way on from the moment on show: a new run with the weights of this one."""

from __future__ import annotations

import streamlit as st

from ...config import knobs
from ...data import texts
from ...data.decode import TextProblem
from ...runs import fork
from ...runs.info import RunProblem
from ...runs.run import Run
from ...tokenizer import visible
from ..state import commands, draft, navigation, ownership, view
from ..words import literal
from .disclosure import disclosure

_SHOWN = 12  # characters that are named one by one


def fork_form() -> None:
    """What a fork of the run on show could do differently, folded; a click starts it. Not for a part that ticks."""
    run = view.run()
    place = st.container()  # always there, so that what stands below stays where it is when a run begins
    if run is None or not run.list_snapshots():
        return
    moment = view.moment()
    where = "here" if moment is None else f"step {moment:,}"
    with place:
        inside = disclosure(f"Go on differently from {where} (fork)", key="fork")
    if inside is None:
        return
    with inside:
        name = literal(run.read_info().name)
        st.markdown(
            f"A new run begins with what **{name}** has learned "
            + ("by now" if moment is None else f"by step {moment:,}")
            + f" (its weights), and goes on with the settings below. {name} itself stays as it is."
        )
        _form(run, moment)


def _form(run: Run, moment: int | None) -> None:
    try:
        text, characters = _another_text(run)
    except TextProblem as problem:
        st.error(literal(str(problem)), icon=":material/error:")
        return
    last = run.history.read().last
    step = moment if moment is not None else last["step"] if last else 0
    first_step = 0 if text else step
    situation = run.id, moment, text and text.sha256, view.is_active(), run.read_info().train.max_steps
    where = "-".join(map(str, situation))
    values = _values(run, step, first_step, where)
    try:
        fork.settings(run, step, first_step, characters, **values)
    except ValueError as problem:
        st.error(literal(str(problem)), icon=":material/error:")
        return
    going = ownership.owned_job()
    st.button(
        "Fork it",
        key="fork-start",
        type="primary",
        icon=":material/fork_right:",
        on_click=_start,
        args=(run.id, moment, text, where),
        help=f"{literal(run.read_info().name)} is stopped there and kept" if going else None,
    )


def _start(parent: str, moment: int | None, text: texts.Text | None, where: str) -> None:
    """Fork with what stands in the fields at the click, which may be newer than the button, and fold the form away."""
    st.session_state["fork"] = False
    commands.fork(
        parent,
        moment,
        text,
        {name: st.session_state[f"fork-{name}-{where}"] for name in fork.CHANGES},
    )


def _another_text(run: Run) -> tuple[texts.Text | None, int]:
    """(the text of the panel, if the person wants the fork to learn it, None: the run's own; how many characters of it
    the model can read). Raises TextProblem where those are too few.
    """
    own = None, run.read_info().text.characters
    try:
        chosen = draft.text()
    except TextProblem:
        chosen = None
    if chosen is None or chosen.sha256 == run.read_info().text.sha256:
        st.caption("To teach it another text, choose that first, under *Text to learn*.")
        return own
    names = {"own": literal(run.read_info().text.name), "other": literal(chosen.name)}
    key = f"fork-text-{run.id}"
    if st.radio("Text", list(names), format_func=names.get, key=key, horizontal=True) == "own":
        return own
    left, left_out = fork.what_is_left(run.tokenizer, chosen)
    if left_out:
        shown = " ".join(visible(c) for c in left_out[:_SHOWN]) + (" …" if len(left_out) > _SHOWN else "")
        st.text(
            f"{left:,} of its {chosen.characters:,} characters are left. "
            f"Left out, because the model has never met them: {shown}"
        )
    st.caption("The plot then shows both texts: what it gains on the new one, and what it forgets of the old one.")
    return chosen, left


def _values(run: Run, step: int, first_step: int, where: str) -> dict[str, float]:
    """The fields of what may differ; `where` is in their keys, so that elsewhere they begin with other values."""
    now = fork.settings_at(run, step)
    longest = knobs()["max_steps"].metadata["high"]
    usual = {name: getattr(now, name) for name in fork.CHANGES}
    if usual["max_steps"] <= first_step:
        usual["max_steps"] = min(longest, 2 * first_step)
    with st.container(horizontal=True):
        return {name: _field(name, value, f"fork-{name}-{where}") for name, value in usual.items()}


def _field(name: str, value: float, key: str) -> float:
    meta = knobs()[name].metadata
    step = meta["step"] or 1e-4
    style = "%d" if name == "max_steps" else "%g"
    return st.number_input(
        name, meta["low"], meta["high"], value, step=step, format=style, key=key, help=meta["help"], width=170
    )


def origin() -> None:
    """Which run the one on show was forked from, with the way back to it; nothing for one that began from chance."""
    run = view.run()
    place = st.container(horizontal=True, vertical_alignment="center", key="origin")  # always there, as above
    if run is None or (parent := run.read_info().parent) is None:
        return
    name = literal(parent.name)
    said = f"Forked from **{name}** at step {parent.step:,}"
    said += ", whose curve goes on here" if parent.goes_on else ", on another text"
    if parent.goes_on and not parent.has_memory:
        said += "; of that step only the weights were kept, so the optimisers began anew"
    with place:
        st.markdown(f"{said}.", width="content")
        if ownership.knows_parent() and _is_there(parent.id):
            st.button(f"Look at {name}", key="parent", on_click=navigation.show, args=(parent.id,), type="tertiary")


def _is_there(run_id: str) -> bool:
    try:
        Run.open(run_id)
    except RunProblem:
        return False
    return True
