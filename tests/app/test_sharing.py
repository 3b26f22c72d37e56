"""Who owns a run, what a link contains, and what can be downloaded."""

import csv
import io
import json
import re
import shlex
import time
from urllib.parse import parse_qsl, urlsplit

import pytest
from making import wait_until
from patience import patience
from play import (
    KEY,
    TINY,
    answer,
    click,
    complaints,
    go_to,
    kept,
    keys,
    new_run,
    number,
    open_app,
    said,
    said_to_browser,
    trained_run,
    training_threads,
)
from streamlit.runtime.caching import clear_session_resource_cache

from microllm.config import PRESETS, configs_from
from microllm.data import store, texts
from microllm.data.builtin import words_twice
from microllm.jobs.generation import Generation
from microllm.runs.catalog import all_runs
from microllm.runs.info import hash_key
from microllm.runs.run import Run
from microllm.ui import server
from microllm.ui.parts import take_away, write

COMMANDS = {"bar-pause", "bar-step", "bar-stop", "live-learning_rate"}


def started(at) -> Run:
    """A run that this window started."""
    for name in ("block_size", "n_embd", "n_head", "n_layer"):
        number(at, name).set_value(TINY[name])
    at.run()
    click(at, "start")
    return Run.open(at.session_state["session"].run_id)


def unfold(at, key):
    """Open a popover."""
    at.session_state[key] = True
    at.run()
    assert not at.exception
    return at


def shared_link(at) -> dict[str, str]:
    """The query parameters of the link in Share."""
    unfold(at, "share")
    (link,) = [code.value for code in at.code if "?" in code.value and "=" in code.value]
    return dict(parse_qsl(urlsplit(link).query, strict_parsing=True))


# ---- who owns it


def test_a_reload_keeps_what_the_window_had_set_going_besides_the_run_on_show():
    at = open_app("train")
    first = started(at)
    at.slider(key="knob-n_layer").set_value(1).run()
    click(at, "queue")
    waiting = next(one.run for one in server.runner()._jobs.values() if one.run.id != first.id)
    at.run()
    assert at.query_params == {"run": first.id}
    assert set(kept(at)) == {first.id, waiting.id}
    close_the_window()
    again = open_app("train", stored=kept(at), run=first.id)
    assert f"way-to-{waiting.id}" in keys(again)
    assert keys(again) >= COMMANDS
    assert not kept(again)  # the browser has them
    assert "bar-start" in keys(open_app("train", run=first.id))


def test_a_start_in_one_tab_does_not_stop_the_run_of_another():
    run = new_run()
    training = server.runner().start(run)
    training.windows.add("another tab of this browser")
    training.pause()
    at = open_app("train", stored={run.id: KEY}, run=new_run().id)
    assert f"way-to-{run.id}" not in keys(at)
    training.windows.remove("another tab of this browser")
    at.run()
    assert f"way-to-{run.id}" in keys(at)  # its tab was closed


@pytest.mark.parametrize("also", ["", ".", "a.b.c", "../../etc.x", "{id}.wrong", "{id}"])
def test_no_other_run_is_owned_without_its_key(also, live_run):
    at = open_app("train", run=live_run.id, also=also.format(id=live_run.id))
    assert not at.exception
    assert not at.session_state["session"].owner_keys


def test_who_starts_a_run_owns_it_and_only_a_hash_is_kept():
    at = open_app("train")
    run = started(at)
    at.run()
    owner_key = kept(at)[run.id]
    assert len(owner_key) > 20
    assert at.query_params == {"run": run.id}
    assert run.read_info().owner == hash_key(owner_key)
    assert owner_key not in (run.folder / "run.json").read_text()
    assert keys(at.run()) >= COMMANDS


def test_a_link_with_a_key_is_taken_once_and_the_address_does_not_keep_it(live_run):
    at = open_app("train", run=live_run.id, key=KEY)
    assert at.query_params == {"run": live_run.id}
    assert kept(at) == {live_run.id: KEY}
    go_to(at, "generate")
    assert at.query_params == {"run": live_run.id}
    click(at, "bar-stop")
    wait_until(lambda: live_run.read_info().state == "stopped")


