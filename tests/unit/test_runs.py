"""A run is a folder: written by one, read by many, and never believed blindly."""

import dataclasses
import itertools
import json
import math
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch
from patience import patience

from microllm import MicroLLM, ModelConfig, TrainConfig, environment
from microllm.corpus import Corpus
from microllm.data import store, texts
from microllm.data.builtin import drawing_room, words_twice
from microllm.data.decode import TextProblem
from microllm.environment import runs_dir, texts_dir
from microllm.runs import archive, catalog, disk, metrics
from microllm.runs import run as run_module
from microllm.runs.catalog import all_runs
from microllm.runs.importing import import_run
from microllm.runs.info import RunProblem, new_name
from microllm.runs.run import Run
from microllm.runs.weights import WeightsProblem
from microllm.train import Progress

MODEL = ModelConfig(block_size=8, n_embd=16, n_head=2, n_layer=1)
TRAIN = TrainConfig(batch_size=4, max_steps=20, eval_interval=10)


@pytest.fixture
def text():
    return texts.prepare(words_twice(1_000), "made")


@pytest.fixture
def run(text):
    return catalog.create(MODEL, TRAIN, text, preset="quick", threads=1)


@pytest.fixture
def weights(run):
    return MicroLLM(MODEL, run.load_corpus().vocab_size).state_dict()


def progress(step: int = 0, train_loss: float = 2.5, **more) -> Progress:
    return Progress(step, step / 10, train_loss, 1e-3, 100.0, **more)


def lines(path) -> list[dict]:
    return [json.loads(line, parse_constant=pytest.fail) for line in path.read_text().splitlines()]


def damage(run: Run, **changes) -> None:
    """Change run.json behind everybody's back; None takes a part away."""
    path = run.folder / "run.json"
    data = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in data.items() if value is not None}))


# Create and open


def test_a_run_that_was_created_can_be_opened(run):
    with run.writing():
        opened = Run.open(run.id)
        assert opened.read_info() == run.read_info()
    assert opened.load_corpus() is run.load_corpus()
    assert opened.tokenizer.vocab == run.tokenizer.vocab == run.load_corpus().tokenizer.vocab


def test_two_writes_at_one_time_of_a_coarse_clock_are_both_seen(run):
    path = run.folder / "run.json"
    with run.writing():
        for state in ("training", "paused"):
            run.update(state=state)
            os.utime(path, ns=(0, 0))
            assert Run.open(run.id).read_info().state == run.read_info().state == state


def test_run_json_tells_what_was_asked(run, text):
    told = json.loads((run.folder / "run.json").read_text())
    assert told["id"] == run.folder.name
    assert told["state"] == "waiting"
    assert told["preset"] == "quick"
    assert told["model"] == dataclasses.asdict(MODEL)
    assert told["train"] == dataclasses.asdict(TRAIN)
    assert told["threads"] == 1
    assert told["torch"] == torch.__version__
    assert told["text"] == dataclasses.asdict(text)


def test_a_run_knows_what_there_is_to_beat(text):
    floored = texts.prepare(drawing_room(5_000), "made", source="drawing-room")
    references = catalog.create(MODEL, TRAIN, floored, preset="quick").read_info().references
    counted = texts.load_corpus(floored.sha256).reference_losses(MODEL.block_size)
    assert references == counted | {"floor": floored.floor}
    assert "floor" not in catalog.create(MODEL, TRAIN, text, preset="quick").read_info().references


def test_a_run_without_a_wish_gets_the_threads_of_the_rule(text):
    assert catalog.create(MODEL, TRAIN, text, preset="quick").read_info().threads == 1
    assert catalog.create(MODEL, TRAIN, text, preset="quick", threads=3).read_info().threads == 3


@pytest.mark.parametrize(
    ("model", "train", "sentence"),
    [
        (dataclasses.replace(MODEL, n_head=3), TRAIN, "n_head must divide n_embd"),
        (MODEL, dataclasses.replace(TRAIN, batch_size=0), "batch_size is 0"),
        (dataclasses.replace(MODEL, block_size=256), TRAIN, "at most 99"),  # what is held out of 1,000 characters
    ],
)
def test_a_configuration_with_problems_makes_no_folder(model, train, sentence, text):
    with pytest.raises(ValueError, match=sentence):
        catalog.create(model, train, text, preset="quick")
    assert not list(runs_dir().glob("*"))


