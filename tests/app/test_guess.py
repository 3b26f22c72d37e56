"""The guessing game on the train page: folded, fair, and against a counting table before there is a model."""

import json
import re
import unicodedata

import pytest
from making import wait_until
from patience import patience
from play import answer, click, go_to, keys, new_run, open_app, said, trained_run
from streamlit.testing.v1 import AppTest

from microllm.data.builtin import drawing_room
from microllm.data.texts import load_corpus
from microllm.insight.guessing import Game, chances_of_model, chances_of_tables
from microllm.tokenizer import visible
from microllm.ui import server
from microllm.ui.parts import guess_game


def shown(at) -> dict:
    """What the game's component was given."""
    for element in at.get("bidi_component"):
        if element.proto.component_name == "microllm.guess":
            return json.loads(element.proto.json)
    raise AssertionError("the game is not on the page")


def play_of(at):
    """The game on the newest text."""
    return [*at.session_state["session"].plays.values()][-1]


def is_open(at) -> bool:
    """True when the game is on the page."""
    return any(element.proto.component_name == "microllm.guess" for element in at.get("bidi_component"))


def unfold(at):
    """Open the fold of the game."""
    at.session_state["guess-fold"] = True
    at.run()
    assert not at.exception
    return at


def say(at, character: str, turn: int | None = None):
    """Guess a character, as the browser reports it."""
    at.session_state["session"].guessed = (shown(at)["turn"] if turn is None else turn), character
    at.run()
    assert not at.exception
    return at


@pytest.fixture
def at(finished_run):
    """The train page of a finished run, with the game unfolded."""
    return unfold(open_app("train", run=finished_run.id))


def test_the_game_is_folded_away_and_costs_nothing_until_it_is_opened(finished_run, monkeypatch):
    monkeypatch.setattr(guess_game, "_play", lambda view: pytest.fail("it was drawn"))
    at = open_app("train", run=finished_run.id)
    assert not is_open(at)
    assert "guess-fold-button" in keys(at)


def test_a_guess_is_scored_beside_that_of_the_model_at_the_same_place(at, finished_run):
    corpus, (step, model) = finished_run.load_corpus(), server.runner().model_now(finished_run)
    expected_yours = expected_models = 0
    for n in range(6):
        play = play_of(at)
        place = play.game.place
        passage, truth = corpus.val[play.game.passage], int(corpus.val[place])
        bet = int(chances_of_model(model, passage).argmax())
        own = truth if n % 2 else (truth + 1) % corpus.vocab_size
        expected_yours += own == truth
        expected_models += bet == truth
        say(at, corpus.tokenizer.decode([own]))
        turn = play_of(at).game.turns[-1]
        assert (turn.place, turn.truth, turn.yours, turn.bet) == (place, truth, own, bet)
        last = shown(at)["last"]
        assert ("right" in last["yours"]) == (own == truth)
        assert f"step {step:,}" in last["bet"]
    assert [int(n) for n in re.findall(r"\d+", shown(at)["score"])] == [expected_yours, 6, expected_models, 6]
    assert "±41" in said(at)


def test_the_answer_is_not_sent_to_the_browser_before_the_guess(at):
    play = play_of(at)
    corpus = load_corpus(*play.text)
    data = shown(at)
    passage = corpus.tokenizer.decode(corpus.val[play.game.passage])
    assert data["before"] + data["sight"] == [visible(c) for c in passage]
    assert data["last"] is None
    others = {"turn", "spoken", "options", "notice", "refused", "score", "over", "kept"}
    assert set(data) == {"before", "sight", "last"} | others
    assert data["spoken"].endswith(passage)


def test_only_the_last_block_size_characters_are_marked_as_seen_by_the_model(at, finished_run):
    data = shown(at)
    assert len(data["sight"]) == finished_run.read_info().model.block_size
    assert data["before"]


def test_a_second_key_in_the_same_turn_does_not_count(at):
    say(at, " ")
    assert shown(at)["turn"] == 1
    say(at, "e", turn=0)
    assert shown(at)["turn"] == 1