def test_before_the_browser_has_removed_the_key_the_address_is_not_written(live_run):
    at = open_app("train", answers=False, run=live_run.id, key=KEY, step="0")  # it would be an entry in the history
    assert at.query_params["key"] == KEY
    assert kept(at) == {live_run.id: KEY}
    assert keys(at) >= COMMANDS
    answer(at)
    assert at.run().query_params == {"run": live_run.id, "step": "0"}


# ---- what the browser answers


def test_before_the_browser_answers_nobody_is_called_a_watcher_and_no_command_is_given(live_run):
    at = open_app("train", answers=False, run=live_run.id)
    assert "*you are* watching" not in said(at)
    assert not COMMANDS & keys(at)
    assert {"bar-pause", "bar-step", "bar-stop"} <= {button.key for button in at.button if button.disabled}
    answer(at, {live_run.id: KEY})
    assert keys(at.run()) >= COMMANDS
    stranger = open_app("train", answers=False, run=live_run.id)
    answer(stranger)
    assert "*you are* watching" in said(stranger.run())


def test_the_bare_address_shows_the_newest_run_of_this_browser_and_one_that_trains_first(finished_run, live_run):
    newest = new_run()
    stored = {run.id: KEY for run in (newest, live_run, finished_run)}
    assert open_app("train", stored=stored).query_params == {"run": live_run.id}
    del stored[live_run.id]
    at = open_app("train", stored=stored)
    assert at.query_params == {"run": newest.id}
    newest.update(owner=hash_key("another"))
    assert open_app("train", stored=stored).query_params == {"run": finished_run.id}
    assert open_app("train", stored=stored, run=live_run.id).query_params == {"run": live_run.id}
    assert open_app("train", stored=stored, n_layer="3").query_params == {"n_layer": "3"}  # a link to something else
    assert not open_app("train").query_params


def test_what_was_wrong_with_a_link_is_still_said_after_the_browser_has_answered(live_run):
    at = open_app("train", answers=False, run=live_run.id, key="guessed", n_layer="999")
    answer(at)
    for _ in range(3):
        assert "key" in complaints(at) and "999" in complaints(at)
        at.run()


def test_the_browser_drops_the_key_of_a_run_that_its_owner_deletes_and_no_other(finished_run):
    damaged, other = new_run(), new_run()
    (damaged.folder / "run.json").write_text("{")
    stored = {finished_run.id: KEY, damaged.id: KEY, other.id: "an earlier key", "0" * 16: KEY}
    at = unfold(unfold(open_app("train", stored=stored, run=finished_run.id), "runs-menu"), "runs-manage")
    assert not said_to_browser(at)["drop"]
    unfold(at, "runs-manage")
    at.checkbox(key=f"sure-{finished_run.id}").check().run()
    click(at, "delete").run()
    assert said_to_browser(at)["drop"] == [finished_run.id]
    assert not kept(at)


@pytest.mark.parametrize(
    "told",
    [
        None,
        7,
        "x",
        [],
        {},
        {"keys": 7},
        {"keys": {"a": "b"}},
        {"keys": [None, 7, "ab", [], ["a"], [7, 7], [[], {}], ["../../etc", "x"], ["{id}", None], ["{id}", "guessed"]]},
        {"keys": [["{id}", "\ud800"], ["{id}", "x" * 5_000_000]]},
        {"keys": [["{other}", "the owner's key"]] * 10_000},
        {"keys": [], "draft": {}, "mine": [], "refused": "x"},
    ],
)
def test_an_answer_of_another_shape_gives_nothing(told, live_run):
    at = open_app("train", answers=False, run=live_run.id)
    filled = json.dumps(told).replace("{id}", live_run.id).replace("{other}", "0" * 16)
    at.session_state["storage"] = {"told": json.loads(filled)}
    began = time.monotonic()
    at.run()
    assert time.monotonic() - began < patience(3.0)
    assert not at.exception
    assert not COMMANDS & keys(at)
    assert live_run.id not in at.session_state["session"].owner_keys


