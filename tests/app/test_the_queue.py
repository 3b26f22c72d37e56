"""A window trains one run at a time and queues one more; repeated clicks count as one."""

from types import SimpleNamespace

import pytest
from making import wait_until
from play import KEY, TINY, click, keys, number, open_app, said

from microllm.runs.catalog import all_runs
from microllm.runs.run import Run
from microllm.ui import server
from microllm.ui.state import commands


@pytest.fixture
def at():
    """The Train page with a tiny model that trains longer than the test."""
    at = open_app("train")
    at.selectbox(key="text").select("words-twice").run()
    for name in ("block_size", "n_embd", "n_head", "n_layer"):
        number(at, name).set_value(TINY[name])
    at.number_input(key="knob-max_steps").set_value(1_000_000)
    return at.run()


def start(at, key: str = "start") -> Run:
    """Click a button that starts a run, each with its own seed; the run."""
    before = {run.id for run in all_runs()}
    at.number_input(key="knob-seed").set_value(len(before))
    click(at, key)
    (new,) = (run for run in all_runs() if run.id not in before)
    return new


def training(run: Run):
    return server.runner().job(run.id)


def trains(run: Run) -> bool:
    return training(run) is not None and training(run).last_step > 0


def test_a_new_start_stops_and_keeps_what_trains(at):
    first = start(at)
    wait_until(lambda: trains(first))
    second = start(at)
    assert at.query_params["run"] == second.id
    wait_until(lambda: first.read_info().state == "stopped" and trains(second))
    assert first.list_checkpoints()


def test_a_run_can_wait_for_the_end_of_the_one_that_trains(at):
    assert "queue" not in keys(at)
    first = start(at)
    wait_until(lambda: trains(first))
    at.run()
    second = start(at, "queue")
    assert at.query_params["run"] == first.id
    assert second.read_info().name in at.button(key=f"way-to-{second.id}").label
    wait_until(lambda: training(second).state == "waiting")
    assert training(second).last_step == -1

    click(at, f"way-to-{second.id}")
    assert at.query_params["run"] == second.id
    assert f"{first.read_info().name}" in said(at)
    assert first.read_info().name in at.button(key=f"way-to-{first.id}").label

    training(first).stop()
    wait_until(lambda: trains(second))
    assert f"way-to-{first.id}" not in keys(at.run())


def test_only_one_waits(at):
    first = start(at)
    at.run()
    second, third = start(at, "queue"), start(at, "queue")
    wait_until(lambda: second.read_info().state == "stopped")
    assert [one.run.id for one in server.runner()._jobs.values() if one.is_alive()] == [first.id, third.id]
    assert training(third).waits_for is training(first)


def test_what_waits_goes_on_waiting_when_another_is_started_now(at):
    first = start(at)
    at.run()
    second, third = start(at, "queue"), start(at)
    wait_until(lambda: first.read_info().state == "stopped" and trains(third))
    wait_until(lambda: training(second).waits_for is training(third))
    assert training(second).last_step == -1


def test_a_run_that_waits_can_be_stopped(at):
    first = start(at)
    at.run()
    second = start(at, "queue")
    click(at, f"way-to-{second.id}")
    click(at, "bar-stop")
    wait_until(lambda: second.read_info().state == "stopped")
    assert second.history.read().last is None
    assert training(first) is not None


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets: on a busy server each of ten clicks may take seconds."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(commands, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_ten_clicks_on_start_are_one_run_however_long_they_take(at, clock):
    for _ in range(10):
        click(at, "start")
        clock.now += 2
    (run,) = all_runs()
    at.run()
    for _ in range(10):
        click(at, "queue")
        clock.now += 2
    assert [one.id for one in all_runs()] == [run.id]


def test_the_same_settings_some_seconds_later_are_another_run(at, clock):
    click(at, "start")
    (first,) = all_runs()
    wait_until(lambda: trains(first))
    clock.now += 4
    click(at, "start")
    assert len(all_runs()) == 2


def test_who_only_watches_has_nothing_to_wait_for(live_run):
    assert "queue" in keys(open_app("train", run=live_run.id, key=KEY))
    assert "queue" not in keys(open_app("train", run=live_run.id))
