"""Checkpoints and crashes: whatever ends a run, it goes on to what an unbroken one would have become, bit for bit."""

import contextlib
import errno
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from making import TINY, new_run, train
from patience import patience

import microllm.jobs.training
import microllm.runs.checkpoint
from microllm import configs_from
from microllm.__main__ import main
from microllm.config import with_live_changes
from microllm.corpus import Corpus
from microllm.data.builtin import words_twice
from microllm.exports.course import course
from microllm.jobs.slots import Slots
from microllm.jobs.training import TrainingJob
from microllm.runs.archive import folder_zip
from microllm.runs.catalog import all_runs, runs_and_damaged
from microllm.runs.checkpoint import (
    TrainerState,
    checkpoint_steps,
    load_checkpoint,
    load_state_dict,
    save_checkpoint,
    state_dict,
)
from microllm.runs.importing import import_run
from microllm.runs.info import RunProblem
from microllm.runs.metrics import Writer
from microllm.runs.run import Run
from microllm.train import Trainer

ROOT = Path(__file__).parents[2]


def unbroken(**settings) -> Run:
    run = new_run(**settings)
    assert train(run) == "finished"
    return run


def outcome(run: Run) -> tuple[bytes, list]:
    """The last weights, and every loss on the way."""
    last = run.folder / "snapshots" / f"step-{run.list_snapshots()[-1]}.safetensors"
    rows = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    return last.read_bytes(), [(row["step"], row["train_loss"], row.get("val_loss")) for row in rows]


@pytest.fixture
def each_step(monkeypatch):
    """A checkpoint at every step."""
    monkeypatch.setenv("MICROLLM_CHECKPOINT", "0")


def in_a_child(action) -> int:
    """Do it in a copy of this process, torch and all; how that ended (an exit code, or minus a signal)."""
    child = os.fork()
    if child == 0:
        try:
            action()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return ended(child)


def ended(child: int, seconds: float = 10.0) -> int:
    """How a child has ended, within so many seconds of patience: then it is killed, and the test fails."""
    deadline = time.monotonic() + patience(seconds)
    while (found := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            pytest.fail("a child has not ended")
        time.sleep(0.002)
    return os.waitstatus_to_exitcode(found[1])


# ---- 1. kill -9 at every file event of a save


def train_and_be_killed(run: Run, save_number: int, event_number: int) -> None:
    """Train, and be killed at one of the file events of one of the saves."""
    saves, events, is_saving = 0, 0, False
    save, fsync = microllm.runs.run.save_checkpoint, os.fsync

    def count(*_) -> None:
        nonlocal events
        if is_saving:
            events += 1
            if (saves, events) == (save_number, event_number):
                os.kill(os.getpid(), signal.SIGKILL)

    def counted_save(*arguments) -> None:
        nonlocal saves, events, is_saving
        saves, events, is_saving = saves + 1, 0, True
        save(*arguments)
        is_saving = False

    def counted_fsync(handle) -> None:
        count()
        fsync(handle)
        count()

    microllm.runs.run.save_checkpoint = counted_save
    microllm.runs.checkpoint.os.fsync = counted_fsync
    sys.addaudithook(
        lambda event, _: event.startswith(("open", "os.", "shutil.", "tempfile.")) and event != "os.listdir" and count()
    )
    train(Run.open(run.id))  # a lock does not outlive a fork


@pytest.mark.timeout(120)
def test_a_kill_at_every_file_event_of_a_save_loses_nothing(each_step):
    truth, killed, point = outcome(unbroken(max_steps=6)), 0, 0
    while True:
        point += 1
        run = new_run(max_steps=6)
        code = in_a_child(lambda: train_and_be_killed(run, 4, point))  # noqa: B023
        assert code in (0, -signal.SIGKILL)
        assert run.read_info().state == ("finished" if code == 0 else "interrupted")
        steps = checkpoint_steps(run.folder / "checkpoints")
        if code == 0:
            break
        killed += 1
        assert load_checkpoint(run.folder / "checkpoints")[0].step >= steps[0] >= 1
        assert train(run) == "finished"
        assert outcome(run) == truth, f"killed at event {point}"
    assert killed >= 23


def test_a_save_is_on_the_disk_before_its_name_is(tmp_path, corpus, monkeypatch):
    """A power cut leaves what was synced, in this order; a killed process alone would not show it."""
    told = []
    fsync, rename = os.fsync, os.rename

    def note_sync(handle) -> None:
        told.append(f"sync {Path(os.readlink(f'/proc/self/fd/{handle}')).name}")
        fsync(handle)

    def note_rename(old, new) -> None:
        told.append(f"rename to {Path(new).name}")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "rename", note_rename)
    save_checkpoint(tmp_path / "checkpoints", state_dict(Trainer(*configs_from(TINY), corpus)), {})
    files, (manifest, folder, *last) = told[:3], told[3:]
    assert sorted(files) == ["sync model.safetensors", "sync optimizers.safetensors", "sync state.json"]
    assert manifest == "sync manifest.json"
    assert folder.startswith("sync .saving-")
    assert last == ["rename to step-0", "sync checkpoints"]