def test_ids_are_made_here_and_never_twice(text):
    ids = {catalog.create(MODEL, TRAIN, text, preset="quick").id for _ in range(20)}
    assert len(ids) == 20
    assert all(len(run_id) == 16 and set(run_id) <= set("0123456789abcdef") for run_id in ids)


def test_names_are_two_words_to_remember():
    for _ in range(50):
        adjective, noun = new_name().split("-")
        assert adjective.isalpha() and noun.isalpha()


def test_no_two_runs_have_one_name(text, monkeypatch):
    monkeypatch.setattr("microllm.runs.catalog.new_name", lambda: "brave-darcy")
    names = [catalog.create(MODEL, TRAIN, text, preset="quick").read_info().name for _ in range(3)]
    assert names == ["brave-darcy", "brave-darcy-2", "brave-darcy-3"]


# Damage


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "null",
        "[]",
        "{}",
        "\0" * 50,
        "[" * 100_000,
        '{"model": {"n_embd": 8, "new_knob": 1}, "train": {}, "text": {}}',
    ],
)
def test_a_damaged_run_json_is_named_and_does_not_hide_the_others(content, run, text):
    damaged = catalog.create(MODEL, TRAIN, text, preset="quick")
    (damaged.folder / "run.json").write_text(content)
    with pytest.raises(RunProblem, match=f"Run {damaged.id} is damaged: its run.json"):
        Run.open(damaged.id)
    assert [other.id for other in all_runs()] == [run.id]


@pytest.mark.parametrize("missing", ["id", "state", "created", "model", "text", "references"])
def test_a_run_json_that_lacks_a_part_is_damaged(missing, run):
    damage(run, **{missing: None})
    with pytest.raises(RunProblem, match="damaged"):
        Run.open(run.id)


@pytest.mark.parametrize(
    "edited",
    [
        {"created": math.nan},
        {"created": 1e300},
        {"references": {"pairs": "x"}},
        {"full_val_loss": []},
        {"model": dataclasses.asdict(MODEL) | {"n_layer": 300_000}},
        {"model": dataclasses.asdict(MODEL) | {"n_head": 0}},
        {"train": dataclasses.asdict(TRAIN) | {"stop_at_loss": "x"}},
    ],
    ids=str,
)
def test_a_run_json_that_was_edited_into_nonsense_is_damaged_and_hides_no_other(edited, run, text):
    damaged = catalog.create(MODEL, TRAIN, text, preset="quick")
    path = damaged.folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | edited))
    assert [other.id for other in all_runs()] == [run.id]
    with pytest.raises(RunProblem, match="damaged"):
        Run.open(damaged.id)


def test_a_run_json_that_breaks_while_it_is_open_is_noticed(run):
    (run.folder / "run.json").write_text("{")
    with pytest.raises(RunProblem, match="damaged"):
        run.read_info()


def test_weights_that_do_not_fit_are_a_problem_and_not_a_crash(run, weights):
    run.save_snapshot(0, weights)
    damage(run, model=dataclasses.asdict(dataclasses.replace(MODEL, n_embd=32)))
    with pytest.raises(WeightsProblem, match="does not fit"):
        Run.open(run.id).model_at(0)


def test_a_text_that_is_gone_is_a_problem_and_not_a_crash(run):
    texts.load_corpus.cache_clear()
    (texts_dir() / f"{run.read_info().text.sha256}.txt").unlink()
    with pytest.raises(TextProblem, match="not stored here"):
        run.load_corpus()


@pytest.mark.parametrize("wrong", [{"sha256": ["x"]}, {"sha256": 7}, {"sha256": "../../../other"}, {"source": []}])
def test_a_run_json_with_a_text_that_is_none_is_damaged(wrong, run, text):
    damage(run, text=dataclasses.asdict(text) | wrong)
    with pytest.raises(RunProblem, match="damaged"):
        Run.open(run.id)


