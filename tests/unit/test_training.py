"""Runs that train side by side in threads, and everything a person can tell them meanwhile."""

import gc
import json
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections import defaultdict
from functools import partial
from types import SimpleNamespace

import making
import pytest
import torch
from making import ENDLESS, wait_until
from patience import patience

import microllm.jobs.model_copy
import microllm.jobs.open_windows
import microllm.jobs.training
import microllm.runs.run
import microllm.train
from microllm import Trainer
from microllm.corpus import Corpus
from microllm.environment import grace_seconds
from microllm.jobs.model_copy import ModelCopy
from microllm.jobs.runner import Runner
from microllm.jobs.slots import Slots
from microllm.jobs.training import TrainingJob
from microllm.runs.metrics import Writer
from microllm.runs.run import Run

pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")

SHORT_TURN = 0.15


new_run = partial(making.new_run, max_steps=30, dropout=0.1)


@pytest.fixture
def runner():
    """One place, and turns so short that a test sees some."""
    runner = Runner(Slots(1, turn=SHORT_TURN, first=SHORT_TURN))
    yield runner
    runner.close()


@pytest.fixture
def clock(monkeypatch):
    """The clock of windows and grace, which only the test moves."""
    clock = SimpleNamespace(now=0.0)
    for module in (microllm.jobs.open_windows, microllm.jobs.model_copy):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def written_states(monkeypatch):
    """{run id: every state that was written to its run.json}"""
    states, update = defaultdict(list), Run.update

    def update_and_remember(run, **changes):
        states[run.id].append(changes.get("state"))
        update(run, **changes)

    monkeypatch.setattr(Run, "update", update_and_remember)
    return states


def step_of(training: TrainingJob) -> int:
    """The step at which the thread answers, after all orders that were given before."""
    step, _ = training.copy(max_age=-1, wait=patience())
    return step


def goes_on(training: TrainingJob) -> bool:
    """Wait until the thread has made some steps more."""
    start = step_of(training)
    wait_until(lambda: step_of(training) >= start + 3)
    return training.is_alive()


def pause(training: TrainingJob) -> int:
    """The step at which the run is paused."""
    training.pause()
    wait_until(lambda: training.state == "paused")
    return step_of(training)


def finish(training: TrainingJob) -> None:
    training.stop()
    training.join(patience())
    assert not training.is_alive()


def rows(run: Run) -> dict[str, list]:
    return Run.open(run.id).history.read().rows


def events(run: Run) -> list[dict]:
    path = run.folder / "events.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def losses(run: Run) -> list[tuple]:
    return list(zip(rows(run)["step"], rows(run)["train_loss"], rows(run)["val_loss"], strict=True))


def alone(run: Run, until: int | None = None, change: dict | None = None) -> tuple[list[tuple], Trainer]:
    """The losses of the same configuration in a bare Trainer, up to step `until`, and the trainer as it is then.

    `change` is a line of events.jsonl.
    """
    trainer, seen = Trainer(run.read_info().model, run.read_info().train, run.load_corpus()), []
    change = dict(change or {})
    first = change.pop("step", None)
    for progress in trainer:
        seen.append((progress.step, progress.train_loss, progress.val_loss))
        if progress.step == until:
            break
        if first is not None and progress.step + 1 == first:
            trainer.change(**change)
    return seen, trainer


