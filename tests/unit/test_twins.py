"""Twins: a run that repeats another one with one difference, so that what differs comes from it."""

import json
import shlex
from dataclasses import replace

import numpy as np
import pytest
import torch
from making import new_run, train
from patience import patience

from microllm.__main__ import main
from microllm.data import store, texts
from microllm.data.builtin import drawing_room
from microllm.data.edits import Edit, changes, edited
from microllm.insight.surprisal import token_surprisals
from microllm.jobs.background import Background
from microllm.jobs.twins import compare
from microllm.runs import catalog
from microllm.runs.archive import folder_zip
from microllm.runs.export import caveats, command_line
from microllm.runs.fork import fork
from microllm.runs.importing import import_run
from microllm.runs.info import RunInfo, RunProblem
from microllm.runs.twin import first_difference, shared_windows, twin, why_no_twin

TEXT = drawing_room(6_000)
PLANTED = Edit("plant", ("Miss Ashbury has a dragon.",), 2)


@pytest.fixture
def original():
    run = new_run(TEXT, max_steps=40, dropout=0.1)
    train(run)
    return run


def losses(run) -> list[float]:
    return list(run.history.read().rows["train_loss"])


def test_a_twin_has_the_settings_the_vocabulary_and_the_held_out_text_of_its_original(original):
    made, info = twin(original, PLANTED), original.read_info()
    its = made.read_info()
    assert (its.model, its.train, its.threads, its.preset) == (info.model, info.train, info.threads, info.preset)
    assert its.text.sha256 != info.text.sha256
    assert its.is_private == info.is_private
    assert made.tokenizer.vocab == original.tokenizer.vocab
    assert made.load_corpus().val.equal(original.load_corpus().val)
    assert store.load_text(its.text.sha256) == edited(TEXT, PLANTED)


def test_an_edit_that_removes_the_last_of_a_character_leaves_the_vocabulary_as_it_is():
    run = new_run("Zz " + TEXT, max_steps=8)
    train(run)
    made = twin(run, Edit("rename", ("Zz", "at")))
    train(made)
    assert "Z" not in store.load_text(made.read_info().text.sha256)
    assert made.tokenizer.vocab == run.tokenizer.vocab


def test_both_are_the_same_to_the_last_bit_until_they_read_what_was_changed(original):
    made = twin(original, PLANTED)
    train(made)
    share, step = shared_windows(original, made)
    assert 0 < step < 40  # else this would show nothing
    assert 0.5 < share < 1
    assert first_difference(original, made) == step
    assert losses(made)[:step] == losses(original)[:step]
    first, its = original.model_at(0).state_dict(), made.model_at(0).state_dict()
    assert all(torch.equal(weights, its[name]) for name, weights in first.items())


def test_the_windows_that_differ_are_those_that_hold_something_that_was_changed(original):
    made = twin(original, PLANTED)
    new = edited(TEXT, PLANTED)
    changed = torch.tensor([old != other for old, other in zip(TEXT, new, strict=True)])
    train_length, size = len(original.load_corpus().train), original.read_info().model.block_size
    windows = changed[:train_length].unfold(0, size + 1, 1)
    assert shared_windows(original, made)[0] == pytest.approx(1 - windows.any(dim=1).float().mean().item(), abs=0.08)


def test_the_same_edit_gives_the_same_run_again(original):
    one, two = twin(original, PLANTED), twin(original, PLANTED)
    train(one), train(two)
    assert losses(one) == losses(two)
    assert first_difference(one, two) is None


def test_without_an_edit_it_is_the_same_text_from_another_seed(original):
    made = twin(original, None)
    assert made.read_info().text == original.read_info().text
    assert made.read_info().train == replace(original.read_info().train, seed=original.read_info().train.seed + 1)
    assert shared_windows(original, made)[1] == 0


def test_an_edit_is_read_back_from_disk_and_after_an_import(original):
    made = twin(original, PLANTED)
    train(made)
    assert made.read_info().edit == PLANTED
    imported = import_run(folder_zip(made))
    assert imported.read_info().twin == made.read_info().twin
    assert imported.load_corpus().train.equal(made.load_corpus().train)


def test_the_text_of_an_imported_twin_on_a_public_text_is_made_again():
    run = new_run(texts.made_here("drawing-room", first=6_000))
    made = twin(run, PLANTED)
    train(made)
    sha256, packed = made.read_info().text.sha256, folder_zip(made)
    catalog.delete(made)
    assert not texts.is_kept(made_text := import_run(packed).read_info().text) and made_text.sha256 == sha256
    assert len(catalog.all_runs()[0].load_corpus()) == 6_000
    assert texts.is_kept(made_text)