def test_a_character_that_the_text_does_not_have_is_refused_and_not_counted(at):
    say(at, "☃")
    assert shown(at)["turn"] == 0
    assert "☃" in shown(at)["notice"]
    say(at, " ")
    assert shown(at)["turn"] == 1
    assert shown(at)["notice"] == ""


@pytest.mark.parametrize(("written", "typed"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFC"), ("NFD", "NFD")])
def test_a_composed_letter_is_the_letter_of_the_text_however_it_is_composed(written, typed):
    text = unicodedata.normalize(written, "é")
    run = new_run(text * 200 + " ", max_steps=5)
    server.runner().start(run).join(60)
    at = unfold(open_app("train", run=run.id))
    say(at, unicodedata.normalize(typed, "é"))
    (turn,) = play_of(at).game.turns
    assert run.tokenizer.decode([turn.yours]) == text[0]
    say(at, unicodedata.normalize(typed, "è"))
    assert shown(at)["turn"] == 1
    assert "è" in unicodedata.normalize("NFC", shown(at)["notice"])


def test_a_rerun_keeps_the_place_and_the_score_and_another_page_too(at):
    say(at, " ")
    before = shown(at)
    at.run()
    assert shown(at) == before
    go_to(at, "generate")
    unfold(go_to(at, "train"))
    assert shown(at) == before


def reloaded(games: object, run) -> AppTest:
    """The train page of a run with the game unfolded, in a browser that kept these games."""
    at = open_app("train", answers=False, run=run.id)
    answer(at, games=games)
    return unfold(at.run())


def test_a_reload_keeps_the_passage_the_place_and_the_score(at, finished_run):
    for character in " e":
        say(at, character)
    click(at, "guess-next")
    say(at, "t")
    before = shown(at)
    again = reloaded(before["kept"], finished_run)
    assert shown(again) == before | {"refused": 0}
    say(again, " ")
    assert " of 4," in shown(again)["score"]


def test_a_game_is_kept_before_its_first_guess_and_of_other_texts_too(at, finished_run):
    before = shown(at)
    other = trained_run("a quite different text with letters " * 100, max_steps=5)
    there = reloaded(before["kept"], other)
    assert {tuple(game["text"]) for game in json.loads(shown(there)["kept"])} == {
        finished_run.text_and_vocab(),
        other.text_and_vocab(),
    }
    assert shown(reloaded(shown(there)["kept"], finished_run))["sight"] == before["sight"]


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": -1},
        {"seed": "7"},
        {"at": 10**9},
        {"at": True},
        {"turns": 5},
        {"turns": [[0, 0, 0, 0.5, 0.5]]},
        {"turns": [[None, 10**9, 0, 0.5, 0.5]]},
        {"turns": [[None, 0, 0, float("nan"), 0.5]]},
        {"turns": [[None, 0, 0, 0.5, 0.5]] * 2},
        {"predictor": ["<b>", 1]},
        {"predictor": None},
    ],
)
def test_a_game_that_cannot_be_one_is_not_taken_up(changed, at, finished_run):
    say(at, " ")
    (game,) = json.loads(shown(at)["kept"])
    place = game["turns"][0][0]
    if isinstance(turns := changed.get("turns"), list):
        changed = {"turns": [[place if turn[0] is None else turn[0], *turn[1:]] for turn in turns]}
    again = reloaded(json.dumps([game | changed]), finished_run)
    assert not again.exception
    assert shown(again)["score"] == "" and shown(again)["turn"] == 0


@pytest.mark.parametrize("games", [None, 5, "", "[", "5", "{}", "[5]", '[{"text": 5}]', "[" * 100_000, "x" * 600_000])
def test_of_games_that_are_none_nothing_is_taken(games, finished_run):
    assert shown(reloaded(games, finished_run))["turn"] == 0


