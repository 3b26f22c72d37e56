"""The attention page with another moment or run beside the displayed one, and with the map of all snapshots played."""

import base64
import json

import numpy
import pytest
import torch
from making import wait_until
from play import KEY, go_to, keys, new_run, open_app, said, trained_run

from microllm.insight.trace import trace
from microllm.runs import catalog, gallery
from microllm.runs.run import Run
from microllm.ui import server

TEXT = "abc ab cab " * 60
SENTENCE = "abcab ca"


def trained(text: str = TEXT, **settings) -> Run:
    return trained_run(text, **{"max_steps": 20, "initialization": "torch"} | settings)


def attention(run: Run, *own: Run):
    """The page of a run in a browser that has the keys of some others."""
    at = open_app("attention", run=run.id, stored={other.id: KEY for other in own})
    at.text_area(key="sentence").set_value(SENTENCE).run()
    assert not at.exception
    return at


def pattern(run: Run, step: int, layer: int = 0, head: int = 0) -> torch.Tensor:
    return trace(run.model_at(step), torch.tensor(run.tokenizer.encode(SENTENCE))).pattern[layer, head]


def maps(at) -> list[numpy.ndarray]:
    """The shares of the large maps, the displayed one first; 0 where nothing is drawn."""
    figures = [json.loads(chart.proto.spec) for chart in at.get("plotly_chart")]
    return [numpy.nan_to_num(numpy.array(numbers(figure["data"][0]["z"]))) for figure in figures]


def numbers(z) -> numpy.ndarray:
    """Plotly packs arrays of numbers."""
    if not isinstance(z, dict):
        return numpy.array([[numpy.nan if value is None else value for value in row] for row in z], float)
    shape = [int(size) for size in z["shape"].split(",")]
    return numpy.frombuffer(base64.b64decode(z["bdata"]), {"f4": numpy.float32, "f8": float}[z["dtype"]]).reshape(shape)


def show(at, what: str):
    """Choose what is shown of the heads."""
    at.button_group(key="attention-shown").set_value(what).run()
    assert not at.exception
    return at


def choose(at, key: str, value):
    at.selectbox(key=key).set_value(value).run()
    assert not at.exception
    return at


def test_nothing_is_beside_until_it_is_chosen():
    at = attention(trained())
    assert len(maps(at)) == 1 and at.selectbox(key="beside").value == ""
    assert "beside-moment" not in {box.key for box in at.selectbox}


def test_another_moment_of_the_run_shows_the_same_head_at_that_step():
    run = trained()
    at = choose(attention(run), "beside", run.id)
    assert at.selectbox(key="beside-moment").value == 0
    for step in (0, 12):
        choose(at, "beside-moment", step)
        here, there = maps(at)
        numpy.testing.assert_allclose(here, pattern(run, 20).numpy(), atol=1e-6)
        numpy.testing.assert_allclose(there, pattern(run, step).numpy(), atol=1e-6)
    at.session_state["session"].head = 1, 1
    here, there = maps(at.run())
    numpy.testing.assert_allclose(here, pattern(run, 20, 1, 1).numpy(), atol=1e-6)
    numpy.testing.assert_allclose(there, pattern(run, 12, 1, 1).numpy(), atol=1e-6)
    choose(at, "beside", "")
    assert len(maps(at)) == 1


def test_while_a_part_is_knocked_out_the_whole_model_of_the_same_moment_stands_beside():
    run = trained()
    at = attention(run)
    at.session_state["session"].without = ("1.1",)
    at.session_state["session"].replaced_by = "zero"
    at.session_state["session"].head = 1, 0
    choose(at.run(), "beside", run.id)
    here, there = maps(at)
    whole = pattern(run, 20, 1, 0).numpy()
    numpy.testing.assert_allclose(there, whole, atol=1e-6)
    assert numpy.abs(here - whole).max() > 1e-4


