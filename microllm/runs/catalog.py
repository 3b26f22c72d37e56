"""Create, list and delete runs."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from ..config import ModelConfig, TrainConfig, problems
from ..cost import memory_problem, thread_count
from ..data.decode import TextProblem
from ..data.store import forget_text
from ..data.texts import Text, is_kept, load_corpus
from ..environment import home, max_disk_bytes, runs_dir, texts_dir
from ..storage import parsed, read_file, write_atomically
from . import gallery
from .disk import check_disk
from .info import ExperimentEntry, Parent, RunInfo, RunProblem, Twin, hash_key, new_name
from .json_files import MAX_JSON_BYTES, checked_json
from .run import ID_PATTERN, Run

_UNUSED_SHARE = 0.1
_LEFT_SECONDS = 3_600
_DELETED = "deleted.json"  # the run.json of a run whose folder is being removed
# there is no run.json, or it is no regular file of a usual size
_NOT_A_RUN = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.ELOOP, errno.ENXIO, errno.EFBIG}
_SHA256 = re.compile(rb"[0-9a-f]{64}")


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
    experiment: ExperimentEntry | None = None,
    twin: Twin | None = None,
    vocab: str | None = None,
    is_repeatable: bool = True,
    fill: Callable[[Run], None] | None = None,
) -> Run:
    """Create the folder of a new run, owned by the holder of `owner_key`.

    A fork has a `parent` (see fork.py), and a `twin` names the run that it repeats (see twin.py). The vocabulary is
    that of its text, or `vocab`. `is_repeatable` is as in RunInfo. `fill` writes further files; after that the run
    becomes visible. If anything fails, no folder is left.

    Raises ValueError for a configuration with problems or one that does not fit into memory, RunProblem for other
    invalid values or when the disk limit is reached, and OSError.
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
    run = Run(runs_dir() / secrets.token_hex(8))
    content = checked_json(
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
            experiment=experiment,
            twin=twin,
            is_repeatable=is_repeatable,
        )
    )
    try:
        run.folder.mkdir(parents=True)
        note_folder()
        write_atomically(run.folder / "vocab.json", json.dumps(corpus.tokenizer.vocab))
        if fill:
            fill(run)
        with _texts_lock():
            if not is_kept(text):  # deleted meanwhile, though its ids are still in memory: the run could not continue
                raise TextProblem(f"{text.name} is no longer stored: choose the text again.")
            write_atomically(run.folder / "run.json", content)  # makes the run visible
    except BaseException:
        shutil.rmtree(run.folder, ignore_errors=True)
        raise
    return run


def _texts_lock() -> FileLock:
    """Held, in any thread and process, so that a text that is stored is not deleted before the run that needs it is
    visible.
    """
    texts_dir().mkdir(parents=True, exist_ok=True)
    return FileLock(texts_dir() / ".lock", timeout=10)


def delete(run: Run) -> None:
    """Delete a run and each text that no other run needs. Raises RunProblem while it is being trained."""
    with run.writing():
        texts = run.read_info().texts
        (run.folder / "run.json").replace(run.folder / _DELETED)  # makes the run invisible
    forget_unused(texts)
    _remove(run.folder)


def _remove(folder: Path) -> None:
    """Remove a folder; last the file that says that its run was deleted, by which `_sweep` finds what a kill left."""
    with contextlib.suppress(OSError):
        for path in () if folder.is_symlink() else folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != _DELETED:
                path.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def forget_unused(texts: set[str]) -> None:
    """Delete those of the texts that no run needs; none while a run cannot be read, which may need any of them."""
    with contextlib.suppress(_Unreadable, Timeout), _texts_lock():
        for sha256 in texts - _needed_texts():
            forget_text(sha256)


def limit_unused_texts() -> None:
    """Delete texts that no run needs, the oldest first, until those left take at most a tenth of the disk limit.

    So texts that nobody trains on cannot crowd out runs. The newest text always stays, and does not count. First, what
    killed programs left is removed.
    """
    _sweep()
    with contextlib.suppress(_Unreadable, Timeout), _texts_lock():
        needed, unused = _needed_texts(), []
        for path in texts_dir().glob("*.txt"):
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                if path.stem not in needed:
                    unused.append((path.stat().st_mtime_ns, path.stat().st_size, path.stem))
        older = sorted(unused, reverse=True)[1:]
        for (_, _, sha256), used in zip(older, itertools.accumulate(size for _, size, _ in older), strict=True):
            if used > _UNUSED_SHARE * max_disk_bytes():
                forget_text(sha256)