def test_of_a_long_game_the_newest_two_hundred_guesses_are_kept():
    run = new_run(drawing_room(20_000), max_steps=5)
    places = Game(len(run.load_corpus().val), seed=7).places[:250]
    turns = [[place, 0, 0, 0.5, 0.5] for place in places]
    record = {"text": run.text_and_vocab(), "seed": 7, "at": len(places), "turns": turns, "predictor": ["model", 5]}
    at = reloaded(json.dumps([record]), run)
    assert [turn.place for turn in play_of(at).game.turns] == places[-200:]
    say(at, " ")
    (kept,) = json.loads(shown(at)["kept"])
    assert len(kept["turns"]) == 200 and kept["turns"][-1][0] == play_of(at).game.turns[-1].place


def test_a_new_game_starts_at_zero_with_other_places(at):
    say(at, " ")
    seed = play_of(at).game.seed
    click(at, "guess-new")
    assert shown(at)["turn"] == 0
    assert shown(at)["score"] == ""
    assert play_of(at).game.seed != seed


def test_before_there_is_a_model_a_counting_table_plays_and_is_named():
    run = new_run()
    with run.writing():  # it waits for its turn
        at = unfold(open_app("train", run=run.id))
    play = play_of(at)
    corpus = load_corpus(*play.text)
    n, chances = chances_of_tables(corpus.tables, corpus.val[play.game.passage])
    say(at, "e")
    turn = play_of(at).game.turns[0]
    assert turn.bet == int(chances.argmax())
    assert turn.chance_of_truth == pytest.approx(chances[turn.truth].item())
    assert f"{n}-character table" in shown(at)["last"]["bet"]


def test_the_snapshot_on_show_plays(at, finished_run):
    past = finished_run.list_snapshots()[1]
    at.session_state["session"].moment = past
    at.run()
    say(at, " ")
    assert f"step {past:,}" in shown(at)["last"]["bet"]


def test_the_same_passage_goes_on_letter_by_letter_until_another_one_is_asked_for(at, finished_run):
    corpus, before = finished_run.load_corpus(), shown(at)
    for turn in range(3):
        truth = int(corpus.val[play_of(at).game.place])
        say(at, " ")
        assert shown(at)["turn"] == turn + 1
        before["sight"].append(visible(corpus.tokenizer.decode([truth])))
        assert shown(at)["before"] + shown(at)["sight"] == before["before"] + before["sight"]
    click(at, "guess-next")
    assert shown(at)["before"] + shown(at)["sight"] != before["before"] + before["sight"]
    assert len(shown(at)["before"] + shown(at)["sight"]) == play_of(at).game.shown
    assert " of 3," in shown(at)["score"]


def test_another_text_is_another_game_and_the_first_goes_on_when_one_comes_back(at, finished_run):
    say(at, " ")
    before = shown(at)
    other = trained_run("a quite different text with letters " * 100, max_steps=5)
    at.query_params["run"] = other.id
    unfold(at)
    assert shown(at)["turn"] == 0
    assert other.text_and_vocab() in at.session_state["session"].plays
    at.query_params["run"] = finished_run.id
    unfold(at)
    assert shown(at) | {"kept": ""} == before | {"kept": ""}


def test_all_places_of_a_short_text_can_be_guessed_and_then_the_game_is_over():
    short = new_run("so short a text is soon read. " * 5, max_steps=5)
    server.runner().start(short).join(patience())
    at = unfold(open_app("train", run=short.id))
    for _ in range(len(play_of(at).game.places)):
        assert not shown(at)["over"]
        say(at, " ")
    assert shown(at)["over"]
    say(at, " ")
    assert not at.exception


def test_a_run_that_has_to_wait_for_its_first_turn_opens_the_game(live_run, monkeypatch):
    monkeypatch.setattr(type(server.runner().job(live_run.id)), "seconds_to_turn", lambda self: 4.0)
    at = open_app("train", run=live_run.id)
    assert is_open(at)


def test_a_run_that_trains_at_once_leaves_the_game_folded():
    run = new_run()
    training = server.runner().start(run)
    wait_until(lambda: training.last_step > 3)
    assert not is_open(open_app("train", run=run.id))