def test_a_browser_that_keeps_nothing_is_named_and_the_window_owns_its_runs_all_the_same():
    at = open_app("train", answers=False)
    answer(at, refused=True)
    at.run()
    assert len(at.warning) == 1
    started(at)
    assert keys(at.run()) >= COMMANDS


def test_who_forgets_their_runs_has_no_key_left_here(live_run):
    at = unfold(unfold(open_app("train", stored={live_run.id: KEY}, run=live_run.id), "runs-menu"), "runs-manage")
    at.checkbox(key="forget-sure").check().run()
    click(at, "forget")
    assert said_to_browser(at)["forget"]
    assert not COMMANDS & keys(at)
    assert live_run.read_info().is_owned_with(KEY)


@pytest.mark.parametrize("page", ["train", "attention", "generate"])
def test_who_has_the_link_only_can_watch_and_is_offered_no_command(page, live_run):
    at = open_app(page, run=live_run.id)
    assert not COMMANDS & keys(at)
    assert "bar-start" in keys(at)
    assert "*you are* watching" in said(at)
    assert "key" not in at.query_params


def test_a_wrong_key_is_named_and_gives_nothing(live_run):
    at = open_app("train", run=live_run.id, key="guessed")
    assert len(at.warning) == 1
    assert "key" not in at.query_params
    assert not COMMANDS & keys(at)


@pytest.mark.parametrize("key", ["", "\0", "é" * 10_000, "\ud800"])
def test_a_strange_key_is_a_wrong_key(key, live_run):
    assert not live_run.read_info().is_owned_with(key)


def test_the_key_of_one_run_is_not_the_key_of_another(live_run):
    other = new_run()
    other.update(owner=hash_key("another"))
    at = open_app("train", run=other.id, key=KEY)
    assert len(at.warning) == 1
    assert live_run.read_info().is_owned_with(KEY)


@pytest.mark.parametrize("button", ["bar-pause", "bar-step", "bar-stop"])
def test_a_button_that_is_still_on_the_screen_commands_nothing_without_the_key(button, live_run):
    at = open_app("train", run=live_run.id, key=KEY)
    training = server.runner().job(live_run.id)
    reached = training.last_step
    live_run.update(owner=hash_key("another"))
    at.button(key=button).click().run()
    assert not at.exception
    training.join(0.3)
    assert (training.state, training.last_step) == ("paused", reached)


@pytest.mark.parametrize(
    ("state", "button"), [("interrupted", "bar-go-on"), ("finished", "train-on"), ("finished", "delete")]
)
def test_a_button_that_is_still_on_the_screen_neither_resumes_nor_deletes_without_the_key(state, button):
    run = trained_run(max_steps=10)
    run.update(state=state)
    at = unfold(unfold(open_app("train", run=run.id, key=KEY), "runs-menu"), "runs-manage")
    at.checkbox(key=f"sure-{run.id}").check().run()
    assert button in keys(at)
    run.update(owner=hash_key("another"))
    at.button(key=button).click().run()
    assert not at.exception
    assert not training_threads()
    info = Run.open(run.id).read_info()
    assert (info.state, info.train.max_steps, run.list_checkpoints()[-1]) == (state, 10, 10)


def test_a_form_that_is_still_on_the_screen_changes_nothing_without_the_key(live_run):
    at = open_app("train", run=live_run.id, key=KEY)
    live_run.update(owner=hash_key("another"))
    at.number_input(key="live-learning_rate").set_value(0.5)
    at.button(key="live-apply").click().run()
    assert server.runner().job(live_run.id).config.learning_rate == live_run.read_info().train.learning_rate


@pytest.mark.parametrize("owner_key", [None, ""])
def test_a_run_that_nobody_owns_is_watched_by_all_and_commanded_by_nobody(owner_key, live_run):
    live_run.update(owner=None)
    assert not live_run.read_info().is_owned_with("")
    at = open_app("train", run=live_run.id, **({} if owner_key is None else {"key": owner_key}))
    assert not COMMANDS & keys(at)
    assert "bar-start" in keys(at)