def _sweep() -> None:
    """Remove what a killed program left an hour ago or earlier: half of an import, of a text or of a deletion."""
    for path in texts_dir().glob(".*.txt.*"):
        with contextlib.suppress(OSError):  # removed meanwhile
            if _is_left(path):
                path.unlink()
    for folder in runs_dir().glob(".importing-*"):
        with contextlib.suppress(OSError):
            if _is_left(folder):
                _remove(folder)
    for run_id in _ids():
        folder = runs_dir() / run_id
        with contextlib.suppress(OSError):
            if not os.path.lexists(folder / "run.json") and _is_left(folder) and (folder / _DELETED).is_file():
                forget_unused(_texts_in(folder / _DELETED))
                _remove(folder)


def _is_left(path: Path) -> bool:
    return time.time() - path.lstat().st_mtime > _LEFT_SECONDS


class _Unreadable(Exception):
    """A run, or the list of all, cannot be read now."""


def note_folder() -> None:
    """Note in the home that `runs_dir()` is elsewhere, if it is: its runs need texts of this home, too."""
    line = json.dumps(str(runs_dir()))
    if runs_dir() != _home_runs() and line not in _noted_lines():
        with _texts_lock():
            write_atomically(_notes(), "\n".join([*_noted_lines(), line, ""]))


def _noted_folders() -> set[Path]:
    return {Path(parsed(line)) for line in _noted_lines()}  # raises ValueError or TypeError for a damaged line


def _noted_lines() -> list[str]:
    lines = _notes().read_text("utf-8", "replace").splitlines() if _notes().exists() else []
    return [line for line in lines if line.strip()]


def _notes() -> Path:
    return home() / "folders-of-runs"


def _home_runs() -> Path:
    return home() / "runs"


def _needed_texts() -> set[str]:
    """The SHA-256 of every text of a run, including the gallery's and runs in other folders. Raises _Unreadable.

    They are looked for in the bytes of run.json, so that a damaged or newer run keeps its texts, too.
    """
    needed = {sha256 for run in gallery_runs() for sha256 in run.read_info().texts}
    try:
        noted = _noted_folders()
        for folder in {_home_runs(), runs_dir(), *noted}:
            needed |= _texts_of_runs(folder, may_be_missing=folder not in noted)
    except (OSError, ValueError, TypeError) as error:
        raise _Unreadable from error
    return needed


def _texts_of_runs(folder: Path, may_be_missing: bool) -> set[str]:
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        if not may_be_missing:  # it may be on a drive that is not mounted
            raise
        names = []
    needed = set()
    for name in filter(ID_PATTERN.fullmatch, names):
        try:
            needed |= _texts_in(folder / name / "run.json")
        except OSError as error:
            if error.errno not in _NOT_A_RUN:
                raise
    return needed


def _texts_in(path: Path) -> set[str]:
    return {found.decode() for found in _SHA256.findall(read_file(path, MAX_JSON_BYTES))}


def gallery_runs() -> list[Run]:
    """The runs that come with MicroLLM, in their order. `all_runs` and the others below do not list them."""
    runs = []
    for run_id in gallery.IDS:
        with contextlib.suppress(RunProblem):  # its folder was removed or edited
            runs.append(Run.open(run_id))
    return runs


def all_runs() -> list[Run]:
    """Every run that can be opened, newest first."""
    return runs_and_damaged()[0]


def runs_and_damaged() -> tuple[list[Run], list[str]]:
    """(every run that can be opened, newest first; the ids of those that cannot)."""
    opened, damaged = _infos_and_damaged()
    return [run for _, run in sorted(opened, key=lambda pair: pair[0].created, reverse=True)], sorted(damaged)


def _infos_and_damaged() -> tuple[list[tuple[RunInfo, Run]], list[str]]:
    """The info of each run, read once because the run may be deleted at any time; and the ids of damaged runs."""
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
    """The names in the folder of runs that look like ids. The folders were not opened yet."""
    try:
        return [name for name in os.listdir(runs_dir()) if ID_PATTERN.fullmatch(name)]
    except OSError:  # no folder yet
        return []


def _is_there(run_id: str) -> bool:
    """False for a folder without a run.json, such as one that is being created or deleted, and for a file."""
    folder = runs_dir() / run_id
    try:
        os.lstat(folder / "run.json")
    except (FileNotFoundError, NotADirectoryError):
        return folder.is_symlink()  # a broken link
    except OSError:  # no permission
        pass
    return True


def free_name(name: str) -> str:
    """The name, with a number appended if another run has it, so that people can tell runs apart."""
    taken = {info.name for info, _ in _infos_and_damaged()[0]} | {*gallery.IDS}
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    return name if name not in taken else next(other for other in numbered if other not in taken)
