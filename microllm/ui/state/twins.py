"""Twins in a window: the run that is repeated, those of its twins that this window may show, and how they differ."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache

from ...data import edits
from ...data.decode import TextProblem
from ...data.edits import Chapter, Edit, changed, changes, chapters
from ...data.store import load_text
from ...data.suggestions import suggested_name, suggested_sentence
from ...insight.memorization import after_a_cut_word
from ...jobs.background import Background
from ...jobs.twins import Comparison, compare
from ...runs.info import RunProblem
from ...runs.run import Run
from .. import server
from . import ownership
from .experiments import own_runs
from .session import session
from .view import View, has_text, look_at

_SHOWN_BEFORE, _SHOWN_AFTER = 60, 200  # characters of a place that is changed
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Family:
    """A run, its twins on edited texts, and those from other seeds; the newest first.

    `original` is None if the original was deleted, or if this window may not show it.
    """

    original: View | None
    twins: list[View]
    others: list[View]

    @property
    def active(self) -> list[View]:
        """The twins that train or wait."""
        return [view for view in self.twins + self.others if view.is_active]

    @property
    def ready(self) -> list[View]:
        """The twins on edited texts that can be compared: they are over and have weights."""
        return [view for view in self.twins if not view.is_active and view.snapshots]

    @property
    def chosen(self) -> View | None:
        """The twin to compare."""
        return next((view for view in self.ready if view.run.id == session().twin), next(iter(self.ready), None))

    @property
    def other(self) -> View | None:
        """The newest run from another seed that is over."""
        return next((view for view in self.others if not view.is_active and view.snapshots), None)


def family(view: View) -> Family:
    """The family of the displayed run."""
    its = view.info.twin
    original = view if its is None else _opened(its.id)
    original_id = its.id if its else view.run.id
    ids = {run.id: info.created for run, info in own_runs() if info.twin and info.twin.id == original_id}
    if its:
        ids[view.run.id] = view.info.created
    found = [look_at(run_id, None) for run_id in sorted(ids, key=ids.get, reverse=True)]
    return Family(original, [one for one in found if one.info.edit], [one for one in found if not one.info.edit])


def is_awaited(family: Family) -> bool:
    """True if this window has just trained one of the runs that are compared."""
    return any(view.run.id in session().awaited_twins for view in (family.chosen, family.other) if view)


def _opened(run_id: str) -> View | None:
    try:
        run = server.opened(run_id)
        run.read_info()
    except RunProblem:
        return None
    may_show = run.is_from_gallery or ownership.lists(run) or run_id in session().met_runs
    return look_at(run_id, None) if may_show else None


def comparison(original: Run, twin: Run, other: Run | None) -> Background:
    """The Comparison of a run and its twin, which may still be computing."""
    runs = tuple(run and (run.id, run.newest_snapshot()) for run in (original, twin, other))
    return _compared(*runs)


@lru_cache(maxsize=16)
def _compared(*runs: tuple[str, int] | None) -> Background:
    def work(background: Background) -> Comparison:
        with _one_at_a_time:
            return compare(*(run and server.opened(run[0]) for run in runs), background)

    return Background(work, name="twins")


def forget() -> None:
    """Forget all comparisons, so that each is computed again when it is next requested."""
    _compared.cache_clear()


@dataclass(frozen=True)
class Extent:
    """How much an edit changes: the number of places and of characters, and one place before and after it."""

    places: int
    characters: int
    before: str
    after: str


def extent(sha256: str, edit: Edit) -> Extent:
    """How much an edit changes in a stored text. Raises TextProblem."""
    found = _extent_or_problem(sha256, edit)
    if isinstance(found, TextProblem):
        raise found
    return found


@lru_cache(maxsize=32)
def _extent_or_problem(sha256: str, edit: Edit) -> Extent | TextProblem:
    """A problem is remembered like an extent: in a long text it takes seconds to find."""
    text = load_text(sha256)
    try:
        found = changes(text, edit)
    except TextProblem as problem:
        return problem
    new = changed(text, found)
    at = found[len(found) // 2].begin
    begin = max(0, at - _SHOWN_BEFORE)
    begin += after_a_cut_word(text[begin:at]) if begin else 0
    shown = slice(begin, at + _SHOWN_AFTER)
    return Extent(len(found), sum(change.end - change.begin for change in found), text[shown], new[shown])


def label(original: View, edit: Edit) -> str:
    """What is different in a twin of `original`, in a few words."""
    return edits.label(edit, suggestions(original.info.text.sha256)[0] if has_text(original.run) else ())


@lru_cache(maxsize=8)
def suggestions(sha256: str) -> tuple[list[Chapter], str, str]:
    """(the chapters of a stored text, a word to rename, a sentence to repeat). Raises TextProblem."""
    text = load_text(sha256)
    return chapters(text), suggested_name(text), suggested_sentence(text)
