"""A zip of a run that anybody may have made: refused with one sentence and nothing kept, or whole and the same."""

import hashlib
import io
import json
import pickle
import random
import time
import zipfile

import pytest
import torch
from safetensors.torch import load, save

from microllm import configs_from, importing, texts
from microllm.builtin import drawing_room
from microllm.checkpoint import WeightsProblem, read_tensors
from microllm.export import curves_csv, folder_zip
from microllm.home import runs_dir
from microllm.importing import import_run
from microllm.runs import Run, RunProblem
from microllm.slots import Slots
from microllm.training import Training

TINY = {"block_size": 8, "n_embd": 16, "n_head": 2, "n_layer": 1, "batch_size": 4, "max_steps": 12}


@pytest.fixture
def run():
    text = texts.prepare(drawing_room(2_000), "made")
    model, train = configs_from(TINY)
    run = Run.create(model, train, text, preset="quick", threads=1, token="the owner's")
    Training(run, Slots(1)).run()
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
    again = import_run(folder_zip(run), token="another's")
    assert again.id != run.id
    assert (again.info.model, again.info.train) == (run.info.model, run.info.train)
    assert again.info.name == f"{run.info.name}-2"  # told apart from the one it was packed from
    assert again.info.is_owned_with("another's") and not again.info.is_owned_with("the owner's")
    assert again.snapshots == run.snapshots
    assert curves_csv(again) == curves_csv(run)
    for ours, theirs in zip(again.model_at(12).parameters(), run.model_at(12).parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert {path.name for path in runs_dir().iterdir()} == {run.id, again.id}


def test_a_run_with_changes_and_an_extension_comes_back_as_it_was(run):
    run.extend(20)
    training = Training(run, Slots(1))
    training.change(learning_rate=1e-4)
    training.run()
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
    assert "not a whole zip" in refused(data)


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
    assert "has no place" in refused(packed(files | {name: b"x"}))


def test_two_runs_in_one_zip_are_refused(files):
    data = io.BytesIO(packed(files))
    with zipfile.ZipFile(data, "a") as archive:
        archive.writestr("other/run.json", b"{}")
    assert "has no place" in refused(data.getvalue())


def test_one_run_in_two_folders_is_refused(files):
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name != "manifest.json"}
    files["manifest.json"] = json.dumps(sums).encode()
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{'a' if name == 'vocab.json' else 'b'}/{name}", content)
    assert "has no place" in refused(data.getvalue())


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_there_twice_is_refused(files):
    data = io.BytesIO(packed(files))
    with zipfile.ZipFile(data, "a") as archive:
        archive.writestr("run/run.json", files["run.json"])
    assert "'run/run.json' has no place" in refused(data.getvalue())


def test_too_many_files_and_too_many_bytes_are_counted_before_they_are_read(files, monkeypatch):
    monkeypatch.setattr(importing, "_MOST_FILES", 3)
    assert "a run has at most 3" in refused(packed(files))
    monkeypatch.setattr(importing, "_MOST_FILES", 1_000)
    data = packed(files | {"README.txt": b"0" * 100_000}, folder="")
    monkeypatch.setattr(importing, "MOST_BYTES", 90_000)
    assert len(data) > 90_000
    assert refused(data).startswith("This zip has")


def test_a_settings_file_of_megabytes_is_not_read(files):
    assert "run.json has 2 MB" in refused(packed(files | {"run.json": b" " * 2_000_000 + files["run.json"]}))


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
    assert "at most" in refused(file.getvalue())


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
    assert refused(data) == "snapshots/step-8.safetensors is damaged: its SHA-256 differs from the manifest's."


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
        torch.save({"head.weight": trap}, file)
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
    assert "zip" in refused(trapped) or "has no place" in refused(trapped)


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
    weights["head.bias"][0] = torch.nan
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
            )
        ),
        {"parent": {"id": "x", "name": "x", "step": 10**400, "goes_on": True, "text": None}},
        {
            "parent": {
                "id": "x",
                "name": "x",
                "step": 1,
                "goes_on": True,
                "text": {"name": "x", "sha256": "../../x", "characters": 2_000},
            }
        },
        {"model": []},
        {"unknown": 1},
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
    assert "of events.jsonl cannot be understood" in refused(packed(files | {"events.jsonl": line + b"\n"}))


@pytest.mark.parametrize("vocab", ["", "a" * 2, "".join(map(chr, range(0x4E00, 0x4E00 + 6_001))), ["a"]])
def test_a_vocabulary_that_no_tokenizer_has_is_refused(vocab, files):
    assert "vocab.json" in refused(packed(files | {"vocab.json": json.dumps(vocab).encode()}))


@pytest.mark.parametrize("name", ["run.json", "vocab.json", "metrics.jsonl", "events.jsonl"])
def test_a_deeply_nested_json_does_not_break_the_stack(name, files):
    assert name in refused(packed(files | {name: b"[" * 100_000}))


def test_a_run_that_was_packed_while_it_trained_is_one_that_was_interrupted(files):
    assert import_run(with_run_json(files, state="training")).info.state == "interrupted"


def test_beyond_the_limit_of_the_disk_nothing_is_taken_in(files, monkeypatch):
    monkeypatch.setenv("MICROLLM_DISK", "0")
    assert "MICROLLM_DISK allows 0" in refused(packed(files))


def test_markup_in_a_name_is_kept_as_it_is_and_short(files):
    name = "![](http://evil/x.png)" * 10
    parent = {"id": "x", "name": name, "step": 1, "goes_on": True, "text": None}
    again = import_run(with_run_json(files, name=name, message=name * 10, parent=parent))
    assert again.info.name == again.info.parent.name == name[:60]
    assert again.info.message == (name * 10)[:500]
