"""What a browser window looks at, holds and owns. Only ids and choices live in a session."""

from __future__ import annotations

import streamlit as st

from ...jobs.training import TrainingJob
from ...model import MicroLLM
from ...runs.info import RunProblem
from ...runs.run import ACTIVE, Run
from ...runs.weights import WeightsProblem
from .. import presence
from ..server import opened, runner, use_one_thread
from ..words import literal
from . import link

_NEAR = 3.0  # seconds

SENTENCE = "It is a truth universally ack"
# ---- this window


# ---- the run on show


def run_id() -> str | None:
    """The id of the run that all pages of this window look at. None before the first."""
    return st.session_state.get("run_id")


def run() -> Run | None:
    """The run that all pages of this window look at. None before the first."""
    return opened(run_id()) if run_id() else None


def is_gone() -> bool:
    """True when the run on show was deleted, here or in another window, since the page was drawn."""
    try:
        _ = run() and run().info
    except RunProblem:
        return True
    return False


def job() -> TrainingJob | None:
    """The training of the run on show, while it goes on in this server."""
    return runner().job(run_id()) if run_id() else None


def is_active() -> bool:
    """True while the run on show trains, waits or is paused, here or in another process: while pages tick."""
    shown = run()
    return shown is not None and (job() is not None or shown.info.state in ACTIVE)


def waits() -> bool:
    """True while the run on show waits for its first turn and that is not near: while there is little to see."""
    going = job()
    if going is None or has_a_curve():
        return False
    return going.waits_for is not None or (going.seconds_to_turn() or 0.0) > _NEAR * presence.refresh_slowdown()


def has_a_curve() -> bool:
    """True when the run on show has made two steps: enough to draw a line on every axis."""
    shown = run()
    return shown is not None and len(shown.history.read()) > 2


# ---- whose run it is

# ---- the link


def sentence_written() -> str | None:
    """The sentence that all pages look at, as far as it is taken. None where nobody has written one."""
    written = st.session_state.get("sentence")
    offered = (SENTENCE, *st.session_state.get("offered", ()))
    return written[: link.SENTENCE_LENGTH] if written and written not in offered else None


# ---- the moment on show


def moment() -> int | None:
    """The step of the past that all pages look at, a snapshot of the run on show; None: live.

    Not a widget's value: one that Python wrote could be overwritten by a tick that is on its way.
    """
    chosen = st.session_state.get("moment")
    return chosen if chosen is not None and chosen in run().snapshots else None


def model_shown(max_age: float = 0.5, wait: float = 2.0) -> tuple[int, MicroLLM] | None:
    """(step, model) of the run on show at the moment on show, to read from. None when it has no weights to show.

    Raises RunProblem when it was deleted meanwhile.
    """
    use_one_thread()
    _ = run().info
    try:
        if (step := moment()) is not None:
            return step, _model_at(run_id(), step)
        return runner().model_now(run(), max_age, wait)
    except WeightsProblem as problem:
        st.error(literal(str(problem)), icon=":material/error:")
        return None


@st.cache_resource(max_entries=16, show_spinner=False)
def _model_at(run_id: str, step: int) -> MicroLLM:
    return opened(run_id).model_at(step)