def test_who_has_no_twin_is_told_why(original):
    assert not why_no_twin(original)
    for run in (twin(original, PLANTED), fork(original, 8)):
        with pytest.raises(RunProblem, match=original.read_info().name):
            twin(run, PLANTED)
    original.update(is_repeatable=False)
    with pytest.raises(RunProblem, match=original.read_info().name):
        twin(original, None)
    original.update(is_repeatable=True)
    (original.folder / "events.jsonl").write_text(json.dumps({"step": 3, "learning_rate": 0.004}) + "\n")
    with pytest.raises(RunProblem, match="changed"):
        twin(original, PLANTED)


@pytest.mark.parametrize("edit", [PLANTED, Edit("leave-out", ("2",))], ids=["planted", "left out"])
def test_the_command_of_an_edited_twin_makes_it_again(original, edit):
    made = twin(original, edit)
    words = shlex.split(command_line(made))
    assert main([*words[words.index("train") :]]) == 0
    again = catalog.all_runs()[0]
    assert again.id != made.id and again.read_info().edit == edit
    assert again.read_info().text.sha256 == made.read_info().text.sha256
    assert original.id not in command_line(made, names_parent=False)
    assert not any(original.read_info().name in sentence for sentence in caveats(made, names_parent=False))


def test_a_fork_of_a_twin_knows_the_characters_that_the_edit_removed():
    original = new_run("the zebra ran. " + "the maid ran. " * 400, max_steps=20)
    made = twin(original, Edit("rename", ("zebra", "hater")))
    train(made)
    child = fork(made, made.newest_snapshot(), max_steps=22)
    assert "z" in child.tokenizer.vocab
    assert train(child) == "finished"


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "unknown"},
        {"kind": []},
        {"words": ["x" * 1_000]},
        {"words": [1]},
        {"words": 5},
        {"times": -1},
        {"times": 1e9},
        {"more": 1},
    ],
)
def test_a_run_with_an_edit_that_cannot_be_is_not_read(original, wrong):
    data = json.loads((twin(original, PLANTED).folder / "run.json").read_text())
    assert RunInfo.from_json(data).edit == PLANTED
    data["twin"]["edit"] |= wrong
    with pytest.raises((ValueError, TypeError)):
        RunInfo.from_json(data)


def test_a_comparison_knows_when_one_of_the_two_is_rounded_in_another_way(original):
    made = twin(original, PLANTED)
    train(made)
    made.update(is_repeatable=False)
    assert not Background(lambda work: compare(original, made, None, work)).get(patience()).are_repeatable


@pytest.mark.parametrize(
    "edit",
    [
        PLANTED,
        Edit("rename", ("aunt", "miss")),
        Edit("leave-out", ("2",)),
        Edit("repeat", ("Miss Ashbury",), 3),
    ],
    ids=lambda edit: edit.kind,
)
def test_what_is_different_is_measured_on_the_changed_characters_of_both_texts(edit):
    text = "Miss Ashbury hid. My aunt is ill. " + TEXT
    original = new_run(text, max_steps=10)
    made, other = twin(original, edit), twin(original, None)
    for run in (original, made, other):
        train(run)
    found = Background(lambda work: compare(original, made, other, work)).get(patience())
    assert found.step == 10
    where = changes(text, edit)
    new = edited(text, edit)
    for losses, its_text in ((found.taken_out, text), (found.put_in, new)):
        ids = original.tokenizer.encode_tensor(its_text)
        for run, loss in ((original, losses.original), (made, losses.twin), (other, losses.other)):
            nats = token_surprisals(run.model_at(10), ids).nats
            assert loss == pytest.approx(np.nanmean([nats[i] for c in where for i in range(c.begin, c.end)]), abs=0.05)
    for passage, its_text in ((found.before, text), (found.after, new)):
        assert passage.text in its_text
        assert all(len(nats) == len(passage.text) for nats in passage.nats)
    its_losses = [run.history.read().val_losses[-1][1] for run in (original, made, other)]
    assert [found.held_out.original, found.held_out.twin, found.held_out.other] == pytest.approx(its_losses, abs=1e-5)
    assert found.losses_differ_from == found.differ_from and found.are_repeatable
    assert len(found.samples[0]) == len(found.samples[1])
    assert all(0 <= p <= 1 for row in found.following for p in row[1:])