def test_a_run_of_an_earlier_version_still_opens(finished_run):
    path = finished_run.folder / "run.json"
    data = json.loads(path.read_text())
    del data["owner"]
    path.write_text(json.dumps(data))
    at = open_app("train", run=finished_run.id)
    assert not at.exception
    assert "finished" in said(at)


@pytest.mark.parametrize("owner", [7, {}, True])
def test_an_owner_that_is_no_text_is_a_damaged_run(owner, finished_run):
    path = finished_run.folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"owner": owner}))
    assert "damaged" in complaints(open_app("train", run=finished_run.id))


def test_a_start_stops_the_windows_own_run_and_nobody_elses(live_run):
    at = open_app("train", run=live_run.id)
    first = started(at)
    at.query_params.clear()
    at.query_params["run"] = live_run.id  # and back to the other's run, while the own one trains
    at.run()
    assert at.session_state["session"].run_id == live_run.id
    at.number_input(key="knob-seed").set_value(7)
    second = started(at)
    wait_until(lambda: first.read_info().state == "stopped")
    wait_until(
        lambda: {thread.name.removeprefix("training-") for thread in training_threads()} == {live_run.id, second.id}
    )
    assert live_run.read_info().state == "paused"


# ---- a window that is closed


def close_the_window() -> None:
    """What Streamlit does when the connection to a browser ends."""
    clear_session_resource_cache("test session id")  # all AppTests are this session


def test_a_run_stops_when_its_last_window_has_been_closed_for_the_grace_time(monkeypatch):
    monkeypatch.setenv("MICROLLM_GRACE", "0.3")
    at = open_app("train")
    run = started(at)
    click(at.slider(key="knob-n_layer").set_value(1).run(), "queue")
    assert len(training_threads()) == 2
    time.sleep(0.6)
    assert len(training_threads()) == 2
    close_the_window()
    wait_until(lambda: not training_threads())
    assert {one.read_info().state for one in all_runs()} == {"stopped"}
    assert run.list_checkpoints()


def test_what_a_window_lets_the_model_write_ends_with_it(finished_run, monkeypatch):
    made = []
    monkeypatch.setattr(write, "Generation", lambda *given: made.append(Generation(*given)) or made[-1])
    at = go_to(open_app("train", run=finished_run.id), "generate")
    at.session_state["length"] = 2_000
    click(at.run(), "generate")
    close_the_window()
    wait_until(lambda: not made[0].is_writing)
    assert sum(len(sample.text) for sample in made[0].samples) < 2_000


# ---- the link


def test_the_shared_link_leads_a_stranger_to_the_same_view_but_for_the_key(live_run):
    at = open_app("train", run=live_run.id, key=KEY)
    at.slider(key="knob-n_layer").set_value(5).run()
    at.selectbox(key="text").set_value("words-twice").run()
    at.number_input(key="text-first").set_value(30_000).run()
    go_to(at, "attention")
    at.text_area(key="sentence").set_value("ab & c=d").run()
    step = live_run.list_snapshots()[0]
    at.session_state["session"].moment = step
    link = shared_link(at)
    assert KEY not in str(link)
    assert link.keys() >= {"run", "step", "preset", "n_layer", "text", "first", "sentence"}

    other = open_app("train", **link)
    assert not other.exception and not complaints(other)
    assert other.session_state["session"].run_id == live_run.id
    assert other.session_state["session"].moment == step
    assert other.slider(key="knob-n_layer").value == 5
    assert other.select_slider(key="knob-n_embd").value == TINY["n_embd"]
    assert other.selectbox(key="text").value == "words-twice"
    assert other.number_input(key="text-first").value == 30_000
    assert go_to(other, "attention").text_area(key="sentence").value == "ab & c=d"
    assert not COMMANDS & keys(other)


