"""What holds on all pages: they open, they have the run bar, and they show the same run."""

import ctypes
import json
import os
import threading
from types import SimpleNamespace

import pytest
import streamlit as st
from making import wait_until
from patience import patience
from play import KEY, click, complaints, go_to, keys, new_run, open_app, said, step_of
from streamlit.delta_generator_singletons import context_dg_stack, get_dg_singleton_instance

from microllm.data.store import forget_text
from microllm.data.texts import load_corpus
from microllm.runs.run import Run
from microllm.ui import presence, server, shell
from microllm.ui.parts import live
from microllm.ui.state import view

PAGES = ("learn", "train", "attention", "inside", "generate", "experiments")
OF_THE_PAGE = {
    "train": {"start", "text", "preset", "knob-n_embd", "axis"},
    "attention": {"sentence", "attention-one"},
    "generate": {"prompt", "generate", "temperature"},
    "inside": {"sentence", "inside-mode"},
    "experiments": {"question-let-it-cheat", "question-a-head-is-born"},
    "learn": {"front-train", "front-path"},
}


def has_the_run_bar(at) -> bool:
    return bool({"bar-start", "bar-stop"} & keys(at))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_drawn_in_its_place_after_a_fragment_of_the_sidebar(page, monkeypatch):
    navigation = st.navigation

    def after_a_fragment(*arguments, **named):
        context_dg_stack.set((get_dg_singleton_instance().sidebar_dg,))
        return navigation(*arguments, **named)

    monkeypatch.setattr(st, "navigation", after_a_fragment)
    at = open_app(page)
    assert not at.exception
    assert has_the_run_bar(at)
    assert any("Build a small language model" in element.value for element in at.main.markdown)


def test_nothing_is_red_before_a_person_did_anything(finished_run, monkeypatch):
    monkeypatch.delenv("MICROLLM_MIRROR")  # so that the book cannot be downloaded
    for page in PAGES:
        at = open_app(page)
        server.published("book").wait(patience())
        at.run()
        assert not at.exception and not at.error, page
    at = go_to(at, "train")
    at.selectbox(key="text").set_value("own").run()
    assert at.info and not at.error and at.button(key="start").disabled
    forget_text(finished_run.read_info().text.sha256)  # an imported run comes without its text
    load_corpus.cache_clear()
    for page in PAGES:
        at = open_app(page, run=finished_run.id)
        at.session_state["view"] = "Read"
        at.run()
        assert not at.exception and not at.error, page
        assert at.info or page != "generate"  # says that the text is not here


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_a_finished_run(page, finished_run):
    at = open_app(page, run=finished_run.id)
    assert not at.exception
    assert keys(at) >= OF_THE_PAGE[page] | {"bar-start"}
    assert "finished" in said(at)
    assert at.query_params["run"] == finished_run.id


@pytest.mark.parametrize("page", PAGES)
def test_no_page_has_an_expander_which_the_browser_would_keep_with_the_page_around_it(page, finished_run):
    at = open_app(page, run=finished_run.id)
    assert not at.expander


def test_a_disclosure_stays_open_when_one_comes_back_from_another_page(finished_run):
    at = open_app("train", run=finished_run.id)
    assert "take-curves" not in keys(at)
    click(at, "take-away-button")
    assert "take-curves" in keys(at)
    go_to(go_to(at, "generate"), "train")
    assert "take-curves" in keys(at)
    click(at, "take-away-button")
    assert "take-curves" not in keys(at)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_a_run_that_trains(page, live_run):
    at = open_app(page, run=live_run.id, key=KEY)
    assert not at.exception
    assert keys(at) >= OF_THE_PAGE[page] | {"bar-pause", "bar-step", "bar-stop"}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_a_run_before_its_first_step(page):
    run = new_run()  # as one that waits for its turn: no curve, no weights yet
    with run.writing():
        at = open_app(page, run=run.id)
    assert not at.exception
    assert "waiting" in said(at)


@pytest.mark.parametrize("page", PAGES)
def test_a_run_whose_program_is_gone_is_called_interrupted(page):
    at = open_app(page, run=new_run().id)
    assert not at.exception
    assert "interrupted" in said(at)


def test_a_failed_run_says_why():
    run = new_run(learning_rate=1.0, schedule="constant", warmup_steps=0)
    run.update(state="failed", message="The loss stopped being a number at step 7.")
    at = open_app("train", run=run.id)
    assert "The loss stopped being a number at step 7." in at.error[0].value
    for page in PAGES:  # the run bar says it on all of them
        assert "stopped being a number" in said(open_app(page, run=run.id))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_that_streamlit_runs_alone_comes_back_through_app_py(page, finished_run, fresh_server):
    at = open_app(page, run=finished_run.id)
    assert has_the_run_bar(at)
    assert keys(at) >= OF_THE_PAGE[page]
    assert at.query_params["run"] == finished_run.id
    assert at.session_state["session"].detour is None