def test_another_run_shows_its_own_head_on_the_same_sentence():
    run, other = trained(), trained(n_head=4, n_layer=3, seed=2)
    at = choose(attention(run, other), "beside", other.id)
    numpy.testing.assert_allclose(maps(at)[1], pattern(other, 20).numpy(), atol=1e-6)
    place = 2 * 4 + 3  # layer 3, head 4
    choose(choose(at, "beside-head", place), "beside-moment", 8)
    here, there = maps(at)
    numpy.testing.assert_allclose(here, pattern(run, 20).numpy(), atol=1e-6)
    numpy.testing.assert_allclose(there, pattern(other, 8, 2, 3).numpy(), atol=1e-6)


def test_a_run_that_does_not_know_all_characters_of_the_sentence_says_which():
    run = trained("abc ab ☕ cab " * 60)
    at = choose(attention(run), "beside", gallery.FIRST)
    at.text_area(key="sentence").set_value("ab ☕ c").run()
    assert len(maps(at)) == 1
    assert any("☕" in info.value for info in at.info)


def test_the_choice_stays_on_other_pages_and_goes_with_a_run_that_is_deleted():
    run, other = trained(), trained(seed=2)
    at = choose(attention(run, other), "beside", other.id)
    go_to(at, "inside").button_group(key="inside-mode").set_value("Characters").run()
    assert at.selectbox(key="beside").value == other.id
    catalog.delete(other)
    server.opened.cache_clear()
    go_to(at, "attention")
    assert not at.exception
    assert len(maps(at)) == 1 and at.selectbox(key="beside").value == ""


def test_other_people_s_runs_on_private_texts_are_not_offered():
    run, other = trained(), trained(seed=2)
    offered = attention(run).selectbox(key="beside").options
    assert not [label for label in offered if other.read_info().name in label]
    assert [label for label in offered if gallery.FIRST in label]


# ---- Play


def film(at) -> dict:
    """What the browser was sent to play, once all snapshots are there."""

    def is_complete():
        at.run()
        assert not at.exception
        protos = [one.proto for one in at.get("bidi_component") if one.proto.component_name == "microllm.play"]
        data = [json.loads(proto.json) for proto in protos]
        return data and data[0]["isComplete"] and data[0]

    return wait_until(is_complete)


@pytest.mark.parametrize("causal", [True, False])
def test_play_sends_the_map_of_the_chosen_head_at_every_snapshot(causal):
    run = trained(causal=causal)
    at = attention(run)
    at.session_state["session"].head = 1, 0
    show(at, "Play")
    data = film(at)
    assert data["steps"] == run.list_snapshots() and data["text"] == [*"abcab␠ca"] and data["causal"] == causal
    rows, columns = numpy.tril_indices(8) if causal else numpy.indices((8, 8)).reshape(2, -1)
    for step, shares in zip(data["steps"], data["shares"], strict=True):
        sent = numpy.frombuffer(base64.b64decode(shares), numpy.uint8)
        numpy.testing.assert_allclose(sent, 255 * pattern(run, step, 1, 0).numpy()[rows, columns], atol=0.51)
    about = data["about"]
    at.session_state["session"].head = 0, 1
    assert film(at)["about"] != about


def test_while_it_plays_the_sentence_and_the_heads_stay_and_the_map_comes_back():
    at = attention(trained())
    before = keys(at)
    show(at, "Play")
    names = {one.proto.component_name for one in at.get("bidi_component")}
    assert {"microllm.sentence", "microllm.heads", "microllm.play"} <= names
    assert not maps(at)
    show(at, "Map")
    assert len(maps(at)) == 1 and keys(at) == before


def test_a_snapshot_that_cannot_be_read_is_left_out_of_the_film_and_named():
    run = trained()
    (run.folder / "snapshots" / "step-12.safetensors").write_bytes(b"nothing")
    at = show(attention(run), "Play")
    assert film(at)["steps"] == [step for step in run.list_snapshots() if step != 12]
    assert "12" in said(at)


def test_a_run_with_a_single_snapshot_has_nothing_to_play():
    run = new_run(TEXT)
    run.save_snapshot(0, trained().model_at(0).state_dict())
    at = open_app("attention", run=run.id)
    show(at, "Play")
    assert not any(one.proto.component_name == "microllm.play" for one in at.get("bidi_component"))
