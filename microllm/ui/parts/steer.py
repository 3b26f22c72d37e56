"""Start a run, and change its live settings while it trains."""

from __future__ import annotations

import streamlit as st

from ...config import LIVE, knobs, step_near
from ...jobs.training import TrainingJob
from ..state import commands, ownership
from ..state.view import View
from ..words import literal


def start_buttons(label: str, differences: str, can_start: bool) -> None:
    """The button that starts a run. While a run of this window trains, also a button that queues the new one.

    The label abbreviates the sentence `differences`.
    """
    shared = {"width": "stretch", "on_click": commands.start, "disabled": not can_start}
    jobs = ownership.jobs()
    name = literal(jobs[0].run.read_info().name) if jobs else ""
    help = " ".join(filter(None, [differences, f"Stops {name} and keeps it." if jobs else ""])) or None
    st.button(label, key="start", type="primary", icon=":material/play_arrow:", help=help, **shared)
    if jobs:
        help = f"Starts when {name} ends. Only one run can be queued: this replaces any other."
        st.button(f"Queue after {name}", key="queue", icon=":material/schedule:", help=help, args=(True,), **shared)


def live_settings(view: View) -> None:
    """A menu of the settings that the owner may change while the run trains. Others are told what they can do."""
    job = ownership.owned_job()
    if job is None:
        if view.is_active and not ownership.is_unknown():
            with st.popover("You are watching", icon=":material/visibility:", key="live-info"):
                st.markdown(
                    "This run was started in another browser or on the command line, and can be paused, changed or "
                    "stopped only there. You can look at it, generate text, or start a run of your own."
                )
        return
    with (
        st.popover("Change while it trains", icon=":material/tune:", key="live-menu"),
        st.form("live", border=False),
    ):
        values = {
            name: st.number_input(
                f"{name} from now on",
                value=getattr(job.config, name),
                step=step_near(name, getattr(job.config, name)),
                format="%g",
                key=f"live-{name}",
                help=knobs()[name].metadata["help"],
            )
            for name in LIVE
        }
        is_applied = st.form_submit_button("Apply", key="live-apply")
        if is_applied:
            _apply(job, values)


def _apply(job: TrainingJob, values: dict[str, float]) -> None:
    changes = {name: value for name, value in values.items() if value != getattr(job.config, name)}
    try:
        if changes:
            job.change(**changes)
        listed = ", ".join(f"{name} {value:g}" for name, value in changes.items())
        st.caption(f"From the next step on: {listed}." if changes else "Nothing changed.")
    except ValueError as problem:
        st.error(literal(str(problem)), icon=":material/error:")
