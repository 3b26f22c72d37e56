"""The Experiments page: a prediction, runs that one click starts, and a result beside the prediction."""

from dataclasses import replace

import pytest
from making import wait_until
from patience import patience
from play import KEY, TINY, answer, click, go_to, keys, number, open_app, said, said_to_browser

from microllm.data.published import PUBLISHED_TEXTS
from microllm.experiments.experiment import Check, Finding, Setup
from microllm.experiments.registry import EXPERIMENTS
from microllm.runs.catalog import all_runs
from microllm.runs.info import ExperimentEntry
from microllm.runs.run import Run
from microllm.ui import server
from microllm.ui.state import experiments

NAME = "say-it-twice"
STEPS = 40


def setups(count: int, **changes) -> tuple[Setup, ...]:
    """Runs of a tiny model that take a moment."""
    values = TINY | {"max_steps": STEPS, "eval_interval": 10} | changes
    return tuple(Setup(f"seed {n}", "words-twice", first=2_000, values=values | {"seed": n}) for n in range(count))


@pytest.fixture
def tiny(monkeypatch):
    """Make "Say it twice" an experiment of some tiny runs, whose second run decides what comes true."""

    def make(count: int = 2, **changes) -> None:
        def check(runs) -> Check:
            return Check("two", (Finding("It was measured.", runs[-1].last > 0, f"exactly {runs[-1].last:.5f}"),))

        made = replace(EXPERIMENTS[NAME], setups=setups(count, **changes), check=check)
        monkeypatch.setitem(EXPERIMENTS, NAME, made)
        experiments._checked.cache_clear()

    return make


def open_card(name: str = NAME):
    return click(open_app("experiments"), f"question-{name}")


def predict(at, key: str, name: str = NAME):
    """Choose a prediction by its key."""
    at.radio(key=f"prediction-{name}").set_value(key).run()
    return at


def run(at) -> list[Run]:
    """Press Run; the runs that this starts, the first first."""
    before = {run.id for run in all_runs()}
    click(at, f"run-{NAME}")
    return sorted((run for run in all_runs() if run.id not in before), key=lambda run: run.read_info().created)


def finish(runs: list[Run]) -> None:
    for one in runs:
        if job := server.runner().job(one.id):
            job.join(patience())
        assert one.read_info().state == "finished"


def test_a_card_is_closed_until_it_is_asked_for_and_only_one_is_open():
    at = open_app("experiments")
    assert not any(key.startswith("prediction-") for key in (radio.key for radio in at.radio))
    click(at, "question-let-it-cheat")
    click(at, f"question-{NAME}")
    assert [radio.key for radio in at.radio] == [f"prediction-{NAME}"]
    click(at, f"question-{NAME}")
    assert not at.radio


def test_a_prediction_comes_before_the_run(tiny):
    tiny()
    at = open_card()
    assert at.button(key=f"run-{NAME}").disabled
    assert EXPERIMENTS[NAME].why not in said(at)
    assert not predict(at, "two").button(key=f"run-{NAME}").disabled


def test_one_click_runs_both_and_says_what_to_watch(tiny):
    tiny()
    first, second = run(at := predict(open_card(), "one"))
    assert at.query_params["run"] == first.id and "start" in keys(at)  # the Train page
    for one in (first, second):
        info = one.read_info()
        assert (info.model.n_embd, info.train.max_steps) == (TINY["n_embd"], STEPS)
        assert (info.text.source, info.text.first) == ("words-twice", 2_000)
    assert first.read_info().train.seed == 0 and second.read_info().train.seed == 1
    for one in (first, second):
        assert one.read_info().experiment == ExperimentEntry(NAME, "one")
    assert EXPERIMENTS[NAME].watch in said(at)
    finish([first, second])


@pytest.mark.parametrize("chosen", [None, 3])
def test_the_settings_of_the_next_run_stay_when_an_experiment_is_run(tiny, chosen):
    tiny()
    at = open_app("train")
    if chosen:
        at.slider(key="knob-n_layer").set_value(chosen).run()
        at.selectbox(key="text").set_value("drawing-room").run()
    before = number(at, "n_layer").value, number(at, "max_steps").value, at.selectbox(key="text").value
    runs = run(predict(click(go_to(at, "experiments"), f"question-{NAME}"), "one"))
    finish(runs)
    go_to(at, "train")
    assert (number(at, "n_layer").value, number(at, "max_steps").value, at.selectbox(key="text").value) == before
    assert before[1] != STEPS


def test_afterwards_the_result_stands_beside_the_prediction(tiny):
    tiny()
    runs = run(at := predict(open_card(), "one"))
    finish(runs)
    click(go_to(at, "train"), "experiment-result")
    experiments._checked(NAME, *(one.id for one in runs)).wait(patience())
    text = said(go_to(at, "experiments"))
    experiment = EXPERIMENTS[NAME]
    assert experiment.predictions["one"] in text and experiment.predictions["two"] in text
    assert f"exactly {runs[1].history.read().val_losses[-1][1]:.5f}" in text
    assert experiment.why in text
    assert not at.radio  # what was predicted cannot be changed


