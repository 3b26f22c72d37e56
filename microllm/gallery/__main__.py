"""Train the runs of the gallery again: `python -m microllm.gallery`; with `--check`, compare them with those here.

It needs the text of the book, from this server's home or by download, and takes some minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from .. import console
from ..config import configs_from
from ..data import texts
from ..jobs.foreground import train
from ..jobs.head_scores import as_numbers, measure
from ..jobs.samples import write_sample
from ..jobs.slots import Slots
from ..jobs.training import TrainingJob
from ..runs import catalog, gallery
from ..runs.json_files import checked_json
from ..runs.run import Run
from ..runs.weights import save_weights
from ..train import validation_loss

MEASURED = "seconds"
"""The measured time in each row of metrics.jsonl. Everything else is the same each time, on the same machine."""

_CREATED = 1_796_000_400.0  # 30 November 2026: the same each time; no list is sorted by it
_DIGITS = {"step": 0, "seconds": 3, "train_loss": 5, "val_loss": 5, "learning_rate": 9}
"""The columns that are kept, with their number of decimals."""

_NEAR = 2**0.5


@dataclass(frozen=True)
class Entry:
    """How a run of the gallery is trained."""

    text: str
    preset: str = "quick"
    settings: Mapping[str, Any] = field(default_factory=dict)


ENTRIES = {
    "pride-quick": Entry("book"),
    "pride-article": Entry("book", preset="article"),
    # copying a word takes at least two layers; 128 characters contain many words with their copies
    "words-twice": Entry("words-twice", settings={"n_layer": 2, "block_size": 128, "batch_size": 12}),
}


def make(run_id: str, folder: Path) -> None:
    """Train a run of the gallery and write to `folder` what ships: weights in float16, no text, no checkpoint.

    Raises TextProblem without the book.
    """
    entry = ENTRIES[run_id]
    model, settings = configs_from(entry.settings, entry.preset)
    with tempfile.TemporaryDirectory() as runs_dir, runs_in(runs_dir):
        trained = catalog.create(model, settings, texts.choose(entry.text), preset=entry.preset)
        if (state := train(TrainingJob(trained, Slots(count=1)))) != "finished":
            raise SystemExit(f"{run_id} was {state}.")
        _copy(trained, folder, run_id)
    _add_samples(Run(folder))
    _add_head_scores(Run(folder))


@contextlib.contextmanager
def runs_in(folder: str) -> Iterator[None]:
    """Inside: new runs are created in this folder."""
    name = "MICROLLM_RUNS_DIR"
    before = os.environ.get(name)
    os.environ[name] = folder
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def _copy(trained: Run, folder: Path, name: str) -> None:
    folder.mkdir(parents=True)
    info = replace(trained.read_info(), id=name, name=name, created=_CREATED)
    (folder / "run.json").write_text(checked_json(info), "utf-8")
    shutil.copyfile(trained.folder / "vocab.json", folder / "vocab.json")
    rows = (trained.folder / "metrics.jsonl").read_text("utf-8").splitlines()
    lines = (json.dumps(_rounded(json.loads(row)), separators=(",", ":")) for row in rows)
    (folder / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    for step in _chosen(trained):
        state = {name: tensor.half() for name, tensor in trained.model_at(step).state_dict().items()}
        save_weights(state, folder / "snapshots" / f"step-{step}.safetensors")


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: round(row[name], digits) for name, digits in _DIGITS.items() if name in row}


def _chosen(run: Run) -> list[int]:
    """The steps of the snapshots that ship: the first, the last, those that beat a reference loss, and doublings."""
    ahead, steps = dict(run.read_info().references), run.list_snapshots()
    ahead.pop("floor", None)
    chosen = {steps[0], steps[-1]}
    for step, loss in run.history.read().val_losses:
        if beaten := {name for name, reference in ahead.items() if loss < reference}:
            ahead = {name: reference for name, reference in ahead.items() if name not in beaten}
            chosen |= {step} & {*steps}
    doublings = (step for step in steps if step & (step - 1) == 0)
    return sorted(chosen | {step for step in doublings if not any(_is_near(step, other) for other in chosen)})


def _is_near(step: int, other: int) -> bool:
    return max(step, other) < _NEAR * min(step, other)


def _add_samples(run: Run) -> None:
    """Store what each snapshot writes, so that a page can show it without the text, before torch is imported."""
    samples = [asdict(write_sample(run, step, run.model_at(step))) for step in run.list_snapshots()]
    known = [{name: value for name, value in sample.items() if value is not None} for sample in samples]
    (run.folder / gallery.SAMPLES).write_text(json.dumps(known, indent=1) + "\n", "utf-8")
    loss, (step, before) = validation_loss(run.model_at(run.newest_snapshot()), run.load_corpus()), _last(run)
    console.note(f"{run.read_info().name}: validation loss at step {step:,} {before:.5f}, in float16 {loss:.5f}")


def _add_head_scores(run: Run) -> None:
    """Store what the heads of each snapshot attend to on held-out text, which is not here; one snapshot per line."""
    rows = ({"step": step, "scores": as_numbers(measure(run, run.model_at(step)))} for step in run.list_snapshots())
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    (run.folder / gallery.HEAD_SCORES).write_text(f"[\n{lines}\n]\n", "utf-8")


def _last(run: Run) -> tuple[int, float]:
    return run.history.read().val_losses[-1]


def differences(made: Path, here: Path) -> list[str]:
    """The files that differ between two folders of a run, apart from measured times."""
    names = {path.relative_to(folder).as_posix() for folder in (made, here) for path in folder.rglob("*.*")}
    return sorted(name for name in names if _content(made / name) != _content(here / name))


def _content(path: Path) -> Any:
    if not path.is_file():
        return None
    data = path.read_bytes()
    if path.name != "metrics.jsonl":
        return data
    rows = map(json.loads, data.splitlines())
    return [{name: value for name, value in row.items() if name != MEASURED} for row in rows]


def _remake(run_id: str, is_check: bool) -> list[str]:
    """Train a run again and replace the one here or, for a check, only list the files that differ."""
    here = gallery.FOLDER / run_id
    with tempfile.TemporaryDirectory() as temporary:
        made = Path(temporary) / run_id
        make(run_id, made)
        if is_check:
            return [f"{run_id}/{name}" for name in differences(made, here)]
        shutil.rmtree(here, ignore_errors=True)
        shutil.copytree(made, here)
    return []


def main() -> int:
    """Train the runs again, or compare them. Returns 1 if some differ, 2 if one cannot be trained."""
    parser = argparse.ArgumentParser(prog="python -m microllm.gallery", description=__doc__)
    parser.add_argument("runs", nargs="*", metavar="RUN", help=f"which: {', '.join(ENTRIES)} (default: all)")
    parser.add_argument("--check", action="store_true", help="change nothing, and say which files differ")
    options = parser.parse_args()
    if unknown := [run_id for run_id in options.runs if run_id not in ENTRIES]:
        parser.error(f"there is no {unknown[0]} in the gallery")
    torch.set_num_threads(1)
    found = []
    try:
        for run_id in options.runs or ENTRIES:
            found += _remake(run_id, options.check)
    except (ValueError, OSError) as problem:  # such as a book that cannot be downloaded
        console.complain(str(problem))
        return 2
    if options.check:
        console.note(f"Different: {', '.join(found)}." if found else "All files are the same, bit for bit.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
