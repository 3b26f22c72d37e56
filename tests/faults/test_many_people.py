"""Many people, one server: nobody waits for ever, loses a run, or disturbs another."""

import asyncio
import gc
import itertools
import statistics
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import making
import pytest
import torch
from making import ENDLESS, TINY, wait_until
from patience import patience

from benchmarks.soak import resident
from benchmarks.visitor import Visitor
from microllm import configs_from
from microllm.data import texts
from microllm.data.builtin import drawing_room
from microllm.jobs.runner import Runner
from microllm.jobs.slots import Slots
from microllm.runs import catalog
from microllm.runs.info import hash_key
from microllm.train import Trainer
from microllm.ui import presence, shell

pytestmark = [pytest.mark.timeout(120), pytest.mark.alone]

FIRST = 0.3  # seconds of a first turn


new_run = partial(making.new_run, max_steps=ENDLESS, dropout=0.1)


# ---- 36. thirty runs on one place


def test_thirty_runs_take_turns_each_has_its_first_points_within_its_share_and_knows_when_its_turn_comes():
    runner = Runner(Slots(1, turn=FIRST, first=FIRST))
    try:
        runs = [new_run(seed=seed) for seed in range(30)]
        began = time.monotonic()
        trainings = [runner.start(run) for run in runs]
        fifth, told = {}, {}
        while len(fifth) < 30:
            now = time.monotonic() - began
            assert now < 60, sorted(fifth)
            for training in trainings:
                key = training.run.id
                if key not in fifth and training.last_step >= 4:
                    fifth[key] = now
                # how long others take to begin is learned from the first ones
                if len(fifth) > 5 and key not in {*told, *fifth} and (seconds := training.seconds_to_turn()):
                    told[key] = now + seconds
            time.sleep(0.01)
        slack = 10 * FIRST  # for a machine that has other things to do
        for place, moment in enumerate(sorted(fifth.values())):
            assert moment <= FIRST * (place + 1) + slack
        assert len(told) >= 22
        late = [fifth[key] - said for key, said in told.items()]
        assert statistics.median(map(abs, late)) < slack
        promised = [told[key] for key in sorted(told, key=fifth.get)]
        assert sum(one < next for one, next in itertools.pairwise(promised)) > 0.8 * len(promised)
    finally:
        runner.close()
    assert {run.read_info().state for run in runs} == {"interrupted"}  # and nobody has lost a step
    for run in runs:
        assert run.history.read().rows["step"] == list(range(len(run.history)))
        assert run.list_checkpoints()


def test_in_a_crowd_everything_ticks_slower_and_one_who_reloads_changes_nothing_for_the_others(monkeypatch):
    monkeypatch.setattr(presence, "_windows", set())
    monkeypatch.setattr(presence, "_free_memory", lambda: None)

    def coming() -> list[int]:
        return [presence.window_opened(f"window {i}") or presence.refresh_slowdown() for i in range(30)]

    def going() -> list[int]:
        return [presence.window_closed(f"window {i}") or presence.refresh_slowdown() for i in reversed(range(30))]

    try:
        assert coming() == [1] * 8 + [2] * 8 + [4] * 14
        assert presence._slowdown_for(10_000) == 8  # windows that do nothing cannot bring the others to a halt
        told = going()
        assert told == sorted(told, reverse=True) and told[-1] == 1
        for few in (9, 17):  # a window more than it takes
            monkeypatch.setattr(presence, "_windows", set(map(str, range(few - 1))))
            presence.window_opened("the last one")
            crowded = presence.refresh_slowdown()
            presence.window_closed("the last one")
            assert presence.refresh_slowdown() == crowded > 1
            presence.window_opened("the last one")
            assert presence.refresh_slowdown() == crowded
    finally:
        presence._windows.clear()
        presence.window_closed("nobody")


# ---- 40. the same seed twice at once


@pytest.mark.parametrize("seeds", [(1, 1), (1, 2)])
@pytest.mark.parametrize("places", [1, 2])
def test_two_runs_at_once_are_each_bitwise_what_they_are_alone(places, seeds):
    runner = Runner(Slots(places, turn=0.1, first=0.1))
    try:
        runs = [new_run(max_steps=150, seed=seed) for seed in seeds]
        for training in [runner.start(run) for run in runs]:
            training.join(patience(30))
    finally:
        runner.close()
    for run in runs:
        alone = Trainer(run.read_info().model, run.read_info().train, run.load_corpus())
        losses = [(progress.step, progress.train_loss) for progress in alone]
        rows = run.history.read().rows
        assert list(zip(rows["step"], rows["train_loss"], strict=True)) == losses
        for name, tensor in run.model_at(150).state_dict().items():
            assert torch.equal(tensor, alone.model.state_dict()[name])


