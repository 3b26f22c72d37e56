"""Forking on the page: what it offers, what it starts, and who owns that."""

import re
from dataclasses import replace

from making import wait_until
from patience import patience
from play import KEY, click, complaints, keys, open_app, said, trained_run
from streamlit.testing.v1 import AppTest

from microllm.data.builtin import drawing_room
from microllm.data.published import PUBLIC_TEXTS
from microllm.data.texts import PASTED
from microllm.runs import catalog
from microllm.runs.fork import fork
from microllm.runs.run import Run
from microllm.ui import server


def open_at(run: Run, **link) -> AppTest:
    """The page with this run on show, and the fork form unfolded."""
    at = open_app("train", run=run.id, **link)
    assert "fork-start" not in keys(at)
    click(at, "fork-button")
    return at


def field(at, run, name):
    (found,) = (one for one in at.number_input if (one.key or "").startswith(f"fork-{name}-{run.id}"))
    return found


def forked(at) -> Run:
    """Press the button; the new run, which is on show then."""
    before = at.query_params["run"]
    click(at, "fork-start")
    assert at.query_params["run"] != before, complaints(at)
    return Run.open(at.query_params["run"])


def test_a_finished_run_is_forked_from_a_moment_with_another_rate(finished_run):
    at = open_at(finished_run, step="8")
    assert field(at, finished_run, "learning_rate").value == finished_run.read_info().train.learning_rate
    assert field(at, finished_run, "max_steps").value == 20
    field(at, finished_run, "learning_rate").set_value(0.005).run()
    child = forked(at)
    assert (child.read_info().parent.id, child.read_info().parent.step) == (finished_run.id, 8)
    assert child.read_info().train.learning_rate == 0.005
    assert child.read_info().is_owned_with(at.session_state["session"].owner_keys[child.id])
    wait_until(lambda: child.read_info().state == "finished")
    at.run()
    assert "step" not in at.query_params
    assert f"**{finished_run.read_info().name}** at step 8" in said(at)
    helps = [caption.proto.help for caption in at.caption]
    assert any("optimizer" in words for words in helps)  # it restarted: only the weights of step 8 were saved
    click(at, "parent")
    assert at.query_params["run"] == finished_run.id
    assert finished_run.read_info().state == "finished"


def test_at_its_end_a_run_is_forked_into_one_of_twice_the_steps(finished_run):
    at = open_at(finished_run)
    assert field(at, finished_run, "max_steps").value == 40
    child = forked(at)
    assert "fork-start" not in keys(at)  # the form is folded again
    assert child.read_info().parent.has_memory
    assert child.read_info().train.max_steps == 40


def test_too_few_steps_are_named_before_the_click(finished_run):
    at = open_at(finished_run)
    field(at, finished_run, "max_steps").set_value(10).run()
    assert "max_steps is 10" in complaints(at)
    assert "fork-start" not in keys(at)


def texts_of_fork(at, run):
    return at.selectbox(key=f"fork-text-{run.id}")


def trained() -> Run:
    return trained_run(drawing_room(3_000), max_steps=20)


def test_a_fork_can_train_on_another_text_that_is_chosen_where_it_is_forked():
    parent = trained()
    at = open_at(parent)
    texts_of_fork(at, parent).set_value("words-twice").run()
    assert at.selectbox(key="text").value == "own"  # that of the next run is another matter
    assert field(at, parent, "max_steps").value == 20
    child = forked(at)
    assert child.read_info().parent.text == parent.read_info().text
    assert child.read_info().text.source == "words-twice"
    wait_until(lambda: child.read_info().state == "finished")
    at.run()
    assert len(re.findall(r"\*\*\d\.\d{3} → \d\.\d{3}\*\*", said(at))) == 2  # on the new text and on the old one
    assert at.exception == []


def test_the_texts_for_a_fork_are_those_that_everybody_has_ones_own_and_that_of_the_next_run_each_once():
    parent = trained()
    at = open_at(parent)
    count = len(PUBLIC_TEXTS)
    assert len(texts_of_fork(at, parent).options) == 1 + count  # the next run is to learn the same text
    at.text_area(key="pasted").set_value("to be or not to be, " * 50).run()
    assert len(texts_of_fork(at, parent).options) == 2 + count
    texts_of_fork(at, parent).set_value("next").run()
    at.selectbox(key="text").select("words-twice").run()
    assert texts_of_fork(at, parent).value == "next"
    at.number_input(key="text-first").set_value(1_000).run()
    assert len(texts_of_fork(at, parent).options) == 3 + count
    texts_of_fork(at, parent).set_value("own").run()
    assert forked(at).read_info().text.name == PASTED


def test_a_text_that_cannot_be_downloaded_keeps_nobody_from_forking_on_another(monkeypatch):
    parent = trained()
    at = open_at(parent)
    texts_of_fork(at, parent).set_value("shakespeare").run()
    at.run()
    assert not at.exception and not at.error
    assert "fork-download-again" in keys(at) and "fork-start" not in keys(at)
    texts_of_fork(at, parent).set_value("drawing-room").run()
    assert forked(at).read_info().text.source == "drawing-room"


def test_a_run_that_trains_is_forked_at_the_step_at_which_it_is_and_stopped(live_run):
    training = server.runner().job(live_run.id)
    training.one_step()
    wait_until(lambda: training.state == "paused" and training.last_step % 8)
    at = open_at(live_run, key=KEY)
    child = forked(at)
    assert child.read_info().parent.step == training.last_step
    assert child.read_info().parent.has_memory
    wait_until(lambda: live_run.read_info().state == "stopped")


def test_a_spectator_forks_the_newest_snapshot_and_stops_nothing(live_run):
    at = open_at(live_run)
    newest = live_run.newest_snapshot()
    child = forked(at)
    assert child.read_info().parent.step == newest
    assert live_run.read_info().state == "paused"
    assert child.read_info().is_owned_with(at.session_state["session"].owner_keys[child.id])


def test_a_fork_whose_parent_was_deleted_still_names_it(finished_run):
    child = fork(finished_run, 8)
    catalog.delete(finished_run)
    at = open_app("train", run=child.id)
    assert f"**{child.read_info().parent.name}**" in said(at)
    assert "parent" not in keys(at)


def test_the_steps_that_are_offered_follow_the_run_to_its_end(live_run):
    at = open_at(live_run, key=KEY)
    assert field(at, live_run, "max_steps").value == live_run.read_info().train.max_steps
    training = server.runner().job(live_run.id)
    training.stop()
    training.join(patience())
    live_run.update(train=replace(live_run.read_info().train, max_steps=training.last_step), state="finished")
    at.run()
    assert field(at, live_run, "max_steps").value == 2 * training.last_step
    assert "max_steps" not in complaints(at)


def test_a_click_on_a_fork_whose_form_went_with_its_run_starts_nothing(finished_run):
    at = open_at(finished_run)
    button = at.button(key="fork-start").proto.id
    catalog.delete(finished_run)
    states = at.run()._tree.get_widget_states()
    states.widgets.add(id=button, trigger_value=True)  # the browser still had the button
    at._run(states)
    assert not at.exception and not catalog.all_runs()
    assert complaints(at)