@pytest.mark.parametrize(
    "wrong",
    [{"created": "yesterday"}, {"name": 7}, {"references": []}, {"message": {}}, {"text": {}}, {"is_repeatable": 1}],
)
def test_a_run_json_with_a_part_of_another_type_is_damaged(wrong, run):
    damage(run, **wrong)
    with pytest.raises(RunProblem, match="damaged"):
        Run.open(run.id)


def test_a_run_that_others_can_see_is_whole(text, monkeypatch):
    write, seen = catalog.write_atomically, []

    def write_and_look(path, data):
        write(path, data)
        seen.extend(run.tokenizer.vocab_size for run in all_runs())

    monkeypatch.setattr(catalog, "write_atomically", write_and_look)
    catalog.create(MODEL, TRAIN, text, preset="quick")
    assert seen


# The list of runs


def test_runs_are_listed_the_newest_first(text):
    ids = [catalog.create(MODEL, TRAIN, text, preset="quick").id for _ in range(4)]
    for age, run_id in enumerate(ids):
        damage(Run.open(run_id), created=1e9 - age)
    assert [run.id for run in all_runs()] == ids


def test_without_a_folder_of_runs_there_are_none(tmp_path):
    assert all_runs() == []


def test_other_folders_among_the_runs_are_no_runs(run):
    (runs_dir() / "notes").mkdir()
    (runs_dir() / "notes" / "run.json").write_text("{}")
    (runs_dir() / ("b" * 16)).mkdir()
    assert [other.id for other in all_runs()] == [run.id]


# Who writes, and who is gone


@pytest.mark.parametrize("state", ["waiting", "training", "paused"])
def test_a_run_without_a_writer_was_interrupted(state, run):
    with run.writing():
        run.update(state=state)
        assert Run.open(run.id).read_info().state == state
    assert Run.open(run.id).read_info().state == run.read_info().state == "interrupted"
    assert run.read_info().message


@pytest.mark.parametrize("state", ["finished", "stopped", "failed"])
def test_a_run_that_has_ended_stays_as_it_ended(state, run):
    run.update(state=state, message="The end.")
    assert (Run.open(run.id).read_info().state, Run.open(run.id).read_info().message) == (state, "The end.")


@pytest.mark.timeout(30)
def test_a_run_whose_program_was_killed_was_interrupted(run):
    program = f"""
import sys
from microllm.runs import Run
run = Run.open({run.id!r})
with run.writing():
    run.update(state="training")
    print("writing", flush=True)
    sys.stdin.read()
"""
    writer = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with writer:
        assert writer.stdout.readline() == b"writing\n"
        assert run.read_info().state == "training"
        with pytest.raises(RunProblem, match="already being trained, here or in another process"), run.writing():
            pass
        os.kill(writer.pid, signal.SIGKILL)
    assert run.read_info().state == "interrupted"
    with run.writing():  # nothing is left in the way
        pass


def test_a_second_writer_is_refused(run):
    other = Run.open(run.id)
    with run.writing(), pytest.raises(RunProblem, match="already being trained"), other.writing():
        pass


def test_a_second_writer_with_the_same_run_object_is_refused(run):
    with run.writing(), pytest.raises(RunProblem, match="already being trained"), run.writing():
        pass


