"""A draft that the browser has saved is restored once, and validated completely."""

from urllib.parse import urlencode

import pytest
from play import KEY, TINY, answer, click, complaints, go_to, keys, new_run, open_app, said, said_to_browser

from microllm.data import store, texts
from microllm.runs.catalog import all_runs
from microllm.runs.run import Run

TEXT = "to be or not to be, that is the question\n" * 60


def come_back(draft, page: str = "train", *, mine: object = True, **address: str):
    """A window whose browser has saved this draft and sends it when the page asks."""
    at = open_app(page, answers=False, **address)
    answer(at, draft=urlencode(draft) if isinstance(draft, dict) else draft, mine=mine)
    at.run()
    assert not at.exception
    return at


def own(text: str = TEXT, name: str = "notes.txt") -> dict[str, str]:
    """The part of a draft that names the person's own text, which is stored here."""
    return {"text": "own", "sha256": store.keep_text(text), "name": name}


def started(at) -> Run:
    click(at, "bar-start")
    assert at.session_state["session"].problem is None, complaints(at)
    return Run.open(at.session_state["session"].run_id)


def test_settings_text_and_guess_are_there_again_and_one_click_starts_exactly_that():
    settings = {name: str(value) for name, value in (TINY | {"max_steps": 30}).items()}
    at = come_back(settings | own() | {"preset": "quick", "transform": "reversed", "first": "900", "guess": "1.5"})
    assert not complaints(at)
    info = started(at).read_info()
    assert {name: getattr(info.model, name, None) or getattr(info.train, name) for name in TINY} == TINY
    assert store.load_text(info.text.sha256) == TEXT[:900][::-1]
    assert (info.text.how, info.text.first, info.guess) == ("reversed", 900, 1.5)


@pytest.mark.parametrize("page", ["attention", "generate"])
def test_they_are_there_on_whichever_page_the_window_comes_back(page):
    at = come_back({"block_size": "16", "n_embd": "32"} | own(), page)
    info = started(at).read_info()
    assert (info.model.block_size, store.load_text(info.text.sha256)) == (16, TEXT)


def test_a_pasted_text_stands_in_its_box_again_and_can_be_changed_there():
    at = come_back(own(name="Pasted text"))
    assert at.text_area(key="pasted").value == TEXT
    at.text_area(key="pasted").set_value(TEXT * 2).run()
    assert store.load_text(started(at).read_info().text.sha256) == TEXT * 2


def test_the_encoding_that_was_chosen_for_a_file_is_there_again_and_no_other():
    assert started(come_back(own() | {"encoding": "cp1251"})).read_info().text.encoding == "cp1251"
    assert come_back(own() | {"encoding": "rot13"}).session_state["session"].own.text.encoding is None


@pytest.mark.parametrize("page", ["train", "generate"])
def test_a_text_that_is_gone_is_named_and_nothing_else_is_learned(page):
    draft = own() | {"n_layer": "3"}
    (texts.texts_dir() / f"{draft['sha256']}.txt").unlink()
    at = come_back(draft, page)
    assert "notes.txt" in complaints(at)
    click(at, "bar-start")
    assert at.session_state["session"].run_id is None and "run" not in at.query_params
    at = go_to(at, "train")
    assert at.button(key="start").disabled
    assert at.slider(key="knob-n_layer").value == 3


def test_what_the_address_says_comes_first():
    at = come_back({"n_layer": "5", "address": ""}, n_layer="7")
    assert at.slider(key="knob-n_layer").value == 7
    run = new_run()
    assert come_back({"n_layer": "5"}, run=run.id).slider(key="knob-n_layer").value == TINY["n_layer"]


@pytest.mark.parametrize(("mine", "taken"), [(True, True), (False, False)])
def test_what_was_changed_after_the_address_was_followed_is_there_again_in_its_own_tab(mine, taken):
    at = come_back({"n_layer": "5", "address": "n_layer=7"}, mine=mine, n_layer="7")
    assert at.slider(key="knob-n_layer").value == (5 if taken else 7)


