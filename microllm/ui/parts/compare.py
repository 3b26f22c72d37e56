"""Which other runs stay on the loss plot beside the displayed one."""

from __future__ import annotations

from contextlib import suppress

import streamlit as st

from ...plots import OtherRun
from ...runs import catalog, gallery
from ...runs.advice import distinction
from ...runs.info import ACTIVE, RunInfo, RunProblem
from ..server import opened
from ..state import navigation, ownership
from ..state.session import session
from ..state.view import View
from ..state.window import window
from ..words import literal

MAX_COMPARED = 4
"""As many as the plot has colors for."""

_MAX_LISTED = 40  # of other people's runs; the menu scrolls
_COMPARED_AT_FIRST = 3


def compare_menu(view: View) -> None:
    """A menu of the runs on the same text: which are on the plot, and a button that opens each."""
    found = _candidates(view)
    label = f"Compare ({len(_chosen(view))})"
    with st.popover(label, icon=":material/stacked_line_chart:", key="compare", disabled=not found):
        st.caption("The validation losses of these runs on the same text are on the plot.")
        chosen = [info.id for info in _chosen(view)]
        for info in found:
            key = f"compare-{info.id}"
            st.session_state[key] = info.id in chosen
            with st.container(horizontal=True, vertical_alignment="center"):
                st.checkbox(
                    f"{literal(info.name)}: {_note(view.info, info)}",
                    key=key,
                    width="stretch",
                    disabled=info.id not in chosen and len(chosen) == MAX_COMPARED,
                    on_change=_change,
                    args=(view, info.id, info.id not in chosen),
                )
                st.button("Open", key=f"compare-open-{info.id}", on_click=navigation.show, args=(info.id,))


def others(view: View) -> list[OtherRun]:
    """The runs to draw beside the displayed one, with what is new in their curves."""
    return [
        OtherRun(info.id, info.name, _note(view.info, info), opened(info.id).history.read(), _first_step(view, info))
        for info in _chosen(view)
    ]


def _candidates(view: View) -> list[RunInfo]:
    """The runs that can be compared, the newest first; before them the parent of a fork, which goes on, and after them
    those that came with MicroLLM.
    """
    info, parent = view.info, view.info.parent
    ids = [parent.id] if parent and parent.goes_on and ownership.knows_parent() else []
    ids += [*session().met_runs, *_runs_on(info.text.sha256), *gallery.IDS]
    found = []
    for run_id in dict.fromkeys(ids):
        with suppress(RunProblem):  # deleted since
            run = opened(run_id)
            other = run.read_info()
            is_elsewhere = other.state in ACTIVE and not window().holds(run_id)
            is_on_this_text = other.text.sha256 == info.text.sha256
            if run_id != info.id and is_on_this_text and not is_elsewhere and ownership.lists(run):
                found.append(other)
    found.sort(key=lambda other: (other.id != (parent and parent.id), other.id in gallery.IDS, -other.created))
    return found


def _chosen(view: View) -> list[RunInfo]:
    found, chosen = _candidates(view), session().compared
    if chosen is None:
        return [info for info in found if info.id not in gallery.IDS][:_COMPARED_AT_FIRST]
    return [info for info in found if info.id in chosen][:MAX_COMPARED]


def _change(view: View, run_id: str, is_on: bool) -> None:
    chosen = {info.id for info in _chosen(view)}
    session().compared = chosen | {run_id} if is_on else chosen - {run_id}


def _note(shown: RunInfo, other: RunInfo) -> str:
    if shown.parent and shown.parent.goes_on and shown.parent.id == other.id:
        return f"the parent, {distinction(shown, other)}"
    return distinction(shown, other)


def _first_step(view: View, other: RunInfo) -> int:
    """Where the curve of another run begins on the plot: until the fork, that of a parent is the fork's own."""
    parent = view.info.parent
    return parent.step if parent and parent.goes_on and parent.id == other.id else 0


@st.cache_data(ttl=5.0, show_spinner=False, max_entries=32)
def _runs_on(sha256: str) -> list[str]:
    """The ids of the newest runs on a text, at most 5 s old."""
    runs = (run for run in catalog.all_runs() if run.read_info().text.sha256 == sha256)
    return [run.id for run, _ in zip(runs, range(_MAX_LISTED), strict=False)]