def have_equal_weights(model, other) -> bool:
    pairs = zip(model.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


# Training to the end


def test_a_run_trains_to_the_end_and_says_so(runner):
    run = new_run()
    training = runner.start(run)
    training.join(patience())
    assert training.state == run.read_info().state == "finished"
    assert run.read_info().message == ""
    assert rows(run)["step"] == list(range(31))
    assert {0, 8, 12, 16, 24, 30} <= set(run.list_snapshots())


def test_a_run_in_a_thread_is_the_run_of_a_bare_trainer_bit_for_bit(runner):
    run = new_run()
    runner.start(run).join(patience())
    seen, trainer = alone(run)
    assert losses(run) == seen
    assert run.read_info().full_val_loss == trainer.evaluate(None)
    assert have_equal_weights(run.model_at(30), trainer.model)


def test_a_snapshot_is_kept_when_a_reference_is_beaten_for_the_first_time(runner):
    run = new_run(max_steps=50, learning_rate=0.01, warmup_steps=0)
    val_losses = {step: loss for step, _, loss in alone(run)[0] if loss is not None}
    assert val_losses[10] > val_losses[20] > max(val_losses[30], val_losses[40])
    with run.writing():
        run.update(references={"table_5": (val_losses[10] + val_losses[20]) / 2, "floor": 0.1})
    runner.start(run).join(patience())
    assert run.list_snapshots() == [0, 8, 12, 16, 20, 24, 32, 48, 50]


def test_a_reference_that_was_beaten_at_a_scheduled_snapshot_is_no_news_later(runner):
    run = new_run(max_steps=30)
    with run.writing():
        run.update(references={"uniform": 99.0})
    runner.start(run).join(patience())
    assert run.list_snapshots() == [0, 8, 12, 16, 24, 30]


def test_a_run_stops_at_the_loss_it_was_told(runner):
    run = new_run(max_steps=ENDLESS, stop_at_loss=3.2)
    runner.start(run).join(patience())
    assert run.read_info().state == "finished"
    *before, last = [loss for loss in rows(run)["val_loss"] if loss is not None]
    assert last <= 3.2 < min(before)
    assert run.list_snapshots()[-1] == rows(run)["step"][-1]


def test_only_the_last_validation_check_takes_all_of_the_held_out_text(runner, monkeypatch):
    asked, evaluate = [], Trainer.evaluate

    def remember(trainer, *characters_and_what_to_do_between):
        asked.append(characters_and_what_to_do_between[:1])
        return evaluate(trainer, *characters_and_what_to_do_between)

    monkeypatch.setattr(Trainer, "evaluate", remember)
    runner.start(new_run(max_steps=10)).join(patience())
    assert asked == [(), (), (), (None,)]  # at 0, 8 and 10, and in the end


def test_a_run_uses_the_threads_that_its_folder_names_and_only_there(runner, monkeypatch):
    used, log = set(), Writer.log

    def look(writer, progress):
        used.add(torch.get_num_threads())
        log(writer, progress)

    monkeypatch.setattr(Writer, "log", look)
    runner.start(new_run(threads=2)).join(patience())
    assert used == {2}
    assert torch.get_num_threads() == 1


# Pause, one step, stop


def test_a_paused_run_makes_no_steps_and_goes_on_where_it_was(runner):
    run = new_run(max_steps=ENDLESS)
    training = runner.start(run)
    goes_on(training)
    step = pause(training)
    assert [step_of(training) for _ in range(5)] == [step] * 5
    assert rows(run)["step"][-1] == step  # readers see everything up to the pause
    assert run.read_info().state == "paused"
    training.resume()
    assert goes_on(training)
    finish(training)
    assert losses(run) == alone(run, until=run.list_snapshots()[-1])[0]


def test_ten_orders_to_pause_pause_once(runner, written_states):
    run = new_run(max_steps=ENDLESS)
    training = runner.start(run)
    goes_on(training)
    for _ in range(10):
        training.pause()
    wait_until(lambda: training.state == "paused")
    step = step_of(training)
    assert step_of(training) == step
    assert written_states[run.id] == ["training", "paused"]
    training.resume()
    assert goes_on(training)


def test_one_step_is_exactly_one_step(runner):
    training = runner.start(new_run(max_steps=ENDLESS))
    goes_on(training)
    step = pause(training)
    for expected in (step + 1, step + 2):
        training.one_step()
        wait_until(lambda expected=expected: step_of(training) == expected)
        wait_until(lambda: training.state == "paused")
        assert [step_of(training) for _ in range(5)] == [expected] * 5


def test_one_step_of_a_run_that_trains_pauses_it(runner):
    training = runner.start(new_run(max_steps=ENDLESS))
    goes_on(training)
    training.one_step()
    wait_until(lambda: training.state == "paused")
    assert step_of(training) == step_of(training)


def test_three_orders_for_one_step_make_three_steps(runner):
    training = runner.start(new_run(max_steps=ENDLESS))
    goes_on(training)
    step = pause(training)
    for _ in range(3):
        training._commands.put(lambda *_: training.one_step())  # they arrive together
    wait_until(lambda: step_of(training) == step + 3)
    wait_until(lambda: training.state == "paused")
    assert step_of(training) == step + 3


@pytest.mark.parametrize("paused", [False, True], ids=["training", "paused"])
def test_a_stopped_run_keeps_the_weights_of_its_very_last_step(paused, runner):
    run = new_run(max_steps=ENDLESS)
    training = runner.start(run)
    goes_on(training)
    if paused:
        pause(training)
    finish(training)
    assert training.state == run.read_info().state == "stopped"
    assert run.read_info().message == "You stopped it."
    step = run.list_snapshots()[-1]
    seen, trainer = alone(run, until=step)
    assert losses(run) == seen
    assert have_equal_weights(run.model_at(step), trainer.model)


def test_a_run_that_is_stopped_before_it_starts_keeps_its_first_weights(runner):
    run = new_run(max_steps=ENDLESS)
    training = TrainingJob(run, runner.slots)
    training.stop("Changed my mind.")
    training.start()
    training.join(patience())
    assert (run.read_info().state, run.read_info().message) == ("stopped", "Changed my mind.")
    assert have_equal_weights(run.model_at(0), alone(run, until=0)[1].model)


@pytest.fixture
def endless_validation(monkeypatch):
    """All of the held-out text takes minutes to score."""
    windows = Corpus.validation_windows

    def repeated(corpus, block_size, *characters):
        return tuple(part.repeat(50_000 if characters == (None,) else 1, 1) for part in windows(corpus, block_size))

    monkeypatch.setattr(Corpus, "validation_windows", repeated)


def test_a_stop_ends_the_last_validation_check_too(runner, endless_validation):
    run = new_run(max_steps=10)
    training = runner.start(run)
    wait_until(lambda: training.last_step == 10)
    time.sleep(0.1)
    assert training.is_alive()
    training.stop()
    training.join(2)
    assert not training.is_alive()
    assert (run.read_info().state, run.read_info().full_val_loss, run.list_snapshots()[-1]) == ("stopped", None, 10)


def test_orders_are_obeyed_during_the_last_validation_check(runner, endless_validation):
    training = runner.start(new_run(max_steps=10))
    wait_until(lambda: training.last_step == 10)
    assert pause(training) == 10
    training.resume()
    wait_until(lambda: training.state == "training")
    finish(training)


def test_a_run_made_of_single_steps_ends_like_any_other(runner):
    run = new_run(max_steps=2)
    training = TrainingJob(run, runner.slots)
    training.pause()
    for _ in range(4):  # steps 0, 1 and 2, and the end
        training.one_step()
    training.start()
    training.join(patience())
    assert run.read_info().state == "finished"
    assert run.read_info().full_val_loss is not None


# Live changes


def test_a_change_takes_effect_at_the_step_that_its_event_names(runner):
    run = new_run(max_steps=ENDLESS, schedule="constant", learning_rate=3e-3)
    training = runner.start(run)
    goes_on(training)
    training.change(learning_rate=0.02)
    goes_on(training)
    finish(training)
    (event,) = events(run)
    rates = rows(run)["learning_rate"]
    assert set(rates[: event["step"]]) == {3e-3}
    assert set(rates[event["step"] :]) == {0.02}
    assert losses(run) == alone(run, until=run.list_snapshots()[-1], change=event)[0]  # so a replay gives the same run


def test_a_change_is_written_before_it_is_made(runner, monkeypatch):
    run = new_run(max_steps=ENDLESS)
    change, written = Trainer.change, []

    def look_and_change(trainer, **live):
        written.append(events(run))
        change(trainer, **live)

    monkeypatch.setattr(Trainer, "change", look_and_change)
    training = runner.start(run)
    goes_on(training)
    step = pause(training)
    training.change(learning_rate=0.01)
    assert step_of(training) == step
    assert written == [[{"step": step + 1, "learning_rate": 0.01}]]


@pytest.mark.parametrize(
    ("live", "sentence"),
    [
        ({"learning_rate": 5.0}, "learning_rate is 5"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"batch_size": 8}, "batch_size cannot change"),
        ({"learning_rate": 0.01, "stop_at_loss": -1.0}, "stop_at_loss is -1"),
    ],
)
def test_a_bad_change_is_refused_at_once_and_changes_nothing(live, sentence, runner):
    run = new_run(max_steps=ENDLESS)
    training = runner.start(run)
    goes_on(training)
    with pytest.raises(ValueError, match=sentence):
        training.change(**live)
    assert training.config == run.read_info().train
    assert goes_on(training)
    assert events(run) == []


