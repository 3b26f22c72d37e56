"""The downloads of a page: each kind of export at the moment on show, or a sentence that says why there is none."""

import weakref

import making
import pytest
from play import KEY, keys, new_run, open_app, said, trained_run

from microllm.exports import KINDS
from microllm.jobs.background import Background
from microllm.runs.catalog import delete
from microllm.runs.fork import fork
from microllm.ui.parts import take_away


@pytest.fixture
def run():
    return trained_run(max_steps=20)


def downloads(run):
    """A page with its downloads open and packed."""
    at = open_app("train", run=run.id)
    at.session_state["take-away"] = True
    making.wait_until(lambda: f"export-{list(KINDS)[-1]}" in keys(at.run()))  # they are made one after another
    assert not at.exception
    return at


def test_every_kind_of_export_is_offered_with_a_sentence(run):
    at = downloads(run)
    assert {f"export-{kind}" for kind in KINDS} <= keys(at)
    assert all(kind.sentence in said(at) for kind in KINDS.values())


def packed(run, moment=None):
    take_away.pack(run, package := take_away.Package(), moment)
    return package


def test_exports_are_of_the_moment_on_show(run):
    package = packed(run, 8)
    assert package.exported == 8
    assert package.exports["script"] != packed(run).exports["script"]
    assert package.step == 20  # the curves are whole


def test_a_kind_that_a_run_cannot_have_says_why(run):
    child = fork(run, 20, owner_key=KEY, max_steps=30)
    delete(run)
    at = downloads(child)
    assert "export-script" not in keys(at)
    assert child.read_info().name in said(at)


def test_a_run_that_has_no_weights_yet_offers_its_records_only():
    package = packed(new_run())
    assert package.exports == {}
    assert package.problems.keys() == KINDS.keys()
    assert package.folder


def test_what_waits_to_be_packed_is_not_packed_after_its_window_has_closed_it(run, monkeypatch):
    packed = []
    monkeypatch.setattr(take_away.archive, "folder_zip", lambda *_, **__: packed.append(run.id) or b"")
    with take_away._one_at_a_time:  # another run is being packed
        waiting = [
            Background(lambda work: take_away.pack(run, take_away.Package(), cancelled=work.cancelled))
            for _ in range(9)
        ]
        for work in waiting:
            work.cancelled.set()
    for work in waiting:
        work.wait(10)
    assert not packed and not any(work.is_busy for work in waiting)


def test_the_downloads_of_all_windows_together_take_so_much_memory(run, monkeypatch):
    monkeypatch.setattr(take_away, "_kept", weakref.WeakSet())  # those of other tests may not be collected yet
    size = take_away.archive.folder_bytes(run)
    first = packed(run)
    assert first.nbytes > size
    monkeypatch.setattr(take_away, "_MAX_KEPT_BYTES", first.nbytes + size)
    second = packed(run)
    assert second.folder is None and second.problems["run"]
    assert first.folder  # it keeps what it has
    del first, second
    assert packed(run).folder


def test_a_run_that_is_larger_than_all_this_memory_says_so(run, monkeypatch):
    monkeypatch.setattr(take_away, "_MAX_KEPT_BYTES", take_away.archive.folder_bytes(run) - 1)
    assert packed(run).problems["run"]
