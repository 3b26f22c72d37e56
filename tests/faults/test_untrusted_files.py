"""A zip of a run that anybody may have made: refused with one sentence and nothing kept, or whole and the same."""

import contextlib
import errno
import hashlib
import io
import itertools
import json
import math
import os
import pickle
import random
import shutil
import socket
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import making
import pytest
import torch
from safetensors.torch import load, save

from microllm.__main__ import main
from microllm.data import texts
from microllm.data.builtin import drawing_room, words_twice
from microllm.data.decode import TextProblem
from microllm.environment import runs_dir
from microllm.jobs.slots import Slots
from microllm.jobs.training import TrainingJob
from microllm.runs import catalog, disk, fork, importing, json_files
from microllm.runs.archive import folder_zip
from microllm.runs.catalog import all_runs, runs_and_damaged
from microllm.runs.export import curves_csv
from microllm.runs.importing import import_run
from microllm.runs.info import RunProblem
from microllm.runs.lines import MAX_EVENTS_BYTES
from microllm.runs.run import Run
from microllm.runs.weights import WeightsProblem, read_tensors


@pytest.fixture
def run():
    run = making.new_run(max_steps=12, owner_key="the owner's")
    making.train(run)
    return run


@pytest.fixture
def files(run):
    """What is in its zip, by the names inside its folder."""
    with zipfile.ZipFile(io.BytesIO(folder_zip(run))) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist() if "/" in name}


def packed(
    files: dict[str, bytes], folder: str = "run", keep_manifest: bool = False, method: int = zipfile.ZIP_STORED
) -> bytes:
    """A zip of these files, with a manifest that fits."""
    files = dict(files)
    if not keep_manifest:
        sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name != "manifest.json"}
        files["manifest.json"] = json.dumps(sums).encode()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(f"{folder}/{name}" if folder else name, data)
    return file.getvalue()


def refused(data: bytes, within: float = 1.0) -> str:
    """The sentence with which it is refused. Nothing is kept, and it does not take long: seconds."""
    before = sorted(runs_dir().iterdir())
    began = time.process_time()
    with pytest.raises(RunProblem) as caught:
        import_run(data)
    assert time.process_time() - began < within
    assert sorted(runs_dir().iterdir()) == before
    return str(caught.value)


def with_run_json(files, **changes):
    return packed(files | {"run.json": json.dumps(json.loads(files["run.json"]) | changes).encode()})


# ---- the zip


def test_a_run_comes_back_as_it_was_with_an_id_and_an_owner_of_its_own(run):
    again = import_run(folder_zip(run), owner_key="another's")
    assert again.id != run.id
    assert (again.read_info().model, again.read_info().train) == (run.read_info().model, run.read_info().train)
    assert again.read_info().name == f"{run.read_info().name}-2"  # told apart from the one it was packed from
    assert again.read_info().is_owned_with("another's") and not again.read_info().is_owned_with("the owner's")
    assert again.list_snapshots() == run.list_snapshots()
    assert curves_csv(again) == curves_csv(run)
    for ours, theirs in zip(again.model_at(12).parameters(), run.model_at(12).parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert {path.name for path in runs_dir().iterdir()} == {run.id, again.id}


def test_a_run_with_changes_and_an_extension_comes_back_as_it_was(run):
    run.extend(20)
    training = TrainingJob(run, Slots(1))
    training.change(learning_rate=1e-4)
    training.start()
    training.join()
    again = import_run(folder_zip(run))
    assert len(again.history.changes()) == 2
    assert again.history.changes() == run.history.changes()
    assert curves_csv(again) == curves_csv(run)


def test_changes_that_a_crash_left_out_of_order_are_taken(files):
    lines = b'{"step": 9, "learning_rate": 0.01}\n{"step": 5, "learning_rate": 0.002}\n'
    changes = import_run(packed(files | {"events.jsonl": lines})).history.changes()
    assert [change["step"] for change in changes] == [5, 9]


@pytest.mark.parametrize("data", [b"", b"PK", b"hello" * 100])
def test_what_is_no_zip_is_refused(data, run):
    assert "zip file is damaged" in refused(data)


@pytest.mark.parametrize(
    "name",
    [
        "../evil.json",
        "/etc/passwd",
        "run.json/../../x",
        "snapshots/../../x.safetensors",
        "C:\\x",
        "snapshots/step-01.safetensors",
        "snapshots/step-9999999999.safetensors",
        "checkpoints/step-1/model.pt",
        "lock",
    ],
)
def test_a_name_that_has_no_place_is_refused(name, files):
    assert "does not belong" in refused(packed(files | {name: b"x"}))


def test_two_runs_in_one_zip_are_refused(files):
    data = io.BytesIO(packed(files))
    with zipfile.ZipFile(data, "a") as archive:
        archive.writestr("other/run.json", b"{}")
    assert "does not belong" in refused(data.getvalue())


def test_one_run_in_two_folders_is_refused(files):
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name != "manifest.json"}
    files["manifest.json"] = json.dumps(sums).encode()
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{'a' if name == 'vocab.json' else 'b'}/{name}", content)
    assert "does not belong" in refused(data.getvalue())


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_there_twice_is_refused(files):
    data = io.BytesIO(packed(files))
    with zipfile.ZipFile(data, "a") as archive:
        archive.writestr("run/run.json", files["run.json"])
    assert "'run/run.json' does not belong" in refused(data.getvalue())


