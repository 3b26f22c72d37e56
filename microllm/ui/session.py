"""What a browser window looks at and holds, and what all windows share. Only ids and choices live in a session."""

from __future__ import annotations

import atexit
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace

import streamlit as st
import torch

from .. import forking, link, runs, texts
from ..builtin import BUILTIN_TEXTS
from ..checkpoint import WeightsProblem
from ..config import ModelConfig, TrainConfig, configs_from, knobs, problems
from ..cost import Speed, measure_speed
from ..download import BOOK, TextProblem, load_text
from ..importing import import_run
from ..model import MicroLLM
from ..runs import ACTIVE, Run, RunInfo, RunProblem
from ..samples import Samples
from ..training import Training, Workshop, grace_seconds
from ..writing import Desk
from . import frame
from .words import literal

_ONE_CLICK = 3.0  # seconds in which a second click on Start is none

SENTENCE = "It is a truth universally ack"

TEXT_KEYS = {"source": "text", "how": "text-how", "first": "text-first"}
"""The widgets of a text: source, how it is turned, how much of it is taken."""

# ---- what all windows share


@st.cache_resource(on_release=Workshop.close, show_spinner=False)
def workshop() -> Workshop:
    """The runs that train in this server."""
    return Workshop(grace=grace_seconds())


class Background:
    """Something slow that is done once, in a thread, while pages show that it is being done."""

    def __init__(self, work) -> None:
        self.share, self.result, self.problem = 0.0, None, None

        def run() -> None:
            try:
                self.result = work(self)
            except (TextProblem, RunProblem, OSError) as problem:
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


@st.cache_resource(show_spinner=False)
def samples() -> Samples:
    """What the runs write as they learn, for all windows."""
    return Samples(lambda run: workshop().model_now(run, max_age=1.0, wait=0.05))


# ---- this window


class Window:
    """What one browser window keeps alive: the runs it opened, and what is written for it (in the background)."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(8)
        self.writings: dict[str, Desk] = {}
        self.readers: dict = {}
        self.packages: dict[str, Background] = {}
        self._held: dict[str, Training] = {}
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
    _look_at(new_id)
    _write_the_link()


def _look_at(new_id: str) -> None:
    _opened(new_id)
    st.session_state["run_id"], st.session_state["moment"] = new_id, None


# ---- whose run it is


def _keys() -> dict[str, str]:
    """The tokens of the runs that this window owns, by id. The runs themselves keep only a hash."""
    return st.session_state.setdefault("keys", {})


def owns(its_id: str | None = None) -> bool:
    """True when this window may command a run (by default the one on show): it started it, or has its owner's link."""
    its_id = its_id or run_id()
    try:
        return its_id in _keys() and _opened(its_id).info.is_owned_with(_keys()[its_id])
    except RunProblem:  # deleted, or damaged: nothing is left to command
        return False


def commanded() -> Training | None:
    """The training of the run on show, for its owner to command. None in the windows of those who watch.

    Every order goes through here, when it is given and not only when its button is drawn.
    """
    return training() if owns() else None


# ---- the link

_ON_SHOW = ("run", "key", "step")


def follow_the_link() -> str | None:
    """Make the link and the session agree: the link wins, and gets what it lacks. Sentences about what it cannot say.

    What it says about the next run is followed once, so that what a person changes after that stays.
    """
    given = st.query_params.to_dict()
    wrong = _follow(given)
    rest = {name: value for name, value in given.items() if name not in _ON_SHOW}
    if rest and rest != st.session_state.get("followed"):
        st.session_state["followed"] = rest
        wrong += _follow_settings(link.read(rest))
    if run_id() is not None:
        try:
            info = run().info
        except RunProblem as error:  # deleted or damaged since it was opened
            del st.session_state["run_id"]
            wrong.append(str(error))
        else:
            if "draft" not in st.session_state:  # after a reload the controls say what the run was
                adopt(info)
            if going := training():
                window().hold(going)
    _write_the_link()
    return " ".join(wrong) or None


def _follow(given: dict[str, str]) -> list[str]:
    """Look at what a link says. Sentences about what is wrong with it."""
    wrong, linked = [], given.get("run")
    try:
        if linked and linked != run_id():
            _look_at(linked)
            wrong += _follow_step(given.get("step"))
        if linked and given.get("key") != _keys().get(linked) and "key" in given:
            if run().info.is_owned_with(given["key"]):
                _keys()[linked] = given["key"]
            else:
                wrong.append("The key in this link is not the key of its run: you can watch, but not command it.")
    except RunProblem as error:
        wrong.append(str(error))
    return wrong


def _follow_settings(said: link.Link) -> list[str]:
    """Let the controls say what a link says. Sentences about what is wrong with it."""
    if said.preset or said.values:
        preset = said.preset or "quick"
        model, train = configs_from(said.values, preset)
        set_draft(preset, asdict(model) | asdict(train))
    if said.text:
        choose_text(said.text, said.transform, said.first)
    if said.sentence:
        st.session_state["sentence"] = said.sentence
    return list(said.wrong)


def _follow_step(step: str | None) -> list[str]:
    """Look at this moment of the run on show, or at the nearest."""
    kept = run().snapshots
    if step is None or not kept:
        return []
    if not (step.isdecimal() and len(step) < 10):
        return [f"step is {step[:40]!r}: it must be a whole number."]
    st.session_state["moment"] = nearest = min(kept, key=lambda it: abs(it - int(step)))
    return [] if nearest == int(step) else [f"No weights of step {int(step):,} are kept: this is step {nearest:,}."]


