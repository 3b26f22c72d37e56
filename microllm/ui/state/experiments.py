"""Experiments in a window: which of its runs belong to them, their results, and the command that starts them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import streamlit as st

from ...config import flat
from ...experiments import experiment as experiments
from ...experiments import measurements
from ...experiments.experiment import Check, Setup
from ...experiments.registry import EXPERIMENTS
from ...jobs.background import Background
from ...runs.info import ACTIVE, ExperimentEntry, RunInfo, RunProblem
from ...runs.run import Run
from .. import server
from . import commands, draft, navigation, ownership
from .link import Link
from .session import session
from .view import View

OVER_TRAINING = "Over training"
"""What the page Attention shows when a shipped run is opened: a score of every head against the step."""

_MAX_AT_ONCE = 2  # a window trains one run and queues one
_MAX_RUNS = 48  # the newest, which are searched; fewer than `server.opened` keeps open
_one_at_a_time = threading.Lock()


def link_of(setup: Setup) -> Link:
    """The link that sets every knob, and the text, for a run of an experiment."""
    return Link(setup.preset, flat(*setup.configs), setup.text, setup.how, setup.first)


@dataclass(frozen=True)
class Part:
    """One run of an experiment: its setup, the newest run that this window owns of it (None: none), and its state.

    The state is that of the run, or "to do".
    """

    setup: Setup
    run: Run | None = None
    info: RunInfo | None = None

    @property
    def state(self) -> str:
        """One of to do, the states of a run, and over."""
        if self.run is None:
            return "to do"
        if experiments.is_over(self.run, self.setup):
            return "over"
        job = server.runner().job(self.run.id)  # the folder of a run that has just been started does not say yet
        return job.state if job else self.info.state

    @property
    def is_active(self) -> bool:
        """True while the run trains or waits."""
        return self.state in ACTIVE

    @property
    def is_to_do(self) -> bool:
        """True if there is nothing to wait for: no run, or one that was stopped."""
        return not self.is_active and self.state != "over"


def parts(name: str) -> list[Part]:
    """The parts of an experiment, each with the newest run of this window that fits it, if there is one."""
    own = [(run, info) for run, info in own_runs() if info.experiment and info.experiment.name == name]
    found = []
    for setup in EXPERIMENTS[name].setups:
        fitting = [pair for pair in own if setup.fits(pair[1])]
        found.append(Part(setup, *max(fitting, key=lambda pair: pair[1].created, default=())))
    return found


def own_runs() -> list[tuple[Run, RunInfo]]:
    """The newest runs that this window owns."""
    found = []
    for run_id in filter(ownership.owns, list(ownership.keys())[-_MAX_RUNS:]):
        try:
            run = server.opened(run_id)
            found.append((run, run.read_info()))
        except RunProblem:  # deleted since
            continue
    return found


def prediction(name: str, of: list[Part]) -> str | None:
    """The key of what the person predicted, from the newest run; None if there is none."""
    if EXPERIMENTS[name].shipped:
        return session().predictions.get(name)
    entries = [part.info for part in of if part.info]
    key = max(entries, key=lambda info: info.created).experiment.prediction if entries else None
    return key if key in EXPERIMENTS[name].predictions else None


def read_predictions(told: Any) -> dict[str, str]:
    """The predictions that a browser sent, which may be anything, by the name of an experiment with a shipped run."""
    found = {}
    for pair in told if isinstance(told, list) else ():
        if isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair):
            experiment = EXPERIMENTS.get(pair[0])
            if experiment and experiment.shipped and pair[1] in experiment.predictions:
                found[pair[0]] = pair[1]
    return found


def result(name: str, of: list[Part]) -> Background | None:
    """The check of all runs of an experiment, which may still be computing; None until all have ended."""
    if shipped := EXPERIMENTS[name].shipped:
        return _checked(name, shipped) if name in session().predictions else None
    if all(part.state == "over" for part in of):
        return _checked(name, *(part.run.id for part in of))
    return None


@lru_cache(maxsize=64)
def _checked(name: str, *run_ids: str) -> Background:
    def work(_) -> Check:
        with _one_at_a_time:
            return experiments.check(EXPERIMENTS[name], [server.opened(run_id) for run_id in run_ids])

    return Background(work, name="experiment")


def next_setups(of: list[Part]) -> list[Setup]:
    """The setups that a click starts: the first that have no result, at most two; none while one is active."""
    if any(part.is_active for part in of):
        return []
    return [part.setup for part in of if part.is_to_do][:_MAX_AT_ONCE]


def setups_to_repeat(of: list[Part]) -> list[Setup]:
    """The setups that a click repeats when all have a result: those with the oldest ones, at most two, in order."""
    if any(part.state != "over" for part in of):
        return []
    oldest = sorted(of, key=lambda part: part.info.created)[:_MAX_AT_ONCE]
    return [part.setup for part in of if part in oldest]


def start(name: str, key: str) -> None:
    """Start the next runs of an experiment for a person who predicts `key`: one now, the other when that has ended.

    When all have a result, the oldest are repeated. The draft stays as it is. If one cannot start,
    `session().problem` says why.
    """
    experiment = EXPERIMENTS.get(name)
    if experiment is None or key not in experiment.predictions:
        return
    found = parts(name)
    setups = next_setups(found) or setups_to_repeat(found)
    if not setups:
        return
    for place, setup in enumerate(setups):
        commands.start(place > 0, setup, ExperimentEntry(name, key))
        if session().problem:
            break


def set_controls(setup: Setup) -> None:
    """Set the controls of the Train page to a run of an experiment, without starting it."""
    draft.apply_link(link_of(setup))


def open_shipped(name: str, key: str) -> None:
    """Show the run of an experiment without training on the page Attention, for a person who predicts `key`."""
    experiment = EXPERIMENTS.get(name)
    if experiment is None or experiment.shipped is None or key not in experiment.predictions:
        return
    session().predictions[name] = key
    navigation.show(experiment.shipped)
    session().head = measurements.head_of_the_previous_character(server.opened(experiment.shipped))
    st.session_state.update({"attention-shown": OVER_TRAINING, "heads-order": "previous_token"})


def name_of(view: View) -> str | None:
    """The name of the experiment that the displayed run belongs to; None without one, or if it is not known here."""
    shipped = (name for name in session().predictions if EXPERIMENTS[name].shipped == view.run.id)
    name = view.info.experiment.name if view.info.experiment else next(shipped, None)
    return name if name in EXPERIMENTS else None