def test_too_many_files_and_too_many_bytes_are_counted_before_they_are_read(files, monkeypatch):
    monkeypatch.setattr(importing, "_MAX_FILES", 3)
    assert "a run has at most 3" in refused(packed(files))
    monkeypatch.setattr(importing, "_MAX_FILES", 1_000)
    data = packed(files | {"README.txt": b"0" * 100_000}, folder="")
    monkeypatch.setattr(importing, "MAX_ZIP_BYTES", 90_000)
    assert len(data) > 90_000
    assert refused(data).startswith("This zip is")


def test_a_settings_file_of_megabytes_is_not_read(files):
    assert "run.json" in refused(packed(files | {"run.json": b" " * 2_000_000 + files["run.json"]}))


def test_a_file_that_is_larger_than_the_zip_claims_is_refused(files):
    data = packed(files)
    size, claimed = len(files["metrics.jsonl"]), len(files["metrics.jsonl"]) - 7
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entry = archive.getinfo("run/metrics.jsonl")
    start = data.index(b"PK\x01\x02", data.rindex(b"run/metrics.jsonl") - 46)  # its entry in the central directory
    assert int.from_bytes(data[start + 24 : start + 28], "little") == size == entry.file_size
    lying = data[: start + 24] + claimed.to_bytes(4, "little") + data[start + 28 :]
    assert "Bad CRC-32 for file 'run/metrics.jsonl'" in refused(lying)


@pytest.mark.timeout(30)
def test_a_zip_bomb_is_refused_before_it_is_unpacked(files):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("run/metrics.jsonl", b"0" * 400_000_000)
    assert "the limit is" in refused(file.getvalue())


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_with_bytes_that_were_changed_is_refused_in_a_sentence_or_is_the_same(method, files):
    """Headers, names, lengths and compressed data: for each of them zipfile has errors of another kind."""
    small = {name: data for name, data in files.items() if not name.endswith(".safetensors")}
    whole, rng = packed(small, folder="rün", method=method), random.Random(method)
    assert importing._files(whole).keys() == small.keys() - {"manifest.json"}
    refusals = set()
    for _ in range(1_000):
        data = bytearray(whole)
        for place in rng.sample(range(len(data)), 3):
            data[place] = rng.randrange(256)
        try:
            importing._files(bytes(data))
        except RunProblem as problem:
            refusals.add(type(problem.__cause__).__name__)
    assert refusals > {"BadZipFile", "UnicodeDecodeError"}


def test_a_flipped_byte_is_named(files):
    weights = bytearray(files["snapshots/step-8.safetensors"])
    weights[-1] ^= 1
    data = packed(files | {"snapshots/step-8.safetensors": bytes(weights)}, keep_manifest=True)
    assert refused(data).startswith("snapshots/step-8.safetensors is damaged: its SHA-256")


def test_a_missing_file_and_one_too_many_are_named(files):
    left = {name: data for name, data in files.items() if name != "vocab.json"}
    assert "vocab.json is missing" in refused(packed(left, keep_manifest=True))
    assert "events.jsonl is not in its manifest" in refused(packed(files | {"events.jsonl": b""}, keep_manifest=True))
    assert "manifest.json is missing" in refused(
        packed({k: v for k, v in files.items() if k != "manifest.json"}, keep_manifest=True)
    )


# ---- 16. a pickle under any extension


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


@pytest.fixture(params=["pickle", "an old one", "torch"])
def trapped(request, tmp_path):
    """The bytes of a pickle of any kind. It is never run."""
    trap, file = Trap(tmp_path / "sprung"), io.BytesIO()
    if request.param == "torch":
        torch.save({"lm_head.weight": trap}, file)
    else:
        pickle.dump(trap, file, protocol=0 if request.param == "an old one" else None)
    yield file.getvalue()
    assert not trap.path.exists()


@pytest.mark.parametrize("name", ["model.safetensors", "model.pt", "vocab.json"])
def test_a_pickle_is_not_taken_for_weights(name, trapped, tmp_path):
    (tmp_path / name).write_bytes(trapped)
    with pytest.raises(WeightsProblem, match=f"^{name} is not a"):
        read_tensors(tmp_path / name)


def test_a_pickle_is_not_taken_for_a_run(trapped, run):
    assert "zip" in refused(trapped) or "does not belong" in refused(trapped)


def test_a_pickle_in_any_place_of_a_run_is_refused(trapped, files):
    for name in ("snapshots/step-8.safetensors", "vocab.json", "metrics.jsonl", "events.jsonl", "run.json"):
        assert name.rpartition("/")[2] in refused(packed(files | {name: trapped}))
    assert "manifest.json" in refused(packed(files | {"manifest.json": trapped}, keep_manifest=True))


# ---- 17. safetensors that lie


def header(entries: dict, data: bytes = b"") -> bytes:
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.mark.parametrize(
    "weights",
    [
        header(
            {
                "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                "b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
            },
            b"1234",
        ),  # overlap
        header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, b"12345678"),  # hole
        header({"a": {"dtype": "F32", "shape": [2**62, 8], "data_offsets": [0, 4]}}, b"1234"),  # overflow
        (2**40).to_bytes(8, "little") + b"{}",  # huge header
        header({f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(100_000)}),
    ],
    ids=["overlap", "hole", "overflow", "huge header", "100,000 entries"],
)
def test_safetensors_that_lie_are_refused(weights, files):
    data = packed(files | {"snapshots/step-8.safetensors": weights})
    assert refused(data, within=0.2).startswith("step-8.safetensors")


