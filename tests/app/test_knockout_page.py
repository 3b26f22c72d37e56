"""Knocked-out parts are out on every page until they are restored, and the page Inside shows what is different."""

import base64
import json
from types import SimpleNamespace

import numpy
import pytest
import torch
from making import wait_until
from patience import patience
from play import KEY, click, complaints, go_to, keys, new_run, open_app, open_inside, said, step_of, trained_run
from streamlit.components.v2.bidi_component.main import _make_trigger_id

from microllm.data.store import forget_text
from microllm.data.texts import load_corpus
from microllm.inference import generate, next_logits
from microllm.insight.knockout import MEAN_CHARACTERS, Part, knock_out, mean_outputs, parts_of
from microllm.insight.trace import trace
from microllm.runs import catalog
from microllm.runs.fork import fork, recovered_after
from microllm.tokenizer import known_ids
from microllm.train import validation_loss
from microllm.ui import server
from microllm.ui.parts import regrowth, source

FIRST, FEED_FORWARD = Part(0, 0), Part(0, None)


@pytest.fixture
def run():
    return trained_run(max_steps=12, initialization="torch")


def changed(run, parts, by: str = "mean", step: int = 12):
    """The model of a run without some parts, made here."""
    model = run.model_at(step)
    inputs, _ = run.load_corpus().validation_windows(model.config.block_size, MEAN_CHARACTERS)
    return knock_out(model, parts, mean_outputs(model, inputs) if by == "mean" else None)


def component(at, name: str):
    (found,) = (one for one in at.get("bidi_component") if one.proto.component_name == f"microllm.{name}")
    return found.proto


def sent(at, name: str) -> dict:
    """The data of one of our components."""
    return json.loads(component(at, name).json)


def pick(at, parts: str):
    """What the browser sends after a click in the map: all parts that are out then."""
    states = at._tree.get_widget_states()
    state = states.widgets.add()
    state.id = _make_trigger_id(component(at, "knockout_map").id, "events")
    state.json_trigger_value = json.dumps([{"event": "picked", "value": parts}])
    at._run(states)
    assert not at.exception
    return at


def measured(at):
    """The page when everything is measured; a browser's timers would draw it."""
    wait_until(lambda: None not in sent(at.run(), "knockout_map")["changes"])
    if at.session_state["session"].without:
        wait_until(lambda: sent(at.run(), "effect")["samples"])
    assert not at.exception
    return at


def out(at) -> tuple[str, ...]:
    return at.session_state["session"].without


def test_the_map_has_what_each_knock_out_costs_and_a_click_knocks_a_part_out(run):
    at = measured(open_inside("Knock-out", run=run.id))
    parts = parts_of(run.read_info().model)
    assert sent(at, "knockout_map")["parts"] == [str(part) for part in parts]
    before, corpus = validation_loss(run.model_at(12), run.load_corpus()), run.load_corpus()
    for part, change in zip(parts, sent(at, "knockout_map")["changes"], strict=True):
        assert change == pytest.approx(validation_loss(changed(run, [part]), corpus) - before, abs=1e-5)
    assert "restore" not in keys(at)

    pick(at, "1.ff 1.1")
    assert out(at) == ("1.1", "1.ff")
    measured(at)
    assert sent(at, "knockout_map")["out"] == "1.1 1.ff"
    after = validation_loss(changed(run, [FIRST, FEED_FORWARD]), corpus)
    assert f"{before:.3f} → {after:.3f}" in said(at)
    pick(at, "")
    assert out(at) == () and "restore" not in keys(at)


@pytest.mark.parametrize("picked", ["3.1", "1.3", "nonsense", "1.1 0.ff", None, 7, ["1.1"], {"1": 1}])
def test_parts_that_the_map_does_not_offer_are_not_taken(run, picked):
    at = pick(open_inside("Knock-out", run=run.id), picked)
    assert out(at) == ()