def _write_the_link() -> None:
    """Let the address say what is on show, if it does not yet: each writing is an entry in the browser's history.

    What else stands in it stays for a reload, until another run is on show than the link says.
    """
    given = st.query_params.to_dict()
    says = {"run": run_id(), "key": _keys().get(run_id()), "step": run_id() and moment()}
    says = {name: str(value) for name, value in says.items() if value is not None}
    if given.get("run") == run_id():
        says = {name: value for name, value in given.items() if name not in _ON_SHOW} | says
    if says != given:
        st.query_params.from_dict(says)


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
    _write_the_link()


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


def adopt(info: RunInfo, **changes) -> None:
    """Make the settings and the text of a run, with some changes, the draft of the next one."""
    set_draft(info.preset, asdict(info.model) | asdict(info.train) | changes)
    source = info.text.source
    if source == "book" or source in BUILTIN_TEXTS:
        choose_text(source, info.text.how, info.text.first)
    elif texts.is_kept(info.text):
        st.session_state["own_text"] = info.text
        choose_text("own")


def set_draft(preset: str, values: dict) -> None:
    """Let the controls say this, on whichever page they stand."""
    remember_draft(preset, values)
    st.session_state.update(values | {"preset": preset})


def choose_text(source: str, how: str = "none", first: int | None = None) -> None:
    """Let the controls say this text."""
    st.session_state["text_choice"] = choice = {"source": source, "how": how, "first": first}
    st.session_state.update({key: choice[name] for name, key in TEXT_KEYS.items()})


def guess() -> float | None:
    """What the person expects the last validation loss of the next run to be, in nats a character."""
    return st.session_state.get("guess")


def text_choice() -> dict:
    """What the text controls say: source, how it is turned, and how much of it is taken."""
    choice = st.session_state.setdefault("text_choice", {"source": "book", "how": "none", "first": None})
    for name, key in TEXT_KEYS.items():
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
        if how == "none" and first is None:
            return own
        return replace(_prepared("own", how, first, own.sha256, own.name), notice=own.notice)
    return _prepared(source, how, first)


@st.cache_data(show_spinner=False, max_entries=32)
def _prepared(source: str, how: str, first: int | None, sha256: str = "", name: str = "") -> texts.Text:
    if source == "book":
        return texts.prepare(book().result, BOOK, how=how, first=first, source="book")
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


def start(is_queued: bool = False) -> None:
    """Start a run of the draft on the chosen text, own it, and look at it. What this window trains already is stopped;
    if the new one `is_queued`, it begins when that is over, and the page stays where it is.

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
        if any(_is_a_repeated_click(going, model, train, chosen) for going in trainings()):
            return
        token = secrets.token_urlsafe(16)
        made = Run.create(model, train, chosen, preset=preset, token=token, guess=guess())
        new = _opened(made.id)  # one object to write and to look at
    except (ValueError, OSError) as error:
        st.session_state["start_problem"] = str(error)
        return
    is_queued = is_queued and bool(trainings())
    _keys()[new.id] = token
    _train(new, is_queued)
    if not is_queued:
        show(new.id)


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
    if not owns():
        return
    try:
        if max_steps is not None:
            run().extend(max_steps)
        _ = run().corpus, run().old_corpus  # a text that is gone is named here, not in a run that fails
    except (ValueError, OSError) as error:
        st.session_state["start_problem"] = str(error)
        return
    _train(run())
    choose_moment(None)


def fork(step: int | None, text: texts.Text | None, changes: dict[str, float]) -> None:
    """Start a fork of the run on show from the weights of `step` (None: of this moment), own it, and look at it.

    What stands in the way is left in `st.session_state["start_problem"]` for the page to show.
    """
    st.session_state.pop("start_problem", None)
    token = secrets.token_urlsafe(16)
    try:
        if step is None and (training := commanded()):
            step = training.keep_now()
        parent = run()
        made = forking.fork(parent, parent.newest_snapshot() if step is None else step, text, token, **changes)
    except (ValueError, OSError) as error:
        st.session_state["start_problem"] = str(error)
        return
    _keys()[made.id] = token
    _train(_opened(made.id))
    show(made.id)


def trainings() -> list[Training]:
    """What this window has set going: a run that trains, and perhaps one that waits for the end of it."""
    going = (workshop().training(owned) for owned in filter(owns, _keys()))
    return sorted(filter(None, going), key=lambda one: one.waits_for is not None)


def _train(run: Run, is_queued: bool = False) -> None:
    """Train a run of this window, which trains one at a time, and lets one wait."""
    others = [one for one in trainings() if one.folder.id != run.id]
    queue = [one for one in others if one.waits_for]
    current = next((one for one in others if one not in queue), None)
    new = workshop().start(run, after=current if is_queued else None)
    window().hold(new)
    for one in queue if is_queued else [current] if current else []:
        one.stop("Stopped because a new run was started.")
    if not is_queued:
        for one in queue:
            one.after = new


@st.cache_data(ttl=20.0, show_spinner=False)
def disk_use() -> int:
    """Bytes that all runs on this server take, as of some seconds ago."""
    return runs.disk_use()


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
    _keys()[new.id] = token
    show(new.id)


def delete() -> None:
    """Remove the run on show for good, if this window owns it and it does not train."""
    if not owns() or training():
        return
    gone = run_id()
    try:
        run().delete()
    except (RunProblem, OSError) as problem:
        st.session_state["start_problem"] = str(problem)
        return
    _opened.clear()
    _prepared.clear()  # its text may be gone with it
    _keys().pop(gone, None)
    st.session_state["run_id"] = None
    choose_moment(None)
