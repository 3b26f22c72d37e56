"""The page Learn: the front door, and the cards of the path, which tick when the thing was done."""

import itertools
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from making import wait_until
from patience import patience
from play import KEY, answer, click, complaints, go_to, keys, new_run, number, open_app, said, said_to_browser
from streamlit.testing.v1 import AppTest

from microllm.config import configs_from
from microllm.data.builtin import words_twice
from microllm.insight.guessing import chances_of_model
from microllm.model import parameter_count
from microllm.runs import gallery
from microllm.ui import server
from microllm.ui.parts import guess_game
from microllm.ui.state.path import CARDS, GUESSES


def session_of(at: AppTest):
    return at.session_state["session"]


def done(at: AppTest) -> set[str]:
    return session_of(at).done_cards


def open_card(card: str, **query: str) -> AppTest:
    """The page Learn with this card open, and the book downloaded."""
    server.published("book").wait(patience())
    return open_app("learn", lesson=card, **query)


def shown_by(at: AppTest, component: str) -> list:
    """What our component with this name shows."""
    (proto,) = [one.proto for one in at.get("bidi_component") if one.proto.component_name == f"microllm.{component}"]
    return json.loads(proto.json)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """There is no book, and none can be downloaded."""
    monkeypatch.setenv("MICROLLM_MIRROR", str(tmp_path / "no such folder"))


# ---- the front door


def test_the_bare_address_opens_learn_with_a_film_and_two_ways_to_begin():
    at = open_app()
    assert not at.exception and not complaints(at)
    assert {"front-train", "front-path"} <= keys(at)
    (film,) = shown_by(at, "film")
    assert film["about"] == gallery.FIRST and len(film["frames"]) == len(
        gallery.samples(gallery.FOLDER / gallery.FIRST)
    )
    click(at, "front-train")
    assert "start" in keys(at)


@pytest.mark.parametrize("query", [{"run": gallery.FIRST}, {"max_steps": "50"}])
def test_a_link_to_a_run_or_with_settings_opens_train_as_it_always_did(query):
    at = open_app(**query)
    assert "start" in keys(at) and "front-path" not in keys(at)


def test_follow_the_six_steps_opens_the_first_card_that_is_not_done():
    at = open_app()
    click(at, "front-path")
    assert at.query_params["lesson"] == "text" and "path-passage" in keys(at)
    done(at).update(["text", "tokens"])
    go_to(at, "learn")
    at.button_group(key="learn-path").set_value("watch").run()
    assert "lesson" not in at.query_params
    click(at, "front-path")
    assert at.query_params["lesson"] == "batch"


# ---- cards on this page


@pytest.mark.parametrize("card", CARDS)
def test_every_card_opens_with_code_of_the_project_and_a_way_on_and_is_not_done_by_being_seen(card):
    at = open_card(card)
    assert not at.exception and not complaints(at)
    assert CARDS[card].title in said(at) and CARDS[card].task in said(at) and CARDS[card].done not in said(at)
    assert any("def " in code.value for code in at.code)
    assert {"path-next-card", "path-previous-card"} & keys(at)
    assert done(at) == set()
    for way in ("path-next-card", "path-previous-card"):
        if way in keys(at):
            click(at, way)
    assert done(at) == set()


def test_another_passage_ticks_the_text():
    at = open_card("text")
    passage = at.code[0].value
    click(at, "path-passage")
    assert done(at) == {"text"} and at.code[0].value != passage
    assert f"1 of {len(CARDS)}" in said(at)


@pytest.mark.parametrize("card", CARDS)
def test_a_card_that_is_done_says_so_instead_of_asking_again_and_has_one_way_on(card):
    at = open_card(card)
    done(at).update(CARDS)
    at.run()
    assert CARDS[card].done in said(at) and CARDS[card].task not in said(at)
    (way_on,) = {"path-next-card", "path-end"} & keys(at)
    assert (way_on == "path-end") == (card == [*CARDS][-1])


def test_from_the_last_card_the_way_leads_to_those_that_were_left_out_and_then_to_experiments():
    at = open_card("knockout")
    done(at).update({*CARDS} - {"head"})
    click(at.run(), "path-next-card")
    assert at.query_params["lesson"] == "head"
    done(at).add("head")
    session_of(at).lesson = "knockout"
    click(at.run(), "path-end")