def test_the_draft_beside_a_run_is_there_again_with_that_run():
    run = new_run()
    at = come_back({"n_layer": "5", "address": f"run={run.id}"}, mine=False, run=run.id)
    assert at.slider(key="knob-n_layer").value == 5


def test_what_a_person_has_changed_meanwhile_stays():
    at = open_app("train", answers=False)
    at.slider(key="knob-n_layer").set_value(6).run()
    answer(at, draft="n_layer=5", mine=True)
    assert at.run().slider(key="knob-n_layer").value == 6


def test_it_is_taken_up_once():
    at = come_back({"n_layer": "5"})
    at.slider(key="knob-n_layer").set_value(6).run()
    assert at.run().slider(key="knob-n_layer").value == 6


def test_with_the_bare_address_the_draft_is_there_again_beside_the_run():
    run = new_run()
    at = open_app("train", answers=False)
    answer(at, {run.id: KEY}, draft=urlencode({"n_layer": "5", "address": f"run={run.id}"}))
    assert at.run().query_params == {"run": run.id}
    assert at.slider(key="knob-n_layer").value == 5
    at = open_app("train", stored={run.id: KEY})  # without a draft the controls show the settings of the run
    assert at.slider(key="knob-n_layer").value == TINY["n_layer"]


@pytest.mark.parametrize(
    "draft",
    [
        {"text": "/etc/passwd"},
        {"text": "own", "sha256": "../../../etc/passwd", "name": "x"},
        {"text": "own", "sha256": "A" * 64, "name": "x"},
        {"text": "own", "sha256": "0" * 64, "name": "![x](http://example.invalid/x.png)" * 99},
        {"text": "own"},
        {"preset": "best", "n_head": "7", "block_size": "1e99", "seed": "NaN", "guess": "inf", "first": "-1"},
        {"guess": "-1"},
        {"guess": "nan"},
        {"run": "0" * 16, "key": "x", "sentence": "x" * 999},
        "&" * 3_000,
        "n_layer=5&" * 900,
        "%ff%00=%ed%a0%80",
        "",
    ],
)
def test_a_draft_that_nobody_here_has_written_breaks_nothing(draft):
    at = come_back(draft)
    assert at.session_state["session"].run_id is None
    assert {"bar-start"} <= keys(at)
    assert "root:" not in said(at)
    assert not at.run().exception


def test_a_guess_of_before_is_in_no_link_for_others():
    at = come_back(own() | {"guess": "1.5", "n_layer": "5"})
    at.session_state["share"] = True
    at.run()
    (link,) = [code.value for code in at.code if "?" in code.value and "=" in code.value]
    assert "n_layer=5" in link
    assert not any(word in link for word in ("sha256", "notes", "guess", "own", "address"))


@pytest.mark.parametrize("address", [{"n_embd": "48"}, {"run": "zzz"}, {"n_embd": "abc"}])
def test_a_link_does_not_replace_the_draft_until_something_is_changed(address):
    saved = own() | {"block_size": "16"}
    at = come_back(saved, **address)
    assert said_to_browser(at)["draft"] is None
    at = go_to(at, "attention")
    assert said_to_browser(at)["draft"] is None
    at = go_to(at, "train")
    at.select_slider(key="knob-block_size").set_value(8).run()
    assert "block_size=8" in said_to_browser(at)["draft"]


@pytest.mark.parametrize("address", [{"utm_source": "mail"}, {"x": "1"}])
def test_an_address_that_says_nothing_about_settings_leaves_the_draft(address):
    at = come_back(own() | {"block_size": "16"}, **address)
    assert store.load_text(started(at).read_info().text.sha256) == TEXT


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_steps", 0), ("max_steps", 10**12), ("eval_interval", 0), ("learning_rate", -1.0), ("seed", -1)],
)
def test_a_number_out_of_range_is_named_and_nothing_starts(name, value):
    at = open_app("train")
    at.number_input(key=f"knob-{name}").set_value(value).run()
    assert not at.exception
    assert name in complaints(at) and at.button(key="start").disabled
    click(at, "bar-start")
    assert name in complaints(at) and not all_runs()
