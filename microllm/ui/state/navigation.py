"""Which run, moment and parts of the model a window shows, and the link in its address bar."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence

import streamlit as st

from ...insight.knockout import Part, parts_of
from ...runs.info import RunProblem
from ..components.storage import has_key, without_key
from ..glossary import TERMS
from ..server import opened
from . import draft, link, ownership
from .path import CARDS
from .session import session
from .view import is_gone, job, run, sentence_written
from .view import run_id as shown_id
from .window import window

_ON_LEARN = ("lesson", "term")
_VIEW_PARAMETERS = ("run", "step", "without", "replaced_by", "sentence", *_ON_LEARN)
_MAX_OTHER_RUNS = 6


def show(new_id: str) -> None:
    """Show another run, on every page. If it is gone, report that and stay on the current one."""
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
    session().notes.pop("link", None)


def forget() -> None:
    """Stop showing and owning the displayed run, which was deleted."""
    opened.cache_clear()
    ownership.drop_key(shown_id())
    session().run_id = session().moment = None
    _write_link()


def follow_link(page: str) -> None:
    """Make the link to a page and the session agree: the link has priority, and what it lacks is added.

    Its settings and its sentence are applied once, so that later changes by the user stay. Errors in it are noted until
    the window shows another run or the person dismisses them.
    """
    given = without_key(st.query_params.to_dict())
    problems = _take_keys(session().link_with_key or st.query_params.to_dict())
    session().link_with_key = session().link_with_key and {}
    problems = dict.fromkeys([*problems, *_follow(given)])
    _follow_on_learn(page, given)
    settings = {name: value for name, value in given.items() if name not in _VIEW_PARAMETERS}
    if settings != session().followed:
        session().followed = settings
        parsed = link.read({name: given[name] for name in given.keys() & {"sentence"}} | settings)
        problems |= draft.apply_link(parsed)
        if parsed.sentence:
            st.session_state["sentence"] = parsed.sentence
    if session().run_id is not None:
        try:
            info = run().read_info()
        except RunProblem as error:  # deleted or damaged since it was opened
            session().run_id = None
            problems[str(error)] = None
        else:
            if session().settings is None:  # after a reload the controls show the settings of the run
                draft.adopt(info)
            if training := job():
                window().hold(training)
    ownership.hold_abandoned()
    _write_link()
    if problems:
        session().notes["link"] = session().notes.get("link", {}) | problems


def _follow_on_learn(page: str, given: Mapping[str, str]) -> None:
    """Open the card of the path, or the term of the glossary, that a reload or the browser's back button asks for.

    A term stays in the address while the page Learn shows it.
    """
    written = session().written or {}
    lesson, term = (given.get(name) if given.get(name) != written.get(name) else None for name in _ON_LEARN)
    if lesson in CARDS:
        session().lesson = lesson
    if page != "learn":
        session().asked_term = None
    elif term in TERMS:
        session().asked_term, session().lesson, session().is_in_glossary = term, None, True


def _take_keys(given: Mapping[str, str]) -> list[str]:
    """Own the runs whose keys a link has. Returns sentences about errors in it."""
    parts = given.get("also", "").split(".")[: 2 * _MAX_OTHER_RUNS]
    for run_id, key in zip(parts[::2], parts[1::2], strict=False):
        with contextlib.suppress(RunProblem):  # deleted since
            ownership.take_key(run_id, key)
    with contextlib.suppress(RunProblem):  # reported when the run is shown
        if {"run", "key"} <= given.keys() and not ownership.take_key(given["run"], given["key"]):
            return ["The key in this link does not match its run, so it does not let you control the run."]
    return []


def _follow(given: Mapping[str, str]) -> list[str]:
    """Show the run, the moment and the parts of a link. Returns sentences about errors in it."""
    linked = given.get("run")
    try:
        if linked and linked != session().run_id:
            _show(linked)
            return _follow_step(given.get("step")) + _follow_without(given)
    except RunProblem as error:
        return [str(error)]
    return []


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
    return [f"There is no snapshot of step {int(step):,}. The nearest is that of step {nearest:,}."]


def _follow_without(given: Mapping[str, str]) -> list[str]:
    """Knock out the parts that a link names, replaced by their mean, or by zero if the link says so."""
    if "without" not in given:
        return []
    named = given["without"].split()
    session().without = _known_parts(named)
    session().replaced_by = "zero" if given.get("replaced_by") == "zero" else "mean"
    if unknown := [part for part in named if part not in session().without]:
        return [f"without has {unknown[0][:40]!r}: the parts of this model are written like '1.1' and '1.ff'."]
    return []


def _known_parts(names: Iterable[str]) -> tuple[str, ...]:
    """Those of the named parts that the displayed model has, each once."""
    known = set(map(str, parts_of(run().read_info().model)))
    return tuple(name for name in dict.fromkeys(names) if name in known)


def _write_link() -> None:
    """Write what is shown to the address bar, if that differs: each change is an entry in the browser's history.

    Other query parameters stay for a reload, until the window shows a different run from the link's. With a key in the
    address nothing is written before the browser has removed it, because the current entry would keep the key.
    """
    given, shown = st.query_params.to_dict(), session().run_id
    if session().browser_keeps is None and has_key(given):
        return
    moment = session().moment if shown and session().moment in run().list_snapshots() else None
    values = {"run": shown, "step": moment, "without": None, "replaced_by": None}
    values |= {"sentence": sentence_written(), "lesson": session().lesson, "term": session().asked_term}
    if shown and session().without and (without := _known_parts(session().without)):
        values["without"] = " ".join(without)
        values["replaced_by"] = "zero" if session().replaced_by == "zero" else None
    values = {name: str(value) for name, value in values.items() if value is not None}
    if given.get("run") == shown:
        values = {name: value for name, value in without_key(given).items() if name not in _VIEW_PARAMETERS} | values
    went_back = session().written not in (None, given)
    if values == given or (went_back and _place(values) == _place(given)):  # else the back button would be trapped
        session().written = given
        return
    session().written = values
    st.query_params.from_dict(values)


def _place(values: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if name not in ("sentence", *_ON_LEARN)}


def choose_moment(step: int | None) -> None:
    """Show the snapshot of `step` on all pages; None is live.

    The link follows: it even names a run of the gallery, once a person has chosen a moment or parts of it.
    """
    if is_gone():  # the page reports that when it is drawn
        return
    if step is not None:
        session().run_id = shown_id()
    session().moment = step
    _write_link()


def knock_out(parts: Sequence[Part]) -> None:
    """Show the model without these parts on all pages."""
    if is_gone():
        return
    if parts:
        session().run_id = shown_id()
    session().without = tuple(map(str, parts))
    _write_link()


def replace_by(way: str) -> None:
    """Replace knocked-out parts by their "mean" or by "zero"."""
    session().replaced_by = way
    _write_link()