def test_readers_do_not_take_each_other_for_the_writer(run):
    seen = set()

    def look():
        mine = Run.open(run.id)
        seen.update(mine.read_info().state for _ in range(300))

    readers = [threading.Thread(target=look) for _ in range(3)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(patience())
    assert seen == {"interrupted"}


def test_an_update_changes_what_it_names_and_nothing_else(run):
    with run.writing():
        before = run.read_info()
        run.update(state="training", message="On its way.")
        assert Run.open(run.id).read_info() == dataclasses.replace(before, state="training", message="On its way.")


def test_an_open_run_sees_what_others_write(run):
    reader = Run.open(run.id)
    with run.writing():
        for state in ("training", "paused", "training"):
            run.update(state=state)
            assert reader.read_info().state == state


# What is written


def test_what_is_logged_can_be_read(run):
    with run.writing() as writer:
        writer.log(progress(0, 3.0, val_loss=3.25))
        writer.log(progress(1, 2.5))
    first, second = lines(run.folder / "metrics.jsonl")
    said = dataclasses.asdict(progress(0, 3.0, val_loss=3.25))
    assert first == {name: value for name, value in said.items() if value is not None}
    assert second == {name: value for name, value in dataclasses.asdict(progress(1, 2.5)).items() if value is not None}
    assert run.history.read().rows["train_loss"] == [3.0, 2.5]


@pytest.mark.parametrize("news", [{"val_loss": 3.0}, {"train_loss": float("nan")}], ids=["validation", "no number"])
def test_news_reach_readers_at_once_and_a_step_when_asked(news, run, monkeypatch):
    monkeypatch.setattr(metrics.time, "monotonic", lambda: 100.0)
    with run.writing() as writer:
        writer.log(progress(0))
        writer.log(progress(1, **news))
        assert run.history.read().rows["step"] == [0, 1]
        writer.log(progress(2))
        assert run.history.read().rows["step"] == [0, 1]
        writer.flush()
        assert run.history.read().rows["step"] == [0, 1, 2]


def test_a_step_reaches_readers_within_a_fifth_of_a_second(run, monkeypatch):
    now = 100.0
    monkeypatch.setattr(metrics.time, "monotonic", lambda: now)
    with run.writing() as writer:
        writer.log(progress(0))
        now += 0.1
        writer.log(progress(1))
        assert run.history.read().rows["step"] == [0]
        now += 0.11
        writer.log(progress(2))
        assert run.history.read().rows["step"] == [0, 1, 2]


def test_writing_again_goes_on_after_what_is_there(run):
    for step in (0, 1):
        with run.writing() as writer:
            writer.log(progress(step))
    assert run.history.read().rows["step"] == [0, 1]


def test_events_are_written_one_a_line_and_at_once(run):
    with run.writing() as writer:
        writer.event(3, {"learning_rate": 0.01})
        writer.event(5, {"stop_at_loss": 1.5})
        assert lines(run.folder / "events.jsonl") == [
            {"step": 3, "learning_rate": 0.01},
            {"step": 5, "stop_at_loss": 1.5},
        ]


# Snapshots


def test_a_snapshot_comes_back_bit_for_bit(run, weights):
    run.save_snapshot(8, weights)
    for name, tensor in run.model_at(8).state_dict().items():
        assert torch.equal(tensor, weights[name]), name


def test_snapshots_are_listed_in_order(run, weights):
    for step in (0, 16, 8, 128):
        run.save_snapshot(step, weights)
    assert run.list_snapshots() == [0, 8, 16, 128]


def test_a_snapshot_that_was_not_kept_is_a_problem_and_not_a_crash(run):
    with pytest.raises(WeightsProblem, match=r"step-7\.safetensors cannot be read"):
        run.model_at(7)


def test_snapshots_keep_to_their_budget(run, weights, monkeypatch):
    run.save_snapshot(0, weights)
    (file,) = (run.folder / "snapshots").iterdir()
    monkeypatch.setattr(run_module, "SNAPSHOT_BUDGET", int(4.5 * file.stat().st_size))
    for step in (8, 12, 16, 24, 32, 48, 64):
        run.save_snapshot(step, weights)
        assert len(run.list_snapshots()) <= 4
        assert (run.list_snapshots()[0], run.list_snapshots()[-1]) == (0, step)
    assert len(run.list_snapshots()) == len(list((run.folder / "snapshots").iterdir())) == 4


def test_a_snapshot_larger_than_the_budget_is_kept_beside_the_first(run, weights, monkeypatch):
    monkeypatch.setattr(run_module, "SNAPSHOT_BUDGET", 1)
    for step in (0, 8, 12):
        run.save_snapshot(step, weights)
    assert run.list_snapshots() == [0, 12]


# Disk


def test_what_all_runs_take_is_known_and_beyond_the_limit_none_is_begun(run, text, monkeypatch):
    with run.writing() as writer:
        writer.log(progress())
    kept = sum(path.stat().st_size for path in runs_dir().rglob("*") if path.is_file())
    texts_too = kept + sum(path.stat().st_size for path in texts_dir().iterdir())
    assert disk.bytes_in(run.folder) == kept > 0
    assert disk.disk_use() == texts_too > kept
    monkeypatch.setenv("MICROLLM_DISK", "0.0001")
    with pytest.raises(RunProblem, match=r"0\.0 MB of 0 MB"):
        catalog.create(MODEL, TRAIN, text, preset="quick")
    assert [path.name for path in runs_dir().iterdir()] == [run.id]
    for wish in ("much", "nan", "-1"):
        monkeypatch.setenv("MICROLLM_DISK", wish)
        assert environment.max_disk_bytes() == 20e9


def test_runs_begin_up_to_the_very_byte_that_the_disk_limit_allows(run, text, monkeypatch):
    used = disk.disk_use()
    monkeypatch.setenv("MICROLLM_DISK", f"{used / 1e6:.6f}")
    new = catalog.create(MODEL, TRAIN, text, preset="quick")
    assert disk.disk_use() > used
    with pytest.raises(RunProblem):
        catalog.create(MODEL, TRAIN, text, preset="quick")
    catalog.delete(new)
    monkeypatch.setenv("MICROLLM_DISK", f"{(used - 1) / 1e6:.6f}")
    with pytest.raises(RunProblem):
        catalog.create(MODEL, TRAIN, text, preset="quick")
    assert [path.name for path in runs_dir().iterdir()] == [run.id]
    monkeypatch.delenv("MICROLLM_DISK")
    assert environment.max_disk_bytes() == 20e9


def test_texts_that_no_run_needs_take_a_tenth_of_the_disk_limit_at_most_and_the_oldest_go_first(run, text, monkeypatch):
    unused = [store.keep_text(letter * 1_000) for letter in "abcdef"]
    for age, sha256 in enumerate(reversed(unused), start=1):
        os.utime(texts_dir() / f"{sha256}.txt", (time.time() - age, time.time() - age))
    store.keep_text("b" * 1_000)  # chosen again, so it is the newest
    monkeypatch.setenv("MICROLLM_DISK", f"{0.030 + 1e-6}")
    catalog.limit_unused_texts()
    assert {path.stem for path in texts_dir().glob("*.txt")} == {text.sha256, unused[1], *unused[3:]}  # + newest
    monkeypatch.setenv("MICROLLM_DISK", "0")
    catalog.limit_unused_texts()
    assert {path.stem for path in texts_dir().glob("*.txt")} == {text.sha256, unused[1]}


@pytest.mark.parametrize("how", ["made", "imported"])
def test_a_run_in_another_folder_keeps_its_text_in_the_home(run, text, how, tmp_path, monkeypatch):
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("MICROLLM_RUNS_DIR", str(tmp_path / "else\nwhere"))
        packed = archive.folder_zip(run) if how == "imported" else None
        import_run(packed) if packed else catalog.create(MODEL, TRAIN, text, preset="quick")
    catalog.delete(run)
    catalog.limit_unused_texts()
    assert (texts_dir() / f"{text.sha256}.txt").exists()
    shutil.rmtree(tmp_path / "else\nwhere" / os.listdir(tmp_path / "else\nwhere")[0])
    catalog.forget_unused({text.sha256})
    assert not (texts_dir() / f"{text.sha256}.txt").exists()


def test_a_noted_folder_of_runs_that_is_not_there_now_keeps_all_texts(run, text, tmp_path, monkeypatch):
    drive = tmp_path / "drive"
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("MICROLLM_RUNS_DIR", str(drive / "runs"))
        catalog.create(MODEL, TRAIN, text, preset="quick")
    drive.rename(tmp_path / "not mounted")
    catalog.delete(run)
    monkeypatch.setenv("MICROLLM_DISK", "0")
    store.keep_text("z" * 1_000)  # the newest
    catalog.limit_unused_texts()
    assert texts.is_kept(text)
    monkeypatch.setenv("MICROLLM_RUNS_DIR", str(drive / "runs"))
    catalog.forget_unused({text.sha256})
    assert texts.is_kept(text)


@pytest.mark.parametrize("torn", ['"/mnt/dri', '\n\n"/mnt/dri', "[" * 5_000, "5\n", "\N{REPLACEMENT CHARACTER}"])
def test_a_torn_line_in_the_list_of_folders_keeps_all_texts_and_refuses_no_run(run, text, torn, tmp_path, monkeypatch):
    (environment.home() / "folders-of-runs").write_bytes(torn.encode()[:-1])
    monkeypatch.setenv("MICROLLM_RUNS_DIR", str(tmp_path / "elsewhere"))
    made = [catalog.create(MODEL, TRAIN, text, preset="quick") for _ in range(2)]
    assert (environment.home() / "folders-of-runs").read_text("utf-8", "replace").count("elsewhere") == 1
    for one in (run, *made):
        catalog.delete(one)
    assert texts.is_kept(text)


def test_two_folders_of_runs_are_noted_one_a_line_and_both_keep_their_texts(run, text, tmp_path, monkeypatch):
    for name in ("one", "two", "one"):
        with monkeypatch.context() as elsewhere:
            elsewhere.setenv("MICROLLM_RUNS_DIR", str(tmp_path / name))
            catalog.create(MODEL, TRAIN, text, preset="quick")
    noted = environment.home() / "folders-of-runs"
    assert [json.loads(line) for line in noted.read_text().splitlines()] == [str(tmp_path / n) for n in ("one", "two")]
    noted.write_text(noted.read_text().replace("\n", "\n\n \n"))
    shutil.rmtree(tmp_path / "one" / os.listdir(tmp_path / "one")[0])
    catalog.delete(run)
    assert texts.is_kept(text)
    for folder in ("one", "two"):
        for name in os.listdir(tmp_path / folder):
            shutil.rmtree(tmp_path / folder / name)
    catalog.forget_unused({text.sha256})
    assert not texts.is_kept(text)


def test_without_any_folder_of_runs_texts_are_limited(text, monkeypatch):
    assert not runs_dir().exists()
    catalog.forget_unused({text.sha256})
    assert not texts.is_kept(text)


@pytest.mark.parametrize("content", ['{"format": 99, "text": {"sha256": "%s"}}', "%s, half of a run.json"])
def test_a_run_that_cannot_be_opened_keeps_its_text(run, text, content):
    (run.folder / "run.json").write_text(content % text.sha256)
    catalog.forget_unused({text.sha256})
    assert (texts_dir() / f"{text.sha256}.txt").exists()


def test_a_run_is_not_made_of_a_text_that_is_deleted_though_its_ids_are_in_memory(run, text):
    assert len(run.load_corpus())
    store.forget_text(text.sha256)
    with pytest.raises(TextProblem, match="is no longer stored"):
        catalog.create(MODEL, TRAIN, text, preset="quick")


def test_a_run_is_not_made_of_a_text_that_is_deleted_meanwhile(run, text, monkeypatch):
    count = texts.load_corpus(text.sha256).reference_losses

    def count_while_somebody_deletes(corpus, block_size):
        catalog.delete(run)
        return count(block_size)

    monkeypatch.setattr(Corpus, "reference_losses", count_while_somebody_deletes)
    with pytest.raises(TextProblem, match="is no longer stored"):
        catalog.create(MODEL, TRAIN, text, preset="quick")
    assert all_runs() == []


FORK = multiprocessing.get_context("fork")


@pytest.mark.parametrize(
    ("worker", "event"), [(threading.Thread, threading.Event), (FORK.Process, FORK.Event)], ids=["thread", "process"]
)
def test_a_text_is_not_deleted_between_the_check_that_it_is_stored_and_its_run(text, monkeypatch, worker, event):
    checked, is_kept = event(), catalog.is_kept

    def delete_when_checked():
        checked.wait(patience())
        catalog.forget_unused({text.sha256})

    deleting = worker(target=delete_when_checked, daemon=True)
    deleting.start()

    def check_while_somebody_deletes(text):
        found = is_kept(text)
        checked.set()
        deleting.join(0.3)  # seconds: it takes much less, unless it has to wait
        return found

    monkeypatch.setattr(catalog, "is_kept", check_while_somebody_deletes)
    catalog.create(MODEL, TRAIN, text, preset="quick")
    deleting.join(patience())
    assert not deleting.is_alive() and is_kept(text)


def age(path, seconds=3_700):
    os.utime(path, (time.time() - seconds, time.time() - seconds))


def test_a_deletion_that_is_killed_anywhere_is_finished_an_hour_later(run, text, weights, monkeypatch):
    run.save_snapshot(0, weights)
    gone, unlink, remove = [], os.unlink, os.rmdir

    class Killed(BaseException):
        pass

    def counted(action, after):
        def do(*arguments, **more):
            if len(gone) == after:
                raise Killed
            gone.append(arguments)
            return action(*arguments, **more)

        return do

    whole = runs_dir().with_name("whole")
    shutil.copytree(runs_dir(), whole)
    content = (texts_dir() / f"{text.sha256}.txt").read_bytes()
    for after in itertools.count():
        shutil.rmtree(runs_dir(), ignore_errors=True)
        shutil.copytree(whole, runs_dir())
        (texts_dir() / f"{text.sha256}.txt").write_bytes(content)
        gone.clear()
        with monkeypatch.context() as killed:
            killed.setattr(os, "unlink", counted(unlink, after))
            killed.setattr(os, "rmdir", counted(remove, after))
            try:
                catalog.delete(run)
                break
            except Killed:
                pass
        assert run.folder.exists() and all_runs() == []
        catalog.limit_unused_texts()
        assert run.folder.exists()
        if not os.listdir(run.folder):  # only rmdir was left to do
            continue
        age(run.folder)
        catalog.limit_unused_texts()
        assert not run.folder.exists() and not texts.is_kept(text)
    assert after > 5


def test_what_a_killed_import_or_store_left_goes_after_an_hour_and_keeps_no_text(run, text):
    imported, half = runs_dir() / ".importing-abcd", texts_dir() / f".{text.sha256}.txt.abcd"
    shutil.copytree(run.folder, imported)
    half.write_bytes(b"half")
    catalog.delete(run)
    assert not texts.is_kept(text)
    catalog.limit_unused_texts()
    assert imported.exists() and half.exists()
    age(imported)
    age(half)
    catalog.limit_unused_texts()
    assert not imported.exists() and not half.exists()


def test_nothing_else_among_runs_and_texts_is_swept(run, text, tmp_path):
    others = [runs_dir() / ("a" * 16), runs_dir() / "deleted.json", runs_dir() / "mine", texts_dir() / ".lock"]
    others += [texts_dir() / "a.txt.lock", runs_dir() / ("b" * 16), tmp_path / "outside"]
    for folder in (others[0], others[2], others[6]):
        folder.mkdir()
        (folder / "vocab.json").write_text('"ab"')
    (others[2] / "deleted.json").write_text("{}")
    (others[6] / "deleted.json").write_text("{}")
    (run.folder / "deleted.json").write_text("{}")
    for file in (others[1], others[3], others[4]):
        file.write_text("")
    others[5].symlink_to(others[6])
    before = [*runs_dir().rglob("*"), *texts_dir().rglob("*"), *others[6].rglob("*")]
    for path in before:
        age(path)
    os.utime(others[5], (0, 0), follow_symlinks=False)
    catalog.limit_unused_texts()
    assert all(os.path.lexists(path) for path in before)


def test_while_a_run_cannot_be_read_no_text_is_deleted(run, text, monkeypatch):
    other = store.keep_text("z" * 1_000)

    def refuse(*_):
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as for_now:
        for_now.setattr(catalog, "read_file", refuse)
        catalog.forget_unused({text.sha256, other})
    assert {path.stem for path in texts_dir().glob("*.txt")} == {text.sha256, other}
    catalog.forget_unused({text.sha256, other})
    assert {path.stem for path in texts_dir().glob("*.txt")} == {text.sha256}
