"""Start a run, and change its live settings while it trains."""

from __future__ import annotations

import streamlit as st

from ...config import LIVE, knobs
from ..state import commands, ownership
from ..state.view import is_active
from ..words import literal


def start_buttons(label: str, can_start: bool) -> None:
    """The button that starts a run; while one of this window trains, also one that lets the new run wait for it."""
    shared = {"width": "stretch", "on_click": commands.start, "disabled": not can_start}
    going = ownership.jobs()
    name = literal(going[0].run.read_info().name) if going else ""
    help = f"{name} is stopped and kept" if going else None
    st.button(label, key="start", type="primary", icon=":material/play_arrow:", help=help, **shared)
    if going:
        help = f"It begins when {name} is over. One can wait: it takes the place of another that does."
        st.button(f"Start it after {name}", key="queue", icon=":material/schedule:", help=help, args=(True,), **shared)


def live_settings() -> None:
    """The settings that its owner may change while the run on show trains; to others, what they can do."""
    job = ownership.owned_job()
    if job is None:
        if is_active():
            st.info(
                "You are watching: this run was started in another window or on the command line, and only there can "
                "it be paused, changed or stopped. Look at it, let it write, or start one of your own: this one goes "
                "on.",
                icon=":material/visibility:",
            )
        return
    with st.form("live", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        values = {
            name: st.number_input(
                f"{name} from now on",
                value=getattr(job.config, name),
                step=knobs()[name].metadata["step"] or 1e-4,
                format="%g",
                key=f"live-{name}",
                help=knobs()[name].metadata["help"],
            )
            for name in LIVE
        }
        is_applied = st.form_submit_button("Apply", key="live-apply")
    if is_applied:
        news = {name: value for name, value in values.items() if value != getattr(job.config, name)}
        try:
            if news:
                job.change(**news)
            said = ", ".join(f"{name} {value:g}" for name, value in news.items())
            st.caption(f"From the next step on: {said}." if news else "That is how it is already.")
        except ValueError as problem:
            st.error(literal(str(problem)), icon=":material/error:")
