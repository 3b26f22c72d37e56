"""What a browser window looks at, holds and owns. Only ids and choices live in a session."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
from functools import lru_cache

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from .. import link
from ..checkpoint import WeightsProblem
from ..model import MicroLLM
from ..runs import ACTIVE, Run, RunProblem
from ..training import Training
from ..writing import Desk
from . import frame, next_run
from .shared import Background, be_modest, workshop
from .words import literal

_NEAR = 3.0  # seconds

SENTENCE = "It is a truth universally ack"


# ---- this window


class Window:
    """What one browser window keeps alive: the runs it opened, and what is written for it (in the background)."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(8)
        self.writings: dict[str, Desk] = {}
        self.readers: dict = {}
        self.packages: dict[str, Background] = {}
        self.ordered = -math.inf  # when the last order was carried out
        self._held: dict[str, Training] = {}
        self._session = get_script_run_ctx().session_id
        frame.come(self.token)

    def hold(self, training: Training) -> None:
        """Keep a run alive until this window closes."""
        if self._held.get(training.folder.id) is not training:
            self._held[training.folder.id] = training
            training.hold(self.token)

    def holds(self, run_id: str) -> bool:
        """True for a run that this window has opened while it trained."""
        return run_id in self._held

    def close(self) -> None:
        """Let everything go: the window was closed, reloaded, or lost its connection."""
        frame.go(self.token)
        for training in self._held.values():
            training.let_go(self.token)
        for writing in self.writings.values():
            writing.stop()
        if st.runtime.exists():  # what it could download, a packed run for one, Streamlit would keep for minutes
            downloads = st.runtime.get_instance().media_file_mgr
            downloads.clear_session_refs(self._session)
            downloads.remove_orphaned_files()


@st.cache_resource(scope="session", on_release=Window.close, show_spinner=False)
def window() -> Window:
    """The browser window that this script runs for."""
    return Window()


# ---- the run on show


def run_id() -> str | None:
    """The id of the run that all pages of this window look at. None before the first."""
    return st.session_state.get("run_id")


def run() -> Run | None:
    """The run that all pages of this window look at. None before the first."""
    return opened(run_id()) if run_id() else None


@lru_cache(maxsize=64)  # a page asks some forty times: Streamlit's own cache would be a tenth of its work
def opened(run_id: str) -> Run:
    """The run with this id, one object for all windows, so that a curve is read once. Raises RunProblem."""
    return Run.open(run_id)


def is_gone() -> bool:
    """True when the run on show was deleted, here or in another window, since the page was drawn."""
    try:
        _ = run() and run().info
    except RunProblem:
        return True
    return False


def training() -> Training | None:
    """The training of the run on show, while it goes on in this server."""
    return workshop().training(run_id()) if run_id() else None


def is_active() -> bool:
    """True while the run on show trains, waits or is paused, here or in another process: while pages tick."""
    shown = run()
    return shown is not None and (training() is not None or shown.info.state in ACTIVE)


def waits() -> bool:
    """True while the run on show waits for its first turn and that is not near: while there is little to see."""
    going = training()
    if going is None or has_a_curve():
        return False
    return going.waits_for is not None or (going.seconds_to_turn() or 0.0) > _NEAR * frame.crowd()


def has_a_curve() -> bool:
    """True when the run on show has made two steps: enough to draw a line on every axis."""
    shown = run()
    return shown is not None and len(shown.history.read()) > 2


def show(new_id: str) -> None:
    """Look at another run, from now on and on every page. One that is gone is named, and the page stays as it is."""
    try:
        _look_at(new_id)
    except RunProblem as problem:
        st.session_state["start_problem"] = str(problem)
        return
    _write_the_link()


def _look_at(new_id: str) -> None:
    opened(new_id)
    st.session_state.setdefault("met", set()).add(new_id)
    st.session_state["run_id"], st.session_state["moment"] = new_id, None


# ---- whose run it is


