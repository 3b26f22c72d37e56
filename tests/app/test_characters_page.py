"""The page Inside with the map of characters."""

import base64
import json

import numpy
import pytest
import streamlit as st
from making import wait_until
from play import new_run, open_inside, said, step_of, trained_run

from microllm.data.store import forget_text
from microllm.data.texts import load_corpus
from microllm.insight.characters import nearest
from microllm.runs import gallery
from microllm.tokenizer import visible_alone
from microllm.ui import server
from microllm.ui.state.view import View


def maps_on(at) -> dict[str, dict]:
    """What each map on the page was sent, by its key."""
    protos = [one.proto for one in at.get("bidi_component") if one.proto.component_name == "microllm.character_map"]
    return dict(zip(("shown", "beside"), (json.loads(proto.json) for proto in protos), strict=False))


def complete(at) -> dict[str, dict]:
    """The maps once all snapshots are there: the browser asks again and again."""

    def is_complete():
        at.run()
        assert not at.exception
        return all(data["isComplete"] for data in maps_on(at).values()) and maps_on(at)

    return wait_until(is_complete)


def neighbors(data: dict, moment: int) -> numpy.ndarray:
    ids = numpy.frombuffer(base64.b64decode(data["neighbors"]), numpy.int16)
    return ids.reshape(len(data["steps"]), len(data["characters"]), -1)[moment]


@pytest.fixture
def run():
    return trained_run("Emma saw 12 ponds, and a pond saw Emma! " * 60, max_steps=30, initialization="torch")


def test_every_character_is_drawn_with_its_kind_and_its_neighbors_in_what_was_learned(run):
    data = complete(open_inside("Characters", run=run.id))["shown"]
    vocab = run.tokenizer.vocab
    assert data["characters"] == [visible_alone(character) for character in vocab]
    kinds = dict(zip(vocab, data["kinds"], strict=True))
    assert [kinds[c] for c in "aE1! s"] == ["vowel", "capital", "digit", "punctuation", "space", "consonant"]
    assert data["steps"] == run.list_snapshots()
    learned = run.model_at(30).token_embedding.weight - run.model_at(0).token_embedding.weight
    ids, _ = nearest(learned)
    numpy.testing.assert_array_equal(neighbors(data, -1), ids.numpy())
    assert (neighbors(data, 0) == -1).all()  # nothing was learned yet


def test_the_whole_vectors_are_shown_on_request(run):
    at = open_inside("Characters", run=run.id)
    at.button_group(key="character-vectors").set_value("whole").run()
    data = complete(at)["shown"]
    for moment, step in ((0, 0), (-1, 30)):
        ids, _ = nearest(run.model_at(step).token_embedding.weight)
        numpy.testing.assert_array_equal(neighbors(data, moment), ids.numpy())


def test_the_map_stands_at_the_moment_of_the_page(run):
    at = open_inside("Characters", run=run.id)
    assert complete(at)["shown"]["moment"] == len(run.list_snapshots()) - 1
    page = maps_on(at)["shown"]["page"]
    at.session_state["session"].moment = run.list_snapshots()[2]
    data = complete(at)["shown"]
    assert data["moment"] == 2 and data["page"] != page


def test_the_map_follows_a_run_that_trains(live_run):
    training = server.runner().job(live_run.id)
    at = open_inside("Characters", run=live_run.id)

    def shows(step: int) -> dict | None:
        """The map if it stands at this step: a copy of the weights may come late."""
        data = complete(at)["shown"]
        return data if data["steps"][data["moment"]] == step else None

    step = step_of(training)
    before = wait_until(lambda: shows(step))
    training.one_step()
    after = wait_until(lambda: shows(step + 1))
    assert after["moment"] == len(after["steps"]) - 1
    assert after["page"] == before["page"]


def test_without_the_text_all_characters_have_one_size_and_the_page_says_why(run):
    at = open_inside("Characters", run=run.id)
    sizes = complete(at)["shown"]["sizes"]
    assert len(set(sizes)) > 1 and len(maps_on(at)["shown"]["frequencies"]) == len(sizes)
    explained = said(at)
    forget_text(run.read_info().text.sha256)
    load_corpus.cache_clear()
    server.opened.cache_clear()
    at = open_inside("Characters", run=run.id)
    st.cache_data.clear()
    st.cache_resource.clear()
    data = complete(at)["shown"]
    assert len(set(data["sizes"])) == 1 and data["frequencies"] == []
    assert said(at) != explained and not at.error


def test_another_moment_beside_is_a_map_of_the_same_characters_at_that_moment(run):
    at = open_inside("Characters", run=run.id)
    at.selectbox(key="beside").set_value(run.id).run()
    both = complete(at)
    assert both["beside"]["steps"][both["beside"]["moment"]] == 0
    at.selectbox(key="beside-moment").set_value(8).run()
    both = complete(at)
    assert both["beside"]["steps"][both["beside"]["moment"]] == 8
    assert both["shown"]["steps"][both["shown"]["moment"]] == 30
    assert both["shown"]["points"] == both["beside"]["points"]  # so that one can compare places


def test_another_run_beside_has_its_own_characters(run):
    at = open_inside("Characters", run=run.id)
    at.selectbox(key="beside").set_value(gallery.FIRST).run()
    both = complete(at)
    assert len(both["beside"]["characters"]) == 91 and both["beside"]["dimensions"] == 64
    assert both["shown"]["dimensions"] == run.read_info().model.n_embd
    at.selectbox(key="beside").set_value("").run()
    assert "beside" not in maps_on(at)


def test_a_run_without_weights_shows_no_map():
    run = new_run()
    with run.writing():
        at = open_inside("Characters", run=run.id)
    assert not at.exception and not maps_on(at)
    assert "weights" in said(at)


def test_the_map_is_the_same_while_a_part_is_knocked_out(run, monkeypatch):
    at = open_inside("Characters", run=run.id)
    before = complete(at)["shown"]
    monkeypatch.setattr(View, "knocked_out", lambda *_, **__: None)  # its means are not there yet
    at.session_state["session"].without = ("1.1",)
    assert complete(at)["shown"]["points"] == before["points"]
