"""The page Inside: what the picture, the open part and the logit lens are sent."""

import base64
import json
import re

import numpy
import pytest
import torch
from play import KEY, open_app, trained_run

from microllm.insight import anatomy
from microllm.insight.lens import lens
from microllm.insight.stages import STOPS, stages
from microllm.insight.trace import trace
from microllm.tokenizer import known_ids
from microllm.ui.components import inside as component
from microllm.ui.parts import inside


def trained(**settings):
    return trained_run("abc ab cab " * 60, **{"max_steps": 3, "initialization": "torch"} | settings)


def look(run, text: str, stage: str = "characters", layer: int = 0, head: int = 0):
    at = open_app("inside", run=run.id)
    at.text_area(key="sentence").set_value(text)
    return choose(at, stage, layer, head)


def choose(at, stage: str, layer: int = 0, head: int = 0):
    """The effect of a click on a part."""
    at.session_state["session"].stage = stage
    at.session_state["session"].head = layer, head
    at.run()
    assert not at.exception
    return at


def sent(at, place: int = 0) -> dict:
    """What the picture has, or the one beside it."""
    protos = [e.proto for e in at.get("bidi_component") if e.proto.component_name == "microllm.inside"]
    return json.loads(protos[place].json)


def decoded(text: str, kind: str) -> numpy.ndarray:
    return numpy.frombuffer(base64.b64decode(text), kind)


def traced(run, text: str):
    model = run.model_at(run.list_snapshots()[-1])
    ids = known_ids(run.tokenizer, text)
    return model, trace(model, ids), ids


@pytest.mark.parametrize(("text", "few"), [("a", STOPS[::4]), ("abba ab", None)])  # block_size is 8
def test_every_part_is_sent_with_the_numbers_that_the_model_computes(text, few):
    run = trained(position="relative", lookback=1)
    at = look(run, text)
    model, there, ids = traced(run, text)
    for name, stage in stages(model.config, model.vocab_size).items():
        if few and name not in few:
            continue
        now = sent(choose(at, name, 1, 1))
        expected = anatomy.numbers(name, model, there, ids, 1, 1)
        assert now["chosen"] == f"{name} 1 1"
        assert now["open"]["size"] == list(expected.shape)
        found = torch.tensor(decoded(now["open"]["numbers"], "<f4")).view(expected.shape)
        assert torch.equal(found, expected), name
        assert str(len(text)) in now["open"]["shape"]
        assert any(tab["opens"] == now["chosen"] for tab in now["open"]["tabs"])
        marked = [now["open"]["code"]["lines"][i] for i in now["open"]["code"]["marked"]]
        assert marked and now["open"]["sentence"] == stage.sentence


def test_the_lens_is_sent_for_every_character_and_its_last_row_is_the_model_s_own_choice():
    run, text = trained(), "abcab cabca bcab"
    now = sent(look(run, text))["lens"]
    model, there, ids = traced(run, text)
    top = lens(model, there).topk(now["guesses"])
    numbers = decoded(now["numbers"], "<u2").reshape(now["levels"], len(text), now["guesses"])
    assert now["levels"] == 3
    for level in range(now["levels"]):
        for place in range(len(text)):
            names = [run.tokenizer.vocab[i] for i in top.indices[level, place]]
            assert [now["glyphs"][i] for i in numbers[level, place]] == [name.replace(" ", "␠") for name in names]
    chances = decoded(now["chances"], "<f4").reshape(numbers.shape)
    numpy.testing.assert_allclose(chances, top.values.exp().numpy(), atol=1e-6)
    right = decoded(now["right"], numpy.uint8).reshape(now["levels"], len(text) - 1)
    assert (right == 255 * (top.indices[:, :-1, 0] == ids[1:]).numpy()).all()
    assert (top.indices[-1, :, 0] == there.logits.argmax(-1)).all()


def test_a_long_sentence_shows_the_context_of_the_character_that_is_followed():
    run, text = trained(), "abcab cabca bcab ca"
    at = look(run, text, "q")
    assert sent(at)["place"] == len(text) - 1 and sent(at)["context"] == [len(text) - 8, len(text)]
    at.session_state["session"].followed_character = text, 10
    now = sent(choose(at, "q", 1, 0))
    assert now["place"] == 10 and now["context"] == [3, 11]
    _, there, _ = traced(run, text[3:11])
    assert torch.equal(torch.tensor(decoded(now["open"]["numbers"], "<f4")), there.blocks.q[1, 0].flatten())
    at.session_state["session"].followed_character = text, 2
    assert sent(choose(at, "q"))["context"] == [0, 8]
    at.text_area(key="sentence").set_value("abc").run()  # another sentence: its last character again
    assert sent(at)["place"] == 2 and sent(at)["context"] == [0, 3]


