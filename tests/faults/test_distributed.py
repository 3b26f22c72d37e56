"""Two processes under torchrun do what one does, step by step, end together, and go on when one of them is killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from making import new_run
from torch import distributed as dist

from microllm import Trainer
from microllm.config import configs_from
from microllm.data import texts
from microllm.jobs import distributed
from microllm.runs import catalog
from microllm.runs.checkpoint import TrainerState, determinism_context, load_state_dict, state_dict
from microllm.runs.run import Run

pytestmark = pytest.mark.timeout(120)  # two processes, each of which imports torch

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "microllm"]
TINY = ["--preset=article", "--text=drawing-room", "--first=20000", "--n_embd=16", "--n_layer=2", "--n_head=2"]


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Begin a training in two processes, with more flags."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # torchrun would set it, and say so
    monkeypatch.setenv("MICROLLM_RUNS_DIR", str(tmp_path / "runs"))
    started = []

    def start(*flags: str, settings: tuple[str, ...] = (*TINY, "--batch_size=4")) -> subprocess.Popen:
        command = [*TORCHRUN, "train", *settings, *flags]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:  # the test has failed: torchrun ends its processes when it is told to end
            process.terminate()
            process.communicate(timeout=60)


@pytest.fixture
def runs(tmp_path):
    """All runs that were made so far."""
    return lambda: [Run(path.parent) for path in (tmp_path / "runs").glob("*/run.json")]


def rows(run: Run) -> list[dict]:
    """The whole lines of metrics.jsonl, whatever History would make of them."""
    path = run.folder / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def one_process(run: Run) -> Trainer:
    """The same training, to be done here and alone."""
    return Trainer(run.read_info().model, run.read_info().train, run.load_corpus())


# ---- 43. one of two processes is killed


def process_of_rank(rank: int, launcher: subprocess.Popen) -> int:
    """The number of the process that has this rank."""
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            told = path.joinpath("environ").read_bytes().split(b"\0")
            parent = path.joinpath("stat").read_text().rpartition(")")[2].split()[1]
            if f"LOCAL_RANK={rank}".encode() in told and parent == str(launcher.pid):
                return int(path.name)
    raise LookupError(f"no process of rank {rank}")


def test_when_one_process_is_killed_the_run_goes_on_to_what_it_would_have_become(start, runs, monkeypatch):
    monkeypatch.setenv("MICROLLM_CHECKPOINT", "0.1")
    monkeypatch.setitem(globals(), "TORCHRUN", [*TORCHRUN[:4], "--max-restarts=1", *TORCHRUN[4:]])
    # relu2 for the reason below
    process, deadline = start("--activation=relu2", "--max_steps=300", "--eval_interval=150"), time.monotonic() + 60
    while not (runs() and runs()[0].list_checkpoints() and len(rows(runs()[0])) > 40):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    os.kill(process_of_rank(1, process), signal.SIGKILL)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    (run,) = runs()
    assert f"({run.id}): continues after a restart" in out
    assert run.read_info().state == "finished"
    logged = rows(run)
    assert [row["step"] for row in logged] == list(range(301))  # no gap, no step twice
    assert not list(run.folder.parent.glob(".torchrun-*"))
    goes_on_alike(run, one_process(run))


@pytest.fixture
def launch(monkeypatch):
    """`take_part` as the only process of a launch without an id, by the torchrun of this number."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setattr(distributed, "_join", lambda: None)
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)

    def launch(torchrun: int, restarts: int, make_run: Callable[[], Run]) -> Run:
        monkeypatch.setattr(os, "getppid", lambda: torchrun)
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", str(restarts))
        return distributed.take_part(make_run, lambda stop: None).run

    yield launch
    dist.destroy_process_group()


def mistyped() -> Run:
    raise ValueError


def test_a_restart_goes_on_with_the_run_of_its_own_launch_only(launch):
    mine, yours = launch(1, 0, new_run), launch(2, 0, new_run)
    assert launch(1, 1, mistyped).id == mine.id and launch(2, 1, mistyped).id == yours.id
    for torchrun in (3, 1):  # the second has the number of one that failed
        for restarts in (0, 1):
            with pytest.raises(ValueError):
                launch(torchrun, restarts, mistyped)


# ---- 44. one process and two


