"""A fork: what would have become of a run, had something been different from a moment on."""

import hashlib
import io
import json
import zipfile
from dataclasses import replace
from functools import partial

import making
import pytest
import torch

from microllm import validation_loss
from microllm.config import LIVE
from microllm.data import texts
from microllm.data.builtin import words_twice
from microllm.data.store import load_text
from microllm.insight.knockout import MEAN_CHARACTERS, Part, knock_out, mean_outputs
from microllm.insight.trace import trace_blocks
from microllm.jobs.slots import Slots
from microllm.jobs.training import TrainingJob
from microllm.runs import archive, catalog, export
from microllm.runs.fork import fork, recovered_after
from microllm.runs.importing import import_run
from microllm.runs.info import RunProblem
from microllm.runs.run import Run

new_run = partial(making.new_run, eval_interval=5)


def train(run: Run) -> Run:
    making.train(run)
    return run


def stopped_at(run: Run, step: int) -> Run:
    """Train until this step is logged, and stop there, as by hand."""
    training = TrainingJob(run, Slots(1))
    log = training._beats_another_reference

    def look(val_loss):
        if training.last_step == step:
            training.stop()
        return log(val_loss)

    training._beats_another_reference = look
    training.start()
    training.join()
    assert run.read_info().state == "stopped"
    return run


def losses(run: Run) -> list[tuple]:
    lines = (run.folder / "metrics.jsonl").read_text().splitlines()
    return [(row["step"], row["train_loss"], row.get("val_loss")) for row in map(json.loads, lines)]


def weights(run: Run, step: int) -> bytes:
    return (run.folder / "snapshots" / f"step-{step}.safetensors").read_bytes()


# ---- with its own text


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_fork_without_changes_becomes_what_its_parent_becomes(optimizer):
    parent = stopped_at(new_run(optimizer=optimizer, dropout=0.1), 10)
    child = fork(parent, 10)
    assert child.read_info().parent.has_memory
    for run in (parent, child):
        assert train(run).read_info().state == "finished"
    assert losses(child) == losses(parent)
    assert weights(child, 20) == weights(parent, 20)


def test_a_fork_with_another_rate_becomes_what_a_live_change_at_that_moment_makes():
    changed = new_run()
    (changed.folder / "events.jsonl").write_text(json.dumps({"step": 10, "learning_rate": 0.004}) + "\n")
    train(changed)
    child = train(fork(stopped_at(new_run(), 10), 10, learning_rate=0.004))
    assert losses(child) == losses(changed)
    assert weights(child, 20) == weights(changed, 20)
    assert losses(child) != losses(train(new_run()))


def test_where_only_weights_were_kept_it_continues_with_them_and_says_that_the_optimizer_restarted():
    parent = train(new_run())
    assert 8 in parent.list_snapshots()
    assert 8 not in parent.list_checkpoints()
    child = fork(parent, 8)
    assert not child.read_info().parent.has_memory
    assert train(child).read_info().state == "finished"
    assert losses(child)[:9] == losses(parent)[:9]  # the first row is the loss of the very same weights
    assert losses(child)[10:] != losses(parent)[10:]
    assert child.read_info().message == ""


def test_it_has_the_past_of_its_parent_as_its_curve_and_a_first_moment_to_look_at():
    parent = train(new_run())
    child = fork(parent, 12)
    assert child.history.read().rows["step"] == list(range(12))
    assert child.list_snapshots() == [12]
    assert train(child).history.read().rows["step"] == list(range(21))
    assert {12, 16, 20} <= set(child.list_snapshots()) <= set(range(12, 21))


def test_its_snapshots_are_dense_where_it_begins():
    child = train(fork(train(new_run(max_steps=300)), 256, max_steps=300))
    assert {256, 264, 268, 272, 280, 288} <= set(child.list_snapshots())