def test_a_sentence_that_was_written_outlives_a_reload_and_changes_nothing_else(live_run):
    at = go_to(open_app("train", run=live_run.id, sentence="as it came"), "attention")
    assert at.text_area(key="sentence").value == "as it came"
    at.text_area(key="sentence").set_value("as it is now").run()
    assert at.query_params["sentence"] == "as it is now"
    go_to(at, "train").slider(key="knob-n_layer").set_value(5).run()
    go_to(at, "attention").text_area(key="sentence").set_value("and again").run()
    assert go_to(at, "train").slider(key="knob-n_layer").value == 5

    link = {name: at.query_params[name] for name in ("run", "sentence")}
    assert open_app("attention", **link).text_area(key="sentence").value == "and again"


def test_a_sentence_that_nobody_wrote_is_not_in_the_address(live_run):
    at = open_app("attention", run=live_run.id)
    assert at.text_area(key="sentence").value
    at.run()
    assert "sentence" not in at.query_params and "sentence" not in shared_link(at)
    at.text_area(key="sentence").set_value("abc").run()
    at.text_area(key="sentence").set_value("").run()
    assert "sentence" not in at.query_params


def test_of_a_sentence_that_is_too_long_the_link_says_what_is_taken(live_run):
    at = go_to(open_app("train", run=live_run.id), "attention")
    at.text_area(key="sentence").set_value("word " * 100).run()
    assert shared_link(at)["sentence"] == ("word " * 100)[:128]


def test_a_link_without_a_run_sets_the_train_page_and_one_click_starts_exactly_that():
    says = {"preset": "article", "block_size": "16", "seed": "7", "optimizer": "muon", "text": "words-twice"}
    at = open_app("train", **says)
    assert not at.exception and not complaints(at)
    assert at.select_slider(key="knob-block_size").value == 16
    assert at.button_group(key="preset").value == "article"
    assert shared_link(at) == says | {"run": "pride-quick"}  # the run on show, which came with MicroLLM
    click(at, "start")
    info = Run.open(at.session_state["session"].run_id).read_info()
    assert (info.model, info.train) == configs_from({"block_size": 16, "seed": 7, "optimizer": "muon"}, "article")
    assert (info.preset, info.text.source) == ("article", "words-twice")
    assert at.query_params == {"run": info.id}


def test_what_a_link_said_stays_for_a_reload_and_does_not_come_back_over_what_was_changed():
    at = open_app("train", preset="article", n_layer="2")
    at.slider(key="knob-n_layer").set_value(7).run()
    at.select_slider(key="knob-n_embd").set_value(64).run()
    assert at.slider(key="knob-n_layer").value == 7
    assert at.query_params == {"preset": "article", "n_layer": "2"}


def test_bad_values_of_a_link_are_named_once_and_replaced():
    at = open_app("train", preset="best", block_size="1e9", n_layer="999", n_head="5", text="/etc/passwd", colour="red")
    assert not at.exception
    assert len(at.warning) == 1
    for word in ("preset is 'best'", "block_size is '1e9'", "n_layer is 999", "n_head", "/etc/passwd"):
        assert word in complaints(at)
    assert "colour" not in complaints(at)
    assert at.slider(key="knob-n_layer").value == 12
    assert not at.button(key="start").disabled
    at.select_slider(key="knob-n_embd").set_value(32).run()
    assert len(at.warning) == 1
    click(at, "dismiss-link")
    assert not complaints(at)
    go_to(at, "generate")
    assert not complaints(at)


IGNORED = {"n_embd": "64", "optimizer": "muon", "causal": "true", "preset": "quick", "text": "book", "first": "whole"}


def test_beside_a_value_that_is_ignored_stands_what_is_used(finished_run):
    at = open_app("train", **dict.fromkeys(IGNORED, "abc"))
    for name, used in IGNORED.items():
        (said,) = re.findall(rf"{name} is 'abc': [^.]*\. ([^.]*)", complaints(at))
        assert used in said
    at = open_app("train", run=finished_run.id, n_embd="abc")  # the controls have the settings of the run
    assert str(finished_run.read_info().model.n_embd) in complaints(at)


