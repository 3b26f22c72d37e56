"""What a browser window looks at, holds and owns. Only ids and choices live in a session."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from ...jobs.training import TrainingJob
from ...model import MicroLLM
from ...runs.history import History
from ...runs.info import RunInfo, RunProblem
from ...runs.run import ACTIVE, Run
from ...runs.weights import WeightsProblem
from .. import presence
from ..server import opened, runner, use_one_thread
from ..words import literal
from . import link
from .session import session

_NEAR = 3.0  # seconds

SENTENCE = "It is a truth universally ack"


@dataclass(frozen=True)
class View:
    """What the parts of a page show: a run at a moment. `look` makes one for each script run and each tick, so that the
    disk is read once, and all parts agree. A part takes it as its argument, so that two of a kind can stand side by
    side.
    """

    run: Run
    info: RunInfo
    """What run.json says."""
    history: History
    """The curve so far."""
    snapshots: list[int]
    """The steps whose weights are kept, in order."""
    moment: int | None
    """The snapshot on show; None is live."""
    job: TrainingJob | None
    """The training of the run, while it goes on in this server."""

    @property
    def state(self) -> str:
        """The state of the run, such as "training"."""
        return self.job.state if self.job else self.info.state

    @property
    def is_active(self) -> bool:
        """True while the run trains, waits or is paused, here or in another process: while pages tick."""
        return self.job is not None or self.info.state in ACTIVE

    @property
    def has_a_curve(self) -> bool:
        """True when the run has made two steps: enough to draw a line on every axis."""
        return len(self.history) > 2

    @property
    def waits(self) -> bool:
        """True while the run waits for its first turn, and that is not near: there is little to see."""
        if self.job is None or self.has_a_curve:
            return False
        is_behind_another = self.job.waits_for is not None
        return is_behind_another or (self.job.seconds_to_turn() or 0.0) > _NEAR * presence.refresh_slowdown()

    def model(self, max_age: float = 0.5, wait: float = 2.0) -> tuple[int, MicroLLM] | None:
        """(step, model) at the moment on show, to read from; None when there are no weights yet or they are damaged,
        which the page says.

        A live model is a copy at most `max_age` seconds old, if it arrives within `wait` seconds.
        """
        use_one_thread()
        try:
            if self.moment is not None:
                return self.moment, _model_at(self.run.id, self.moment)
            return runner().model_now(self.run, max_age, wait)
        except WeightsProblem as problem:
            st.error(literal(str(problem)), icon=":material/error:")
            return None


def look() -> View | None:
    """What this window shows now; None before the first run. Raises RunProblem when that run was deleted."""
    shown = run()
    if shown is None:
        return None
    info, steps = shown.read_info(), shown.list_snapshots()
    chosen = session().moment
    return View(shown, info, shown.history.read(), steps, chosen if chosen in steps else None, job())


# ---- the run on show


def run_id() -> str | None:
    """The id of the run that all pages of this window look at. None before the first."""
    return session().run_id


def run() -> Run | None:
    """The run that all pages of this window look at. None before the first."""
    return opened(run_id()) if run_id() else None


def is_gone() -> bool:
    """True when the run on show was deleted, here or in another window, since the page was drawn."""
    try:
        if run():
            run().read_info()
    except RunProblem:
        return True
    return False


def job() -> TrainingJob | None:
    """The training of the run on show, while it goes on in this server."""
    return runner().job(run_id()) if run_id() else None


def is_active() -> bool:
    """True while the run on show trains, waits or is paused, here or in another process: while pages tick."""
    shown = run()
    return shown is not None and (job() is not None or shown.read_info().state in ACTIVE)


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
    offered = (SENTENCE, *session().offered)
    return written[: link.SENTENCE_LENGTH] if written and written not in offered else None


# ---- the moment on show


def moment() -> int | None:
    """The step of the past that all pages look at, a snapshot of the run on show; None: live.

    Not a widget's value: one that Python wrote could be overwritten by a tick that is on its way.
    """
    chosen = session().moment
    return chosen if chosen is not None and chosen in run().list_snapshots() else None


def model_shown(max_age: float = 0.5, wait: float = 2.0) -> tuple[int, MicroLLM] | None:
    """(step, model) of the run on show at the moment on show, to read from. None when it has no weights to show.

    Raises RunProblem when it was deleted meanwhile.
    """
    use_one_thread()
    run().read_info()
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