def test_the_next_characters_before_and_after_are_those_of_the_two_models(run):
    at = measured(pick(open_inside("Knock-out", run=run.id), "1.1"))
    ids = known_ids(run.tokenizer, at.text_area(key="sentence").value)[None]
    before, after = (next_logits(model, ids)[0].softmax(-1) for model in (run.model_at(12), changed(run, [FIRST])))
    rows = sent(at, "effect")["rows"]
    assert len(rows) == 8
    assert [row[1] for row in rows] == sorted((row[1] for row in rows), reverse=True)
    for character, p, q in rows:
        (i,) = run.tokenizer.encode(character.replace("␠", " ").replace("⏎", "\n"))
        assert (p, q) == pytest.approx((before[i].item(), after[i].item()), abs=1e-4)


def test_two_samples_are_split_where_they_first_differ(run):
    at = measured(pick(open_inside("Knock-out", run=run.id), "1.1 1.ff"))
    samples = sent(at, "effect")["samples"]
    (one, rest), (other, other_rest) = samples["ends"]
    assert one != other and len(one) == len(other) == 1
    assert len(samples["same"] + one + rest) == len(samples["same"] + other + other_rest) >= 160


@pytest.mark.parametrize("by", ["mean", "zero"])
def test_attention_generation_and_reading_are_those_of_the_model_without_the_part(run, by):
    at = open_app("attention", run=run.id)
    before = sent(at, "sentence")["shares"]
    at.session_state["session"].head = 1, 0
    at.session_state["session"].without, at.session_state["session"].replaced_by = ("1.1", "1.ff"), by
    at.run()
    model = changed(run, [FIRST, FEED_FORWARD], by)
    text = at.text_area(key="sentence").value
    shares = numpy.frombuffer(base64.b64decode(sent(at, "sentence")["shares"]), numpy.uint8)
    pattern = trace(model, known_ids(run.tokenizer, text)).pattern[1, 0]
    rows, columns = torch.tril_indices(len(text), len(text))
    numpy.testing.assert_allclose(shares, 255 * pattern[rows, columns].numpy(), atol=0.51)

    go_to(at, "generate")
    prompt = at.text_area(key="prompt").value
    chances = next_logits(model, known_ids(run.tokenizer, prompt)[None])[0].softmax(-1)
    for character, own, *_ in sent(at, "letters")["place"]["rows"]:
        assert own == pytest.approx(chances[run.tokenizer.encode(character)[0]].item(), rel=0.01)
    at.slider(key="length").set_value(50)
    click(at, "generate")
    written = generate(model, known_ids(run.tokenizer, prompt)[None], 50, temperature=0.8, seed=0)[0, len(prompt) :]
    wait_until(lambda: sent(at.run(), "letters")["samples"][0]["text"] == run.tokenizer.decode(written))
    click(at, "restore")
    assert sent(at, "letters")["samples"][0]["text"] == ""  # the whole model has not written anything

    go_to(at, "attention")
    at.session_state["session"].head = 0, 0
    assert sent(at.run(), "sentence")["shares"] == before


def test_the_badge_is_on_every_page_and_restores_on_each(run):
    for page in ("train", "attention", "generate", "inside"):
        at = open_app(page, run=run.id)
        assert "restore" not in keys(at)
        at.session_state["session"].without = ("1.1",)
        at.run()
        assert "restore" in keys(at) and "layer 1, head 1" in said(at)
        click(at, "restore")
        assert out(at) == () and "restore" not in keys(at)


def test_what_the_run_itself_wrote_and_measured_stays_that_of_the_whole_model(run):
    at = open_app("train", run=run.id)
    before = at.text[0].value  # without white space at its end
    at.session_state["session"].without = ("1.1", "1.ff", "2.ff")
    assert at.run().text[0].value == before == server.samples().at(run, 12, wait=patience()).text.strip()


