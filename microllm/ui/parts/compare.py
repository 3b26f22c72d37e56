"""Which other runs stay on the loss plot beside the displayed one."""

from __future__ import annotations

from contextlib import suppress

import streamlit as st

from ...model import parameter_count
from ...plots import OtherRun
from ...runs import catalog, gallery
from ...runs.advice import distinction
from ...runs.info import ACTIVE, RunInfo, RunProblem
from ...runs.summary import summary
from ..server import opened, runner
from ..state import navigation, ownership
from ..state.session import session
from ..state.view import View
from ..state.window import window
from ..words import duration, literal

MAX_COMPARED = 4
"""The number of colors that the plot has for them."""

_MAX_LISTED = 40  # of other people's runs; the menu scrolls
_AT_FIRST = 3


def compare_menu(view: View) -> list[str]:
    """A menu of the runs on the same text, with a button that opens each. Returns the ids of those on the plot."""
    found = candidates(view)
    chosen = _chosen(view, found)
    menu = st.popover(
        f"Compare ({len(chosen)})",
        icon=":material/stacked_line_chart:",
        key="compare",
        disabled=not found,
        on_change="rerun",
    )
    if menu.open:  # a page with all its buttons would be drawn more slowly
        with menu, st.container(key="compare-runs"):
            own = summary(view.run.history.path).best
            on_show = "" if own is None else f" The best of the displayed run is **{own:.3f}**."
            st.caption(f"The validation losses of these runs on the same text are on the plot.{on_show}")
            for info in found:
                with suppress(RunProblem):  # deleted since
                    _row(info, _entry(view, info), chosen)
    return chosen


def _row(info: RunInfo, entry: str, chosen: list[str]) -> None:
    key, is_on = f"compare-{info.id}", info.id in chosen
    st.session_state[key] = is_on
    others = {*chosen} - {info.id}
    with st.container(horizontal=True, wrap=False, vertical_alignment="center"):
        st.checkbox(
            entry,
            key=key,
            width="stretch",
            disabled=not is_on and len(chosen) == MAX_COMPARED,
            on_change=_choose,
            args=(others if is_on else others | {info.id},),
        )
        st.button("Open", key=f"compare-open-{info.id}", on_click=navigation.show, args=(info.id,))


def _entry(view: View, info: RunInfo) -> str:
    """A run in Markdown: its name, best validation loss, what differs, and what it cost."""
    run = opened(info.id)
    known, parameters = summary(run.history.path), parameter_count(info.model, run.tokenizer.vocab_size)
    first = [f"**{literal(info.name)}**"]
    if known.best is not None:
        first.append(f"best *validation* loss **{known.best:.3f}**")
    second = [_note(view.info, info), f"{parameters:,} parameters"]
    if known.step is not None:
        second += [f"{known.step:,} steps", duration(known.seconds)]
    return "  \n".join(" · ".join(line) for line in (first, second))


def others(view: View, ids: list[str]) -> list[OtherRun]:
    """These runs, to draw beside the displayed one, with their curves up to date."""
    found, colors = [], _colors(ids)
    for run_id in ids:
        with suppress(RunProblem):  # deleted since
            run = opened(run_id)
            info, first_step = run.read_info(), 0
            if (parent := view.info.parent) and parent.goes_on and parent.id == run_id:
                first_step = parent.step  # until then its curve is that of the fork
            note, history = _note(view.info, info), run.history.read()
            found.append(OtherRun(run_id, info.name, note, history, first_step, colors[run_id]))
    return found


def _colors(ids: list[str]) -> dict[str, int]:
    """The numbers of the colors of these runs: a run keeps its color while it is on the plot, others get free ones."""
    kept = {run_id: color for run_id, color in session().colors.items() if run_id in ids}
    free = (color for color in range(1, MAX_COMPARED + 1) if color not in kept.values())
    session().colors = kept | {run_id: next(free) for run_id in ids if run_id not in kept}
    return session().colors


def is_growing(ids: list[str]) -> bool:
    """True while one of these runs trains or waits in this server."""
    return any(runner().job(run_id) for run_id in ids)


def candidates(view: View) -> list[RunInfo]:
    """The runs on the same text that can be compared: a fork's parent, the others (newest first), the gallery's."""
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


def _chosen(view: View, found: list[RunInfo]) -> list[str]:
    """The ids of the runs on the plot: by default the person's newest, those that were shown, and a fork's parent."""
    ids, parent = [info.id for info in found], view.info.parent
    if session().compared is None:
        mine = (session().met_runs | ownership.keys().keys()) - {*gallery.IDS}
        return [run_id for run_id in ids if run_id in mine or (parent and run_id == parent.id)][:_AT_FIRST]
    return [run_id for run_id in ids if run_id in session().compared][:MAX_COMPARED]


def _choose(ids: set[str]) -> None:
    session().compared = ids


def _note(shown: RunInfo, other: RunInfo) -> str:
    if shown.parent and shown.parent.goes_on and shown.parent.id == other.id:
        return f"the parent, {distinction(shown, other)}"
    return distinction(shown, other)


@st.cache_data(ttl=5.0, show_spinner=False, max_entries=32)
def _runs_on(sha256: str) -> list[str]:
    """The ids of the newest runs on a text, at most 5 s old."""
    runs = (run for run in catalog.all_runs() if run.read_info().text.sha256 == sha256)
    return [run.id for run, _ in zip(runs, range(_MAX_LISTED), strict=False)]