def test_the_result_is_there_again_for_the_owner_and_for_nobody_else(tiny):
    tiny(1)
    (only,) = run(at := predict(open_card(), "two"))
    finish([only])
    key = at.session_state["session"].owner_keys[only.id]
    back = click(open_app("experiments", stored={only.id: key}), "question-let-it-cheat")
    click(back, f"question-{NAME}")
    experiments._checked(NAME, only.id).wait(patience())
    assert EXPERIMENTS[NAME].why in said(back.run())
    stranger = open_app("experiments", run=only.id)
    assert EXPERIMENTS[NAME].why not in said(stranger)
    assert f"prediction-{NAME}" in {radio.key for radio in stranger.radio}


def test_of_four_runs_a_click_starts_two_and_the_next_click_the_others(tiny):
    tiny(4)
    at = predict(open_card(), "two")
    some = run(at)
    assert [one.read_info().train.seed for one in some] == [0, 1]
    finish(some)
    go_to(at, "experiments")
    others = run(at)
    assert [one.read_info().train.seed for one in others] == [2, 3]
    finish(others)


def test_when_all_four_have_a_result_two_are_repeated_and_then_the_other_two(tiny):
    tiny(4)
    at = predict(open_card(), "two")
    for seeds in ([0, 1], [2, 3], [0, 1], [2, 3], [0, 1]):
        some = run(at)
        assert [one.read_info().train.seed for one in some] == seeds
        finish(some)
        go_to(at, "experiments")
    assert len(all_runs()) == 10


def test_a_second_click_starts_nothing_while_the_first_runs_train(tiny):
    tiny(4, max_steps=1_000_000)
    at = predict(open_card(), "two")
    run(at)
    experiments_before = len(all_runs())
    go_to(at, "experiments")
    assert f"run-{NAME}" not in keys(at)
    wait_until(lambda: any(job.state == "training" for job in server.runner()._jobs.values()))
    assert len(all_runs()) == experiments_before == 2


def test_a_run_that_was_stopped_is_run_again(tiny):
    tiny(1, max_steps=1_000_000)
    at = predict(open_card(), "two")
    (only,) = run(at)
    job = server.runner().job(only.id)
    job.stop()
    job.join(patience())
    go_to(at, "experiments")
    assert "stopped" in said(at)
    (other,) = run(at)
    assert other.id != only.id and other.read_info().experiment.prediction == "two"


def test_the_controls_can_be_set_without_a_run(tiny):
    tiny()
    at = click(open_card(), f"set-{NAME}")
    assert at.session_state["knob-max_steps"] == STEPS and at.session_state["text"] == "words-twice"
    assert not all_runs()


def test_without_its_text_an_experiment_says_so_and_cannot_run(monkeypatch):
    monkeypatch.delenv("MICROLLM_MIRROR")
    at = open_card("let-it-cheat")
    server.published("book").wait(patience())
    predict(at.run(), "worse", "let-it-cheat")
    assert at.warning and at.button(key="run-let-it-cheat").disabled
    assert "experiment-let-it-cheat-again" in keys(at)
    assert PUBLISHED_TEXTS["book"].addresses == ()


def test_a_head_is_born_opens_the_run_that_ships_at_its_heads_over_training():
    name = "a-head-is-born"
    at = predict(open_card(name), "end", name)
    click(at, f"run-{name}")
    session = at.session_state["session"]
    assert session.run_id == "pride-article" and session.head == (0, 0)
    assert at.session_state["attention-shown"] == "Over training"
    assert at.session_state["heads-order"] == "previous_token"
    assert not all_runs()
    click(at, "experiment-result")
    experiments._checked(name, "pride-article").wait(patience())
    text = said(at.run())
    assert EXPERIMENTS[name].predictions["end"] in text and EXPERIMENTS[name].predictions["pairs"] in text


def test_what_was_predicted_about_a_run_that_ships_is_kept_by_the_browser():
    name = "a-head-is-born"
    at = predict(open_card(name), "end", name)
    assert said_to_browser(at)["predictions"] == []  # it is no prediction before the run is opened
    click(at, f"run-{name}")
    told = said_to_browser(at)["predictions"]
    assert told == [[name, "end"]]

    at = open_app(answers=False)
    answer(at, predictions=told)
    at = click(go_to(at.run(), "experiments"), f"question-{name}")
    experiments._checked(name, "pride-article").wait(patience())
    text = said(at.run())
    assert EXPERIMENTS[name].predictions["end"] in text and EXPERIMENTS[name].why in text
    assert not at.radio


def test_a_challenge_shows_the_best_of_ones_own_runs_and_opens_it(finished_run):
    at = open_app("experiments")
    assert not any(key.startswith("challenge-open") for key in keys(at))
    at = open_app("experiments", run=finished_run.id, key=KEY)
    loss = finished_run.history.read().val_losses[-1][1]
    assert f"{loss:.3f}" in said(at)
    click(at, "challenge-open-worse-than-blind")
    assert at.query_params["run"] == finished_run.id and "start" in keys(at)