def test_changes_add_up(runner):
    training = runner.start(new_run(max_steps=ENDLESS))
    training.change(learning_rate=0.01)
    training.change(stop_at_loss=0.5)
    assert (training.config.learning_rate, training.config.stop_at_loss) == (0.01, 0.5)


def test_a_change_that_comes_before_the_thread_is_not_forgotten_by_what_the_page_shows():
    training = TrainingJob(new_run(max_steps=ENDLESS), Slots(1))
    training.change(learning_rate=0.01)
    training.start()
    wait_until(lambda: training.last_step > 1)
    assert training.config.learning_rate == 0.01
    finish(training)


def test_a_loss_to_stop_at_can_be_named_while_the_run_trains(runner):
    run = new_run(max_steps=ENDLESS)
    training = runner.start(run)
    goes_on(training)
    training.change(stop_at_loss=9.0)
    training.join(patience())
    assert run.read_info().state == "finished"
    assert rows(run)["val_loss"][-1] is not None


def test_a_change_before_the_first_step_takes_effect_at_the_step_that_its_event_names(runner):
    run = new_run(max_steps=5, schedule="constant", warmup_steps=0)
    training = TrainingJob(run, runner.slots)
    training.change(learning_rate=0.02)
    training.start()
    training.join(patience())
    (event,) = events(run)
    assert rows(run)["learning_rate"].index(0.02) == event["step"]