def keys() -> dict[str, str]:
    """The tokens of the runs that this window owns, by id, to read and to write. The runs keep only a hash of them."""
    return st.session_state.setdefault("keys", {})


def owns(its_id: str | None = None) -> bool:
    """True when this window may command a run (by default the one on show): it started it, or has its owner's link."""
    its_id = its_id or run_id()
    try:
        return its_id in keys() and opened(its_id).info.is_owned_with(keys()[its_id])
    except RunProblem:  # deleted, or damaged: nothing is left to command
        return False


def lists_all() -> bool:
    """True when `MICROLLM_LIST` is "all": every window lists every run of this server, as on one's own machine."""
    return os.environ.get("MICROLLM_LIST") == "all"


def lists(its_run: Run) -> bool:
    """True when this window names a run without having its link: its own, and those on texts that everybody has.

    Whoever has the id of a run can open it, so no page gives away another one's.
    """
    return lists_all() or not its_run.info.is_private or owns(its_run.id)


def who_sees_own_texts() -> str:
    """A sentence that says who can read a text that a person uploads or pastes here."""
    if lists_all():
        return "Everybody who can open this page can see your text once you train on it: this server lists all runs."
    return (
        "Your text stays private: other people here do not see it in their lists. Whoever you give the link of a run "
        "on it can read it, and so can the operator of this server."
    )


def knows_parent() -> bool:
    """True when this window may say the id of the run from which the one on show was forked."""
    info = run().info
    if not (info.parent and info.has_private_parent):
        return True
    return lists_all() or info.parent.id in st.session_state.get("met", ()) or owns(info.parent.id)


def forget() -> None:
    """Look no more at the run on show, which was deleted, and own it no more."""
    opened.cache_clear()
    keys().pop(run_id(), None)
    st.session_state["run_id"] = None
    choose_moment(None)


def commanded() -> Training | None:
    """The training of the run on show, for its owner to command. None in the windows of those who watch.

    Every order goes through here, when it is given and not only when its button is drawn.
    """
    return training() if owns() else None


def trainings() -> list[Training]:
    """What this window has set going: a run that trains, and perhaps one that waits for the end of it."""
    going = (workshop().training(owned) for owned in filter(owns, keys()))
    return sorted(filter(None, going), key=lambda one: one.waits_for is not None)


# ---- the link

_ON_SHOW = ("run", "key", "step", "also", "sentence")
_MOST_OTHERS = 6  # runs of this window that are not on show, and whose keys stand in the link as well


def follow_the_link() -> str | None:
    """Make the link and the session agree: the link wins, and gets what it lacks. Sentences about what it cannot say.

    What it says about the next run and the sentence is followed once, so that what a person changes after that stays.
    """
    given = st.query_params.to_dict()
    wrong = _follow(given)
    rest = {name: value for name, value in given.items() if name not in _ON_SHOW}
    if rest != st.session_state.get("followed"):
        st.session_state["followed"] = rest
        said = link.read({name: given[name] for name in given.keys() & {"sentence"}} | rest)
        wrong += next_run.follow(said)
        if said.sentence:
            st.session_state["sentence"] = said.sentence
    if run_id() is not None:
        try:
            info = run().info
        except RunProblem as error:  # deleted or damaged since it was opened
            del st.session_state["run_id"]
            wrong.append(str(error))
        else:
            if "draft" not in st.session_state:  # after a reload the controls say what the run was
                next_run.adopt(info)
            if going := training():
                window().hold(going)
    _write_the_link()
    return " ".join(wrong) or None


def _follow(given: dict[str, str]) -> list[str]:
    """Look at what a link says. Sentences about what is wrong with it."""
    wrong, linked = [], given.get("run")
    _take_other_keys(given.get("also", ""))
    try:
        if linked and linked != run_id():
            _look_at(linked)
            wrong += _follow_step(given.get("step"))
        if linked and given.get("key") != keys().get(linked) and "key" in given:
            if run().info.is_owned_with(given["key"]):
                keys()[linked] = given["key"]
            else:
                wrong.append("The key in this link is not the key of its run: you can watch, but not command it.")
    except RunProblem as error:
        wrong.append(str(error))
    return wrong


