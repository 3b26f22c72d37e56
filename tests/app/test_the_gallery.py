"""Before a person has a run, every page shows one that came with MicroLLM, also without the book and a network."""

import pytest
from making import wait_until
from patience import patience
from play import KEY, click, complaints, go_to, keys, new_run, open_app, said

from microllm.runs import gallery
from microllm.runs.catalog import all_runs
from microllm.ui import server

FIRST = gallery.FIRST


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """There is no book, and none can be downloaded."""
    monkeypatch.setenv("MICROLLM_MIRROR", str(tmp_path / "no such folder"))


def session_of(at):
    return at.session_state["session"]


@pytest.mark.parametrize(
    ("page", "there"),
    [
        ("train", {"start", "text", "preset", "knob-n_embd", "take-away-button"}),
        ("attention", {"sentence", "attention-one"}),
        ("generate", {"prompt", "generate", "temperature"}),
        ("inside", {"inside-mode", "sentence"}),
    ],
)
def test_a_page_of_a_fresh_home_shows_the_first_run_and_says_whose_it_is(page, there, offline):
    at = open_app(page)
    assert not at.exception
    assert keys(at) >= there | {"bar-start"}
    assert FIRST in said(at) and "came with MicroLLM" in said(at)
    assert not {"bar-go-on", "train-on", "delete"} & keys(at)
    assert "run" not in at.query_params and session_of(at).run_id is None
    assert session_of(at).settings is None or session_of(at).preset == "quick"


def test_it_shows_a_sample_and_what_was_written_at_each_line_without_the_book(offline):
    at = open_app("train")
    shown = said(at)
    samples = gallery.samples(gallery.FOLDER / FIRST)
    assert samples[2000].text in shown and samples[8].text[:40] in shown
    assert not at.error or all("could not be downloaded" in error.value for error in at.error)


def test_it_writes_without_the_book(offline):
    at = open_app("generate")
    at.slider(key="length").set_value(50).run()
    click(at, "generate")
    wait_until(lambda: "download" in keys(at.run()))
    assert not complaints(at)


def test_a_held_out_passage_needs_the_book_and_the_page_says_so(offline):
    at = open_app("generate")
    at.button_group(key="view").set_value("Read").run()
    assert not at.exception
    assert "Pride and Prejudice" in at.info[0].value and "Train page" in at.info[0].value
    at.button_group(key="reading-source").set_value("sentence").run()
    assert not at.exception and not at.info


def test_a_held_out_passage_of_a_built_in_text_is_there_at_once(offline):
    at = open_app("generate", run="words-twice")
    at.button_group(key="view").set_value("Read").run()
    assert not at.exception and not complaints(at)
    assert "next-passage" in keys(at)


def test_the_guessing_game_needs_the_book_and_says_so(offline):
    at = open_app("train")
    click(at, "guess-fold-button")
    assert "This needs Pride and Prejudice" in said(at)


# ---- the next run


def test_the_start_button_names_changes_only():
    at = open_app("train")
    wait_until(lambda: not server.published("book").is_busy)
    at.run()
    assert at.button(key="start").label == "Start"
    at.slider(key="knob-n_layer").set_value(2).run()
    assert "n_layer 3 → 2" in at.button(key="start").label


def test_after_a_start_the_persons_own_run_is_shown():
    at = open_app("train")
    wait_until(lambda: not server.published("book").is_busy)
    at.run()
    click(at, "start")
    (run,) = all_runs()
    assert session_of(at).run_id == run.id == at.query_params["run"]
    assert run.read_info().preset == "quick" and run.read_info().text.source == "book"
    assert "came with MicroLLM" not in said(at)


def test_a_fork_of_a_moment_of_it_is_a_run_of_ones_own():
    at = open_app("train", run="words-twice", step="512")
    click(at, "fork-button")
    click(at, "fork-start")
    (run,) = all_runs()
    assert (run.read_info().parent.id, run.read_info().parent.step) == ("words-twice", 512)
    assert session_of(at).run_id == run.id
    job = server.runner().job(run.id)
    wait_until(lambda: job.last_step > 513 or not job.is_alive())
    assert run.read_info().state == "training"


def test_a_fork_without_its_text_says_what_is_missing_and_offers_no_start(offline):
    at = open_app("train")
    click(at, "fork-button")
    assert "fork-start" not in keys(at)
    assert "Pride and Prejudice" in complaints(at)
    assert all_runs() == []


# ---- links and lists


def test_a_link_to_one_works_and_share_gives_it():
    at = open_app("attention", run="pride-article")
    assert not at.exception and session_of(at).run_id == "pride-article" == at.query_params["run"]
    assert session_of(at).preset == "article"  # as with any run in a link
    at = open_app("train")
    assert any(f"run={FIRST}" in code.value for code in at.code)


def test_a_moment_of_it_is_in_the_address_and_stays_on_another_page():
    at = open_app("train", run=FIRST, step="64")
    assert at.query_params["step"] == "64"
    assert gallery.samples(gallery.FOLDER / FIRST)[64].text in said(at)
    go_to(at, "attention")
    assert at.query_params["run"] == FIRST and at.query_params["step"] == "64"
    assert "step 64" in said(at)


def test_the_menu_lists_them_after_the_runs_on_this_server(finished_run):
    at = open_app("train", run=finished_run.id, key=KEY)
    at.session_state["runs-menu"] = True
    at.run()
    opens = [button.key for button in at.button if button.key and button.key.startswith("open-")]
    assert opens == [f"open-{finished_run.id}", *(f"open-{run_id}" for run_id in gallery.IDS)]
    click(at, "open-words-twice")
    assert at.query_params["run"] == "words-twice"


def test_it_comes_back_when_the_only_run_is_deleted():
    run = new_run(max_steps=3)
    server.runner().start(run).join(patience())
    at = open_app("train", run=run.id, key=KEY)
    at.session_state["runs-menu"] = at.session_state["runs-manage"] = at.session_state[f"sure-{run.id}"] = True
    at.run()
    click(at, "delete")
    assert "run" not in at.query_params
    assert FIRST in said(at)