def test_a_loss_to_stop_at_takes_effect_at_the_step_that_its_event_names(runner):
    run = new_run(max_steps=ENDLESS, eval_interval=1)
    training = runner.start(run)
    goes_on(training)
    pause(training)
    training.change(stop_at_loss=9.0)
    training.resume()
    training.join(patience())
    (event,) = events(run)
    assert rows(run)["step"][-1] == event["step"]


# Copies


def test_a_copy_holds_the_weights_of_the_step_it_names(runner):
    run = new_run(max_steps=ENDLESS)
    training = runner.start(run)
    goes_on(training)
    step, model = training.copy(max_age=-1)
    assert have_equal_weights(model, alone(run, until=step)[1].model)
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_a_copy_does_not_train_on(runner):
    training = runner.start(new_run(max_steps=ENDLESS, warmup_steps=0))
    goes_on(training)
    _, model = training.copy(max_age=-1)
    before = [tensor.clone() for tensor in model.state_dict().values()]
    goes_on(training)
    assert not have_equal_weights(training.copy(max_age=-1)[1], model)
    assert all(torch.equal(a, b) for a, b in zip(before, model.state_dict().values(), strict=True))


def test_a_copy_can_be_spoilt_without_harm(runner):
    run = new_run(max_steps=ENDLESS)
    training = runner.start(run)
    pause(training)
    for parameter in training.copy()[1].parameters():
        parameter.fill_(float("nan"))
    training.resume()
    goes_on(training)
    finish(training)
    assert losses(run) == alone(run, until=run.list_snapshots()[-1])[0]


def test_a_copy_that_is_young_enough_serves_everybody(runner, clock):
    training = runner.start(new_run(max_steps=ENDLESS))
    copy = training.copy(max_age=0.5)
    wait_until(lambda: training.last_step > copy[0] + 3)
    clock.now += 0.4
    assert training.copy(max_age=0.5) is copy
    clock.now += 0.2
    assert training.copy(max_age=0.5) is not copy


def test_while_no_step_is_made_one_copy_serves_for_ever(runner):
    training = runner.start(new_run(max_steps=ENDLESS))
    goes_on(training)
    pause(training)
    step, model = training.copy(max_age=-1)
    assert training.copy(max_age=-1)[1] is model
    training.one_step()
    wait_until(lambda: step_of(training) > step)
    after, another = training.copy(max_age=-1)
    assert after == step + 1 and another is not model


def test_readers_who_ask_at_the_same_time_share_one_copy(runner, clock, monkeypatch):
    made, make = [], ModelCopy.make
    monkeypatch.setattr(ModelCopy, "make", lambda copy, trainer: (made.append(1), make(copy, trainer)))
    training = TrainingJob(new_run(max_steps=ENDLESS), runner.slots)
    copies: list = []
    readers = [threading.Thread(target=lambda: copies.append(training.copy(wait=patience()))) for _ in range(5)]
    for reader in readers:
        reader.start()
    wait_until(lambda: training._copy._ordered)
    training.start()
    for reader in readers:
        reader.join(patience())
    finish(training)
    assert len({id(copy) for copy in copies}) == len(made) == 1


def test_there_is_no_copy_before_the_thread_can_make_one(runner):
    assert TrainingJob(new_run(), runner.slots).copy(wait=0) is None


