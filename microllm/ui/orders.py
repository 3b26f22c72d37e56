"""What a window orders: to start a run, to go on with one, to fork, take in or delete it."""

from __future__ import annotations

import secrets
import time

import streamlit as st

from .. import forking, texts
from ..config import ModelConfig, TrainConfig, problems
from ..download import BOOK, TextProblem
from ..importing import import_run
from ..runs import Run, RunProblem
from ..training import Training
from . import next_run, session
from .shared import workshop

_ONE_CLICK = 3.0  # seconds in which a second click on Start is none


def start(is_queued: bool = False) -> None:
    """Start a run of the draft on the chosen text, own it, and look at it. What this window trains already is stopped;
    if the new one `is_queued`, it begins when that is over, and the page stays where it is.

    What stands in the way is left in `st.session_state["start_problem"]` for the page to show.
    """
    st.session_state.pop("start_problem", None)
    try:
        preset, model, train = next_run.draft()
        chosen = next_run.text()
        if chosen is None:
            raise TextProblem(f"{BOOK} is still on its way: a moment, please, or choose a built-in text.")
        if found := problems(model, train, chosen.characters):
            raise TextProblem(" ".join(found.values()))
        if any(_is_a_repeated_click(going, model, train, chosen) for going in session.trainings()):
            return
        token = secrets.token_urlsafe(16)
        made = Run.create(model, train, chosen, preset=preset, token=token, guess=next_run.guess())
        new = session.opened(made.id)  # one object to write and to look at
    except (ValueError, OSError) as error:
        st.session_state["start_problem"] = str(error)
        return
    is_queued = is_queued and bool(session.trainings())
    session.own(new.id, token)
    _train(new, is_queued)
    if not is_queued:
        session.show(new.id)


def _is_a_repeated_click(going: Training, model: ModelConfig, train: TrainConfig, text: texts.Text) -> bool:
    """True when such a run was started a moment ago, or has not begun yet: two clicks where one was meant."""
    info = going.folder.info
    is_same = (info.model, info.train, info.text.sha256) == (model, train, text.sha256)
    return is_same and (going.reached < 0 or time.time() - info.created < _ONE_CLICK)


def resume(max_steps: int | None = None) -> None:
    """Go on with the run on show where it was left, if this window owns it; a finished one up to `max_steps`.

    What stands in the way is left in `st.session_state["start_problem"]` for the page to show.
    """
    st.session_state.pop("start_problem", None)
    if not session.owns():
        return
    try:
        if max_steps is not None:
            session.run().extend(max_steps)
        _ = session.run().corpus, session.run().old_corpus  # a text that is gone is named here, not in a run that fails
    except (ValueError, OSError) as error:
        st.session_state["start_problem"] = str(error)
        return
    _train(session.run())
    session.choose_moment(None)


def fork(step: int | None, text: texts.Text | None, changes: dict[str, float]) -> None:
    """Start a fork of the run on show from the weights of `step` (None: of this moment), own it, and look at it.

    What stands in the way is left in `st.session_state["start_problem"]` for the page to show.
    """
    st.session_state.pop("start_problem", None)
    token = secrets.token_urlsafe(16)
    try:
        if step is None and (training := session.commanded()):
            step = training.keep_now()
        parent = session.run()
        made = forking.fork(parent, parent.newest_snapshot() if step is None else step, text, token, **changes)
    except (ValueError, OSError) as error:
        st.session_state["start_problem"] = str(error)
        return
    session.own(made.id, token)
    _train(session.opened(made.id))
    session.show(made.id)


def _train(run: Run, is_queued: bool = False) -> None:
    """Train a run of this window, which trains one at a time, and lets one wait."""
    others = [one for one in session.trainings() if one.folder.id != run.id]
    queue = [one for one in others if one.waits_for]
    current = next((one for one in others if one not in queue), None)
    new = workshop().start(run, after=current if is_queued else None)
    session.window().hold(new)
    for one in queue if is_queued else [current] if current else []:
        one.stop("Stopped because a new run was started.")
    if not is_queued:
        for one in queue:
            one.after = new


def take_in(packed: bytes) -> None:
    """Keep a run that somebody packed, own it, and look at it.

    Why it is refused is left in `st.session_state["start_problem"]` for the page to show.
    """
    token = secrets.token_urlsafe(16)
    try:
        new = import_run(packed, token)
    except (RunProblem, OSError) as problem:
        st.session_state["start_problem"] = str(problem)
        return
    session.own(new.id, token)
    session.show(new.id)


def delete() -> None:
    """Remove the run on show for good, if this window owns it and it does not train."""
    if not session.owns() or session.training():
        return
    try:
        session.run().delete()
    except (RunProblem, OSError) as problem:
        st.session_state["start_problem"] = str(problem)
        return
    session.forget()
    next_run.forget_texts()  # its own may be gone with it