def _take_other_keys(said: str) -> None:
    """Own again, after a reload, what the window had set going besides the run on show: `id.key.id.key`."""
    parts = said.split(".")[: 2 * _MOST_OTHERS]
    for its_id, key in zip(parts[::2], parts[1::2], strict=False):
        with contextlib.suppress(RunProblem):  # deleted since
            if its_id not in keys() and opened(its_id).info.is_owned_with(key):
                keys()[its_id] = key
                if going := workshop().training(its_id):
                    window().hold(going)


def _follow_step(step: str | None) -> list[str]:
    """Look at this moment of the run on show, or at the nearest."""
    kept = run().snapshots
    if step is None or not kept:
        return []
    if not (step.isdecimal() and len(step) < 10):
        return [f"step is {step[:40]!r}: it must be a whole number of at most nine digits."]
    st.session_state["moment"] = nearest = min(kept, key=lambda it: abs(it - int(step)))
    return [] if nearest == int(step) else [f"No weights of step {int(step):,} are kept: this is step {nearest:,}."]


def _write_the_link() -> None:
    """Let the address say what is on show, if it does not yet: each writing is an entry in the browser's history.

    What else stands in it stays for a reload, until another run is on show than the link says.
    """
    given = st.query_params.to_dict()
    says = {"run": run_id(), "key": keys().get(run_id()), "step": run_id() and moment(), "also": _other_keys()}
    says["sentence"] = sentence_written()
    says = {name: str(value) for name, value in says.items() if value is not None}
    if given.get("run") == run_id():
        says = {name: value for name, value in given.items() if name not in _ON_SHOW} | says
    went_back = given != st.session_state.get("written", given)
    if says == given or (went_back and _place(says) == _place(given)):  # one more would keep them there
        st.session_state["written"] = given
        return
    st.session_state["written"] = says
    st.query_params.from_dict(says)


def _place(says: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in says.items() if name not in ("also", "sentence")}


def sentence_written() -> str | None:
    """The sentence that all pages look at, as far as it is taken. None where nobody has written one."""
    written = st.session_state.get("sentence")
    offered = (SENTENCE, *st.session_state.get("offered", ()))
    return written[: link.SENTENCE_LENGTH] if written and written not in offered else None


def _other_keys() -> str | None:
    others = [f"{its_id}.{key}" for its_id, key in keys().items() if its_id != run_id()]
    return ".".join(others[-_MOST_OTHERS:]) or None


# ---- the moment on show


def moment() -> int | None:
    """The step of the past that all pages look at, a snapshot of the run on show; None: live.

    Not a widget's value: one that Python wrote could be overwritten by a tick that is on its way.
    """
    chosen = st.session_state.get("moment")
    return chosen if chosen is not None and chosen in run().snapshots else None


def choose_moment(step: int | None) -> None:
    """Let all pages look at the snapshot of `step`; None: at the newest moment. The link says so too."""
    if is_gone():  # the page says so, once it is drawn
        return
    st.session_state["moment"] = step
    _write_the_link()


def model_shown(max_age: float = 0.5, wait: float = 2.0) -> tuple[int, MicroLLM] | None:
    """(step, model) of the run on show at the moment on show, to read from. None when it has no weights to show.

    Raises RunProblem when it was deleted meanwhile.
    """
    be_modest()
    _ = run().info
    try:
        if (step := moment()) is not None:
            return step, _model_at(run_id(), step)
        return workshop().model_now(run(), max_age, wait)
    except WeightsProblem as problem:
        st.error(literal(str(problem)), icon=":material/error:")
        return None


@st.cache_resource(max_entries=16, show_spinner=False)
def _model_at(run_id: str, step: int) -> MicroLLM:
    return opened(run_id).model_at(step)