def test_another_text_ticks_the_text_and_is_that_of_the_next_run():
    at = open_card("text")
    at.selectbox(key="text").set_value("words-twice").run()
    assert done(at) == {"text"}
    go_to(at, "train")
    assert at.selectbox(key="text").value == "words-twice"


def test_a_typed_sentence_is_shown_as_ids_and_ticks_the_tokens():
    at = open_card("tokens")
    at.text_input(key="path-sentence").set_value("abba ☕").run()
    assert not at.exception
    (shown,) = shown_by(at, "tokens")
    a, b, b2, a2, space = shown["ids"]
    assert (a, b) == (a2, b2) and b == a + 1 and space < a
    assert shown["glyphs"] == ["a", "b", "b", "a", "␠"]
    assert "☕" in said(at)  # says what the model does not know
    assert done(at) == {"tokens"}


def test_the_targets_of_a_batch_are_its_inputs_one_place_later_and_pointing_at_another_batch_ticks_it():
    at = open_card("batch")
    (first,) = shown_by(at, "tokens")
    for inputs, targets in zip(first["rows"][::2], first["rows"][1::2], strict=True):
        assert inputs[1:] == targets[:-1]
    click(at, "path-batch")
    assert shown_by(at, "tokens") != [first]
    assert done(at) == set()
    session_of(at).has_pointed = True
    at.run()
    assert done(at) == {"batch"}


def test_a_moved_slider_ticks_the_model_whose_parts_add_up_and_train_has_the_same_value():
    at = open_card("model", text="words-twice")
    number(at, "n_layer").set_value(2).run()
    model, _ = configs_from({"n_layer": 2}, "quick")
    assert f"**{parameter_count(model, len({*words_twice(300_000)})):,}**" in said(at)
    assert done(at) == {"model"}
    go_to(at, "train")
    assert number(at, "n_layer").value == 2


def test_sizes_that_do_not_fit_say_so_and_offer_the_nearest():
    at = open_card("model")
    number(at, "n_head").set_value(5).run()
    assert "n_head" in complaints(at)
    click(at, "use-n_head")
    assert not complaints(at)


def test_guesses_are_compared_with_the_untrained_and_the_trained_model_and_five_tick_it(finished_run):
    at = open_card("guess", run=finished_run.id)
    for turn in range(GUESSES):
        assert done(at) == set()
        if turn == GUESSES - 1:
            session_of(at).moment = first_step = finished_run.list_snapshots()[0]
        session_of(at).guessed = turn, "e"
        at.run()
    assert f"step {first_step}" in shown_by(at, "guess")["last"]["bet"]
    session_of(at).moment = None  # what was predicted at an earlier step is now that of the last one, too
    at.run()
    assert not at.exception
    game, (table,) = shown_by(at, "guess"), [one.value for one in at.markdown if "|---" in one.value]
    corpus, (step, model) = finished_run.load_corpus(), server.runner().model_now(finished_run)
    (play,) = session_of(at).plays.values()
    asked = [replace(play.game, at=place).passage for place in range(GUESSES)]
    right = sum(int(chances_of_model(model, corpus.val[it]).argmax()) == int(corpus.val[it.stop]) for it in asked)
    assert "step 0" in table and f"step {step}) | {right} of {GUESSES} |" in table
    assert f"step {step}" in game["last"]["bet"] and f"{right} of {GUESSES}" in game["score"]
    assert done(at) == {"guess"}


