"""Knock-out on every page: what is switched off, how to restore it, and a fork that keeps training without it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from ...insight.knockout import Part
from ...runs.fork import usual_changes
from ..state import commands, navigation
from ..state.session import session
from ..state.view import View, has_text
from ..words import literal
from . import source

_FORK_EVAL_INTERVAL = 50  # steps: often enough to see how soon the loss recovers


def badge(view: View, *, is_whole: bool = False) -> None:
    """The knocked-out parts, and the button that restores them; `is_whole` on a page that shows the whole model."""
    run, out = literal(view.info.name), f"**~~{named(view.without)}~~**"
    if is_whole:
        words = f"This page shows the whole **{run}**; Attention, Inside and Generate show it without {out}"
    else:
        words = f"**{run}** without {out} ({_instead(view)})"
    st.markdown(words, width="content")
    st.button(
        "Restore", key="restore", icon=":material/undo:", type="tertiary", on_click=navigation.knock_out, args=((),)
    )
    _train_on(view)


def _train_on(view: View) -> None:
    """A button that forks the run into one in which the knocked-out heads stay silent, and goes to its curve."""
    if not has_text(view.run):
        source.bring(view, "knockout-text")
        return
    if any(part.head is None for part in view.without):
        st.caption("Only attention heads can be left out of further training.", width="content")
        return
    is_one = len(view.without) == 1
    if st.button(
        f"Keep training without {'it' if is_one else 'them'}",
        key="train-without",
        icon=":material/fork_right:",
        type="tertiary",
        disabled=not view.snapshots,
        help="Fork the run from this moment into one in which these heads stay silent. Do others take over?",
    ):
        step = view.snapshots[-1] if view.moment is None else view.moment
        changes = usual_changes(view.run, step, step)
        changes["eval_interval"] = min(_FORK_EVAL_INTERVAL, changes["eval_interval"])
        commands.fork(view.run.id, view.moment, None, changes, silenced=" ".join(map(str, view.without)))
        if session().problem:
            st.rerun()  # the run bar says why
        navigation.knock_out(())
        st.switch_page("pages/train.py", query_params=st.query_params.to_dict())


def switch(view: View, layer: int, head: int) -> None:
    """A button that knocks out a head or restores it; for a part that is drawn again when another head is chosen."""
    part = Part(layer, head)
    if (layer, head) in view.info.model.silenced_heads:
        parent = view.info.parent
        is_new = parent is not None and str(part) in parent.silenced.split()
        where = ", and its average until then is part of the layer's bias" if is_new else ""
        st.caption(f"This head is silent in this run: you see what it attends to, but its output is zero{where}.")
        return
    is_out = part in view.without
    others = [other for other in view.without if other != part]
    if st.button(
        "Restore this head" if is_out else "Knock out this head",
        key="knock-out-head",
        icon=":material/undo:" if is_out else ":material/block:",
        on_click=navigation.knock_out,
        args=(others if is_out else [*others, part],),  # fixed when drawn, because Streamlit may deliver a click twice
    ):
        st.rerun()  # the whole page, not only the part with the button
    if is_out:
        instead = "its average, whatever the text is" if view.replaced_by == "mean" else "zero"
        st.caption(f"Knocked out (ablation): you see what it attends to, but its output is {instead}.")
        if st.button("See what changes", key="see-knockout", icon=":material/account_tree:", type="tertiary"):
            st.session_state["inside-mode"] = "Knock-out"
            st.switch_page("pages/inside.py", query_params=st.query_params.to_dict())


def name(part: Part) -> str:
    """The name of a part, such as "layer 1, head 2"."""
    kind = "feed-forward network" if part.head is None else f"head {part.head + 1}"
    return f"layer {part.layer + 1}, {kind}"


def named(parts: Sequence[Part]) -> str:
    """The names of some parts; for more than two, their number and short names."""
    if len(parts) <= 2:
        return " and ".join(map(name, parts))
    return f"{len(parts)} parts: {' '.join(map(str, parts[:8]))}{' …' if len(parts) > 8 else ''}"


def capitalized(words: str) -> str:
    """These words, beginning with a capital."""
    return words[0].upper() + words[1:]


def _instead(view: View) -> str:
    one = len(view.without) == 1
    if view.replaced_by == "mean":
        return "replaced by its average output" if one else "replaced by their average outputs"
    return "silenced" if session().replaced_by == "zero" else "silenced: the average needs the text of the run"
