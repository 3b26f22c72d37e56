"""Fixtures for tests of pages without a browser: each test has its own server and a generated "book"."""

from dataclasses import replace
from pathlib import Path

import play
import pytest
import streamlit as st
from making import wait_until
from play import new_run, step_of, training_threads
from streamlit.components.v2 import manifest_scanner
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import app_test

from microllm.cost import Speed
from microllm.data.builtin import drawing_room
from microllm.data.published import PUBLISHED_TEXTS
from microllm.runs.run import Run
from microllm.ui import server, shell


@pytest.fixture(autouse=True, scope="session")
def everything_is_imported():
    """The first page of a fresh server is completed by a timer, which AppTest does not have."""
    shell.import_everything()


@pytest.fixture(autouse=True, scope="session")
def components_are_sought_once():
    """Each AppTest looks through all installed packages for components, which takes longer than most pages."""
    found = manifest_scanner.scan_component_manifests()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", lambda: found)
        yield


@pytest.fixture(scope="session")
def mirror(tmp_path_factory) -> Path:
    """A folder with a "book": generated sentences between Gutenberg's two markers."""
    folder = tmp_path_factory.mktemp("mirror")
    marker = "*** {} OF THE PROJECT GUTENBERG EBOOK PRIDE AND PREJUDICE ***"
    book = "\n".join([marker.format("START"), drawing_room(120_000), marker.format("END"), ""])
    (folder / PUBLISHED_TEXTS["book"].file).write_text(book, encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def server_of_its_own(home_of_its_own, mirror, monkeypatch):
    """Clear the caches, which outlive an AppTest, and stop training. To Streamlit all AppTests are one session.

    Published texts come only from the mirror, and the speed of this machine is not measured.
    """
    monkeypatch.setenv("MICROLLM_MIRROR", str(mirror))
    for key, text in PUBLISHED_TEXTS.items():
        monkeypatch.setitem(PUBLISHED_TEXTS, key, replace(text, addresses=()))
    monkeypatch.setattr(server, "measure_speed", lambda _: Speed(dict.fromkeys(("adamw", "muon"), (1e-3, 1e-12))))
    yield
    server.runner().close()
    st.cache_resource.clear()
    st.cache_data.clear()
    assert not training_threads()


class _Warm(PagesManager):
    """A server after its first visitor: it knows that `app.py` runs the pages."""

    def __init__(self, *arguments, **options) -> None:
        super().__init__(*arguments, **options)
        PagesManager.uses_pages_directory = False


@pytest.fixture(autouse=True)
def warm_server(request, monkeypatch):
    """AppTest treats each rerun as the first of a fresh server. That is rare, so only `fresh_server` tests do it."""
    if "fresh_server" not in request.fixturenames:
        monkeypatch.setattr(app_test, "PagesManager", _Warm)


@pytest.fixture
def fresh_server():
    """At each rerun Streamlit runs the script of the page without `app.py`."""


@pytest.fixture
def finished_run() -> Run:
    """A run that has finished."""
    return play.trained_run(max_steps=20)


@pytest.fixture
def live_run() -> Run:
    """A run that trains and has been validated once. It is paused, so that it does not slow the pages down."""
    run = new_run()
    training = server.runner().start(run)
    wait_until(lambda: step_of(training) > 0)
    training.pause()
    wait_until(lambda: training.state == "paused")
    return run