def test_a_comparison_that_takes_over_a_second_leaves_out_the_untrained_model(finished_run, monkeypatch):
    at = open_card("guess", run=finished_run.id)
    session_of(at).guessed = 0, "e"
    assert said(at.run()).count("| 1 of 1 |") + said(at).count("| 0 of 1 |") == 3
    clock = itertools.count(step=2)
    monkeypatch.setattr(guess_game, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    assert said(at.run()).count("| 1 of 1 |") + said(at).count("| 0 of 1 |") == 2
    assert not at.exception


@pytest.mark.parametrize("card", ["text", "tokens", "batch", "model", "guess"])
def test_without_the_book_a_card_says_why_and_never_is_a_dead_end(card, offline):
    at = open_card(card)
    assert not at.exception and not at.error
    assert {"path-next-card", "path-previous-card"} & keys(at)


@pytest.mark.parametrize("card", CARDS)
def test_every_card_opens_for_a_run_that_has_not_begun(card):
    run = new_run()
    with run.writing():
        at = open_card(card, run=run.id)
    assert not at.exception and not at.error
    assert done(at) == set()


# ---- cards on other pages


def test_a_card_goes_along_to_its_page_ticks_there_and_comes_back(finished_run):
    at = open_card("generate", run=finished_run.id)
    click(at, "path-go")
    assert {"path-back", "generate"} <= keys(at)
    go_to(at, "generate")  # AppTest does not notice that the app went there by itself
    assert CARDS["generate"].task in said(at) and "st-key-generate" in said(at)  # the outline
    click(at, "generate")
    at.run()
    assert done(at) == {"generate"}
    assert CARDS["generate"].done in said(at) and CARDS["generate"].task not in said(at)
    assert "st-key-generate" not in said(at)
    click(at, "path-back")
    assert at.query_params["lesson"] == "generate" and CARDS["generate"].title in said(at)


def test_what_was_done_without_the_path_is_ticked_too(finished_run):
    at = open_app("inside", run=finished_run.id)
    session_of(at).stage, session_of(at).without = "scores", ("1.1",)
    go_to(at, "learn")
    assert done(at) == {"inside", "knockout"}


def test_training_a_run_of_ones_own_ticks_and_that_of_somebody_else_does_not():
    run = new_run(max_steps=20)
    server.runner().start(run).join(patience())
    assert done(open_app("train", run=run.id)) == set()
    assert done(open_app("train", run=run.id, key=KEY)) == {"train"}


def test_a_head_that_attends_two_back_ticks_and_another_one_does_not():
    at = open_app("attention", lesson="head", run=gallery.FIRST)
    assert done(at) == set()
    session_of(at).head = 0, 0  # the previous character
    assert done(at.run()) == set()
    session_of(at).head = 0, 1
    assert done(at.run()) == {"head"}


def test_a_card_that_is_left_goes_along_no_more():
    at = open_app("attention", lesson="head", run=gallery.FIRST)
    click(at, "path-leave")
    assert "path-back" not in keys(at) and "lesson" not in at.query_params


@pytest.mark.parametrize("page", ["learn", "experiments"])
def test_what_is_knocked_out_can_be_restored_on_pages_that_show_no_run(page):
    at = open_app(page, run=gallery.FIRST)
    assert "restore" not in keys(at)
    at = open_app(page, run=gallery.FIRST, without="1.1")
    click(at, "restore")
    assert session_of(at).without == () and "restore" not in keys(at)


# ---- what the browser keeps


def test_the_browser_keeps_what_is_done_and_tells_it_after_a_reload():
    at = open_card("text")
    click(at, "path-passage")
    assert said_to_browser(at)["done"] == ["text"]

    again = AppTest.from_file(at._script_path, default_timeout=60)
    answer(again, done=["text", "no card", 5], mine=True)
    go_to(again, "learn")
    assert done(again) == {"text"}
    assert f"1 of {len(CARDS)}" in said(again)


def test_the_sentence_and_the_batch_of_before_a_reload_are_there_again():
    at = open_card("tokens")
    at.text_input(key="path-sentence").set_value("abba").run()
    click(at, "path-next-card")
    click(at, "path-batch")
    drawn = shown_by(at, "tokens")
    kept = said_to_browser(go_to(at, "generate"))["path"]

    again = open_app("learn", answers=False, lesson="batch")
    answer(again, path=kept, mine=True)
    again.run()
    assert shown_by(again, "tokens") == drawn
    click(again, "path-previous-card")
    assert again.text_input(key="path-sentence").value == "abba"
    assert said_to_browser(again)["path"] == kept


def test_nothing_is_said_about_progress_before_the_browser_has_told_it():
    at = open_app("learn", answers=False)
    assert not at.exception
    assert f"of {len(CARDS)}" not in said(at)


def test_a_draft_that_comes_back_is_no_moved_slider():
    at = open_app("learn", answers=False, lesson="model")
    answer(at, draft="preset=quick&n_layer=1", mine=True)
    at.run()
    at.run()
    assert number(at, "n_layer").value == 1
    assert done(at) == set()
    wait_until(lambda: not server.published("book").is_busy)