def test_weights_of_another_shape_or_without_numbers_are_refused(files):
    wrong = save({"token_embedding.weight": torch.zeros(3, 3)})
    assert "does not fit this run's configuration" in refused(packed(files | {"snapshots/step-8.safetensors": wrong}))
    weights = load(files["snapshots/step-8.safetensors"])
    weights["lm_head.bias"][0] = torch.nan
    assert "step-8.safetensors" in refused(packed(files | {"snapshots/step-8.safetensors": save(weights)}))


# ---- 18. a config out of range


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_embd", 10**9), ("n_embd", -16), ("n_layer", "three"), ("block_size", float("nan")), ("dropout", None)],
)
def test_a_config_out_of_range_is_refused_before_anything_is_allocated(name, value, files):
    model = json.loads(files["run.json"])["model"] | {name: value}
    assert name in refused(with_run_json(files, model=model))


@pytest.mark.parametrize(
    "changes",
    [
        {"threads": 10**6},
        {"state": "![](http://x)"},
        {"references": {"uniform": "low"}},
        {"references": {"uniform": 10**400}},
        {"references": {"uniform": None}},
        {"references": {"guess of a friend": 1.0}},
        {"preset": "best"},
        {"name": "\ud800"},
        {"guess": 10**400},
        {"text": {"name": "x", "sha256": "../../x", "characters": 2_000}},
        {"text": {"name": "x", "sha256": "0" * 64, "characters": 10**400}},
        *(
            {"text": {"name": "x", "sha256": "0" * 64, "characters": 2_000} | wrong}
            for wrong in (
                {"how": "upside down"},
                {"first": "all"},
                {"floor": "low"},
                {"floor": 1e300},
                {"name": 5},
                {"notice": ["x"]},
                {"source": {}},
                {"encoding": "utf-8\n--text /etc/passwd"},
                {"encoding": 5},
                {"first": True},
            )
        ),
        {"parent": {"id": "x", "name": "x", "step": 10**400, "goes_on": True, "text": None}},
        {"parent": {"id": "x", "name": "x", "step": 1, "goes_on": True, "text": None, "losses": [0, 0]}},
        {
            "parent": {
                "id": "x",
                "name": "x",
                "step": 1,
                "goes_on": True,
                "text": {"name": "x", "sha256": "../../x", "characters": 2_000},
            }
        },
        *(
            {"twin": {"id": "x", "name": "x", "edit": edit}}
            for edit in (
                {"kind": "rename", "words": ["a"]},
                {"kind": "rename", "words": []},
                {"kind": "plant", "words": []},
                {"kind": "plant", "words": ["a", "b"]},
                {"kind": "repeat", "words": [" "]},
                {"kind": "repeat", "words": ["x" * 301]},
                {"kind": "plant", "words": [5]},
                {"kind": "plant", "words": ["a"], "times": 10**6},
                {"kind": "best", "words": ["a"]},
                {"kind": ["plant"], "words": ["a"]},
                [],
                0,
            )
        ),
        {"twin": "x"},
        {"twin": {"id": ["x"], "name": "x"}},
        {"torch": "2.8\0"},
        {"torch": "2.8\nimport os"},
        {"model": []},
        {"unknown": 1},
        {"experiment": "say-it-twice"},
        {"experiment": {"name": "say-it-twice"}},
        {"experiment": {"name": "say-it-twice", "prediction": None}},
        {"experiment": {"name": "say-it-twice", "prediction": ["two"]}},
        {"experiment": {"name": "![](http://x)", "prediction": "two"}},
        {"experiment": {"name": "say-it-twice", "prediction": "two\n"}},
        {"experiment": {"name": "x" * 41, "prediction": "two"}},
        {"experiment": {"name": "say-it-twice", "prediction": "two", "won": True}},
    ],
)
def test_another_part_of_run_json_that_makes_no_sense_is_refused(changes, files):
    assert "run.json" in refused(with_run_json(files, **changes))


HUGE = b"1" + b"0" * 400


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b'{"step": "x", "seconds": 1}',
        b'{"step": 99.5, "seconds": 1}',
        b'{"step": true, "seconds": 1}',
        b'{"step": 99, "seconds": true}',
        b'{"step": 99, "seconds": -1}',
        b'{"step": 99, "seconds": 1e30}',
        b'{"step": 99, "seconds": 1e9}\n{"step": 100, "seconds": 1}',
        b'{"step": 99, "seconds": 1, "val_loss": 1e16}',
        b'{"step": %s, "seconds": 1}' % HUGE,
        b'{"step": 99, "train_loss": 1}',
        b'{"step": 99, "seconds": null, "train_loss": 1}',
        b'{"step": 99, "seconds": 1, "train_loss": NaN}',
        b'{"step": 99, "seconds": 1, "train_loss": 1e308}',
        b'{"step": 99, "seconds": 1, "train_loss": ["x"]}',
        b'{"step": 99, "seconds": 1, "train_loss": %s}' % HUGE,
        b'{"step": 99, "seconds": 1, "not_finite": [1]}',
    ],
)
def test_a_line_of_metrics_that_is_no_row_is_refused(line, files):
    assert "metrics.jsonl" in refused(packed(files | {"metrics.jsonl": files["metrics.jsonl"] + line + b"\n"}))