# ---- 2. kill -9 at random moments


INTERVAL = 0.05
"""Seconds from one checkpoint to the next."""
STEPS = 1_000
"""More than the fastest machine makes before the third kill."""


def seconds_lost(run: Run) -> float:
    """Seconds of steps that were logged after the newest checkpoint, but for the step in which it was killed."""
    rows = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_bytes().split(b"\n")[:-1]]
    found = run.load_checkpoint()
    return (rows[-2]["seconds"] if len(rows) > 1 else 0.0) - (found[0].seconds if found else 0.0)


def command(run_id: str | None, home: Path) -> subprocess.Popen:
    flags = ["--resume", run_id] if run_id else ["--text", "words-twice", "--first", "20000", "--max_steps", str(STEPS)]
    if not run_id:
        flags += [part for name, value in TINY.items() for part in (f"--{name}", str(value))]
    environment = os.environ | {"MICROLLM_HOME": str(home), "MICROLLM_CHECKPOINT": str(INTERVAL)}
    return subprocess.Popen(
        [sys.executable, "-m", "microllm", "train", *flags],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.timeout(120)
def test_three_kills_of_the_command_line_at_random_moments_lose_nothing(tmp_path):
    home, rng = tmp_path / "killed", random.Random(7)
    run_id = None
    for _ in range(3):
        training = command(run_id, home)
        line = training.stdout.readline()
        run_id = run_id or line.split("(")[1].split(")")[0]
        metrics = home / "runs" / run_id / "metrics.jsonl"
        before = len(metrics.read_bytes().splitlines()) if metrics.exists() else 0
        deadline = time.monotonic() + patience(20)
        while not metrics.exists() or len(metrics.read_bytes().splitlines()) <= before:
            assert training.poll() is None and time.monotonic() < deadline, line
            time.sleep(0.01)
        time.sleep(rng.uniform(0.1, 0.3))
        training.kill()
        training.wait()
        training.stdout.close()
        assert seconds_lost(Run(metrics.parent)) < INTERVAL
    last = command(run_id, home)
    said, _ = last.communicate(timeout=patience(20))
    assert (last.returncode, "finished." in said) == (0, True), said

    whole = command(None, tmp_path / "whole")
    said, _ = whole.communicate(timeout=patience(20))
    assert whole.returncode == 0
    outcomes = []
    for folder in (home, tmp_path / "whole"):
        (run_folder,) = (folder / "runs").iterdir()
        outcomes.append(outcome(Run(run_folder)))
    assert outcomes[0] == outcomes[1]
    assert [step for step, *_ in outcomes[0][1]] == list(range(STEPS + 1))  # no gap, no double step


# ---- 3. SIGTERM and Ctrl-C


@pytest.mark.timeout(30)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_the_step_saves_and_ends_well(number, tmp_path):
    training = command(None, tmp_path)
    run_id = training.stdout.readline().split("(")[1].split(")")[0]
    metrics = tmp_path / "runs" / run_id / "metrics.jsonl"
    deadline = time.monotonic() + patience()
    while not metrics.exists() or len(metrics.read_bytes().splitlines()) < 3:
        assert training.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    began = time.monotonic()
    training.send_signal(number)
    said, _ = training.communicate(timeout=30)
    assert (training.returncode, time.monotonic() - began < 10) == (0, True)
    assert f"stopped. Stopped by {number.name}." in said and "Traceback" not in said
    run = Run(tmp_path / "runs" / run_id)
    assert run.read_info().state == "stopped"
    last = json.loads(metrics.read_text().splitlines()[-1])["step"]
    assert run.list_checkpoints()[-1] == run.list_snapshots()[-1] == last


@pytest.mark.timeout(30)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(number):
    child = os.fork()
    if child == 0:  # a training whose step takes a minute
        Trainer._forward = lambda _: time.sleep(60)
        main(["train", "--text=words-twice", "--first=2000", *(f"--{name}={value}" for name, value in TINY.items())])
        os._exit(1)
    deadline = time.monotonic() + patience()
    while not any(run.read_info().state == "training" for run in all_runs()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(child, number)
    time.sleep(0.3)
    assert os.waitpid(child, os.WNOHANG) == (0, 0)  # it waits for the end of the step
    os.kill(child, number)
    assert ended(child, 5) == -number
    assert all_runs()[0].read_info().state == "interrupted"


# ---- 4. 10 steps, a resume, and 10 more


@pytest.fixture(scope="module")
def corpus():
    return Corpus(words_twice(2_000))


def steps_of(trainer: Trainer, until: int, changes: dict[int, float] | None = None) -> list[float]:
    """The losses of a trainer up to a step; `changes` are learning rates from a step on."""
    losses = []
    for progress in trainer:
        losses.append(progress.train_loss)
        if rate := (changes or {}).get(progress.step + 1):
            trainer.change(learning_rate=rate)
        if progress.step == until:
            break
    return losses


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_twenty_steps_are_ten_and_a_resume_and_ten(optimizer, dropout, corpus, tmp_path):
    configs = configs_from(TINY | {"optimizer": optimizer, "dropout": dropout, "max_steps": 20})
    whole = Trainer(*configs, corpus)
    truth = steps_of(whole, 20)
    first = Trainer(*configs, corpus)
    losses = steps_of(first, 10)[:-1]
    save_checkpoint(tmp_path, state_dict(first), {})
    second = Trainer(*configs, corpus)
    load_state_dict(second, load_checkpoint(tmp_path)[0])
    assert losses + steps_of(second, 20) == truth
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name


def test_a_resume_goes_on_with_the_clock(each_step):
    run = new_run(max_steps=8)
    assert in_a_child(lambda: train_and_be_killed(run, 5, 1)) == -signal.SIGKILL
    newest = run.load_checkpoint()[0]
    assert train(run) == "finished"
    seconds = {row["step"]: row["seconds"] for row in map(json.loads, (run.folder / "metrics.jsonl").open())}
    assert seconds[newest.step] == newest.seconds > 0
    assert all(before < after for before, after in pairwise(seconds[step] for step in range(9)))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("left_out", ["optimizers", "step"])
def test_without_the_optimisers_memory_or_the_step_it_would_be_another_run(left_out, optimizer, corpus):
    configs = configs_from(TINY | {"optimizer": optimizer, "max_steps": 20})
    truth = steps_of(Trainer(*configs, corpus), 20)
    first = Trainer(*configs, corpus)
    steps_of(first, 10)
    state = state_dict(first)
    parts = {"step": state.step, "seconds": 0.0, "model": state.model, "optimizers": state.optimizers}
    second = Trainer(*configs, corpus)
    load_state_dict(second, TrainerState(**parts | {left_out: {} if left_out == "optimizers" else 9}))
    assert steps_of(second, 20)[-5:] != truth[-5:]


def train_with_a_change(run: Run, at: int, end: int | None = None, after: int = 0) -> None:
    """Train a run whose learning rate is changed at a step, `after` so many changes, and which is killed at another."""
    training = TrainingJob(Run.open(run.id), Slots(1))
    log = Writer.log

    def log_and_steer(writer, progress):
        log(writer, progress)
        if progress.step == at - 1 and len(run.history.changes()) == after:
            training.change(learning_rate=0.003 / (1 + after))
        if progress.step == end:
            os.kill(os.getpid(), signal.SIGKILL)

    microllm.runs.metrics.Writer.log = log_and_steer
    try:
        training.start()
        training.join()
    finally:
        microllm.runs.metrics.Writer.log = log


def test_a_live_change_after_the_last_checkpoint_is_made_again():
    whole = new_run(dropout=0.1)
    train_with_a_change(whole, at=12)
    assert whole.read_info().state == "finished"
    assert outcome(whole) != outcome(unbroken(dropout=0.1))

    run = new_run(dropout=0.1)
    save, saved = microllm.jobs.training.TrainingJob._save_checkpoint, []

    def save_once(training, trainer, writer):
        if trainer.step >= 8 and not saved:
            saved.append(trainer.step)
            save(training, trainer, writer)

    def child():
        os.environ["MICROLLM_CHECKPOINT"] = "0"
        microllm.jobs.training.TrainingJob._save_checkpoint = save_once
        train_with_a_change(run, at=12, end=16)

    assert in_a_child(child) == -signal.SIGKILL
    assert run.list_checkpoints() == [8]
    assert [change["step"] for change in run.history.changes()] == [12]
    assert train(run) == "finished"
    assert outcome(run) == outcome(whole)


def test_checkpoints_that_cannot_be_listed_just_now_are_not_taken_for_none(monkeypatch):
    run = new_run()
    monkeypatch.setenv("MICROLLM_CHECKPOINT", "0")
    assert in_a_child(lambda: train_with_a_change(run, at=12, end=16)) == -signal.SIGKILL
    assert run.list_checkpoints()
    rows, snapshots = (run.folder / "metrics.jsonl").read_bytes(), run.list_snapshots()
    scan = os.scandir

    def refuse(folder):
        if Path(folder).name == "checkpoints":
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return scan(folder)

    with monkeypatch.context() as just_now:
        just_now.setattr(os, "scandir", refuse)
        with pytest.raises(RunProblem, match="cannot be read"):
            run.check_what_it_needs()
        assert train(run) == "failed"
    assert (run.folder / "metrics.jsonl").read_bytes() == rows and run.list_snapshots() == snapshots
    assert train(run) == "finished"


def test_a_change_that_is_made_after_a_crash_stands_instead_of_those_in_the_steps_that_it_cost():
    run = new_run()
    assert in_a_child(lambda: train_with_a_change(run, at=12, end=14)) == -signal.SIGKILL
    assert in_a_child(lambda: train_with_a_change(run, at=6, end=9, after=1)) == -signal.SIGKILL
    assert run.list_checkpoints() == []
    assert run.history.changes() == [{"step": 6, "learning_rate": 0.0015}]
    assert train(run) == "finished"
    rates = {row["step"]: row["learning_rate"] for row in map(json.loads, (run.folder / "metrics.jsonl").open())}
    asked = run.read_info().train.learning_rate
    assert [rates[step] / (1 - step / 20) for step in (5, 6, 15)] == pytest.approx([asked, 0.0015, 0.0015])


def test_changes_that_stand_out_of_order_are_made_again_in_order():
    run, whole = new_run(), new_run()
    lines = [b'{"step": 12, "learning_rate": 0.001}\n', b'{"step": 6, "learning_rate": 0.003}\n']
    (run.folder / "events.jsonl").write_bytes(b"".join(lines))
    (whole.folder / "events.jsonl").write_bytes(b"".join(reversed(lines)))
    assert train(run) == train(whole) == "finished"
    assert outcome(run) == outcome(whole) != outcome(unbroken())


def test_snapshots_of_a_future_that_is_discarded_go_with_it(each_step):
    run = new_run()
    assert in_a_child(lambda: train_and_be_killed(run, 14, 1)) == -signal.SIGKILL
    assert run.list_snapshots() == [0, 8, 12]
    for step in run.list_checkpoints()[1:]:  # damaged, say: training goes on from the one before
        shutil.rmtree(run.folder / "checkpoints" / f"step-{step}")
    (step,) = run.list_checkpoints()
    assert step == 11
    training = TrainingJob(run, Slots(1))
    training.stop()
    training.start()  # it stands at step 11 now, and 12 is still to come
    training.join()
    assert run.list_snapshots() == [0, 8, 11]
    assert run.history.read().rows["step"] == list(range(11))


def test_a_live_change_before_the_checkpoint_still_counts(each_step):
    whole = new_run()
    train_with_a_change(whole, at=5)
    run = new_run()
    assert in_a_child(lambda: train_with_a_change(run, at=5, end=12)) == -signal.SIGKILL
    assert train(run) == "finished"
    assert outcome(run) == outcome(whole)
    model, asked = run.read_info().model, run.read_info().train
    assert TrainingJob(run, Slots(1)).config == with_live_changes(model, asked, {"learning_rate": 0.003})


# ---- 5. other surroundings


@pytest.mark.parametrize("what", ["threads", "torch", "device"])
def test_a_resume_in_other_surroundings_is_allowed_and_says_that_it_is_not_bit_identical(what, each_step, monkeypatch):
    run = new_run(max_steps=6)
    assert in_a_child(lambda: train_and_be_killed(run, 4, 1)) == -signal.SIGKILL
    if what == "threads":
        run.update(threads=2)
    elif what == "torch":
        monkeypatch.setattr(torch, "__version__", "0.2")
    else:
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "ABACUS")
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "ABACUS")
    assert train(run) == "finished"
    before, now = {"threads": ("1", "2"), "torch": (".+", "0.2"), "device": (".+", ".+, ABACUS")}[what]
    sentence = f"Continued, but not bit-identically: {what} was {before}, now it is {now}."
    assert re.fullmatch(sentence, run.read_info().message)
    assert not run.read_info().is_repeatable


