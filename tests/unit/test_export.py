"""What is taken along can be used elsewhere: by a spreadsheet, by another MicroLLM, by a shell."""

import csv
import dataclasses
import io
import json
import math
import shlex
import shutil
import subprocess
import zipfile
from functools import partial

import making
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from microllm.__main__ import _parser
from microllm.config import PRESETS, configs_from, knobs, problems
from microllm.data import store, texts
from microllm.data.builtin import drawing_room, words_twice
from microllm.environment import runs_dir
from microllm.runs import archive, catalog, export
from microllm.runs.run import Run


@pytest.fixture
def text():
    return texts.prepare(words_twice(2_000), "mine.txt")


new_run = partial(making.new_run, max_steps=30, owner_key="secret")


@pytest.fixture
def finished(text):
    run = new_run(text)
    assert making.train(run) == "finished"
    return run


# ---- curves


def test_the_csv_has_every_logged_row_and_the_losses_in_both_units(finished):
    rows = list(csv.DictReader(io.StringIO(export.curves_csv(finished))))
    logged = [json.loads(line) for line in (finished.folder / "metrics.jsonl").read_text().splitlines()]
    assert [int(row["step"]) for row in rows] == [line["step"] for line in logged] == list(range(31))
    for row, line in zip(rows, logged, strict=True):
        for name in ("train", "val"):
            nats, bits = row[f"{name}_loss_nats_per_character"], row[f"{name}_loss_bits_per_character"]
            if f"{name}_loss" in line:
                assert float(nats) == line[f"{name}_loss"]
                assert float(bits) == pytest.approx(line[f"{name}_loss"] / math.log(2))
            else:
                assert nats == bits == ""
        assert float(row["seconds"]) == line["seconds"]
        assert float(row["characters_per_second"]) == line["tokens_per_second"]


def test_a_loss_that_is_no_number_is_an_empty_cell(text):
    run = new_run(text)
    (run.folder / "metrics.jsonl").write_text(
        '{"step": 0, "seconds": 0.0, "train_loss": null, "not_finite": ["train_loss"]}\n'
    )
    (row,) = csv.DictReader(io.StringIO(export.curves_csv(run)))
    assert row["train_loss_nats_per_character"] == row["train_loss_bits_per_character"] == ""


def test_a_run_without_a_step_gives_a_header_only(text):
    assert len(export.curves_csv(new_run(text)).splitlines()) == 1


# ---- the folder


def test_the_zip_opens_as_a_run_in_another_home(finished, tmp_path, monkeypatch):
    data = archive.folder_zip(finished)
    assert abs(len(data) - archive.folder_bytes(finished)) < 20_000
    there = tmp_path / "elsewhere"
    zipfile.ZipFile(io.BytesIO(data)).extractall(there)
    monkeypatch.setenv("MICROLLM_RUNS_DIR", str(there))
    assert runs_dir() == there
    run = Run.open(finished.id)
    assert run.folder != finished.folder
    assert run.read_info().model == finished.read_info().model
    assert run.list_snapshots() == finished.list_snapshots()
    assert run.history.read().rows == finished.history.read().rows
    assert run.tokenizer.vocab == finished.tokenizer.vocab
    for step in run.list_snapshots():
        ours, theirs = finished.model_at(step).state_dict(), run.model_at(step).state_dict()
        assert all(ours[name].equal(theirs[name]) for name in ours)


def test_the_zip_leaves_out_locks_temporary_files_half_lines_and_whose_it_was(finished):
    (finished.folder / "snapshots" / ".step-9.safetensors.abc").write_bytes(b"half")
    (finished.folder / "lock").touch()
    with (finished.folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 31, "train_l')
    packed = zipfile.ZipFile(io.BytesIO(archive.folder_zip(finished)))
    snapshots = {f"{finished.id}/snapshots/step-{step}.safetensors" for step in finished.list_snapshots()}
    rest = {f"{finished.id}/{name}" for name in ("run.json", "vocab.json", "metrics.jsonl", "manifest.json")}
    assert set(packed.namelist()) == snapshots | rest | {"README.txt"}
    assert packed.read(f"{finished.id}/metrics.jsonl").endswith(b"}\n")
    assert finished.read_info().owner
    assert finished.read_info().owner.encode() not in b"".join(packed.read(name) for name in packed.namelist())
    assert packed.testzip() is None


def test_a_snapshot_that_goes_while_the_zip_is_made_is_left_out(finished, monkeypatch):
    files = list(archive._files(finished))
    monkeypatch.setattr(archive, "_files", lambda run: [*files, run.folder / "snapshots" / "step-99.safetensors"])
    assert "step-99" not in str(zipfile.ZipFile(io.BytesIO(archive.folder_zip(finished))).namelist())


@pytest.mark.parametrize(
    ("name", "file"), [("brave-darcy", "brave-darcy.csv"), ("../../etc\0", "etc.csv"), ("é", None), ("x" * 999, None)]
)
def test_a_file_is_called_as_every_system_allows(name, file, text):
    run = new_run(text)
    run.update(name=name)
    made = export.file_name(run, "csv")
    assert made == file or (file is None and made.isascii() and 5 < len(made) < 70)


# ---- the command line


def understood(command: str):
    """What the program makes of a command: preset, configurations, and its other options."""
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "microllm"]
    options = vars(_parser().parse_args(words[3:]))
    given = {name: value for name, value in options.items() if name in knobs()}
    return options, configs_from(given, options["preset"])


