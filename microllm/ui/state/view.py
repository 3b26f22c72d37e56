"""Which run, moment and parts of the model a window shows, and the model at that moment."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from ...data.decode import TextProblem
from ...insight.knockout import Part, parts_of
from ...jobs.knockouts import KnockedOut
from ...jobs.training import TrainingJob
from ...model import MicroLLM
from ...runs import gallery
from ...runs.history import History
from ...runs.info import ACTIVE, RunInfo, RunProblem
from ...runs.run import Run
from ...runs.weights import WeightsProblem
from .. import presence
from ..server import knockouts, opened, runner, use_one_thread
from ..words import literal
from . import link
from .session import session

_SOON_SECONDS = 3.0  # a turn that comes sooner is not shown as a wait

SENTENCE = "It is a truth universally ack"


@dataclass(frozen=True)
class View:
    """What the parts of a page show: a run at a moment.

    `look` makes one per script run and per tick, so that the disk is read once and all parts agree. Parts take it as an
    argument, so that two views can be shown side by side.
    """

    run: Run
    info: RunInfo
    """The contents of run.json."""
    history: History
    """The curve so far."""
    snapshots: list[int]
    """The steps of all snapshots, in order."""
    moment: int | None
    """The step of the snapshot to show; None is live. (Not a widget's value: a late tick could overwrite that.)"""
    job: TrainingJob | None
    """The run's training job, while it trains in this server."""
    without: tuple[Part, ...] = ()
    """The parts of the model that are knocked out, in order."""
    replaced_by: str = "mean"
    """What they are replaced by: their "mean" over the held-out text, or "zero", also if that text is not here."""

    @property
    def model_key(self) -> tuple:
        """Distinguishes the models of one step, for caches: the run, and what is knocked out of it."""
        return self.run.id, self.without, self.without and self.replaced_by

    @property
    def is_from_gallery(self) -> bool:
        """True for a run that came with MicroLLM: every window shows one until it has started or opened another run."""
        return self.run.is_from_gallery

    @property
    def state(self) -> str:
        """The state of the run, such as "training"."""
        return self.job.state if self.job else self.info.state

    @property
    def is_active(self) -> bool:
        """True while the run trains, waits or is paused, in this or another process. Pages tick then."""
        return self.job is not None or self.info.state in ACTIVE

    @property
    def has_a_curve(self) -> bool:
        """True when the run has logged more than two steps: enough to draw a line on every axis."""
        return len(self.history) > 2

    @property
    def waits(self) -> bool:
        """True while the run waits for a first turn that is not soon, so that there is little to show."""
        if self.job is None or self.has_a_curve:
            return False
        is_queued = self.job.waits_for is not None
        return is_queued or (self.job.seconds_to_turn() or 0.0) > _SOON_SECONDS * presence.refresh_slowdown()

    def model(self, max_age: float = 0.5, wait: float = 2.0, *, whole: bool = False) -> tuple[int, MicroLLM] | None:
        """(step, model) at this moment, to read from. None without weights; if they are damaged, the page says so.

        A live model is a copy at most `max_age` seconds old, if it arrives within `wait` seconds. It is without the
        knocked-out parts, unless the `whole` model is requested.
        """
        if self.without and not whole:
            changed = self.knocked_out(max_age, wait)
            return changed and (changed.step, changed.model)
        use_one_thread()
        try:
            if self.moment is not None:
                return self.moment, _model_at(self.run.id, self.moment)
            return runner().model_now(self.run, max_age, wait)
        except WeightsProblem as problem:
            st.error(literal(str(problem)), icon=":material/error:")
            return None

    def knocked_out(self, max_age: float = 0.5, wait: float = 2.0) -> KnockedOut | None:
        """The model at this moment with and without the parts that are knocked out, both of one step; as `model`.

        For a run in training it may be a little older, because means take a moment to compute.
        """
        if (now := self.model(max_age, wait, whole=True)) is None:
            return None
        is_live = self.is_live
        return knockouts().model(self.run, *now, self.without, self.replaced_by, is_live=is_live, wait=wait)

    @property
    def is_live(self) -> bool:
        """True when the displayed model is one that trains in this server."""
        return self.moment is None and self.job is not None


def look() -> View:
    """Read from disk what this window shows now. Raises RunProblem if its run was deleted."""
    view = look_at(run_id(), session().moment)
    silent = view.info.model.silenced_heads  # in any case
    parts = (part for part in parts_of(view.info.model) if (part.layer, part.head) not in silent)
    without = tuple(part for part in parts if str(part) in session().without)
    replaced_by = session().replaced_by if not without or has_text(view.run) else "zero"
    return replace(view, without=without, replaced_by=replaced_by)


def look_at(shown_id: str, moment: int | None) -> View:
    """A run at a moment, with nothing knocked out, such as one to show beside the displayed one.

    Raises RunProblem if it was deleted.
    """
    shown = opened(shown_id)
    training = runner().job(shown_id)  # first: a run that ends during this call must not appear active elsewhere
    info, snapshots = shown.read_info(), shown.list_snapshots()
    return View(shown, info, shown.history.read(), snapshots, moment if moment in snapshots else None, training)


def has_text(run: Run) -> bool:
    """True if the text of the run is on this server, so that the mean outputs of its parts can be computed."""
    return not why_no_text(run)


def why_no_text(run: Run) -> str:
    """A sentence that says why the text of the run is not on this server; "" if it is."""
    try:
        run.load_corpus()
    except TextProblem as problem:
        return str(problem)
    return ""


def run_id() -> str:
    """The id of the run that all pages of this window show: the first of the gallery until a person has chosen one."""
    return session().run_id or gallery.FIRST


def run() -> Run:
    """The run that all pages of this window show."""
    return opened(run_id())


def is_gone() -> bool:
    """True when the run was deleted, in this or another window, since the page was drawn."""
    try:
        run().read_info()
    except RunProblem:
        return True
    return False


def job() -> TrainingJob | None:
    """The run's training job, while it trains in this server."""
    return runner().job(run_id())


def sentence_written() -> str | None:
    """The sentence that all pages show, cut to the allowed length. None if nobody has written one."""
    written = st.session_state.get("sentence")
    offered = (SENTENCE, *session().offered)
    return written[: link.SENTENCE_LENGTH] if written and written not in offered else None


@st.cache_resource(max_entries=16, show_spinner=False)
def _model_at(run_id: str, step: int) -> MicroLLM:
    return opened(run_id).model_at(step)
