"""What a browser window looks at and holds, and what all windows share. Only ids and choices live in a session."""

from __future__ import annotations

import atexit
import secrets
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, replace

import streamlit as st
import torch

from .. import texts
from ..checkpoint import WeightsProblem
from ..config import ModelConfig, TrainConfig, configs_from, knobs, problems
from ..cost import Speed, measure_speed
from ..download import BOOK, TextProblem, load_text
from ..model import MicroLLM
from ..runs import ACTIVE, Run, RunProblem
from ..sample import Sampling
from ..training import Training, Workshop, grace_seconds
from ..writing import Writing
from .words import literal

SENTENCE = "It is a truth universally ack"
PROMPT = "It is a truth"

# ---- what all windows share


@st.cache_resource(on_release=Workshop.close, show_spinner=False)
def workshop() -> Workshop:
    """The runs that train in this server."""
    sys.setswitchinterval(0.0005)  # seconds: a training thread needs the interpreter often, but each time briefly
    return Workshop(grace=grace_seconds())


class Background:
    """Something slow that is done once, in a thread, while pages show that it is being done."""

    def __init__(self, work) -> None:
        self.share, self.result, self.problem = 0.0, None, None

        def run() -> None:
            try:
                self.result = work(self)
            except TextProblem as problem:
                self.problem = str(problem)

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        """True until there is a result or a problem."""
        return self._thread.is_alive()

    def wait(self, seconds: float) -> None:
        """Wait for the end, `seconds` at most."""
        self._thread.join(seconds)


@st.cache_resource(show_spinner=False)
def book() -> Background:
    """*Pride and Prejudice*: kept already, or on its way. `book.clear()` tries again."""
    return Background(lambda it: texts.book(lambda share: setattr(it, "share", share)))


@st.cache_resource(show_spinner=False)
def _speed() -> Background:
    measuring = Background(lambda it: measure_speed())
    atexit.register(measuring.wait, 8.0)  # a thread that still computes when the program ends would abort it
    return measuring


def speed() -> Speed | None:
    """How fast this server trains; None while that is being measured."""
    return _speed().result


# ---- this window