def test_asking_a_run_that_has_ended_for_a_copy_takes_no_time(runner):
    training = runner.start(new_run(max_steps=1))
    training.join(patience())
    started = time.monotonic()
    assert training.copy(wait=0.5) is None
    assert time.monotonic() - started < 0.25


# Places


@pytest.fixture
def never_begun(monkeypatch):
    """No run is ever said to have begun, so that a first one makes no room for a second."""
    monkeypatch.setattr(microllm.jobs.training, "_FIRST_STEPS", 10**9)


def test_a_paused_run_gives_its_place_to_another(never_begun):
    slots = Slots(1, turn=1_000, first=1_000)
    first, second = (TrainingJob(new_run(max_steps=ENDLESS, seed=seed), slots) for seed in (1, 2))
    first.start()
    goes_on(first)
    second.start()
    wait_until(lambda: second.seconds_to_turn() is not None)
    assert step_of(second) == 0
    assert second.state == "waiting"
    pause(first)
    assert goes_on(second)
    first.resume()
    wait_until(lambda: first.state == "waiting")
    assert first.seconds_to_turn() == pytest.approx(1_000, abs=100)
    second.stop()
    assert goes_on(first)
    first.stop()
    first.join(patience())
    second.join(patience())


def test_turns_are_no_news_for_the_disk(runner, written_states):
    first, second = (runner.start(new_run(max_steps=ENDLESS, seed=seed)) for seed in (1, 2))
    for _ in range(2):
        wait_until(lambda: (first.state, second.state) == ("training", "waiting"))
        wait_until(lambda: (first.state, second.state) == ("waiting", "training"))
    assert list(written_states.values()) == [["training"], ["training"]]
    assert first.run.read_info().state == second.run.read_info().state == "training"


def test_a_run_that_waits_for_its_turn_obeys(runner, never_begun):
    runner.slots.turn = runner.slots.first = 1_000
    busy = runner.start(new_run(max_steps=ENDLESS))
    goes_on(busy)
    run = new_run(max_steps=ENDLESS)
    waiting = runner.start(run)
    wait_until(lambda: waiting.seconds_to_turn() is not None)
    assert Run.open(run.id).read_info().state == "waiting"
    waiting.stop()
    waiting.join(patience())
    assert run.read_info().state == "stopped"
    assert runner.slots.seconds_to_turn(run.id) is None


# Windows


def test_a_run_that_ended_at_a_loss_which_was_set_live_can_be_extended(runner):
    run = new_run(max_steps=30)
    with run.writing() as writer:
        writer.event(5, {"stop_at_loss": 9.0})
    making.train(run, runner.slots)
    assert run.history.read().last["step"] < 30
    run.extend(40)
    making.train(run, runner.slots)
    assert run.history.read().last["step"] == 40


def test_a_run_without_a_window_stops_after_the_grace(runner, clock):
    run = new_run(max_steps=ENDLESS)
    training = TrainingJob(run, runner.slots, grace=60)
    training.start()
    clock.now += 59
    assert goes_on(training)
    clock.now += 2
    training.join(patience())
    assert run.read_info().state == "stopped"
    assert "last window" in run.read_info().message


def test_one_window_of_two_keeps_the_run_alive(runner, clock):
    training = TrainingJob(new_run(max_steps=ENDLESS), runner.slots, grace=60)
    training.windows.add("laptop")
    training.windows.add("telephone")
    training.start()
    training.windows.remove("telephone")
    clock.now += 1_000
    assert goes_on(training)
    training.windows.remove("laptop")
    clock.now += 59
    assert goes_on(training)
    clock.now += 2
    training.join(patience())
    assert training.state == "stopped"


def test_a_reloaded_page_keeps_its_run(runner, clock):
    training = TrainingJob(new_run(max_steps=ENDLESS), runner.slots, grace=60)
    training.windows.add("before")
    training.start()
    goes_on(training)
    training.windows.remove("before")
    clock.now += 50
    training.windows.add("after")
    clock.now += 1_000
    assert goes_on(training)
    finish(training)


def test_a_paused_run_is_abandoned_like_any_other(runner, clock):
    run = new_run(max_steps=ENDLESS)
    training = TrainingJob(run, runner.slots, grace=60)
    training.start()
    pause(training)
    clock.now += 61
    training.join(patience())
    assert run.read_info().state == "stopped"


def test_without_a_grace_a_run_trains_unwatched(runner, clock):
    training = runner.start(new_run(max_steps=ENDLESS))
    clock.now += 1e6
    assert goes_on(training)