def test_a_resume_in_the_same_surroundings_has_nothing_to_say(each_step):
    run = new_run(max_steps=6)
    assert in_a_child(lambda: train_and_be_killed(run, 4, 1)) == -signal.SIGKILL
    assert train(run) == "finished"
    assert run.read_info().message == "" and run.read_info().is_repeatable


# ---- 6. a full disk, a folder that is read-only


def fill_the_disk(monkeypatch) -> str:
    def refuse(path: Path, data: bytes) -> None:
        path.write_bytes(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(microllm.runs.checkpoint, "_write_durably", refuse)
    monkeypatch.setattr(microllm.runs.run, "save_weights", lambda _, path: refuse(path, bytes(10)))
    return "No space left on device"


def make_it_read_only(monkeypatch) -> str:
    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(microllm.runs.checkpoint.tempfile, "mkdtemp", refuse)
    monkeypatch.setattr(microllm.runs.run, "save_weights", refuse)
    return "Read-only file system"


@pytest.mark.parametrize("harm", [fill_the_disk, make_it_read_only])
def test_a_disk_that_refuses_a_save_leaves_the_old_one_whole_and_training_goes_on_with_a_warning(
    harm, each_step, monkeypatch
):
    run = new_run(max_steps=6)
    assert in_a_child(lambda: train_and_be_killed(run, 4, 1)) == -signal.SIGKILL
    before = run.list_checkpoints()
    training = TrainingJob(run, Slots(1))
    with monkeypatch.context() as for_now:
        why = harm(for_now)
        training.start()
        training.join()
    assert training.warning.startswith(f"Nothing can be saved now ({why})")
    info = run.read_info()
    assert (info.state, info.full_val_loss, why in info.message) == ("failed", None, True)  # not without its weights
    assert run.list_checkpoints() == before
    assert not list(run.folder.glob("checkpoints/.*"))
    assert load_checkpoint(run.folder / "checkpoints")[0].step == before[-1]
    again = TrainingJob(run, Slots(1))
    again.start()
    again.join()
    assert outcome(run) == outcome(unbroken(max_steps=6))


def test_lines_that_a_full_disk_refused_are_written_when_there_is_room(monkeypatch):
    run = new_run()
    truth = outcome(unbroken())[1]
    refusals = []

    class Metrics:
        """A file whose disk is full for a while, and tears a line when it fills."""

        def __init__(self, file):
            self.file = file

        def write(self, data: bytes) -> int:
            if 3 <= len(refusals) < 6:
                refusals.append(data)
                raise OSError(28, "No space left on device")
            refusals.append(data)
            return self.file.write(data[:20] if len(refusals) == 3 else data)

        def close(self) -> None:
            self.file.close()

    opened = Writer._open
    monkeypatch.setattr(Writer, "_open", lambda writer: Metrics(opened(writer)))
    training, warnings = TrainingJob(run, Slots(1)), []
    log = Writer.log
    monkeypatch.setattr(Writer, "log", lambda *arguments: warnings.append(training.warning) or log(*arguments))
    training.start()
    training.join()
    assert run.read_info().state == "finished"
    assert len(refusals) >= 6
    assert outcome(run)[1] == truth
    assert "Nothing can be saved now (No space left on device)." in str(warnings)
    assert training.warning is None  # there is room again


def test_a_file_that_finds_no_room_halfway_leaves_the_old_one_whole(each_step):
    run = new_run(max_steps=12)
    assert in_a_child(lambda: train_and_be_killed(run, 10, 1)) == -signal.SIGKILL
    before, largest = run.list_checkpoints(), (run.folder / "snapshots" / "step-8.safetensors").stat().st_size

    def with_little_room(for_each_file: int, action) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (for_each_file, for_each_file))
        action()

    def note() -> None:
        with pytest.raises(OSError):
            run.update(message="one line more")

    assert in_a_child(lambda: with_little_room(400, note)) == 0
    assert run.read_info().message != "one line more"
    assert in_a_child(lambda: with_little_room(largest // 2, lambda: train(Run.open(run.id)))) == 0
    assert run.read_info().state == "failed"  # its lines had room, its weights had none
    assert run.list_checkpoints() == before
    assert run.list_snapshots() == [0, 8]
    for step in run.list_snapshots():
        run.model_at(step)
    assert train(run) == "finished"
    assert outcome(run) == outcome(unbroken(max_steps=12))


def test_a_live_change_that_cannot_be_written_down_is_not_made_and_training_goes_on(monkeypatch):
    run = new_run()

    def full(self, step, changes, instead_of) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Writer, "event", full)
    training, warnings, log = TrainingJob(run, Slots(1)), [], Writer.log

    def log_and_steer(writer, progress) -> None:
        log(writer, progress)
        warnings.append(training.warning)
        if progress.step == 11:
            training.change(learning_rate=0.003)

    monkeypatch.setattr(Writer, "log", log_and_steer)
    training.start()
    training.join()
    assert run.read_info().state == "finished"
    assert any("learning_rate" in (one or "") and "No space left on device" in one for one in warnings)
    assert outcome(run) == outcome(unbroken())


def test_of_a_live_change_that_found_no_room_halfway_nothing_stands_there():
    run = new_run()
    with run.writing() as writer:
        writer.event(3, {"learning_rate": 0.003})
    whole = (run.folder / "events.jsonl").read_bytes()

    def with_little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 10, len(whole) + 10))
        with Run.open(run.id).writing() as writer, pytest.raises(OSError):
            writer.event(5, {"learning_rate": 0.002})

    assert in_a_child(with_little_room) == 0
    assert (run.folder / "events.jsonl").read_bytes() == whole


