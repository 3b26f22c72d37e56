"""Interrupted runs are resumed, finished ones get more steps, and old ones are deleted."""

import re

import pytest
from making import wait_until
from play import KEY, click, complaints, go_to, keys, number, open_app, said, trained_run, training_threads

from microllm.data import store, texts
from microllm.runs import catalog
from microllm.runs.catalog import all_runs
from microllm.runs.run import Run
from microllm.ui import server


def own_run(state: str, **settings) -> Run:
    """A run in this state that has made ten steps. KEY is its owner key."""
    run = trained_run(max_steps=10, **settings)
    run.update(state=state)
    return run


@pytest.mark.parametrize("page", ["train", "attention", "generate"])
@pytest.mark.parametrize("state", ["stopped", "interrupted", "failed"])
def test_one_click_goes_on_with_a_run_on_every_page(page, state):
    run = own_run(state)
    at = open_app(page, run=run.id, key=KEY)
    click(at, "bar-go-on")
    wait_until(lambda: not training_threads())
    assert run.read_info().state == "finished"
    assert [run.id] == [other.id for other in all_runs()]


def test_who_only_watches_cannot_go_on_with_it():
    run = own_run("interrupted")
    at = open_app("train", run=run.id)
    assert "bar-go-on" not in keys(at)
    assert "train-on" not in keys(at)


def test_a_finished_run_is_trained_on_to_twice_its_steps():
    run = own_run("finished")
    at = open_app("train", run=run.id, key=KEY)
    assert "bar-go-on" not in keys(at)
    click(at, "train-on")
    wait_until(lambda: not training_threads())
    assert run.read_info().train.max_steps == 20
    assert run.history.read().last["step"] == 20
    assert run.read_info().state == "finished"


def test_a_text_that_is_gone_is_named_before_anything_is_lost(monkeypatch):
    from microllm.data import store, texts

    run = own_run("interrupted")
    store.forget_text(run.read_info().text.sha256)
    texts.load_corpus.cache_clear()
    at = open_app("train", run=run.id, key=KEY)
    at.session_state["session"].problem = None
    at.button(key="bar-go-on").click().run()
    assert complaints(at)
    assert run.read_info().state == "interrupted"


def test_a_run_that_diverged_is_not_offered_to_go_on_for_it_would_diverge_again():
    run = own_run("failed")
    assert "bar-go-on" in keys(open_app("train", run=run.id, key=KEY))
    with (run.folder / "metrics.jsonl").open("a") as metrics:
        metrics.write('{"step": 21, "seconds": 9.9, "train_loss": null, "not_finite": ["train_loss"]}\n')
    at = open_app("train", run=run.id, key=KEY)
    assert "bar-go-on" not in keys(at)
    assert "fork-button" in keys(at)


def test_the_menu_says_what_all_runs_take_of_the_disk(monkeypatch):
    run = own_run("finished")
    monkeypatch.setenv("MICROLLM_DISK", "500")
    at = open_app("train", run=run.id)
    at.session_state["runs-menu"] = at.session_state["runs-manage"] = True
    at.run()
    assert re.search(r"\d\.\d MB of 500 MB", said(at))


def test_a_run_is_deleted_only_by_its_owner_and_only_when_sure():
    run = own_run("finished")
    at = open_app("train", run=run.id, key=KEY)
    at.session_state["runs-menu"] = at.session_state["runs-manage"] = True
    at.run()
    assert "delete" not in keys(at)
    at.checkbox(key=f"sure-{run.id}").check().run()
    click(at, "delete")
    assert all_runs() == []
    assert not run.folder.exists()
    assert not at.exception
    go_to(at, "attention")
    assert not at.exception


def test_a_text_goes_with_the_last_of_its_runs():
    from microllm.environment import texts_dir

    first, second = own_run("finished"), own_run("finished")
    kept = texts_dir() / f"{first.read_info().text.sha256}.txt"
    catalog.delete(first)
    assert kept.exists()
    catalog.delete(second)
    assert not kept.exists()


def test_a_run_that_trains_is_not_deleted():
    run = own_run("interrupted", n_embd=16)
    run.extend(1_000_000)
    server.runner().start(run)
    at = open_app("train", run=run.id, key=KEY)
    at.session_state["runs-menu"] = at.session_state["runs-manage"] = True
    at.run()
    assert not [box for box in at.checkbox if box.key.startswith("sure-")]
    assert run.folder.exists()


def test_a_packed_run_is_taken_in_and_shown_and_a_wrong_file_is_refused():
    from microllm.runs.archive import folder_zip

    run = own_run("finished")
    packed = folder_zip(run)
    at = open_app("train")
    at.session_state["runs-menu"] = at.session_state["runs-manage"] = True
    at.run()
    at.file_uploader(key="import").upload("run.zip", packed[:-9], "application/zip").run()
    for _ in range(2):  # it stays when the menu is drawn again
        assert len(at.error) == 1
        at.run()
    assert len(all_runs()) == 1
    at.file_uploader(key="import").upload("run.zip", packed, "application/zip").run()
    assert not at.exception
    assert len(all_runs()) == 2
    assert not at.error
    assert Run.open(at.session_state["session"].run_id).list_snapshots() == run.list_snapshots()
    assert at.session_state["session"].run_id in at.session_state["session"].owner_keys


# ---- texts that went with their last run


def test_a_run_of_a_text_that_was_deleted_with_its_last_run_is_not_begun_before_it_is_chosen_again():
    at = open_app("train")
    at.selectbox(key="text").set_value("own").run()
    at.text_area(key="pasted").set_value("to be or not to be, " * 100).run()
    own = at.session_state["session"].own.text
    for name, value in {"block_size": 8, "n_embd": 16, "n_head": 2, "n_layer": 1}.items():
        number(at, name).set_value(value)
    at.run()
    store.forget_text(own.sha256)  # in another window, with the last run on it
    click(at, "start")
    run = Run.open(at.session_state["session"].run_id)
    assert texts.is_kept(run.read_info().text)  # the field was read again
    server.runner().job(run.id).stop()
    wait_until(lambda: not training_threads())
    at.text_area(key="pasted").set_value("").run()
    store.forget_text(own.sha256)
    at.run()
    assert at.session_state["session"].own.text is None and at.info and not at.error