@pytest.mark.parametrize(
    "line",
    [
        b'{"step": 3, "learning_rate": -1}',
        b'{"step": 3, "learning_rate": "0.1"}',
        b'{"step": 3, "n_embd": 3}',
        b'{"step": 3, "max_steps": 20, "max_steps_before": []}',
        b'{"step": -1, "learning_rate": 0.1}',
    ],
)
def test_a_live_change_that_could_not_have_been_made_is_refused(line, files):
    assert "of events.jsonl is not valid" in refused(packed(files | {"events.jsonl": line + b"\n"}))


@pytest.mark.parametrize("vocab", ["", "a" * 2, "".join(map(chr, range(0x4E00, 0x4E00 + 6_001))), ["a"]])
def test_a_vocabulary_that_no_tokenizer_has_is_refused(vocab, files):
    assert "vocab.json" in refused(packed(files | {"vocab.json": json.dumps(vocab).encode()}))


@pytest.mark.parametrize("name", ["run.json", "vocab.json", "metrics.jsonl", "events.jsonl"])
def test_a_deeply_nested_json_does_not_break_the_stack(name, files):
    assert name in refused(packed(files | {name: b"[" * 100_000}))


@pytest.mark.parametrize("state", ["training", "interrupted", "stopped", "finished"])
def test_an_imported_run_is_over_and_cannot_be_resumed_because_it_came_without_checkpoints(files, state):
    run = import_run(with_run_json(files, state=state))
    assert run.read_info().state == ("finished" if state == "finished" else "stopped")
    with pytest.raises(RunProblem):
        run.check_what_it_needs()
    assert run.list_snapshots()[-1] == run.history.read().last["step"]


def test_beyond_the_limit_of_the_disk_nothing_is_taken_in(files, monkeypatch):
    monkeypatch.setenv("MICROLLM_DISK", "0")
    assert "MICROLLM_DISK" in refused(packed(files))


def test_imports_leave_a_tenth_of_the_disk_to_training(files, monkeypatch):
    zipped, coming = packed(files), sum(len(data) for name, data in files.items() if name != "manifest.json")
    limit = (disk.disk_use() + coming) / 0.9
    monkeypatch.setenv("MICROLLM_DISK", f"{limit / 1e6 * 0.99:.6f}")
    assert "10%" in refused(zipped)
    disk.check_disk(coming)  # a run that is trained here still fits
    monkeypatch.setenv("MICROLLM_DISK", f"{limit / 1e6 * 1.01:.6f}")
    import_run(zipped)


def test_runs_are_imported_one_at_a_time(files, monkeypatch):
    at_once, most, read = [], [], importing._files

    def watched(data):
        at_once.append(data)
        most.append(len(at_once))
        time.sleep(0.05)
        try:
            return read(data)
        finally:
            at_once.pop()

    monkeypatch.setattr(importing, "_files", watched)
    with ThreadPoolExecutor() as pool:
        assert len({run.id for run in pool.map(import_run, [packed(files)] * 4)}) == 4
    assert max(most) == 1


def test_markup_in_a_name_is_kept_as_it_is_and_short(files):
    name = "![](http://evil/x.png)" * 10
    parent = {"id": "x", "name": name, "step": 1, "goes_on": True, "text": None}
    again = import_run(with_run_json(files, name=name, message=name * 10, parent=parent))
    assert again.read_info().name == again.read_info().parent.name == name[:60]
    assert again.read_info().message == (name * 10)[:500]


def test_a_text_is_called_no_more_than_a_list_of_runs_has_room_for(files):
    long = "x" * 30_000
    text = json.loads(files["run.json"])["text"] | {"name": long, "notice": long}
    parent = {"id": "x", "name": "x", "step": 1, "goes_on": False, "text": text}
    info = import_run(with_run_json(files, text=text, parent=parent)).read_info()
    assert all(len(said) == 1_000 for one in (info.text, info.old_text) for said in (one.name, one.notice))


# ---- 47. limits before parsing


@pytest.mark.parametrize("name", ["metrics.jsonl", "events.jsonl"])
def test_a_line_with_many_names_is_refused_before_it_is_parsed(name, files):
    line = json.dumps({"step": 99, "seconds": 1, **{f"n{i}": 1 for i in range(15_000)}}).encode() + b"\n"
    assert len(line) < MAX_EVENTS_BYTES
    assert name in refused(packed(files | {name: line * (300 if name == "metrics.jsonl" else 1)}))


@pytest.mark.parametrize("name", ["run.json", "vocab.json", "events.jsonl", "manifest.json"])
def test_each_small_file_of_a_zip_has_a_limit(name, files):
    manifest = b"{" + b",".join(b'"%d": "x"' % i for i in range(100_000)) + b"}"
    large = {name: manifest if name == "manifest.json" else files.get(name, b"") + b"\n" * 1_000_000}
    assert name in refused(packed(files | large, keep_manifest=name == "manifest.json"), within=0.2)


def test_a_million_entries_are_counted_before_they_become_objects(files):
    entry = packed(files)
    entry = entry[entry.rindex(b"PK\1\2") : entry.rindex(b"PK\5\6")]  # of the last file in the central directory
    assert "1,000,000 files" in refused(b"PK\3\4" + entry * 1_000_000, within=2.0)


