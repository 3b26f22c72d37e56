"""A training step by hand: what its component is sent, and that a person's steps go on from each other."""

import json
import threading

import pytest
import torch
from making import wait_until
from patience import patience
from play import KEY, complaints, go_to, new_run, open_app, open_inside, said, trained_run
from streamlit.components.v2.bidi_component.main import _make_trigger_id

from microllm.data.store import forget_text
from microllm.data.texts import load_corpus
from microllm.insight.training_step import training_step
from microllm.jobs import training_steps
from microllm.jobs.background import running
from microllm.optim import learning_rate_at
from microllm.train import Diverged
from microllm.ui import server
from microllm.ui.parts import path_cards


@pytest.fixture
def run():
    return trained_run(max_steps=12, initialization="torch")


def component(at):
    (found,) = (one for one in at.get("bidi_component") if one.proto.component_name == "microllm.training_step")
    return found.proto


def sent_now(at) -> dict:
    assert not at.exception
    return json.loads(component(at).json)


def sent(at) -> dict:
    """What the component is sent once the wanted steps are computed. Until then it asks again, as in a browser."""

    def answer() -> dict | None:
        now = sent_now(at)
        if now["ended"] or now["number"] >= max(1, now["wanted"]):
            return now
        at.run()
        return None

    now = wait_until(answer)
    return now | now["numbers"]


def moment(now: dict) -> int:
    """The training step that the steps start from."""
    return int(now["about"].split(" ")[-1])


def ask(at, number):
    """What the browser sends when the person wants to have taken so many steps."""
    states = at._tree.get_widget_states()
    state = states.widgets.add()
    state.id = _make_trigger_id(component(at).id, "events")
    state.json_trigger_value = json.dumps([{"event": "chosen", "value": number}])
    at._run(states)
    assert not at.exception
    return at


def has_taken(at) -> bool:
    return at.session_state["session"].has_taken_step


def opened(run, **link):
    return open_inside("Training step", run=run.id, **link)


def by_hand(run, first: int, number: int, factor: float = 1.0):
    """The steps from a snapshot, made here."""
    train, model, memory, taken = run.read_info().train, run.model_at(first), None, []
    for step in range(first, first + number):
        rate = factor * learning_rate_at(step, train)
        taken.append(training_step(model, train, run.load_corpus(), step, learning_rate=rate, memory=memory))
        model, memory = taken[-1].model, taken[-1].memory
    return taken


def test_the_first_step_is_shown_and_others_go_on_from_it(run):
    at = opened(run, step="8")
    expected = by_hand(run, 8, 3)
    now, first = sent(at), expected[0]
    vocab = run.tokenizer.vocab
    assert (now["taken"], now["number"]) == (0, 1) and not has_taken(at)
    assert "".join(now["inputs"]).replace("␠", " ") == "".join(vocab[i] for i in first.inputs)
    assert now["inputs"][1:] == now["targets"][:-1]
    assert now["loss"] == pytest.approx(first.loss, abs=1e-6)
    assert now["heldOut"] == pytest.approx(first.held_out, abs=1e-6)
    for which, losses in enumerate(now["losses"]):
        assert losses == pytest.approx(first.losses[which].tolist(), abs=1e-3)
        assert now["chances"][which] == pytest.approx(torch.exp(-first.losses[which]).tolist(), abs=1e-4)
    for place, guesses in enumerate(now["guesses"]):
        assert [p for _, p in guesses] == pytest.approx(first.log_p[0][place].exp().topk(3).values.tolist(), abs=1e-4)
    assert now["names"] == [part.name for part in first.parts]
    for found, part in zip(now["parts"], first.parts, strict=True):
        assert found == pytest.approx([part.gradient, part.moved], rel=1e-4)
    assert len(now["sentences"]) == 5 and f"{first.loss[0]:.3f}" in now["sentences"][2]
    assert f"{first.loss[1]:.3f}" in now["sentences"][4]

    assert sent(ask(at, 1))["number"] == 1 and has_taken(at)
    now = sent(ask(ask(at, 2), 3))
    assert (now["taken"], now["number"]) == (3, 3)
    for found, step in zip(now["curve"]["batch"], expected, strict=True):
        assert found == pytest.approx(step.loss, abs=1e-6)
    assert now["curve"]["heldOut"] == pytest.approx([first.held_out[0], *(s.held_out[1] for s in expected)], abs=1e-6)

    again = sent(ask(at, 0))
    assert (again["taken"], again["number"]) == (0, 1) and again["loss"] == pytest.approx(first.loss)
    assert has_taken(at)


@pytest.mark.parametrize("number", [-1, 12, 10**30, 1.0, True, "1", None, [1], {"1": 1}])
def test_a_number_of_steps_that_is_not_offered_is_not_taken(run, number):
    at = ask(opened(run, step="8"), number)
    assert sent(at)["taken"] == 0 and not has_taken(at)


def test_another_moment_or_learning_rate_starts_again(run):
    at = ask(opened(run, step="8"), 2)
    at.button_group(key="step-rate").set_value(10.0).run()
    assert sent(at)["taken"] == 0
    assert sent(at)["loss"] == pytest.approx(by_hand(run, 8, 1, factor=10.0)[0].loss, abs=1e-6)
    at.button_group(key="step-rate").set_value(1.0).run()
    ask(at, 2)
    at.button(key="step-first").click().run()
    assert sent(at)["taken"] == 0 and at.session_state["session"].moment == 0
    assert sent(at)["loss"] == pytest.approx(by_hand(run, 0, 1)[0].loss, abs=1e-6)