def test_a_head_is_knocked_out_and_restored_where_its_attention_is_shown(run):
    at = open_app("attention", run=run.id)
    at.session_state["session"].head = 1, 1
    at.session_state["session"].without = ("1.ff",)
    click(at.run(), "knock-out-head")
    assert sorted(out(at)) == ["1.ff", "2.2"]
    assert "layer 2, head 2" in said(at)
    click(at, "knock-out-head")
    assert out(at) == ("1.ff",)


def test_from_a_head_that_is_knocked_out_one_click_shows_what_changes(run):
    at = open_app("attention", run=run.id)
    at.session_state["session"].head = 0, 0
    assert "see-knockout" not in keys(at.run())
    at.session_state["session"].without = ("1.1",)
    click(at.run(), "see-knockout")
    assert at.session_state["inside-mode"] == "Knock-out"
    assert sent(at, "knockout_map")["out"] == "1.1" and sent(at, "effect")["rows"]


@pytest.mark.parametrize("part", ["1.1", "1.ff"])
@pytest.mark.parametrize("page", ["attention", "inside"])
def test_a_part_that_is_knocked_out_brings_the_text_of_the_run_once(page, part, run, monkeypatch):
    forget_text(run.read_info().text.sha256)
    load_corpus.cache_clear()
    asked = []
    at = open_inside("Knock-out", run=run.id) if page == "inside" else open_app(page, run=run.id)
    at.session_state["session"].without = (part,)
    monkeypatch.setattr(source, "bring", lambda view, place: asked.append((view.run.id, place)))
    assert not at.run().exception
    assert asked == [(run.id, "knockout-text")]


@pytest.mark.parametrize("by", ["mean", "zero"])
def test_a_link_or_a_reload_leaves_the_same_parts_out(run, by):
    at = pick(open_inside("Knock-out", run=run.id), "1.1 2.ff")
    at.button_group(key="replaced-by").set_value(by).run()
    link = {name: values[0] if isinstance(values, list) else values for name, values in at.query_params.items()}
    again = open_app("generate", **link)
    assert out(again) == ("1.1", "2.ff") and again.session_state["session"].replaced_by == by
    assert "restore" in keys(again) and not complaints(again)
    click(again, "restore")
    assert "without" not in again.query_params


def test_a_link_that_names_parts_that_the_model_does_not_have_leaves_out_the_others(run):
    at = open_app("train", run=run.id, without="9.9 1.1 \x00<b> 1.1", replaced_by="nothing")
    assert out(at) == ("1.1",) and at.session_state["session"].replaced_by == "mean"
    assert "9.9" in complaints(at)


def test_parts_that_another_run_does_not_have_are_not_out_of_it(run):
    small = new_run(max_steps=3, n_layer=1, n_head=1, initialization="torch")
    server.runner().start(small).join(patience())
    at = pick(open_inside("Knock-out", run=run.id), "1.1 1.2 2.ff")
    at.query_params["run"] = small.id
    at.run()
    assert not at.exception
    assert sent(at, "knockout_map")["out"] == "1.1"
    pick(at, "")
    at.query_params["run"] = run.id
    at.run()
    assert sent(at, "knockout_map")["out"] == ""


def test_without_the_text_of_the_run_parts_are_silenced_and_the_page_says_what_is_missing(run):
    expected = changed(run, [FIRST], "zero")
    forget_text(run.read_info().text.sha256)
    load_corpus.cache_clear()
    at = pick(open_inside("Knock-out", run=run.id), "1.1")
    wait_until(lambda: sent(at.run(), "effect")["samples"])
    assert not at.exception and not at.error
    assert sent(at, "effect")["passage"] is None
    assert set(sent(at, "knockout_map")["changes"]) == {None}
    assert "replaced-by" not in keys(at)
    assert run.read_info().text.name in said(at)  # it is named as missing
    ids = known_ids(run.tokenizer, at.text_area(key="sentence").value)[None]
    chances = next_logits(expected, ids)[0].softmax(-1)
    assert sent(at, "effect")["rows"][0][2] == pytest.approx(
        chances[run.tokenizer.encode(sent(at, "effect")["rows"][0][0].replace("␠", " "))[0]].item(), abs=1e-4
    )