def test_two_processes_learn_with_adamw_what_one_learns_and_both_stop_at_the_chosen_loss(start, runs):
    # relu2, because relu switches hard: at the edge one last digit decides, and Adam makes a whole step of it
    process = start("--activation=relu2", "--eval_interval=100", "--stop_at_loss=3.3")
    out, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (0, "")
    (run,) = runs()
    assert out.count("finished.") == 1  # the other process says nothing
    assert run.read_info().state == "finished" and not run.read_info().is_repeatable

    trainer, logged = one_process(run), rows(run)
    for row, progress in zip(logged, trainer, strict=True):  # strict: each step once, and the same last one
        assert row["step"] == progress.step
        assert row["train_loss"] == pytest.approx(progress.train_loss, abs=1e-5)
        assert row.get("val_loss") == pytest.approx(progress.val_loss, abs=1e-5)
    assert trainer.step == 100
    for name, tensor in run.model_at(100).state_dict().items():
        torch.testing.assert_close(tensor, trainer.model.state_dict()[name], atol=1e-5, rtol=0)


def test_two_processes_begin_with_muon_as_one_does_and_leave_after_the_same_step_when_told_to(start, runs):
    process, deadline = start("--optimizer=muon", "--learning_rate=0.02", "--max_steps=1000000"), time.monotonic() + 60
    while not (runs() and len(rows(runs()[0])) > 10):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    (run,) = runs()
    assert run.read_info().state == "training" and run.is_being_written()  # as the app sees it

    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert "stopped. Stopped by" in out and "failed:" not in err
    assert run.read_info().state == "stopped"
    logged = rows(run)
    assert [row["step"] for row in logged] == list(range(len(logged)))
    assert run.list_snapshots()[-1] == logged[-1]["step"]
    for row, progress in zip(logged[:11], one_process(run), strict=False):
        assert row["train_loss"] == pytest.approx(progress.train_loss, abs=1e-3)


def begun_alone() -> tuple[Run, Trainer]:
    """A run of sixty steps that one process left at step 20, and the trainer that stands there."""
    text = texts.choose("drawing-room", first=20_000)
    given = {"n_embd": 16, "n_layer": 2, "n_head": 2, "batch_size": 4, "max_steps": 60, "activation": "relu2"}
    run = catalog.create(*configs_from(given, "article"), text, preset="article", threads=1)
    trainer = one_process(run)
    next(progress for progress in trainer if progress.step == 20)
    state = state_dict(trainer)
    run.save_checkpoint(state, determinism_context(1, trainer.device, 1))
    run.save_snapshot(20, state.model)
    run.update(state="stopped")
    return run, trainer


def goes_on_alike(run: Run, trainer: Trainer) -> None:
    """Assert that two processes logged what `trainer` does from where it stands, and left its weights."""
    logged = {row["step"]: row for row in rows(run)}
    for progress in trainer:
        row = logged.pop(progress.step)
        assert row["train_loss"] == pytest.approx(progress.train_loss, abs=1e-5)
        assert row.get("val_loss") == pytest.approx(progress.val_loss, abs=1e-5)
        assert row.get("old_val_loss") == pytest.approx(progress.old_val_loss, abs=1e-5)
    assert not logged
    for name, tensor in run.model_at(trainer.step).state_dict().items():
        torch.testing.assert_close(tensor, trainer.model.state_dict()[name], atol=1e-5, rtol=0)


def test_two_processes_go_on_with_a_run_of_one_and_make_its_live_changes_again(start):
    run, trainer = begun_alone()
    with run.writing() as writer:
        writer.event(40, {"learning_rate": 0.003})
    out, err = start("--resume", run.id, settings=()).communicate(timeout=100)
    assert "from step 20" in out, err
    assert run.read_info().state == "finished"
    assert "Continued, but not bit-identically: processes was 1, now it is 2." in run.read_info().message

    trainer.to_replay = run.history.changes()
    goes_on_alike(run, trainer)
    assert trainer.config.learning_rate == 0.003


def test_two_processes_train_a_fork_on_another_text_in_the_characters_of_its_parent(start, runs):
    parent, _ = begun_alone()
    out, err = start("--fork", parent.id, "--text=words-twice", "--first=20000", settings=()).communicate(timeout=100)
    assert "forked from" in out, err
    (fork,) = [run for run in runs() if run.id != parent.id]
    assert fork.read_info().state == "finished" and fork.read_info().old_text

    alone = one_process(fork)
    alone.old_corpus = fork.load_old_corpus()
    load_state_dict(alone, TrainerState(0, 0.0, parent.model_at(20).state_dict(), {}))
    goes_on_alike(fork, alone)


def test_a_batch_that_two_processes_cannot_share_is_refused_once_and_there_is_no_run(start, runs):
    process = start("--batch_size=5")
    out, err = process.communicate(timeout=60)
    assert process.returncode != 0 and out == "" and runs() == []
    sentences = [line for line in err.splitlines() if line.startswith("microllm:")]
    assert sentences == ["microllm: 2 processes cannot share a batch_size of 5 evenly."]
    assert "exitcode  : 2" in err