def a_value(knob):
    meta = knob.metadata
    if meta["choices"]:
        return st.sampled_from(meta["choices"])
    kind = st.integers if knob.type == "int" else st.floats
    high = min(meta["high"], 16) if knob.name in ("block_size", "n_layer", "batch_size") else meta["high"]
    return kind(meta["low"], high)


values = st.fixed_dictionaries({}, optional={name: a_value(knob) for name, knob in knobs().items()})


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(preset=st.sampled_from(list(PRESETS)), values=values)
def test_the_command_line_says_the_same_configuration(text, preset, values):
    values = {"block_size": 8} | values
    model, train = configs_from(values, preset)
    if problems(model, train, text.characters):
        return
    run = catalog.create(model, train, text, preset=preset, threads=1)
    options, configs = understood(export.command_line(run))
    assert configs == (model, train)
    assert options["preset"] == preset


def test_the_command_line_names_only_what_differs_from_the_preset():
    text = texts.choose("drawing-room", first=30_000, how="reversed")
    run = catalog.create(*configs_from({"block_size": 16, "seed": 7}, "article"), text, preset="article", threads=1)
    assert export.command_line(run) == (
        "python -m microllm train --preset article --block_size 16 --seed 7 --text drawing-room --transform reversed "
        "--first 30000"
    )


@pytest.mark.parametrize("how", ["none", "letters"])
def test_the_command_line_leads_to_the_very_text(how):
    text = texts.choose("words-twice", first=3_000, how=how)
    options, _ = understood(export.command_line(new_run(text)))
    assert texts.choose(*options["text"], how=options["transform"] or "none", first=options["first"]) == text


@pytest.mark.parametrize("name", ["mine.txt", "-rf", "book", "it's $HOME; rm -rf ~ `x`.txt", "two\nlines", "Ω ☕.txt"])
def test_an_own_text_is_a_file_however_it_is_called(name):
    run = new_run(texts.prepare(drawing_room(2_000), name))
    options, _ = understood(export.command_line(run))
    assert options["text"] == [f"./{name}"]
    assert any("own" in sentence for sentence in export.caveats(run))


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_a_terminal_obeys_nothing_in_the_command(monkeypatch):
    name = "a\x03\ntouch pwned\n#\x1b[201~\x9b31m\r'\\x.txt"
    line = export.command_line(new_run(texts.prepare(drawing_room(2_000), name)))
    assert all(letter.isprintable() or letter == "\n" for letter in line)
    program = line.replace("python -m microllm train", "printf '%s\\0'")
    parts = subprocess.run(["bash", "-c", program], capture_output=True, env={"LC_ALL": "C.UTF-8"}).stdout.decode()
    assert parts.split("\0")[-2] == f"./{name}"


def test_a_file_that_looks_like_a_flag_is_none():
    text = dataclasses.replace(texts.choose("words-twice", first=3_000), source="--max_steps=1\0-\0book")
    assert export.sources(text) == ["./--max_steps=1", "-", "book"]


def test_several_files_and_standard_input_are_named_in_their_order_with_the_encoding_of_all(tmp_path, monkeypatch):
    for name in ("b.txt", "a 1.txt"):
        (tmp_path / name).write_bytes(("Все счастливые семьи похожи. " * 20).encode("cp1251"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("Дом. ".encode("cp1251") * 40)))
    text = texts.choose("b.txt", "-", "a 1.txt", "words-twice", encoding="windows-1251")
    options, _ = understood(export.command_line(new_run(text)))
    assert options["text"] == ["./b.txt", "-", "./a 1.txt", "words-twice"]
    assert options["encoding"] == "cp1251"


def test_a_pasted_text_is_a_file_for_who_downloads_it_and_is_not_turned_twice(tmp_path, monkeypatch):
    content = drawing_room(2_000)
    for how, first in (("none", None), ("words", None), ("reversed", 1_500)):
        run = new_run(texts.prepare(content, texts.PASTED, how=how, first=first))
        options, _ = understood(export.command_line(run))
        monkeypatch.chdir(tmp_path)
        (tmp_path / "Pasted text").write_bytes(export.pasted_text(run))
        again = texts.choose(*options["text"], how=options["transform"] or "none", first=options["first"])
        assert again.sha256 == run.read_info().text.sha256
    store.forget_text(run.read_info().text.sha256)
    assert export.pasted_text(run) is None
    assert export.pasted_text(new_run(texts.prepare(content, "a file.txt"))) is None


def test_what_the_command_line_cannot_say_is_said_beside_it(finished):
    assert len(export.caveats(finished)) == 1  # its text is somebody's own
    (finished.folder / "events.jsonl").write_text('{"step": 12, "learning_rate": 0.1}\n')
    finished.update(state="stopped")
    said = " ".join(export.caveats(finished))
    assert "step 12" in said
    assert "step 30" in said


def test_threads_are_named_where_a_machine_could_choose_another_number(text):
    run = new_run(text, threads=3)
    assert "--threads 3" in export.command_line(run)
    assert "--threads" not in export.command_line(new_run(text))


def test_a_run_of_an_earlier_version_names_its_text_as_well_as_it_can(text):
    run = new_run(text)
    path = run.folder / "run.json"
    data = json.loads(path.read_text())
    for name in ("source", "how", "first", "encoding"):
        del data["text"][name]
    for name, expected in {
        "Pride and Prejudice": "book",
        "Words said twice": "words-twice",
        "a.txt": "./a.txt",
    }.items():
        path.write_text(json.dumps(data | {"text": data["text"] | {"name": name}}))
        options, _ = understood(export.command_line(Run.open(run.id)))
        assert options["text"] == [expected]