@pytest.mark.parametrize("page", ["learn", "inside"])
def test_a_run_that_is_not_here_is_named_until_the_window_shows_another_one(page, finished_run):
    at = open_app(page, run="0" * 16)
    for _ in range(2):
        assert "0" * 16 in complaints(at) and "run" not in at.query_params
        at.run()
    go_to(at, "train")
    assert "0" * 16 in complaints(at)
    at.query_params["run"] = finished_run.id
    at.run()
    assert not complaints(at)


@pytest.mark.parametrize("step", ["5", "-1", "9" * 5_000])
def test_a_moment_that_is_not_kept_is_named_and_the_nearest_shown(step, live_run):
    at = open_app("train", run=live_run.id, step=step)
    assert not at.exception
    assert len(at.warning) == 1 and step[:40] in complaints(at)
    if step == "5":
        assert at.session_state["session"].moment in live_run.list_snapshots()
        assert at.query_params["step"] == str(at.session_state["session"].moment)
    else:
        assert "step" not in at.query_params


def test_a_long_sentence_in_a_link_is_cut():
    run = new_run(max_steps=1)
    server.runner().start(run).join(patience())
    at = open_app("attention", run=run.id, sentence="word " * 100)
    assert "500" in complaints(at)
    assert len(at.text_area(key="sentence").value) == 128


def test_an_own_text_is_not_in_the_link_and_that_is_said():
    at = open_app("train")
    at.selectbox(key="text").set_value("own").run()
    at.text_area(key="pasted").set_value("to be or not to be, " * 100).run()
    assert "text" not in shared_link(at)
    assert any("own text" in caption.value for caption in at.caption)


def test_after_a_reload_the_controls_say_what_the_run_was_its_own_text_included():
    text = words_twice(3_000)
    run = new_run(text, max_steps=20)
    server.runner().start(run).join(patience())
    at = open_app("train", run=run.id)
    click(at, "start")
    again = Run.open(at.session_state["session"].run_id)
    assert again.id != run.id
    assert store.load_text(again.read_info().text.sha256) == text
    assert (again.read_info().model, again.read_info().train) == (run.read_info().model, run.read_info().train)


def test_a_run_whose_own_text_is_gone_does_not_keep_the_page_from_opening():
    run = new_run(max_steps=20)
    server.runner().start(run).join(patience())
    (texts.texts_dir() / f"{run.read_info().text.sha256}.txt").unlink()
    texts.load_corpus.cache_clear()
    at = open_app("train", run=run.id)
    assert at.selectbox(key="text").value == "book"


# ---- downloads


def test_the_curves_the_folder_and_the_command_are_offered(finished_run):
    at = unfold(open_app("train", run=finished_run.id), "take-away")
    wait_until(lambda: {"take-curves", "take-folder"} <= keys(at.run()))
    words = shlex.split(next(code.value for code in at.code if code.value.startswith("python ")))
    assert words[words.index("--block_size") + 1] == str(TINY["block_size"])


def test_from_share_one_click_opens_the_downloads_and_brings_them_into_view(live_run, monkeypatch):
    scrolled = []
    monkeypatch.setattr(take_away, "scroll_to", scrolled.append)
    at = unfold(open_app("attention", run=live_run.id), "share")
    click(at, "share-download")
    assert "take-away" in scrolled and not at.session_state["share"]
    wait_until(lambda: "take-curves" in keys(go_to(at, "train")))


def test_it_is_packed_once_and_not_at_each_rerun(finished_run, monkeypatch):
    from microllm.ui.parts import take_away

    packed = []
    monkeypatch.setattr(
        take_away, "pack", lambda run, *_, **__: packed.append(run) or take_away.Package(1, "a,b", b"zip")
    )
    at = unfold(open_app("train", run=finished_run.id), "take-away")
    for n_embd in (32, 64):
        at.select_slider(key="knob-n_embd").set_value(n_embd).run()
    assert len(packed) == 1


def test_the_curves_have_a_row_a_step(finished_run):
    from microllm.ui.parts.take_away import Package, pack

    pack(finished_run, package := Package())
    assert package.step == 20
    assert len(list(csv.reader(io.StringIO(package.curves.decode())))) == 22
    assert set(PRESETS) >= {finished_run.read_info().preset}
