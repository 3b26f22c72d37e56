"""Runs of former programs: those of format 1 were written at commit 553104f, and still open, sample, resume and import.

`run` was interrupted at step 20 of 40; `finished` is the same run trained without a break, by the same program.
"""

import json
import shutil
from pathlib import Path

import making
import pytest
import torch

from microllm.data import texts
from microllm.environment import runs_dir
from microllm.inference import generate
from microllm.runs.importing import import_run
from microllm.runs.info import FORMAT, RunProblem
from microllm.runs.run import Run
from microllm.runs.weights import read_tensors

FORMAT_1 = Path(__file__).parents[1] / "fixtures" / "format_1"
ID = json.loads((FORMAT_1 / "run" / "run.json").read_text())["id"]


@pytest.fixture
def run() -> Run:
    """The interrupted run, in this home, with its text."""
    texts.choose("drawing-room", first=3_000)
    shutil.copytree(FORMAT_1 / "run", runs_dir() / ID)
    return Run.open(ID)


def expected_weights() -> dict[str, torch.Tensor]:
    return read_tensors(FORMAT_1 / "finished.safetensors")


def test_a_run_of_format_1_opens_and_samples(run):
    assert run.read_info().is_repeatable
    assert run.read_info().state == "interrupted" and run.list_snapshots() == [0, 20] and run.list_checkpoints() == [20]
    idx = torch.tensor([run.tokenizer.encode("The")])
    for step in run.list_snapshots():
        written = generate(run.model_at(step), idx, 20, seed=1)
        assert len(run.tokenizer.decode(written[0])) == 23


def test_a_run_of_format_1_is_resumed_to_the_weights_that_it_would_have_had(run):
    making.train(run)
    assert run.read_info().state == "finished" and run.read_info().format == FORMAT
    weights = run.model_at(40).state_dict()
    assert weights.keys() == expected_weights().keys()
    for name, expected in expected_weights().items():  # which another processor computed
        torch.testing.assert_close(weights[name], expected, rtol=0.01, atol=1e-3)
    losses = [json.loads(line)["train_loss"] for line in (FORMAT_1 / "finished.jsonl").read_text().splitlines()]
    assert list(run.history.read().rows["train_loss"]) == pytest.approx(losses, abs=1e-4)


def test_a_packed_run_of_format_1_is_imported():
    run = import_run((FORMAT_1 / "packed.zip").read_bytes(), owner_key="the new owner's")
    assert run.read_info().format == FORMAT and run.list_snapshots() == [0, 8, 12, 16, 20]
    assert set(run.model_at(20).state_dict()) == set(expected_weights())


def test_a_run_of_a_newer_program_is_refused_with_both_numbers(run):
    path = run.folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": FORMAT + 1, "of the future": 1}))
    with pytest.raises(RunProblem, match=rf"\b{FORMAT + 1}\b.*\b{FORMAT}\b"):
        Run.open(ID)
