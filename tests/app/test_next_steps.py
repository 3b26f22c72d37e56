"""What a finished run suggests is one click, on the run's own text, and changes nothing else."""

import json
from dataclasses import asdict, replace

import pytest
from making import wait_until
from patience import patience
from play import KEY, click, keys, new_run, open_app, said

from microllm.config import TrainConfig
from microllm.data import store
from microllm.data.builtin import drawing_room
from microllm.runs.run import Run
from microllm.ui import server


def finished(validation, training, **settings) -> Run:
    """A run that is over, with these losses at eleven validation checks."""
    run = new_run(max_steps=100, **settings)
    rows = [
        {"step": 10 * i, "seconds": i, "train_loss": a, "val_loss": b, "learning_rate": 1e-3, "tokens_per_second": 1.0}
        for i, (a, b) in enumerate(zip(training, validation, strict=True))
    ]
    (run.folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run.update(state="finished", full_val_loss=validation[-1])
    return run


DOWN = [3.0 - 0.2 * i for i in range(11)]
UP = [3.0, 2.5, 2.0, 1.8] + [1.9 + 0.1 * i for i in range(7)]


def test_a_click_starts_the_suggestion_on_the_same_text_with_only_that_changed():
    run = finished(DOWN, DOWN, stop_at_loss=0.5, seed=5)
    at = open_app("train", run=run.id)
    assert "still learning" in said(at)
    assert "max_steps 100 → 200" in at.button(key="next-0").label
    click(at, "next-0")
    new = Run.open(at.session_state["session"].run_id)
    assert new.id != run.id
    assert new.read_info().train == replace(run.read_info().train, max_steps=200)
    assert new.read_info().model == run.read_info().model
    assert new.read_info().text.sha256 == run.read_info().text.sha256
    assert new.id in at.session_state["session"].owner_keys
    assert at.select_slider(key="knob-n_embd").value == run.read_info().model.n_embd
    assert "next-0" not in keys(at)


def test_a_run_that_overfitted_offers_three_remedies():
    run = finished(UP, DOWN)
    at = open_app("train", run=run.id)
    assert said(at).count("step 30 ") == 1
    labels = [at.button(key=f"next-{i}").label for i in range(3)]
    assert [word in label for word, label in zip(("dropout", "n_embd", "max_steps"), labels, strict=True)] == [True] * 3


def test_a_spectator_can_follow_a_suggestion_with_a_run_of_their_own():
    run = finished(DOWN, DOWN)
    at = open_app("train", run=run.id)
    before = asdict(run.read_info())
    click(at, "next-0")
    assert at.session_state["session"].run_id != run.id
    assert asdict(run.read_info()) == before


@pytest.mark.parametrize("state", ["training", "waiting"])
def test_an_active_run_suggests_nothing(state):
    run = finished(DOWN, DOWN)
    run.update(state=state)
    with run.writing():
        at = open_app("train", run=run.id)
        assert "next-0" not in keys(at)


def test_a_run_whose_text_is_not_here_says_so_instead_of_offering_to_start_on_another():
    run = finished(DOWN, DOWN)
    store.forget_text(run.read_info().text.sha256)
    at = open_app("train", run=run.id, key=KEY)
    assert "next-0" not in keys(at)
    assert any("made here" in caption.value for caption in at.caption)


def test_overfitting_is_reported_while_it_happens():
    run = finished(UP, DOWN)
    run.update(state="training")
    with run.writing():
        at = open_app("train", run=run.id, key=KEY)
        assert any("step 30 " in warning.value for warning in at.warning)


def test_a_run_that_does_not_overfit_has_no_warning(live_run):
    at = open_app("train", run=live_run.id, key=KEY)
    assert not at.warning


def test_a_suggestion_ignores_other_settings_on_the_panel():
    at = open_app("train", run=finished(DOWN, DOWN).id)
    at.slider(key="knob-n_layer").set_value(9).run()
    at.selectbox(key="text").set_value("words-twice").run()
    click(at, "next-0")
    new = Run.open(at.session_state["session"].run_id)
    assert new.read_info().model.n_layer == 2
    assert new.read_info().text.name == "made here"
    assert at.slider(key="knob-n_layer").value == 2
    assert at.selectbox(key="text").value == "own"
    wait_until(lambda: new.read_info().state == "training")
    assert new.read_info().train.learning_rate == TrainConfig().learning_rate


@pytest.mark.timeout(30)
def test_the_owner_of_a_run_that_was_stopped_early_can_continue_that_run():
    run = new_run(drawing_room(40_000), max_steps=400)
    training = server.runner().start(run)
    wait_until(lambda: training.last_step > 40)
    training.stop()
    training.join(patience())
    rows = (run.folder / "metrics.jsonl").read_text().splitlines()
    at = open_app("train", run=run.id, key=KEY)
    assert at.button(key="next-0").label.endswith("to the end")
    click(at, "next-0")
    assert at.session_state["session"].run_id == run.id
    wait_until(lambda: run.read_info().state == "finished")
    after = (run.folder / "metrics.jsonl").read_text().splitlines()
    assert after[: len(rows) - 1] == rows[:-1]
    assert len(after) == 401
