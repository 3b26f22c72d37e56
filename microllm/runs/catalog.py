"""Create, list and delete runs."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable

import torch

from ..config import ModelConfig, TrainConfig, problems
from ..cost import memory_problem, thread_count
from ..data.decode import TextProblem
from ..data.store import forget_text
from ..data.texts import Text, is_kept, load_corpus
from ..environment import runs_dir
from ..storage import write_atomically
from .disk import check_disk
from .info import Parent, RunInfo, RunProblem, hash_key, new_name
from .run import _ID, Run, checked_json


def create(
    model: ModelConfig,
    train: TrainConfig,
    text: Text,
    *,
    preset: str,
    threads: int | None = None,
    guess: float | None = None,
    owner_key: str | None = None,
    parent: Parent | None = None,
    vocab: str | None = None,
    fill: Callable[[Run], None] | None = None,
) -> Run:
    """Make the folder of a new run, owned by whoever has `owner_key`; see fork.py for one that has a `parent`.

    Its characters are those of its text, or `vocab`. `fill` writes what else it begins with; nobody sees the run
    before that is done. Whatever fails, no folder is left.

    Raises ValueError for a configuration with problems or one that does not fit into the memory, RunProblem for
    anything else that no run may say or when all runs take too much of the disk, OSError on a full one.
    """
    if found := problems(model, train, text.characters):
        raise ValueError(" ".join(found.values()))
    check_disk()
    corpus = load_corpus(text.sha256, vocab)
    if problem := memory_problem(model, train, corpus.vocab_size):
        raise ValueError(problem)
    references = corpus.reference_losses(model.block_size)
    if text.floor is not None:
        references["floor"] = text.floor
    if not is_kept(text):  # deleted, even just now, though its ids are in memory: nothing could go on with it
        raise TextProblem(f"{text.name} is not stored here any more: choose the text again.")
    run = Run(runs_dir() / secrets.token_hex(8))
    said = checked_json(
        RunInfo(
            id=run.id,
            name=free_name(new_name()),
            state="waiting",
            message="",
            created=time.time(),
            preset=preset,
            model=model,
            train=train,
            threads=threads or thread_count(model, train, corpus.vocab_size),
            torch=torch.__version__,
            text=text,
            references=references,
            guess=guess,
            owner=hash_key(owner_key) if owner_key else None,
            parent=parent,
        )
    )
    try:
        run.folder.mkdir(parents=True)
        write_atomically(run.folder / "vocab.json", json.dumps(corpus.tokenizer.vocab))
        if fill:
            fill(run)
        write_atomically(run.folder / "run.json", said)  # from here on there is such a run
    except BaseException:
        shutil.rmtree(run.folder, ignore_errors=True)
        raise
    return run


def delete(run: Run) -> None:
    """Remove a run, and each text that no other run needs. Raises RunProblem while it is being trained."""
    with run.writing():
        texts = run.read_info().texts
        (run.folder / "run.json").unlink()  # from here on there is no such run
    shutil.rmtree(run.folder, ignore_errors=True)
    forget_unused(texts)


def forget_unused(texts: set[str]) -> None:
    """Remove those of the kept texts that no run needs."""
    needed = {sha256 for info, _ in _infos_and_damaged()[0] for sha256 in info.texts}
    for sha256 in texts - needed:
        forget_text(sha256)


def all_runs() -> list[Run]:
    """Every run that can be opened, the newest first."""
    return runs_and_damaged()[0]


def runs_and_damaged() -> tuple[list[Run], list[str]]:
    """(every run that can be opened, the newest first; the ids of those that cannot): none hides the others."""
    opened, damaged = _infos_and_damaged()
    return [run for _, run in sorted(opened, key=lambda one: one[0].created, reverse=True)], sorted(damaged)


def _infos_and_damaged() -> tuple[list[tuple[RunInfo, Run]], list[str]]:
    """What each run said when it was looked at, for it may be gone at once; and the ids of those that say nothing."""
    opened, damaged, folder = [], [], runs_dir()
    for run_id in _ids():
        run = Run(folder / run_id)
        try:
            run._check()
            opened.append((run.read_info(), run))
        except RunProblem:
            if _is_there(run_id):
                damaged.append(run_id)
    return opened, damaged


def _ids() -> list[str]:
    """The names in the folder of runs that are ids of runs. Nothing of what they name was looked at yet."""
    try:
        return [name for name in os.listdir(runs_dir()) if _ID.fullmatch(name)]
    except OSError:  # none yet
        return []


def _is_there(run_id: str) -> bool:
    """False for a folder without a run.json, such as one that is being made or deleted, and for a file."""
    folder = runs_dir() / run_id
    try:
        os.lstat(folder / "run.json")
    except (FileNotFoundError, NotADirectoryError):
        return folder.is_symlink()  # to a place that is not there
    except OSError:  # nobody may look
        pass
    return True


def free_name(name: str) -> str:
    """The name, with a number after it when a run has it already: names are what people tell runs apart by."""
    taken = {info.name for info, _ in _infos_and_damaged()[0]}
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    return name if name not in taken else next(other for other in numbered if other not in taken)