def test_all_pages_show_the_same_run(live_run):
    at = open_app("train", run=live_run.id, key=KEY)
    for page in ("attention", "generate", "train"):
        go_to(at, page)
        assert not at.exception
        assert at.query_params["run"] == live_run.id
        assert "paused" in said(at)


@pytest.mark.parametrize("link", ["0123456789abcdef", "nonsense", "../../etc/passwd", "x" * 5_000, ""])
def test_a_link_to_no_run_says_so_and_the_page_works(link):
    at = open_app("train", run=link)
    assert not at.exception
    assert has_the_run_bar(at)
    assert "start" in keys(at)
    if link:
        assert "run" not in at.query_params
        assert link[:16] in complaints(at)


def test_a_link_to_a_damaged_run_says_so():
    run = new_run()
    (run.folder / "run.json").write_text('{"id": ')
    at = open_app("train", run=run.id)
    assert not at.exception
    assert "damaged" in complaints(at)


def test_a_bad_link_says_so_and_does_not_lose_the_run_on_show(live_run):
    at = open_app("train", run=live_run.id, key=KEY)
    at.query_params["run"] = "nonsense"
    at.run()
    assert not at.exception
    assert "nonsense" in complaints(at)
    assert at.query_params["run"] == live_run.id
    assert "paused" in said(at)


def test_the_run_bar_pauses_makes_one_step_goes_on_and_stops(live_run):
    training = server.runner().job(live_run.id)
    step = step_of(training)
    at = open_app("generate", run=live_run.id, key=KEY)
    for made in (1, 2):
        click(at, "bar-step")
        wait_until(lambda made=made: training.state == "paused" and step_of(training) == step + made)

    at.run()
    assert at.button(key="bar-pause").help == "Resume"
    click(at, "bar-pause")
    wait_until(lambda: step_of(training) > step + 3)
    at.run()
    assert at.button(key="bar-pause").help == "Pause"
    click(at, "bar-pause")
    wait_until(lambda: training.state == "paused")
    at.run()
    assert at.button(key="bar-pause").help == "Resume"

    click(at, "bar-stop")
    training.join(patience())
    at.run()
    assert "stopped" in said(at)
    assert "bar-start" in keys(at)
    assert Run.open(live_run.id).read_info().state == "stopped"


def test_a_learning_rate_is_changed_for_the_next_step(live_run):
    training = server.runner().job(live_run.id)
    at = open_app("train", run=live_run.id, key=KEY)
    at.number_input(key="live-learning_rate").set_value(0.0123)
    click(at, "live-apply")
    step_of(training)  # waits until the change is made
    event = json.loads((live_run.folder / "events.jsonl").read_text().splitlines()[-1])
    assert event["learning_rate"] == training.config.learning_rate == 0.0123
    assert event["step"] == len(live_run.history.read())
    assert event.keys() == {"step", "learning_rate"}  # what did not change is no change


def test_a_learning_rate_out_of_range_is_refused_with_the_range(live_run):
    at = open_app("train", run=live_run.id, key=KEY)
    at.number_input(key="live-learning_rate").set_value(5.0)
    click(at, "live-apply")
    assert "learning_rate" in complaints(at) and "5.0" in complaints(at)
    assert server.runner().job(live_run.id).config.learning_rate == live_run.read_info().train.learning_rate


def test_a_part_of_a_page_that_comes_after_its_run_has_gone_is_not_drawn(monkeypatch):
    class Rerun(Exception):
        """Raised by `st.rerun`, which ends the script."""

    def rerun():
        raise Rerun

    monkeypatch.setattr(view, "run_id", lambda: "its own")
    part = live._part_or_page(lambda: pytest.fail("drawn for another run"))
    monkeypatch.setattr(shell.st, "rerun", rerun)
    monkeypatch.setattr(view, "run_id", lambda: None)
    with pytest.raises(Rerun):
        part()


def test_when_a_server_starts_all_threads_share_two_memory_pools(monkeypatch):
    options = []
    monkeypatch.setattr(shell, "_is_ready", threading.Event())
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(mallopt=lambda *option: options.append(option)))
    shell.import_everything()
    for page in ("train", "generate"):
        open_app(page)
    assert options == [(-8, 2)]  # M_ARENA_MAX of malloc.h


@pytest.mark.parametrize("library", [str, os.stat], ids=["another", "none"])
def test_a_system_with_another_c_library_keeps_its_memory_pools(library, monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", library)
    presence.share_memory_pools()