class Window:
    """What one browser window keeps alive: the runs it opened, and what is written for it (in the background)."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(8)
        self.writings: dict[str, Writing] = {}
        self.samples: dict = {}
        self._held: dict[str, Training] = {}

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
        for training in self._held.values():
            training.let_go(self.token)
        for writing in self.writings.values():
            writing.stop()


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
    return _opened(run_id()) if run_id() else None


@st.cache_resource(max_entries=64, show_spinner=False)
def _opened(run_id: str) -> Run:
    return Run.open(run_id)  # shared by all windows, so that a curve is read once


def training() -> Training | None:
    """The training of the run on show, while it goes on in this server."""
    return workshop().training(run_id()) if run_id() else None


def is_active() -> bool:
    """True while the run on show trains, waits or is paused, here or in another process: while pages tick."""
    shown = run()
    return shown is not None and (training() is not None or shown.info.state in ACTIVE)


def has_a_curve() -> bool:
    """True when the run on show has made two steps: enough to draw a line on every axis."""
    shown = run()
    return shown is not None and len(shown.history.read()) > 2


def show(new_id: str) -> None:
    """Look at another run, from now on and on every page. Raises RunProblem."""
    _opened(new_id)
    st.session_state["run_id"] = new_id
    st.query_params["run"] = new_id
    choose_moment(None)


def follow_the_link() -> str | None:
    """Make the link and the session agree on the run: the link wins, and gets what it lacks. A sentence on failure."""
    problem = None
    linked = st.query_params.get("run")
    if linked and linked != run_id():
        try:
            show(linked)
        except RunProblem as error:
            problem = str(error)
            del st.query_params["run"]
    if run_id() is None:
        return problem
    try:
        info = run().info
    except RunProblem as error:  # deleted or damaged since it was opened
        del st.session_state["run_id"]
        st.query_params.pop("run", None)
        return str(error)
    if "run" not in st.query_params:
        st.query_params["run"] = info.id
    if "draft" not in st.session_state:  # after a reload the controls say what the run was
        remember_draft(info.preset, asdict(info.model) | asdict(info.train))
    if going := training():
        window().hold(going)
    return problem


# ---- the moment on show


def moment() -> int | None:
    """The step of the past that all pages look at, a snapshot of the run on show; None: live.

    Not a widget's value: one that Python wrote could be overwritten by a tick that is on its way.
    """
    chosen = st.session_state.get("moment")
    return chosen if chosen is not None and chosen in run().snapshots else None


def choose_moment(step: int | None) -> None:
    """Let all pages look at the snapshot of `step`; None: at the newest moment. The link says so too."""
    st.session_state["moment"] = step
    if step is not None:
        st.query_params["step"] = str(step)
    else:
        st.query_params.pop("step", None)


def model_shown(max_age: float = 0.5, wait: float = 2.0) -> tuple[int, MicroLLM] | None:
    """(step, model) of the run on show at the moment on show, to read from. None when it has no weights to show."""
    _be_modest()
    try:
        if (step := moment()) is not None:
            return step, _model_at(run_id(), step)
        return workshop().model_now(run(), max_age, wait)
    except WeightsProblem as problem:
        st.error(literal(str(problem)), icon=":material/error:")
        return None


@st.cache_resource(max_entries=16, show_spinner=False)
def _model_at(run_id: str, step: int) -> MicroLLM:
    return _opened(run_id).model_at(step)


def _be_modest() -> None:
    """A page's small products must not take threads from training, nor wait for cores that are busy.

    Torch keeps the number for each thread, and pages run in many.
    """
    torch.set_num_threads(1)


# ---- what a new run would be


def draft() -> tuple[str, ModelConfig, TrainConfig]:
    """The preset and the configuration that the controls of the train page say, on whichever page one is.

    The widgets come first: in the callback of a button, what was typed just before the click stands only there.
    """
    preset = st.session_state.get("draft_preset", "quick")
    typed = {name: st.session_state[name] for name in knobs() if st.session_state.get(name) is not None}
    return preset, *configs_from(st.session_state.get("draft", {}) | typed, preset)


def remember_draft(preset: str, values: dict) -> None:
    """Keep what the controls say: Streamlit forgets widgets of a page that is not shown."""
    st.session_state["draft_preset"], st.session_state["draft"] = preset, values


def text_choice() -> dict:
    """What the text controls say: source, how it is turned, and how much of it is taken."""
    choice = st.session_state.setdefault("text_choice", {"source": "book", "how": "none", "first": None})
    for name, key in (("source", "text"), ("how", "text-how"), ("first", "text-first")):
        choice[name] = st.session_state.get(key, choice[name])
    return choice


def text() -> texts.Text | None:
    """The chosen text, ready for a run. None while the book is still on its way. Raises TextProblem."""
    _be_modest()
    choice = text_choice()
    source, how, first = choice["source"], choice["how"], choice["first"]
    if source == "book" and book().is_busy:
        return None
    if source == "book" and book().problem:
        source = "drawing-room"
    if source == "own":
        take_pasted()
        own = st.session_state.get("own_text")
        if own is None:
            raise TextProblem("No text yet: upload a file or paste some text.")
        return replace(_prepared("own", how, first, own.sha256, own.name), notice=own.notice)
    return _prepared(source, how, first)


@st.cache_data(show_spinner=False, max_entries=32)
def _prepared(source: str, how: str, first: int | None, sha256: str = "", name: str = "") -> texts.Text:
    if source == "book":
        return texts.prepare(book().result, BOOK, how=how, first=first)
    if source == "own":
        return texts.prepare(load_text(sha256), name, how=how, first=first)
    return texts.choose(source, how=how, first=first)


def take_pasted() -> None:
    """Take what was pasted since the last time as the person's own text."""
    pasted = st.session_state.get("pasted")
    if pasted and pasted != st.session_state.get("pasted_text"):
        st.session_state["pasted_text"] = pasted
        take(lambda: (pasted.replace("\r\n", "\n"), None), "Pasted text")


def take(read: Callable[[], tuple[str, str | None]], name: str) -> None:
    """Take a person's text, which `read` gives with a notice. Why it cannot be used is left in `own_text_problem`."""
    st.session_state["own_text_problem"] = None
    try:
        content, notice = read()
        st.session_state["own_text"] = texts.prepare(content, name, notice=notice)
    except (TextProblem, OSError) as problem:
        st.session_state["own_text_problem"] = str(problem)


def wish() -> tuple[str, int, Sampling, int]:
    """What the controls of the generate page say: prompt, length, the way of choosing, seed."""
    said = st.session_state
    sampling = Sampling(said["temperature"], said["top_k"], said["top_p"])
    return said["prompt"], said["length"], sampling, said["sampling-seed"]


def start() -> None:
    """Start a run of the draft on the chosen text, and look at it. One that this window trains already is stopped.

    What stands in the way is left in `st.session_state["start_problem"]` for the page to show.
    """
    st.session_state.pop("start_problem", None)
    try:
        preset, model, train = draft()
        chosen = text()
        if chosen is None:
            raise TextProblem(f"{BOOK} is still on its way: a moment, please, or choose a built-in text.")
        if found := problems(model, train, chosen.characters):
            raise TextProblem(" ".join(found.values()))
        new = _opened(Run.create(model, train, chosen, preset=preset).id)  # one object to write and to look at
    except (ValueError, OSError) as error:
        st.session_state["start_problem"] = str(error)
        return
    if going := training():
        going.stop("Stopped because a new run was started.")
    window().hold(workshop().start(new))
    show(new.id)