@pytest.fixture
def copied(run):
    """A second run, as it was copied by hand, to be harmed."""
    folder = runs_dir() / ("c" * 16)
    shutil.copytree(run.folder, folder)
    told = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(told | {"id": folder.name, "name": "copied-by-hand"}))
    return Run.open(folder.name)


def replace_by(make):
    def harm(path):
        path.unlink(missing_ok=True)
        make(path)

    return harm


def make_socket(path):
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as made:  # its address must be short
        made.bind(path.name)


NO_FILES = {
    "a folder": replace_by(lambda path: path.mkdir()),
    "a pipe": replace_by(os.mkfifo),
    "a socket": replace_by(lambda path: make_socket(path)),
    "an endless device": replace_by(lambda path: path.symlink_to("/dev/zero")),
    "a link to nothing": replace_by(lambda path: path.symlink_to("nowhere")),
    "a link to itself": replace_by(lambda path: path.symlink_to(path.name)),
    "a terabyte": lambda path: (path.touch(), os.truncate(path, 10**12)),
}


@pytest.mark.parametrize("harm", NO_FILES)
@pytest.mark.parametrize("name", ["run.json", "vocab.json", "metrics.jsonl", "events.jsonl"])
def test_what_is_no_file_of_ours_damages_its_run_alone_and_is_never_waited_for(name, harm, run, copied, capsys):
    NO_FILES[harm](copied.folder / name)
    began = time.process_time()
    assert ([one.id for one in all_runs()], runs_and_damaged()[1]) == ([run.id], [copied.id])
    with pytest.raises(RunProblem, match=f"damaged.*{name}"):
        Run.open(copied.id)
    for arguments in (["generate", "--run"], ["train", "--resume"], ["train", "--fork"]):
        assert main([*arguments, copied.id]) == 2
    assert main(["runs"]) == 0
    assert f"{copied.id}  damaged" in capsys.readouterr().out
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, "1" * 10_000, json.dumps({f"n{i}": 1 for i in range(10_000)}), '{"threads": %s}' % (10**4_000)],
)
def test_json_without_end_or_sense_damages_its_run_alone(content, run, copied):
    for name in ("run.json", "vocab.json"):
        (copied.folder / name).write_text(content)
        assert runs_and_damaged()[1] == [copied.id]
    assert [one.id for one in all_runs()] == [run.id]


def test_a_damaged_file_is_parsed_once_however_often_runs_are_listed(copied, monkeypatch):
    (copied.folder / "run.json").write_text("[" * 100_000)
    parsed = []
    parse = json_files.parsed
    monkeypatch.setattr(json_files, "parsed", lambda data: parsed.append(data) or parse(data))
    for _ in range(5):
        assert runs_and_damaged()[1] == [copied.id]
    assert len(parsed) < 5
    (copied.folder / "run.json").write_text(json.dumps({"name": "x"}))
    assert runs_and_damaged()[1] == [copied.id]


# ---- 48. what is written is checked by the rule that reads


@pytest.mark.parametrize(
    "wrong",
    [
        {"guess": math.inf},
        {"guess": math.nan},
        {"guess": 1e300},
        {"preset": "best"},
        {"preset": "\ud800"},
        {"threads": 10**6},
        {"threads": -1},
        {"text": {"notice": "\ud800"}},
        {"text": {"name": "\udcff"}},
        {"text": {"floor": math.nan}},
        {"text": {"first": 10**10}},
        {"text": {"how": "upside down"}},
        {"text": {"name": "x" * 200_000}},
    ],
    ids=ascii,
)
def test_a_run_that_could_not_be_read_is_never_begun(wrong, run):
    before = tree(runs_dir())
    more = {"preset": "quick", "threads": 1} | wrong
    text = replace(run.read_info().text, **more.pop("text", {}))
    with pytest.raises(RunProblem):
        catalog.create(run.read_info().model, run.read_info().train, text, **more)
    assert tree(runs_dir()) == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "\ud800"},
        {"state": "<b>"},
        {"full_val_loss": math.inf},
        {"guess": math.nan},
        {"created": -1.0},
        {"name": 7},
        {"threads": 0},
        {"references": {"uniform": math.nan}},
        {"references": {"mine": 1.0}},
        {"text": None},
    ],
    ids=str,
)
def test_an_update_that_could_not_be_read_leaves_the_run_as_it_was(wrong, run):
    before = run.read_info()
    with pytest.raises(RunProblem):
        run.update(**wrong)
    assert Run.open(run.id).read_info() == before


def test_a_message_may_quote_anything_and_is_cut(run):
    run.update(message="\ud800" + "x" * 10**6)
    assert Run.open(run.id).read_info().message.startswith("?xxx")
    assert len(run.read_info().message) < 10_000


@pytest.mark.parametrize("first", [2_000, 10**9 + 1, 10**400])
def test_the_first_so_many_characters_of_a_shorter_text_are_all_of_it(first):
    text = texts.prepare(drawing_room(2_000), "made", first=first)
    assert text == texts.prepare(drawing_room(2_000), "made")
    made = making.new_run(text)
    assert Run.open(made.id).read_info().text == text