# ---- 7. damage


@pytest.mark.parametrize("name", ["model.safetensors", "optimizers.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("harm", ["flip", "truncate", "remove"])
def test_damage_is_named_and_the_checkpoint_before_is_used(name, harm, each_step):
    run = new_run(max_steps=6)
    assert in_a_child(lambda: train_and_be_killed(run, 5, 1)) == -signal.SIGKILL
    before, newest = run.list_checkpoints()
    path = run.folder / "checkpoints" / f"step-{newest}" / name
    data = bytearray(path.read_bytes())
    if harm == "remove":
        path.unlink()
    elif harm == "truncate":
        path.write_bytes(data[:-1])
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    state, _, damaged = run.load_checkpoint()
    assert state.step == before
    assert len(damaged) == 1 and f"step {newest}" in damaged[0]
    assert (name if name != "manifest.json" else "manifest") in damaged[0] or "SHA-256" in damaged[0]
    assert train(run) == "finished"
    assert run.read_info().message == damaged[0]  # the page shows it
    assert outcome(run) == outcome(unbroken(max_steps=6))


@pytest.mark.parametrize("harm", ["spoils what it writes", "refuses the new name"])
def test_a_disk_that_fails_again_and_again_never_costs_the_last_whole_checkpoint(harm, corpus, tmp_path, monkeypatch):
    """A checkpoint that cannot be read back must not push out the ones before."""
    trainer, rename = Trainer(*configs_from(TINY), corpus), os.rename
    progress = iter(trainer)

    def fail(temporary, target) -> None:
        if harm == "refuses the new name":
            raise OSError(28, "No space left on device")
        rename(temporary, target)
        (Path(target) / "model.safetensors").write_bytes(b"noise")

    for _ in range(2):
        next(progress)
        save_checkpoint(tmp_path, state_dict(trainer), {})
    monkeypatch.setattr(os, "rename", fail)
    for _ in range(3):
        next(progress)
        with contextlib.suppress(OSError):
            save_checkpoint(tmp_path, state_dict(trainer), {})
    assert {0, 1} <= set(checkpoint_steps(tmp_path))
    assert load_checkpoint(tmp_path)[0].step == 1
    monkeypatch.undo()
    next(progress)
    save_checkpoint(tmp_path, state_dict(trainer), {})
    assert load_checkpoint(tmp_path)[0].step == 5


# ---- 8. left-over temporary files


def test_what_a_save_that_was_killed_has_left_is_ignored_and_swept(each_step):
    run = new_run(max_steps=6)
    assert in_a_child(lambda: train_and_be_killed(run, 4, 1)) == -signal.SIGKILL
    steps, snapshots = run.list_checkpoints(), run.list_snapshots()
    left = run.folder / "checkpoints" / ".saving-x"
    shutil.copytree(run.folder / "checkpoints" / f"step-{steps[-1]}", left)
    half = run.folder / "snapshots" / ".step-9.safetensors.x"
    half.write_bytes(b"half a fi")
    assert (run.list_checkpoints(), run.list_snapshots()) == (steps, snapshots)
    assert run.load_checkpoint()[0].step == steps[-1]
    with run.writing():
        assert not left.exists() and not half.exists()
    assert train(run) == "finished"


# ---- 9. resumed twice


def test_a_run_that_is_resumed_twice_has_one_trainer_and_a_stale_lock_is_no_obstacle(each_step):
    run = new_run(max_steps=6)
    assert in_a_child(lambda: train_and_be_killed(run, 4, 1)) == -signal.SIGKILL
    assert (run.folder / "lock").exists()  # as the killed one left it
    with run.writing():
        second = Run.open(run.id)
        for one in (second, run):  # the app has one object for all windows, another process its own
            with pytest.raises(RunProblem, match="already being trained"), one.writing():
                pass
    assert train(run) == "finished"


# ---- 10. tensors that disagree with the config


def test_weights_of_another_shape_are_named(each_step):
    run, other = new_run(max_steps=6), new_run(max_steps=6, n_embd=32)
    for one in (run, other):
        assert in_a_child(lambda: train_and_be_killed(one, 4, 1)) == -signal.SIGKILL  # noqa: B023
    shutil.rmtree(run.folder / "checkpoints")
    shutil.copytree(other.folder / "checkpoints", run.folder / "checkpoints")
    assert train(run) == "failed"
    assert "do not fit this run's configuration" in run.read_info().message
    assert "token_embedding.weight" in run.read_info().message


def test_an_optimisers_memory_of_another_shape_is_named(corpus):
    configs = configs_from(TINY)
    trainer = Trainer(*configs, corpus)
    steps_of(trainer, 2)
    state = state_dict(trainer)
    for key, sentence in {
        "0.0.momentum_buffer": r"0\.0\.momentum_buffer has the shape \(3, 3\)",
        "9.0.momentum_buffer": r"'9\.0\.momentum_buffer' belongs to no optimizer of this run",
        "momentum": r"'momentum' belongs to no optimizer of this run",
    }.items():
        wrong = dict(state.optimizers) | {key: torch.zeros(3, 3)}
        with pytest.raises(ValueError, match=sentence):
            load_state_dict(Trainer(*configs, corpus), TrainerState(2, 0.0, state.model, wrong))


# ---- 11. a damaged run


@pytest.mark.parametrize("content", ["", "{", "[]", '{"id": 3}'])
def test_a_damaged_run_is_listed_as_damaged_and_hides_no_other(content, capsys):
    good, bad = unbroken(max_steps=2), unbroken(max_steps=2)
    (bad.folder / "run.json").write_text(content)
    assert [run.id for run in all_runs()] == [good.id]
    assert runs_and_damaged()[1] == [bad.id]
    with pytest.raises(RunProblem, match="damaged"):
        Run.open(bad.id)
    assert main(["runs"]) == 0
    listed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert listed[0][0] == good.id
    assert [bad.id, "damaged:"] in [words[:2] for words in listed]


# ---- more steps than asked for


def test_a_finished_run_can_be_extended_and_is_then_one_curve():
    run = unbroken(max_steps=10)
    run.extend(20)
    assert run.read_info().state == "interrupted"
    assert train(run) == "finished"
    steps = [step for step, *_ in outcome(run)[1]]
    assert steps == list(range(21))
    assert run.read_info().train.max_steps == 20


def test_an_extension_survives_the_loss_of_the_newest_checkpoint(each_step):
    whole, damaged = unbroken(max_steps=10), unbroken(max_steps=10)
    for run in (whole, damaged):
        run.extend(20)
    newest = damaged.folder / "checkpoints" / f"step-{damaged.list_checkpoints()[-1]}"
    (newest / "manifest.json").unlink()
    for run in (whole, damaged):
        assert train(run) == "finished"
    assert outcome(whole)[0] == outcome(damaged)[0]


def extend_and_be_killed(run, max_steps):
    """An extension that ends between its two writes."""

    class Killed(BaseException):
        pass

    def kill(*_, **__):
        raise Killed

    with pytest.MonkeyPatch.context() as killed, pytest.raises(Killed):
        killed.setattr(Run, "update", kill)
        run.extend(max_steps)


def test_an_extension_that_a_crash_interrupted_is_none():
    whole, run = new_run(stop_at_loss=1e-6), new_run(stop_at_loss=1e-6)
    for one in (whole, run):
        assert in_a_child(lambda: train_with_a_change(one, at=12, end=16)) == -signal.SIGKILL  # noqa: B023
    extend_and_be_killed(run, 40)
    assert run.history.changes() != whole.history.changes()
    assert TrainingJob(run, Slots(1)).config == TrainingJob(whole, Slots(1)).config
    assert course(run) == course(whole)
    for one in (whole, run):
        assert train(one) == "finished"
    assert outcome(run) == outcome(whole)
    packed = folder_zip(run)
    shutil.rmtree(run.folder)
    assert import_run(packed).history.read().last["step"] == 20


def test_an_extension_that_a_crash_interrupted_does_not_come_back_with_the_next():
    whole, run = unbroken(max_steps=10, stop_at_loss=1e-6), unbroken(max_steps=10, stop_at_loss=1e-6)
    extend_and_be_killed(run, 16)
    extend_and_be_killed(run, 14)
    for max_steps in (15, 20):
        for one in (whole, run):
            one.extend(max_steps)
            assert train(one) == "finished"
    assert run.history.changes() == whole.history.changes()
    assert outcome(run) == outcome(whole)


def test_a_shorter_extension_leaves_the_one_before(each_step):
    run = unbroken(max_steps=10)
    run.extend(40)
    assert in_a_child(lambda: train_and_be_killed(run, 5, 1)) == -signal.SIGKILL
    run.extend(20)
    assert [change["max_steps"] for change in run.changes()] == [40, 20]
    assert train(run) == "finished"
    assert run.history.read().last["step"] == 20


def test_an_extension_that_is_none_is_refused():
    run = unbroken(max_steps=10)
    with pytest.raises(ValueError, match="10 steps"):
        run.extend(10)
    assert run.read_info().state == "finished"


_DRAWS = """
import threading, torch, microllm.ui.server

def draw():
    weights = torch.randn(300, 300)
    for _ in range(200):
        weights @ weights
    print("drawn")

threading.Thread(target=draw, name="ScriptRunner.scriptThread", daemon=True).start()
"""


def test_a_page_that_is_being_drawn_comes_to_its_end_before_the_program_does():
    ended = subprocess.run([sys.executable, "-c", _DRAWS], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout.strip()) == (0, "drawn"), ended.stderr
