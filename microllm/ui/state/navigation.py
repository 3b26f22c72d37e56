"""Which run and moment a window shows, and the link in its address bar."""

from __future__ import annotations

import contextlib

import streamlit as st

from ...runs.info import RunProblem
from ..server import opened, runner
from . import draft, link
from .ownership import keys
from .session import session
from .view import is_gone, job, run, sentence_written
from .view import run_id as shown_id
from .window import window

_VIEW_PARAMETERS = ("run", "key", "step", "also", "sentence")
_MAX_OTHER_RUNS = 6  # of this window, whose owner keys the link also holds


def show(new_id: str) -> None:
    """Show another run, on every page. If it is gone, report that and stay on the present one."""
    try:
        _show(new_id)
    except RunProblem as problem:
        session().problem = str(problem)
        return
    _write_link()


def _show(new_id: str) -> None:
    opened(new_id)
    session().met_runs.add(new_id)
    session().run_id, session().moment = new_id, None


def forget() -> None:
    """Stop showing and owning the displayed run, which was deleted."""
    opened.cache_clear()
    keys().pop(shown_id(), None)
    session().run_id = session().moment = None
    _write_link()


def follow_link() -> str | None:
    """Make the link and the session agree: the link has priority, and what it lacks is added.

    Its settings and its sentence are followed once, so that later changes by the user stay. Returns sentences about bad
    values.
    """
    given = st.query_params.to_dict()
    problems = _follow(given)
    settings = {name: value for name, value in given.items() if name not in _VIEW_PARAMETERS}
    if settings != session().followed:
        session().followed = settings
        parsed = link.read({name: given[name] for name in given.keys() & {"sentence"}} | settings)
        problems += draft.apply_link(parsed)
        if parsed.sentence:
            st.session_state["sentence"] = parsed.sentence
    if session().run_id is not None:
        try:
            info = run().read_info()
        except RunProblem as error:  # deleted or damaged since it was opened
            session().run_id = None
            problems.append(str(error))
        else:
            if session().settings is None:  # after a reload the controls show the settings of the run
                draft.adopt(info)
            if training := job():
                window().hold(training)
    _write_link()
    return " ".join(problems) or None


def _follow(given: dict[str, str]) -> list[str]:
    """Show the run and the moment of a link. Sentences about what is wrong with it."""
    problems, linked = [], given.get("run")
    _take_other_keys(given.get("also", ""))
    try:
        if linked and linked != session().run_id:
            _show(linked)
            problems += _follow_step(given.get("step"))
        if linked and given.get("key") != keys().get(linked) and "key" in given:
            if run().read_info().is_owned_with(given["key"]):
                keys()[linked] = given["key"]
            else:
                problems.append("The key in this link does not match its run. You can watch the run, not control it.")
    except RunProblem as error:
        problems.append(str(error))
    return problems


def _take_other_keys(also: str) -> None:
    """After a reload, regain ownership of the window's other runs: `id.key.id.key`."""
    parts = also.split(".")[: 2 * _MAX_OTHER_RUNS]
    for run_id, key in zip(parts[::2], parts[1::2], strict=False):
        with contextlib.suppress(RunProblem):  # deleted since
            if run_id not in keys() and opened(run_id).read_info().is_owned_with(key):
                keys()[run_id] = key
                if training := runner().job(run_id):
                    window().hold(training)


def _follow_step(step: str | None) -> list[str]:
    """Show the snapshot of the displayed run that is nearest to this step."""
    snapshots = run().list_snapshots()
    if step is None or not snapshots:
        return []
    if not (step.isdecimal() and len(step) < 10):
        return [f"step is {step[:40]!r}: it must be a whole number of at most nine digits."]
    session().moment = nearest = min(snapshots, key=lambda snapshot: abs(snapshot - int(step)))
    if nearest == int(step):
        return []
    return [f"There is no snapshot of step {int(step):,}. Showing the nearest, step {nearest:,}."]


def _write_link() -> None:
    """Write what is shown to the address bar, if that differs: each change is an entry in the browser's history.

    Other query parameters stay for a reload, until the window shows another run than the link.
    """
    given, shown = st.query_params.to_dict(), session().run_id
    moment = session().moment if shown and session().moment in run().list_snapshots() else None
    values = {"run": shown, "key": keys().get(shown), "step": moment, "also": _other_keys()}
    values["sentence"] = sentence_written()
    values = {name: str(value) for name, value in values.items() if value is not None}
    if given.get("run") == shown:
        values = {name: value for name, value in given.items() if name not in _VIEW_PARAMETERS} | values
    went_back = session().written not in (None, given)
    if values == given or (went_back and _place(values) == _place(given)):  # else the back button would be trapped
        session().written = given
        return
    session().written = values
    st.query_params.from_dict(values)


def _place(values: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if name not in ("also", "sentence")}


def _other_keys() -> str | None:
    others = [f"{run_id}.{key}" for run_id, key in keys().items() if run_id != shown_id()]
    return ".".join(others[-_MAX_OTHER_RUNS:]) or None


def choose_moment(step: int | None) -> None:
    """Show the snapshot of `step` on all pages; None is live. The link follows: it names a run of the gallery too, once
    a person has chosen a moment of it.
    """
    if is_gone():  # the page reports that when it is drawn
        return
    if step is not None:
        session().run_id = shown_id()
    session().moment = step
    _write_link()