@pytest.mark.parametrize("at", range(12))
def test_a_disk_that_is_full_half_way_leaves_no_half_run(at, run, monkeypatch):
    before, count, sync = tree(runs_dir()), itertools.count(), os.fsync

    def fill_up(handle):
        if next(count) == at:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    other = texts.prepare(words_twice(3_000), "words")
    data = folder_zip(run)
    begin = [
        lambda: catalog.create(
            run.read_info().model, run.read_info().train, run.read_info().text, preset="quick", threads=1
        ),
        lambda: fork.fork(run, 8),
        lambda: fork.fork(run, 8, other),
    ]
    for start in begin:
        count = itertools.count()
        monkeypatch.setattr("microllm.storage.os.fsync", fill_up)
        try:
            made = start()
        except OSError:
            assert tree(runs_dir()) == before
        else:  # it needs less than that
            assert next(count) <= at
            catalog.delete(made)
        monkeypatch.setattr("microllm.storage.os.fsync", sync)
    monkeypatch.setattr(Path, "write_bytes", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
    with pytest.raises(OSError, match="No space"):
        import_run(data)
    assert tree(runs_dir()) == before


def test_a_fork_is_seen_by_nobody_before_it_is_whole(run, monkeypatch):
    seen, save = [], Run.save_checkpoint

    def save_and_look(*arguments):
        seen.append([one.id for one in all_runs()])
        save(*arguments)

    monkeypatch.setattr(Run, "save_checkpoint", save_and_look)
    fork.fork(run, 8)
    assert seen == [[run.id]]


def tree(folder):
    """All that is in a folder, without locks, which come and go."""
    return sorted(str(path) for path in folder.rglob("*") if path.name != "lock")


# ---- 50. one run hides no other


@pytest.mark.parametrize(
    "harm",
    ["a folder", "a pipe", "a socket", "an endless device", "a link to nothing", "a link to itself"],
)
def test_a_lock_that_cannot_be_used_is_held_by_nobody_and_refuses_the_writer(harm, run, copied):
    copied.update(state="training")
    NO_FILES[harm](copied.folder / "lock")
    assert Run.open(copied.id).read_info().state == "interrupted"
    assert {one.id for one in all_runs()} == {run.id, copied.id}
    with pytest.raises(RunProblem, match="lock"), copied.writing():
        pass
    assert main(["runs"]) == 0


def test_to_look_at_a_run_writes_nothing(run, copied):
    copied.update(state="training")
    (copied.folder / "lock").unlink(missing_ok=True)
    before = sorted(str(path) for path in runs_dir().rglob("*"))
    assert Run.open(copied.id).read_info().state == "interrupted"
    assert len(all_runs()) == 2
    assert sorted(str(path) for path in runs_dir().rglob("*")) == before


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="there are no such permissions here")
def test_who_may_not_look_into_a_folder_is_told_that_it_is_damaged(run, copied, monkeypatch):
    """The tests may be run by root, who may look everywhere: another user looks, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        place = Path(shutil.copytree(runs_dir(), f"{folder}/runs"))
        for file in place.glob("*/*.json"):
            file.chmod(0o644)
        (place / copied.id).chmod(0)
        monkeypatch.setenv("MICROLLM_RUNS_DIR", str(place))
        child = os.fork()
        if not child:
            with contextlib.suppress(BaseException):
                if os.geteuid() == 0:
                    os.setuid(65534)
                answers = [one.id for one in all_runs()], runs_and_damaged()[1], catalog.free_name("x")
                os._exit(17 if answers == ([run.id], [copied.id], "x") and disk.disk_use() else 18)
            os._exit(19)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        (place / copied.id).chmod(0o755)
    assert code == 17


def test_whatever_lies_among_the_runs_is_no_run_or_a_damaged_one(run):
    (runs_dir() / ("a" * 16)).write_text("a file")
    (runs_dir() / ("b" * 16)).mkdir()
    (runs_dir() / ("c" * 16)).symlink_to("nowhere")
    (runs_dir() / ("d" * 16)).symlink_to("d" * 16)
    (runs_dir() / ("e" * 15 + "٣")).mkdir()
    os.mkfifo(runs_dir() / ("f" * 16))
    os.mkdir(os.fsencode(runs_dir()) + b"/\xff\xfe")
    (run.folder / "snapshots" / os.fsdecode(b"step-\xff.safetensors")).write_text("")
    (run.folder / "\n").symlink_to("/")
    opened, damaged = runs_and_damaged()
    assert ([one.id for one in opened], damaged) == ([run.id], ["c" * 16, "d" * 16])
    assert disk.disk_use() < 10**7
    assert catalog.free_name(run.read_info().name) != run.read_info().name
    catalog.delete(import_run(folder_zip(run)))
    assert main(["runs"]) == 0


def test_runs_that_are_deleted_while_others_list_and_delete_raise_for_nobody(run):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("microllm.storage.os.fsync", lambda _: None)
        made = [
            catalog.create(
                run.read_info().model, run.read_info().train, run.read_info().text, preset="quick", threads=1
            )
            for _ in range(24)
        ]
    with ThreadPoolExecutor(8) as threads:
        listing = [threads.submit(lambda: [runs_and_damaged() for _ in range(15)]) for _ in range(4)]
        sizes = [
            threads.submit(lambda: [(disk.disk_use(), catalog.free_name("x")) for _ in range(15)]) for _ in range(2)
        ]
        deleting = [threads.submit(catalog.delete, one) for one in made]
        for answer in (*listing, *sizes, *deleting):
            answer.result()
    assert [one.id for one in all_runs()] == [run.id]
    assert {damaged for answer in listing for _, one in answer.result() for damaged in one} == set()
    assert [path.name for path in runs_dir().iterdir()] == [run.id]


def test_a_run_that_two_delete_at_once_is_gone(run, copied):
    both = Run.open(copied.id), Run.open(copied.id)
    with ThreadPoolExecutor(2) as threads:
        answers = [threads.submit(catalog.delete, one) for one in both]
        problems = [answer.exception() for answer in answers]
    assert None in problems
    assert all(problem is None or isinstance(problem, RunProblem) for problem in problems)
    assert not copied.folder.exists()


# ---- 51. the parts of a run are compared


@pytest.mark.parametrize(
    "vocab",
    [lambda vocab: vocab[:-1] + "Ж", lambda vocab: vocab[1:] + vocab[0]],
    ids=["another character", "another order"],
)
def test_a_vocabulary_that_is_not_that_of_the_kept_text_is_refused(vocab, files, run, copied):
    other = json.dumps(vocab(run.tokenizer.vocab)).encode()
    assert run.read_info().text.name in refused(packed(files | {"vocab.json": other}))
    (copied.folder / "vocab.json").write_bytes(other)
    with pytest.raises(TextProblem, match=run.read_info().text.name):
        Run.open(copied.id).load_corpus()


def test_a_text_of_another_length_is_refused(files, run, copied):
    wrong = {"text": json.loads(files["run.json"])["text"] | {"characters": 1_999}}
    assert run.read_info().text.name in refused(with_run_json(files, **wrong))
    (copied.folder / "run.json").write_text(json.dumps(json.loads((copied.folder / "run.json").read_text()) | wrong))
    with pytest.raises(TextProblem, match=run.read_info().text.name):
        Run.open(copied.id).load_corpus()


def test_without_the_text_a_run_can_still_be_looked_at(files, run):
    catalog.delete(run)
    again = import_run(packed(files))
    assert again.model_at(8).vocab_size == again.tokenizer.vocab_size


def test_a_fork_on_another_text_has_the_characters_of_its_parent_and_is_taken(run):
    other = texts.prepare(words_twice(3_000), "words")
    child = fork.fork(run, 8, other)
    assert import_run(folder_zip(child)).load_corpus().tokenizer.vocab == run.tokenizer.vocab
    small = texts.prepare("ab" * 500, "ab")
    told = json.loads((child.folder / "run.json").read_text())
    with zipfile.ZipFile(io.BytesIO(folder_zip(child))) as archive:
        packed_child = {name.partition("/")[2]: archive.read(name) for name in archive.namelist() if "/" in name}
    lie = {"text": told["text"] | {"sha256": small.sha256, "characters": 1_000}}
    assert import_run(with_run_json(packed_child, **lie))  # all its characters are known
    strange = texts.prepare("ЖЩЮ" * 400, "strange")
    lie = {"text": told["text"] | {"sha256": strange.sha256, "characters": 1_200}}
    assert "words" in refused(with_run_json(packed_child, **lie))


def scaled(weights, name, by):
    return weights | {name: weights[name] * by}


@pytest.mark.parametrize(
    "harm",
    [
        lambda weights: {
            name: tensor.sign() * 3e38 if tensor.dim() == 2 else tensor for name, tensor in weights.items()
        },
        lambda weights: weights | {"lm_head.weight": torch.full_like(weights["lm_head.weight"], 3e38)},
        lambda weights: {
            name: torch.where(torch.arange(len(tensor))[:, None] == 5, 3e38, tensor) if "token_emb" in name else tensor
            for name, tensor in weights.items()
        },
        lambda weights: {name: tensor.double() for name, tensor in weights.items()},
        lambda weights: {name: tensor.bfloat16() for name, tensor in weights.items()},
        lambda weights: weights | {"lm_head.bias": weights["lm_head.bias"].to(torch.int32)},
        lambda weights: weights | {"lm_head.bias": weights["lm_head.bias"].to(torch.complex64)},
    ],
    ids=["all huge", "the head huge", "one character huge", "doubles", "halves", "whole", "complex"],
)
def test_weights_that_give_no_finite_scores_are_refused(harm, files, copied):
    wrong = save(
        {name: tensor.contiguous() for name, tensor in harm(load(files["snapshots/step-8.safetensors"])).items()}
    )
    assert "step-8.safetensors" in refused(packed(files | {"snapshots/step-8.safetensors": wrong}))
    (copied.folder / "snapshots" / "step-8.safetensors").write_bytes(wrong)
    with pytest.raises(WeightsProblem, match="step-8"):
        copied.model_at(8)
    assert main(["generate", "--run", copied.id, "--step", "8", "--prompt", "a"]) == 2


def test_sound_weights_are_tried_once(copied, monkeypatch):
    copied.model_at(8)
    monkeypatch.setattr("microllm.model.MicroLLM.forward", lambda *_: pytest.fail("tried again"))
    copied.model_at(8)


def test_metrics_end_where_the_run_ends_and_go_up(files):
    def row(step: int) -> bytes:
        return b'{"step": %d, "seconds": 1}\n' % step

    assert "13" in refused(packed(files | {"metrics.jsonl": files["metrics.jsonl"] + row(13)}))
    assert "metrics.jsonl" in refused(packed(files | {"metrics.jsonl": row(0) + row(2) + row(1)}))
    assert "metrics.jsonl" in refused(packed(files | {"metrics.jsonl": row(0) + row(0)}))


def test_a_snapshot_of_a_step_that_was_never_made_is_refused_or_left_out(files):
    short = files | {"metrics.jsonl": b"".join(files["metrics.jsonl"].splitlines(keepends=True)[:9])}
    assert "step-12.safetensors" in refused(packed(short))
    for state in ("training", "interrupted"):  # packed while it trained, or killed: the log may be behind
        assert import_run(with_run_json(short, state=state)).list_snapshots() == [0, 8]


# ---- 53. a name is ours or it is not

FOREIGN = [
    "step-8 (copy).safetensors",
    "step-٣.safetensors",
    "step-¹².safetensors",
    "step-008.safetensors",
    "step--3.safetensors",
    "step-+3.safetensors",
    "step-1_0.safetensors",
    "step- 9.safetensors",
    "step-.safetensors",
    "step-best.safetensors",
    "step-9.SAFETENSORS",
    "step-9.safetensors.bak",
    "step-9.safetensors\n",
    "step-9999999999.safetensors",
    "._step-9.safetensors",
]


@pytest.mark.parametrize("name", FOREIGN, ids=ascii)
def test_a_file_that_only_looks_like_a_snapshot_is_ignored(name, copied):
    before, folder = copied.list_snapshots(), copied.folder / "snapshots"
    shutil.copy(folder / "step-8.safetensors", folder / name)
    assert copied.list_snapshots() == before
    assert not [path for path in zipfile.ZipFile(io.BytesIO(folder_zip(copied))).namelist() if path.endswith(name)]
    assert import_run(folder_zip(copied)).list_snapshots() == before
    assert main(["generate", "--run", copied.id, "--prompt", "a", "--length", "1"]) == 0


@pytest.mark.parametrize("name", [*FOREIGN, "step-9"], ids=ascii)
def test_a_folder_that_only_looks_like_a_checkpoint_is_ignored(name, copied):
    before, folder = copied.list_checkpoints(), copied.folder / "checkpoints"
    (folder / name.removesuffix(".safetensors")).symlink_to(folder / f"step-{before[-1]}")
    shutil.copytree(folder / f"step-{before[-1]}", folder / "step-٩٩")
    (folder / "step-98").write_text("a file")
    assert copied.list_checkpoints() == before
    assert copied.load_checkpoint()[0].step == before[-1]


@pytest.mark.parametrize("harm", [one for one in NO_FILES if one != "a terabyte"])
def test_what_is_no_file_is_no_snapshot(harm, copied):
    before = copied.list_snapshots()
    NO_FILES[harm](copied.folder / "snapshots" / "step-9.safetensors")
    assert copied.list_snapshots() == before
    with pytest.raises(WeightsProblem):
        copied.model_at(9)


@pytest.mark.parametrize(
    "about", [{"step": 8.0}, {"step": "12"}, {"seconds": "x"}, {"seconds": None}, {"seconds": 10**400}]
)
def test_a_checkpoint_whose_state_makes_no_sense_is_passed_over(about, copied):
    place = copied.folder / "checkpoints" / f"step-{copied.list_checkpoints()[-1]}"
    content = json.dumps(json.loads((place / "state.json").read_text()) | about).encode()
    sums = json.loads((place / "manifest.json").read_text()) | {"state.json": hashlib.sha256(content).hexdigest()}
    (place / "state.json").write_bytes(content)
    (place / "manifest.json").write_text(json.dumps(sums))
    found = copied.load_checkpoint()
    assert found is None or found[0].step < int(place.name.removeprefix("step-"))


# ---- what systems add to a zip


def repacked(files, around="", **more: bytes):
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in more.items():
            archive.writestr(name, data)
        for name, data in (files | {"manifest.json": json.dumps(sums).encode()}).items():
            archive.writestr(around + name, data)
    return file.getvalue()


@pytest.fixture
def bare(files):
    return {name: data for name, data in files.items() if name != "manifest.json"}


@pytest.mark.parametrize("around", ["", "a run/", "My runs/a run/", "a/b/c/"])
def test_folders_around_a_run_are_forgiven(around, bare, run):
    assert import_run(repacked(bare, around)).list_snapshots() == run.list_snapshots()


@pytest.mark.parametrize(
    "name",
    [
        "__MACOSX/run/._run.json",
        "__MACOSX/._run",
        "run/__MACOSX/x",
        "run/.DS_Store",
        ".DS_Store",
        "run/snapshots/.DS_Store",
        "run/._vocab.json",
        "run/snapshots/._step-8.safetensors",
        "run/Thumbs.db",
        "desktop.ini",
        "README.txt",
        "run/README.txt",
        "run/snapshots/",
    ],
)
def test_what_systems_add_is_not_looked_at(name, bare, run):
    again = import_run(repacked(bare, "run/", **{name: b"x" * 100}))
    assert again.list_snapshots() == run.list_snapshots()
    assert not [path for path in again.folder.rglob("*") if path.name == name.rpartition("/")[2] != ""]


@pytest.mark.parametrize(
    "name",
    [
        "../.DS_Store",
        "run/../../__MACOSX/x",
        "../README.txt",
        "/run.json",
        "other/run.json",
        "notes.txt",
        "run/x/run.json",
    ],
)
def test_a_way_out_and_what_is_not_known_stays_refused(name, bare):
    refused(repacked(bare, "run/", **{name: b"{}"}))


def test_a_zip_without_its_run_json_says_so(bare):
    del bare["run.json"]
    assert "run.json is missing" in refused(repacked(bare, "a/b/"))