def test_the_steps_stay_when_the_person_comes_back_to_the_page(run):
    at = ask(opened(run, step="8"), 3)
    at = go_to(go_to(at, "train"), "inside")
    at.button_group(key="inside-mode").set_value("Training step").run()
    assert sent(at)["taken"] == 3 and has_taken(at)


def test_at_the_end_of_a_run_whose_rate_has_fallen_to_zero_a_step_still_changes_something(run):
    now = sent(opened(run))
    assert moment(now) == 12 and now["loss"][0] != now["loss"][1]
    assert all(moved for _, moved in now["parts"])


def test_a_rate_that_is_far_too_large_ends_with_a_sentence_and_the_steps_before_it_stay(run, monkeypatch):
    def diverges(model, train, corpus, step, *, learning_rate, memory):
        if step == 10:
            raise Diverged(step, learning_rate)
        return training_step(model, train, corpus, step, learning_rate=learning_rate, memory=memory)

    monkeypatch.setattr(training_steps, "training_step", diverges)
    at = ask(opened(run, step="8"), 5)
    assert sent(at)["ended"] and sent(at)["taken"] == 2 and complaints(at)
    assert not complaints(ask(at, 0)) and sent(at)["taken"] == 0


def test_the_text_is_there_at_once_and_the_last_step_stays_while_the_next_is_computed(run, monkeypatch):
    may_go_on = threading.Event()

    def slow(*given, **settings):
        assert may_go_on.wait(patience())
        return training_step(*given, **settings)

    monkeypatch.setattr(training_steps, "training_step", slow)
    at = opened(run, step="8")
    now, first = sent_now(at), by_hand(run, 8, 1)[0]
    assert (now["number"], now["numbers"]) == (0, None) and len(now["sentences"]) == 5
    assert now["names"] == [one.name for one in first.parts]
    may_go_on.set()
    later = sent(at)
    assert all(later[same] == now[same] for same in ("inputs", "targets", "names"))
    assert later["sentences"][0] == now["sentences"][0]

    may_go_on.clear()
    now = sent_now(ask(at, 2))
    assert (now["wanted"], now["taken"], now["number"]) == (2, 1, 1) and now["numbers"] == later["numbers"]
    may_go_on.set()
    assert sent(at)["taken"] == 2


def test_steps_that_nobody_looks_at_any_more_end(run, monkeypatch):
    begun, may_go_on = [], threading.Event()

    def slow(*given, **settings):
        begun.append(given)
        assert may_go_on.wait(patience())
        return training_step(*given, **settings)

    at = opened(run, step="8")
    sent(at)
    monkeypatch.setattr(training_steps, "training_step", slow)
    ask(at, 9)
    wait_until(lambda: begun)
    ask(at, 0)
    may_go_on.set()
    assert sent(at)["taken"] == 0
    wait_until(lambda: not running("training steps"))
    assert len(begun) == 2  # the one that was at work, and the first of the new ones


def test_the_model_is_whole_whatever_is_knocked_out(run):
    at = opened(run, step="8")
    loss = sent(at)["loss"]
    at.session_state["session"].without = ("1.1",)
    assert sent(at.run())["loss"] == loss


def test_the_card_of_the_path_shows_a_moment_at_which_a_step_changes_much_and_is_done_by_a_step(run, monkeypatch):
    monkeypatch.setattr(path_cards, "_EARLY_STEP", 8)
    at = open_app("learn", run=run.id)
    at.session_state["session"].lesson = "step"
    now = sent(at.run())
    assert moment(now) == 8 and now["loss"] == pytest.approx(by_hand(run, 8, 1)[0].loss, abs=1e-6)
    assert "step" not in at.session_state["session"].done_cards
    ask(at, 1)
    assert sent(at)["taken"] == 1 and "step" in at.session_state["session"].done_cards


def test_a_run_with_a_silenced_head_takes_steps_too():
    run = new_run(max_steps=8, silenced="1.1")
    server.runner().start(run).join(patience())
    assert sent(ask(opened(run, step="8"), 1))["taken"] == 1


def test_without_the_text_of_the_run_one_sentence_says_why(run):
    forget_text(run.read_info().text.sha256)
    load_corpus.cache_clear()
    at = opened(run)
    assert not [one for one in at.get("bidi_component") if one.proto.component_name == "microllm.training_step"]
    assert "made here" in said(at) and not at.exception


def test_a_run_that_trains_lends_a_copy_which_stays_the_same():
    run = new_run(owner_key=KEY)
    job = server.runner().start(run)
    at = open_app("inside", run=run.id)
    wait_until(lambda: server.runner().model_now(run, 0.0, 1.0)[0] > 5)
    at.button_group(key="inside-mode").set_value("Training step").run()
    first = sent(at)
    wait_until(lambda: server.runner().model_now(run, 0.0, 1.0)[0] > moment(first) + 5)
    assert sent(at.run())["loss"] == first["loss"]
    newer = sent(ask(ask(at, 1), 0))
    assert moment(newer) > moment(first)
    job.stop()
    job.join(patience())