# ---- 41. whose run it is: of the second key a hash alone is kept


def test_of_the_owners_token_only_a_hash_is_kept_and_only_the_token_owns():
    model, train = configs_from(TINY)
    text = texts.prepare(drawing_room(2_000), "made")
    run = catalog.create(model, train, text, preset="quick", owner_key="the owner's key")
    kept = (run.folder / "run.json").read_text()
    assert "the owner's key" not in kept
    assert hash_key("the owner's key") in kept
    assert run.read_info().is_owned_with("the owner's key")
    for other in ("", "another", hash_key("the owner's key"), "THE OWNER'S TOKEN", "\ud800"):
        assert not run.read_info().is_owned_with(other)


# ---- 42. what thirty closed windows leave behind


def test_after_a_hundred_page_loads_and_thirty_closed_windows_memory_is_what_it_was(fresh_server):
    server = fresh_server(STREAMLIT_SERVER_DISCONNECTED_SESSION_TTL="1")

    async def window() -> list[str]:
        async with Visitor(server.url) as visitor:
            for page in ("train", "attention", "generate", "train"):
                await visitor.open(page, until="bar-start")
            return visitor.problems

    async def windows(number: int) -> list[list[str]]:
        """So many at once; what they left is cleared away at the end."""
        told = await asyncio.gather(*(window() for _ in range(number)))
        await asyncio.sleep(7)
        return told

    def memory(number: int) -> float:
        with ThreadPoolExecutor(1) as elsewhere:  # Playwright has a loop of its own in this thread
            told = elsewhere.submit(lambda: asyncio.run(windows(number))).result()
        assert told == [[]] * number
        return resident(server.process)

    before = memory(2)
    assert memory(30) < 1.1 * before


def test_when_windows_have_gone_what_they_left_is_cleared_away(monkeypatch):
    """Streamlit's sessions are circles of objects, and this server collects no garbage after a script (config.toml)."""

    class Session:
        pass

    monkeypatch.setattr(presence, "_windows", set())
    monkeypatch.setattr(shell.st, "get_option", {"server.disconnectedSessionTTL": -4.9}.get)
    session = Session()
    session.itself, left = session, weakref.ref(session)
    gc.collect()
    gc.disable()
    try:
        presence.window_opened("a window")
        del session
        presence.window_closed("a window")
        assert left() is not None
        wait_until(lambda: left() is None)
    finally:
        gc.enable()


# ---- 55. memory held for those who have left


@pytest.mark.timeout(240)
def test_of_four_uploads_the_newest_is_held_and_none_when_the_window_has_gone(fresh_server):
    """Streamlit keeps each file until the session ends, and ends a session when the next visitor comes.

    The files are so large that the C library gives back at once what they took.
    """
    server, megabytes = fresh_server(STREAMLIT_SERVER_DISCONNECTED_SESSION_TTL="1"), 40
    line = "the quick brown fox jumps over the lazy dog and so on and so on for ever\n"

    async def window(size: int, files: int) -> list[float]:
        """Memory after each upload of so many MB."""
        held = []
        async with Visitor(server.url) as visitor:
            await visitor.open("train", until="start")
            await visitor.set("text", "own")
            for number in range(files):
                await visitor.upload(
                    "upload", f"{number}.txt", f"{number} {line * (size * 10**6 // len(line))}".encode()
                )
                held.append(resident(server.process))
            assert visitor.problems == []
        return held

    def run(size: int, files: int) -> list[float]:
        with ThreadPoolExecutor(1) as elsewhere:
            return elsewhere.submit(lambda: asyncio.run(window(size, files))).result()

    run(8, 1)
    time.sleep(8)
    before = resident(server.process)
    held = run(megabytes, 4)
    assert held[-1] - held[0] < 3 * megabytes  # what was read of them may stay for a while, see texts.load_corpus
    # and nobody else comes; the ids of the last text stay, but no file and no text
    wait_until(lambda: resident(server.process) < before + 1.5 * megabytes)
