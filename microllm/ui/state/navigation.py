"""Which run and moment a window shows, and the address that says so."""

from __future__ import annotations

import contextlib

import streamlit as st

from ...runs.info import RunProblem
from ..server import opened, runner
from . import draft, link
from .ownership import keys
from .session import session
from .view import is_gone, job, moment, run, run_id, sentence_written
from .window import window


def show(new_id: str) -> None:
    """Look at another run, from now on and on every page. One that is gone is named, and the page stays as it is."""
    try:
        _look_at(new_id)
    except RunProblem as problem:
        session().problem = str(problem)
        return
    _write_the_link()


def _look_at(new_id: str) -> None:
    opened(new_id)
    session().met_runs.add(new_id)
    session().run_id, session().moment = new_id, None


def forget() -> None:
    """Look no more at the run on show, which was deleted, and own it no more."""
    opened.cache_clear()
    keys().pop(run_id(), None)
    session().run_id = None
    choose_moment(None)


_ON_SHOW = ("run", "key", "step", "also", "sentence")
_MOST_OTHERS = 6  # runs of this window that are not on show, and whose keys stand in the link as well


def follow_the_link() -> str | None:
    """Make the link and the session agree: the link wins, and gets what it lacks. Sentences about what it cannot say.

    What it says about the next run and the sentence is followed once, so that what a person changes after that stays.
    """
    given = st.query_params.to_dict()
    wrong = _follow(given)
    rest = {name: value for name, value in given.items() if name not in _ON_SHOW}
    if rest != session().followed:
        session().followed = rest
        said = link.read({name: given[name] for name in given.keys() & {"sentence"}} | rest)
        wrong += draft.follow(said)
        if said.sentence:
            st.session_state["sentence"] = said.sentence
    if run_id() is not None:
        try:
            info = run().read_info()
        except RunProblem as error:  # deleted or damaged since it was opened
            session().run_id = None
            wrong.append(str(error))
        else:
            if session().settings is None:  # after a reload the controls say what the run was
                draft.adopt(info)
            if going := job():
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
            if run().read_info().is_owned_with(given["key"]):
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
            if its_id not in keys() and opened(its_id).read_info().is_owned_with(key):
                keys()[its_id] = key
                if going := runner().job(its_id):
                    window().hold(going)


def _follow_step(step: str | None) -> list[str]:
    """Look at this moment of the run on show, or at the nearest."""
    kept = run().list_snapshots()
    if step is None or not kept:
        return []
    if not (step.isdecimal() and len(step) < 10):
        return [f"step is {step[:40]!r}: it must be a whole number of at most nine digits."]
    session().moment = nearest = min(kept, key=lambda it: abs(it - int(step)))
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
    went_back = session().written not in (None, given)
    if says == given or (went_back and _place(says) == _place(given)):  # one more would keep them there
        session().written = given
        return
    session().written = says
    st.query_params.from_dict(says)


def _place(says: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in says.items() if name not in ("also", "sentence")}


def _other_keys() -> str | None:
    others = [f"{its_id}.{key}" for its_id, key in keys().items() if its_id != run_id()]
    return ".".join(others[-_MOST_OTHERS:]) or None


def choose_moment(step: int | None) -> None:
    """Let all pages look at the snapshot of `step`; None: at the newest moment. The link says so too."""
    if is_gone():  # the page says so, once it is drawn
        return
    session().moment = step
    _write_the_link()