def test_its_clock_goes_on_from_the_seconds_that_its_parent_had_trained_by_then():
    parent = train(new_run())
    at = dict(zip(*(parent.history.read().rows[name] for name in ("step", "seconds")), strict=True))
    assert (
        not {8, 12} & set(parent.list_checkpoints()) and 20 in parent.list_checkpoints()
    )  # weights alone, and a checkpoint
    for step in (8, 12, 20):
        seconds = train(fork(parent, step, max_steps=25)).history.read().rows["seconds"]
        assert seconds[step] == at[step] > 0
        assert list(seconds) == sorted(set(seconds))


def test_live_changes_of_the_parent_that_came_before_still_hold_and_later_ones_do_not():
    parent = new_run()
    events = [{"step": 3, "learning_rate": 0.004}, {"step": 15, "learning_rate": 0.5}]
    (parent.folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    train(parent)
    assert fork(parent, 12).read_info().train.learning_rate == 0.004
    assert fork(parent, 2**4).read_info().train.learning_rate == 0.5


def test_an_interrupted_fork_goes_on_from_where_it_was(monkeypatch):
    monkeypatch.setenv("MICROLLM_CHECKPOINT", "0")
    parent = stopped_at(new_run(), 10)
    whole = train(fork(parent, 10))
    child = train(stopped_at(fork(parent, 10), 14))
    assert losses(child) == losses(whole)
    assert weights(child, 20) == weights(whole, 20)


def test_a_fork_whose_checkpoints_are_gone_does_not_begin_from_chance():
    child = fork(train(new_run()), 8)
    for path in child.folder.glob("checkpoints/*/manifest.json"):
        path.unlink()
    assert train(child).read_info().state == "failed"
    assert child.read_info().message.startswith(f"No checkpoint of {child.read_info().name} can be used")


def test_the_end_of_a_run_is_forked_into_a_longer_one():
    parent = train(new_run())
    with pytest.raises(ValueError, match=r"max_steps is 20: "):
        fork(parent, 20)
    assert losses(train(fork(parent, 20, max_steps=25)))[:20] == losses(parent)[:20]


def test_a_loss_that_was_reached_does_not_stop_the_fork_at_once():
    parent = train(new_run(stop_at_loss=4.0))
    last = parent.list_snapshots()[-1]
    assert last < 20
    assert fork(parent, last).read_info().train.stop_at_loss == 0
    assert fork(parent, last, stop_at_loss=1.0).read_info().train.stop_at_loss == 1.0


def test_silenced_heads_say_in_a_fork_what_they_said_on_average_and_stay_silent():
    parent = train(new_run(n_layer=2, max_steps=20, position="relative"))
    made = fork(parent, 20, silenced="2.1", max_steps=40)
    assert made.read_info().model.silenced == "2.1"
    inputs, _ = parent.load_corpus().validation_windows(8, MEAN_CHARACTERS)
    then, means = parent.model_at(20), mean_outputs(parent.model_at(20), inputs)
    idx = inputs[:5].long()
    torch.testing.assert_close(made.model_at(20)(idx)[0], knock_out(then, [Part(1, 0)], means)(idx)[0])
    corpus = parent.load_corpus()
    expected = [validation_loss(model, corpus) for model in (then, made.model_at(20))]
    assert made.read_info().parent.losses == pytest.approx(expected)
    train(made)
    (_, record) = trace_blocks(made.model_at(40), idx)
    assert (record.z[:, 0] == 0).all() and (record.z[:, 1] != 0).any()
    before, after = (run.blocks[1].attention.qkv.weight.view(3, 2, 8, 16) for run in (then, made.model_at(40)))
    assert (before[:, 1] != after[:, 1]).any()  # the other head learned
    again = fork(made, 40, silenced="1.2 2.1", max_steps=60)  # one more
    assert again.read_info().model.silenced_heads == {(0, 1), (1, 0)}
    assert (made.read_info().parent.silenced, again.read_info().parent.silenced) == ("2.1", "1.2")
    assert train(again).read_info().state == "finished"


def test_a_fork_has_recovered_at_the_first_check_that_is_as_good_as_before():
    parent = train(new_run(max_steps=20))
    made = train(fork(parent, 20, silenced="1.2", max_steps=60))
    origin, history = made.read_info().parent, made.history.read()
    checks = {step: loss for step, loss in history.val_losses if step >= 20}
    for target in (max(checks.values()), min(checks.values()), 0.0):
        good = [step - 20 for step, loss in checks.items() if loss <= target]
        assert recovered_after(replace(origin, losses=(target, 9.0)), history) == (good[0] if good else None)
    assert recovered_after(replace(origin, losses=None), history) is None


@pytest.mark.parametrize("lie", ["2.1", "1.2 2.1", 7, None])
def test_heads_that_a_fork_did_not_silence_are_refused(lie):
    made = fork(train(new_run(max_steps=20)), 20, silenced="1.2", max_steps=40)
    written = json.loads((made.folder / "run.json").read_text())
    written["parent"]["silenced"] = lie
    (made.folder / "run.json").write_text(json.dumps(written))
    with pytest.raises(RunProblem):
        made.read_info()


@pytest.mark.parametrize("lie", [[1.0], [1.0, "2"], [1.0, None], "12", 7, [1.0, float("inf")]])
def test_losses_of_a_parent_that_are_no_two_numbers_are_refused(lie):
    made = fork(train(new_run(max_steps=20)), 20, silenced="1.2", max_steps=40)
    written = json.loads((made.folder / "run.json").read_text())
    written["parent"]["losses"] = lie
    (made.folder / "run.json").write_text(json.dumps(written))
    with pytest.raises(RunProblem):
        made.read_info()


def test_an_interrupted_fork_with_silenced_heads_becomes_what_an_unbroken_one_becomes():
    parent = train(new_run(max_steps=20))
    unbroken, broken = (fork(parent, 20, silenced="1.2", max_steps=40) for _ in range(2))
    train(unbroken)
    train(stopped_at(broken, 30))
    assert weights(broken, 40) == weights(unbroken, 40)


def test_a_packed_fork_with_silenced_heads_is_imported_with_them_and_its_command_names_them():
    made = train(fork(train(new_run(max_steps=20)), 20, silenced="1.2", max_steps=30))
    copy = import_run(archive.folder_zip(made))
    assert copy.read_info().model.silenced == "1.2"
    assert weights(copy, 30) == weights(made, 30)
    assert "--silenced 1.2" in export.command_line(made)


def test_a_head_that_the_parent_does_not_have_cannot_be_silenced():
    parent = train(new_run(max_steps=20))
    with pytest.raises(ValueError, match=r"2\.1"):
        fork(parent, 20, silenced="2.1", max_steps=40)
    assert [run.id for run in catalog.all_runs()] == [parent.id]


def test_what_cannot_be_forked_is_named_and_leaves_nothing():
    parent = train(new_run())
    with pytest.raises(RunProblem, match="no weights of step 9"):
        fork(parent, 9)
    with pytest.raises(ValueError, match="n_embd cannot change in a fork"):
        fork(parent, 8, n_embd=32)
    with pytest.raises(ValueError, match="learning_rate is"):
        fork(parent, 8, learning_rate=-1.0)
    assert len(list(parent.folder.parent.iterdir())) == 1


def test_a_fork_that_would_not_fit_into_the_memory_is_refused(monkeypatch):
    parent = train(new_run())
    monkeypatch.setattr("microllm.cost.free_memory", lambda: 15_000_001)
    with pytest.raises(ValueError, match="15 MB are free here"):
        fork(parent, 8)
    assert [path.name for path in parent.folder.parent.iterdir()] == [parent.id]


def test_a_full_disk_leaves_no_half_fork(monkeypatch):
    parent = train(new_run())
    monkeypatch.setattr(
        Run, "save_checkpoint", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(OSError, match="No space"):
        fork(parent, 8)
    assert [path.name for path in parent.folder.parent.iterdir()] == [parent.id]


def test_who_forks_owns_the_fork_and_not_the_parent():
    child = fork(train(new_run()), 8, owner_key="mine")
    assert child.read_info().is_owned_with("mine")
    assert Run.open(child.id).read_info() == child.read_info()
    origin = child.read_info().parent
    assert not Run.open(origin.id).read_info().is_owned_with("mine")
    assert (origin.name, origin.step, origin.goes_on) == (Run.open(origin.id).read_info().name, 8, True)
    assert origin.text is None


# ---- with another text


@pytest.fixture
def other():
    return texts.prepare("Ŵhat ïs 7 × 6? 42! " + words_twice(2_000), "sums and words")


def test_another_text_is_learned_from_step_0_with_the_weights_of_the_parent(other):
    parent = train(new_run())
    child = fork(parent, 12, other)
    assert child.list_snapshots() == [0]
    assert weights(child, 0) == weights(parent, 12)
    assert train(child).history.read().rows["step"] == list(range(21))
    assert weights(child, 20) != weights(parent, 20)


def test_characters_that_the_parent_never_met_are_left_out_and_named(other):
    parent = train(new_run())
    child = fork(parent, 12, other)
    known, content = set(parent.tokenizer.vocab), load_text(other.sha256)
    assert child.tokenizer.vocab == parent.tokenizer.vocab
    assert set(child.read_info().parent.left_out) == set(content) - known
    assert {"Ŵ", "ï", "×", "4"} <= set(child.read_info().parent.left_out)
    assert load_text(child.read_info().text.sha256) == "".join(c for c in content if c in known)
    assert child.read_info().text.name == f"sums and words, without {len(child.read_info().parent.left_out)} characters"
    assert child.load_corpus().vocab_size == parent.load_corpus().vocab_size > len({*content} & known)
    assert load_text(other.sha256) == content  # which stays as it was


def test_each_validation_check_asks_for_the_old_text_too(other):
    parent = train(new_run())
    child = train(fork(parent, 20, other))
    history = child.history.read()
    steps = [step for step, _ in history.val_losses]
    assert [step for step, _ in history.old_val_losses] == steps
    assert (
        history.old_val_losses[0][1] == parent.history.read().val_losses[-1][1]
    )  # the parent's own last validation loss
    for step in set(steps) & set(child.list_snapshots()):
        model = child.model_at(step)
        assert dict(history.val_losses)[step] == pytest.approx(validation_loss(model, child.load_corpus()), rel=1e-6)
        assert dict(history.old_val_losses)[step] == pytest.approx(
            validation_loss(model, parent.load_corpus()), rel=1e-6
        )
    assert history.val_losses[-1][1] < history.val_losses[0][1]  # what it gains


def test_a_run_that_is_no_such_fork_has_one_validation_loss():
    parent = train(new_run())
    assert parent.load_old_corpus() is None
    assert parent.history.read().old_val_losses == []
    assert train(fork(parent, 8)).history.read().old_val_losses == []


def test_a_fork_of_a_fork_still_knows_the_text_before(other):
    child = train(fork(train(new_run()), 20, other))
    grandchild = train(fork(child, 12))
    assert grandchild.read_info().parent.text == child.read_info().parent.text
    assert grandchild.read_info().parent.left_out == child.read_info().parent.left_out
    assert losses(grandchild)[:13] == losses(child)[:13]
    assert [step for step, _ in grandchild.history.read().old_val_losses] == [0, 5, 10, 15, 20]


def test_the_same_text_is_no_other_text():
    parent = train(new_run())
    child = fork(parent, 8, parent.read_info().text)
    assert child.read_info().parent.text is None
    assert child.list_snapshots() == [8]


def test_a_text_of_which_nothing_is_left_is_refused():
    parent = train(new_run())
    strange = texts.prepare("ЖЩЮ" * 200, "signs")
    with pytest.raises(ValueError, match="0 of the 600"):
        fork(parent, 8, strange)
    assert len(list(parent.folder.parent.iterdir())) == 1


@pytest.mark.parametrize(("known", "is_enough"), [(1_000, True), (999, False), (100, False), (1, False)])
def test_a_text_is_learned_when_at_least_half_of_it_is_left(known, is_enough):
    parent = train(new_run())
    mixed = texts.prepare("e" * known + "Ж" * (2_000 - known), "mixed")
    before = sorted(parent.folder.parent.iterdir())
    if is_enough:
        assert fork(parent, 8, mixed).read_info().text.characters == known
        return
    with pytest.raises(ValueError, match=f"{known:,} of the 2,000"):
        fork(parent, 8, mixed)
    assert sorted(parent.folder.parent.iterdir()) == before


def test_what_is_left_must_be_longer_than_the_context():
    parent = train(new_run())
    short = texts.prepare("e" * 60 + "Ж" * 60, "short")
    with pytest.raises(ValueError, match="60 characters"):
        fork(parent, 8, short)
    assert len(list(parent.folder.parent.iterdir())) == 1


def test_texts_are_kept_as_long_as_a_fork_needs_them(other):
    parent = train(new_run())
    child = fork(parent, 8, other)
    catalog.delete(parent)
    assert len(child.load_old_corpus()) == 2_000
    assert train(child).read_info().state == "finished"
    old = child.read_info().parent.text
    catalog.delete(child)
    assert not texts.is_kept(old)


@pytest.mark.parametrize("name", LIVE)
def test_every_live_setting_may_differ(name):
    assert getattr(fork(train(new_run()), 8, **{name: 0.25}).read_info().train, name) == 0.25


def test_threads_and_surroundings_of_the_checkpoint_go_with_it():
    parent = stopped_at(new_run(), 10)
    child = fork(parent, 10)
    state, there, _ = child.load_checkpoint()
    original, determinism_context, _ = parent.load_checkpoint()
    assert there == determinism_context
    assert child.read_info().threads == parent.read_info().threads
    for name, tensor in original.optimizers.items():
        assert torch.equal(state.optimizers[name], tensor)


# ---- taken along


def test_the_command_line_says_how_it_was_forked(other):
    parent = train(new_run())
    child = fork(parent, 8, learning_rate=0.02)
    assert export.command_line(child) == (
        f"python -m microllm train --fork {parent.id} --step 8 --learning_rate 0.02 --stop_at_loss 0.0 --max_steps 20 "
        "--eval_interval 5"
    )
    assert parent.read_info().name in export.caveats(child)[0]
    assert export.command_line(fork(parent, 8, other)).endswith("--text './sums and words'")


def test_a_fork_can_be_packed_and_imported(other):
    child = train(fork(train(new_run()), 8, other))
    again = import_run(archive.folder_zip(child))
    assert again.read_info().parent == child.read_info().parent
    assert again.history.read().old_val_losses == child.history.read().old_val_losses


@pytest.mark.parametrize(
    "lie",
    [
        {"id": 7},
        {"step": "8"},
        {"text": {"name": "x", "sha256": "../../x", "characters": 9}},
        {"text": "book"},
        {"unknown": 1},
    ],
)
def test_an_imported_parent_that_makes_no_sense_is_refused(lie, other):
    child = fork(train(new_run()), 8, other)
    data = json.loads((child.folder / "run.json").read_text())
    (child.folder / "run.json").write_text(json.dumps(data | {"parent": data["parent"] | lie}))
    with pytest.raises(RunProblem, match=r"run\.json"):
        import_run(packed(child))


def packed(run: Run) -> bytes:
    """The zip of a run, whatever stands in its run.json."""
    names = ("run.json", "vocab.json", "metrics.jsonl", "snapshots/step-0.safetensors")
    files = {name: (run.folder / name).read_bytes() for name in names}
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in (files | {"manifest.json": json.dumps(sums).encode()}).items():
            archive.writestr(f"run/{name}", data)
    return file.getvalue()