def test_the_page_shows_the_moment_that_was_chosen():
    run = trained(max_steps=8)
    first, last = run.list_snapshots()[0], run.list_snapshots()[-1]
    assert first < last
    for step in (first, last):
        at = choose(open_app("inside", run=run.id, step=str(step)), "logits")
        text = at.text_area(key="sentence").value
        there = trace(run.model_at(step), known_ids(run.tokenizer, text[-8:]))
        found = torch.tensor(decoded(sent(at)["open"]["numbers"], "<f4"))
        assert torch.equal(found, there.logits.flatten())


def test_another_moment_and_another_run_stand_beside_with_the_same_part_open():
    run, small = trained(max_steps=8), trained(n_head=4, n_layer=1)
    at = open_app("inside", run=run.id, stored={small.id: KEY})
    at.text_area(key="sentence").set_value("abba ab").run()
    shown = at.session_state["session"]
    for other, step, place in ((run, 0, (0, 1)), (small, 3, (0, 3))):
        shown.beside, shown.beside_moment = other.id, step
        choose(at, "z", *place)
        for place_on_page, (model_of, moment) in enumerate([(run, run.list_snapshots()[-1]), (other, step)]):
            model = model_of.model_at(moment)
            head = min(place[1], model.config.n_head - 1)
            z = trace(model, known_ids(model_of.tokenizer, "abba ab")).blocks.z[0, head]
            numpy.testing.assert_array_equal(decoded(sent(at, place_on_page)["open"]["numbers"], "<f4"), z.flatten())
    shown.beside = None
    choose(at, "logits")
    with pytest.raises(IndexError):
        sent(at, 1)


def test_a_click_computes_nothing_again_and_a_new_sentence_does(monkeypatch):
    run, calls = trained(), []

    def counted(*arguments):
        calls.append(arguments)
        return trace(*arguments)

    monkeypatch.setattr(inside, "trace", counted)
    at = look(run, "abc ab")
    before = len(calls)
    choose(choose(at, "pattern", 1, 1), "logits")
    assert len(calls) == before
    at.text_area(key="sentence").set_value("cab").run()
    assert len(calls) == before + 1


def test_on_the_way_to_the_logits_the_layers_that_are_passed_over_are_named():
    run = trained(n_layer=4)
    said = [sent(look(run, "abc", "logits", layer=layer))["open"]["sentence"] for layer in range(4)]
    rest = [sentence.removeprefix(said[3]) for sentence in said]
    assert [re.findall(r"\d+", words) for words in rest] == [["2", "4", "1"], ["3", "4", "2"], ["4", "3"], []]


def test_with_many_layers_only_the_chosen_one_shows_its_parts():
    run = trained(n_layer=5)
    rows = sent(look(run, "abc", "z", layer=3))["rows"]
    assert [row["layer"] for row in rows if row["kind"] == "heads"] == [3]
    assert {row["group"] for row in rows if row["kind"] == "part"} == {
        "embedding",
        "attention 3",
        "feed_forward 3",
    }
    assert all(row["strip"] is not None for row in rows if row["kind"] == "part")
    assert rows[-1]["group"] == "output"
    assert [row["level"] for row in rows if row["kind"] == "lens"] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("event", "offered", "others"),
    [
        ("chosen", "q 1 1", ["q 2 0", "q 0 -1", "no_such_stage 0 0", "position_embed 0 0", "q 1", ["q", 1, 1], None]),
        ("picked", 2, [3, -1, True, "2", 1.0, [2], None]),
    ],
)
def test_the_browser_opens_only_parts_and_characters_that_were_offered(event, offered, others, monkeypatch):
    given, taken = {}, []
    monkeypatch.setattr(component, "_inside", lambda **arguments: given.update(arguments))
    component.inside(
        "inside-parts",
        {},
        characters=3,
        layers=2,
        heads=2,
        stages={"q", "k"},
        pick=lambda place: taken.append(place),
        choose=lambda *place: taken.append(" ".join(map(str, place))),
    )
    for value in [offered, *others]:
        monkeypatch.setattr("streamlit.session_state", {"inside-parts": {event: value}})
        given[f"on_{event}_change"]()
    assert taken == [offered]
