"""Damaged or hand-copied runs: each page reports them in a sentence, and the menu still lists the others."""

import json
import os
import re
import secrets
import shutil

import pytest
from play import click, complaints, keys, open_app, said
from safetensors.torch import load_file, save_file

from microllm.data import texts
from microllm.data.builtin import words_twice
from microllm.environment import runs_dir
from microllm.runs import catalog, fork
from microllm.runs.run import Run

PAGES = ("train", "attention", "generate", "inside")


@pytest.fixture
def copied(finished_run):
    """A second run that was copied by hand, to be damaged."""
    folder = runs_dir() / secrets.token_hex(8)
    shutil.copytree(finished_run.folder, folder)
    told = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(told | {"id": folder.name, "name": "copied-by-hand"}))
    return Run.open(folder.name)


def make_pipe(path):
    path.unlink()
    os.mkfifo(path)


def make_folder(path):
    path.unlink()
    path.mkdir()


DAMAGE = {
    "a pipe for run.json": lambda folder: make_pipe(folder / "run.json"),
    "a terabyte of run.json": lambda folder: os.truncate(folder / "run.json", 10**12),
    "a folder for metrics.jsonl": lambda folder: make_folder(folder / "metrics.jsonl"),
    "a terabyte of metrics.jsonl": lambda folder: os.truncate(folder / "metrics.jsonl", 10**12),
    "a pipe for vocab.json": lambda folder: make_pipe(folder / "vocab.json"),
    "no vocab.json": lambda folder: (folder / "vocab.json").unlink(),
    "a file for snapshots": lambda folder: (shutil.rmtree(folder / "snapshots"), (folder / "snapshots").write_text("")),
}


@pytest.fixture(autouse=True)
def lists_all(monkeypatch):
    """The menu lists everybody's runs, as on one's own machine."""
    monkeypatch.setenv("MICROLLM_LIST", "all")


def open_the_menu(at):
    at.session_state["runs-menu"] = True
    return at.run()


# ---- 47, 50. the menu


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_run_is_named_on_each_page_and_hides_no_other_in_the_menu(damage, finished_run, copied):
    DAMAGE[damage](copied.folder)
    for page in PAGES:
        at = open_app(page, run=copied.id)
        assert not at.exception
        assert "damaged" in complaints(at)
    at = open_the_menu(open_app("train", run=finished_run.id))
    assert not at.exception
    assert f"open-{finished_run.id}" in keys(at) and f"open-{copied.id}" not in keys(at)


def test_a_run_that_is_deleted_while_the_menu_is_open_is_missing_there_and_nothing_else(
    finished_run, copied, monkeypatch
):
    at = open_the_menu(open_app("train", run=finished_run.id))
    listed = catalog.runs_and_damaged()
    catalog.delete(copied)
    monkeypatch.setattr("microllm.ui.parts.runs_menu.runs_and_damaged", lambda: listed)
    at.run()
    assert not at.exception
    assert f"open-{finished_run.id}" in keys(at) and f"open-{copied.id}" not in keys(at)


# ---- 51, 53. parts that do not fit


def with_weights(harm):
    def do(folder):
        for path in (folder / "snapshots").iterdir():
            save_file(harm(load_file(path)), path)

    return do


def write(name, change):
    return lambda folder: (folder / name).write_text(json.dumps(change(json.loads((folder / name).read_text()))))


MISFITS = {
    "scores without end": with_weights(
        lambda weights: weights | {"lm_head.weight": weights["lm_head.weight"] * 0 + 3e38}
    ),
    "doubles": with_weights(lambda weights: {name: tensor.double() for name, tensor in weights.items()}),
    "another vocabulary": write("vocab.json", lambda vocab: vocab[1:] + "Ж"),
    "a shorter vocabulary": write("vocab.json", lambda vocab: vocab[1:]),
    "a text of another length": write("run.json", lambda told: told | {"text": told["text"] | {"characters": 1_999}}),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_parts_that_do_not_fit_are_a_sentence_on_each_page(misfit, copied):
    MISFITS[misfit](copied.folder)
    told = []
    for page in PAGES:
        at = open_app(page, run=copied.id)
        assert not at.exception
        if page == "generate":
            click(at, "generate")
            at.button_group(key="view").set_value("Read").run()
            assert not at.exception
        told.append(complaints(at))
    assert any(told)


def test_names_that_are_not_ours_change_nothing_on_the_pages(copied):
    folder = copied.folder / "snapshots"
    for name in ("step-8 (copy).safetensors", "step-٣.safetensors", "step-008.safetensors", "step-x.safetensors"):
        shutil.copy(folder / "step-8.safetensors", folder / name)
    (copied.folder / "events.jsonl").write_text('{"step": 3, "learning_rate": "x"}\n{"step": 4, "x": []}\n[]\n')
    for page in PAGES:
        at = open_app(page, run=copied.id, step="8")
        assert not at.exception and not complaints(at)


# ---- a fork says how much of the new text is left


@pytest.mark.parametrize(("known", "is_enough"), [(1_500, True), (300, False), (1, False)])
def test_a_fork_says_how_much_of_another_text_is_left_and_refuses_too_little(known, is_enough, finished_run):
    letter = finished_run.tokenizer.vocab[-1]
    at = open_app("train", run=finished_run.id)
    at.session_state["session"].own.text = texts.prepare(letter * known + "Ж" * (2_000 - known), "mixed")
    at.selectbox(key="text").select("own").run()
    click(at, "fork-button")
    at.selectbox(key=f"fork-text-{finished_run.id}").set_value("next").run()
    assert not at.exception
    numbers = re.findall(r"[\d,]+\d|\d", said(at) if is_enough else complaints(at))
    assert {f"{known:,}", "2,000"} <= set(numbers)
    assert ("fork-start" in keys(at)) == is_enough


def test_the_limits_of_what_is_left_hold_before_the_click(finished_run):
    """84 characters are enough for this context, the 43 that are left are not."""
    letter, block_size = finished_run.tokenizer.vocab[-1], finished_run.read_info().model.block_size
    short = texts.prepare(letter * 43 + "Ж" * 41, "short")
    assert block_size == 8 and fork.what_is_left(finished_run.tokenizer, short)[0] == 43
    at = open_app("train", run=finished_run.id)
    at.session_state["session"].own.text = short
    at.selectbox(key="text").select("own").run()
    click(at, "fork-button")
    at.selectbox(key=f"fork-text-{finished_run.id}").set_value("next").run()
    assert "block_size" in complaints(at)
    assert "fork-start" not in keys(at)


def test_a_text_of_the_same_letters_is_learned_whole(finished_run):
    other = texts.prepare(words_twice(3_000), "words")
    assert fork.what_is_left(finished_run.tokenizer, other) == (3_000, "")