@pytest.mark.parametrize(("wish", "seconds"), [(None, 60), ("2", 2), ("0.5", 0.5), ("soon", 60)])
def test_the_grace_can_be_wished_for(wish, seconds, monkeypatch):
    monkeypatch.delenv("MICROLLM_GRACE", raising=False)
    if wish is not None:
        monkeypatch.setenv("MICROLLM_GRACE", wish)
    assert grace_seconds() == seconds


# What can go wrong


def test_a_log_that_cannot_be_written_ends_the_run_with_a_sentence_and_no_other_run(runner, monkeypatch):
    unlucky, lucky = new_run(max_steps=50, seed=1), new_run(max_steps=50, seed=2)
    log = Writer.log

    def refuse(writer, progress):
        if writer._folder == unlucky.folder and progress.step == 5:
            raise OSError(5, "Input/output error")
        log(writer, progress)

    monkeypatch.setattr(Writer, "log", refuse)
    for training in [runner.start(unlucky), runner.start(lucky)]:
        training.join(patience())
    assert unlucky.read_info().state == "failed"
    assert unlucky.read_info().message == "The run's folder could not be written: Input/output error."
    assert lucky.read_info().state == "finished"
    assert losses(lucky) == alone(lucky)[0]


def test_a_run_that_cannot_write_a_word_still_gives_its_place_back(runner, monkeypatch):
    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    run = new_run()
    monkeypatch.setattr(Run, "update", refuse)
    training = runner.start(run)
    training.join(patience())
    assert training.state == "failed"
    assert runner.slots.may_train("another")


def test_a_run_that_another_program_trains_is_left_alone(runner):
    run = new_run()
    with Run.open(run.id).writing():
        training = runner.start(run)
        training.join(patience())
        assert training.state == "failed"
        assert run.read_info().state == "waiting"
    assert rows(run)["step"] == []


# The runner


def test_a_workshop_knows_the_trainings_that_go_on(runner):
    run = new_run(max_steps=ENDLESS)
    training = runner.start(run)
    assert runner.job(run.id) is training
    assert runner.job("another") is None
    finish(training)
    assert runner.job(run.id) is None


def test_of_a_training_that_is_over_nothing_is_kept(runner):
    training = runner.start(new_run(max_steps=ENDLESS))
    goes_on(training)
    finish(training)
    left = [weakref.ref(training), weakref.ref(training.run)]
    del training
    gc.collect()
    assert [it() for it in left] == [None, None]


def test_the_model_now_is_the_one_that_trains_or_else_the_newest_snapshot(runner):
    run = new_run(max_steps=ENDLESS)
    assert runner.model_now(run) is None
    training = runner.start(run)
    goes_on(training)
    step, model = runner.model_now(run, max_age=-1)
    assert have_equal_weights(model, alone(run, until=step)[1].model)
    finish(training)
    step, model = runner.model_now(run)
    assert step == run.list_snapshots()[-1]
    assert have_equal_weights(model, run.model_at(step))


def test_a_closed_workshop_leaves_no_thread():
    runner = Runner(Slots(1, turn=SHORT_TURN, first=SHORT_TURN))
    runs = [new_run(max_steps=ENDLESS, seed=seed) for seed in range(3)]
    training, paused, _ = (runner.start(run) for run in runs)
    goes_on(training)
    pause(paused)
    runner.close()
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("training-")]
    for run in runs:
        assert (run.read_info().state, run.read_info().message) == (
            "interrupted",
            "The program that trained it was ended.",
        )


@pytest.mark.timeout(30)
def test_a_program_that_ends_while_a_run_trains_ends_cleanly():
    run = new_run(max_steps=ENDLESS)
    program = f"""
import signal, sys, time
from microllm.jobs.runner import Runner
from microllm.runs import Run

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
runner, run = Runner(), Run.open({run.id!r})
runner.start(run)
while len(run.history.read()) < 3:
    time.sleep(0.01)
print("trains", flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "trains\n"
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=patience(20))
    assert (process.returncode, errors) == (0, "")
    assert (run.read_info().state, run.read_info().message) == ("interrupted", "The program that trained it was ended.")
    assert run.list_snapshots()[-1] == rows(run)["step"][-1]


def test_a_run_that_is_started_twice_has_one_training(runner):
    run = new_run(max_steps=ENDLESS)
    first = runner.start(run)
    goes_on(first)
    try:
        assert runner.start(run) is first
    finally:
        first.stop()
        first.join(patience())