def test_a_part_can_be_silenced_instead(run):
    at = measured(open_inside("Knock-out", run=run.id))
    by_mean = sent(at, "knockout_map")["changes"]
    at.button_group(key="replaced-by").set_value("zero").run()
    measured(at)
    found, corpus = sent(at, "knockout_map")["changes"], run.load_corpus()
    rise = validation_loss(changed(run, [FIRST], "zero"), corpus) - validation_loss(run.model_at(12), corpus)
    assert found[0] == pytest.approx(rise, abs=1e-5)
    assert found != by_mean


def test_the_moment_on_show_is_the_one_that_loses_its_part(run):
    at = measured(pick(open_inside("Knock-out", run=run.id, step="8"), "1.1"))
    corpus = run.load_corpus()
    before, after = (validation_loss(model, corpus) for model in (run.model_at(8), changed(run, [FIRST], step=8)))
    assert f"{before:.3f} → {after:.3f}" in said(at)


def test_a_model_that_trains_is_not_touched_and_shows_what_is_different(live_run):
    training = server.runner().job(live_run.id)
    step = step_of(training)
    _, model = training.copy(max_age=0, wait=patience())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    at = open_inside("Knock-out", run=live_run.id, key=KEY)
    measured(pick(at, "1.1 1.ff"))
    assert f"step {step:,}" in said(at)
    _, now = training.copy(max_age=0, wait=patience())
    assert step_of(training) == step
    for name, value in now.state_dict().items():
        assert torch.equal(value, before[name])


def test_pairs_are_measured_when_they_are_asked_for(run):
    at = measured(pick(open_inside("Knock-out", run=run.id), "1.1"))
    click(at, "knockout-pairs-button")
    wait_until(lambda: "| Layer 2, head 2 |" in said(at.run()))
    assert said(at).count(" ± ") >= 5 * 3


def test_one_click_trains_on_without_the_heads_and_the_page_says_when_the_loss_was_back(run):
    at = pick(open_inside("Knock-out", run=run.id), "1.1")
    assert not at.button(key="train-without").disabled
    click(at, "train-without")
    fork = next(one for one in catalog.all_runs() if one.id != run.id)
    info = fork.read_info()
    assert info.model.silenced == "1.1" and info.parent.id == run.id and info.parent.step == 12
    assert info.train.max_steps == 24 and info.train.eval_interval <= 50
    server.runner().job(fork.id).join(patience())
    go_to(at, "train")
    assert at.session_state["session"].run_id == fork.id and "restore" not in keys(at)
    back = recovered_after(fork.read_info().parent, fork.history.read())
    whole, without = (f"{loss:.3f}" for loss in info.parent.losses)
    (words,) = [one.value for one in at.markdown if whole in one.value and without in one.value]
    assert back is None or f"{back:,} steps" in words


def test_only_heads_can_stay_silent_in_training(run):
    at = pick(open_inside("Knock-out", run=run.id), "1.1 1.ff")
    assert "train-without" not in keys(at)
    assert not at.button(key="restore").disabled


def test_the_successor_of_a_silenced_head_stays_named_while_a_newer_snapshot_is_measured(run, monkeypatch):
    child = fork(run, 12, owner_key=KEY, max_steps=40, silenced="1.1")
    measured = SimpleNamespace(values={12: [], 18: []}, want=lambda steps, wait: {12: []})
    monkeypatch.setattr(server, "head_scores", lambda run_id: measured)
    monkeypatch.setattr(regrowth, "taken_over", lambda *_: ("previous_token", (1, 0), 0.1, 0.6))
    shown = SimpleNamespace(info=child.read_info(), run=child, snapshots=[12, 18, 25], is_active=True)
    named = regrowth._successor(shown, [(0, 0)])
    assert "layer 2, head 1" in named and "18" in named
    measured.values = {12: []}
    assert "layer 2" not in regrowth._successor(shown, [(0, 0)])
