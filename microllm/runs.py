"""A run is a folder: what was asked, what was measured, and the weights of many moments."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import math
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from .checkpoint import (
    SNAPSHOT_BUDGET,
    checkpoint_steps,
    load_checkpoint,
    load_weights,
    save_checkpoint,
    save_weights,
    sweep,
    thin,
)
from .config import ModelConfig, TrainConfig, problems, replayed
from .corpus import Corpus
from .cost import memory_problem
from .download import TextProblem, forget_text
from .history import History
from .home import parsed, runs_dir, texts_dir, write_atomically
from .model import MicroLLM
from .run_info import Parent, RunInfo, kept_of, new_name
from .texts import Text, is_kept, load_corpus
from .tokenizer import CharTokenizer
from .train import Progress, TrainerState, thread_count

ACTIVE = ("waiting", "training", "paused")

_ID = re.compile(r"[0-9a-f]{16}")

_looking = threading.Lock()


class RunProblem(ValueError):
    """A run that cannot be opened; the sentence says why."""


class Run:
    """One run's folder, to read by anybody and to write by the one who holds `writing`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.history = History(folder / "metrics.jsonl")
        self._lock = FileLock(folder / "lock", thread_local=False)
        self._read: tuple[tuple[int, int], RunInfo] | None = None  # in one piece: threads share a run

    @property
    def id(self) -> str:
        """The folder's name, which also stands in the link."""
        return self.folder.name

    @classmethod
    def create(
        cls,
        model: ModelConfig,
        train: TrainConfig,
        text: Text,
        *,
        preset: str,
        threads: int | None = None,
        guess: float | None = None,
        token: str | None = None,
        parent: Parent | None = None,
        vocab: str | None = None,
    ) -> Run:
        """Make the folder of a new run, owned by whoever has `token`; see forking.py for one that has a `parent`.

        Its characters are those of its text, or `vocab`. Raises ValueError for a configuration with problems or one
        that does not fit into the memory, RunProblem when all runs take too much of the disk, OSError on a full one.
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
            raise TextProblem(f"{text.name} is not kept here any more: choose the text again.")
        run = cls(runs_dir() / secrets.token_hex(8))
        run.folder.mkdir(parents=True)
        write_atomically(run.folder / "vocab.json", json.dumps(corpus.tokenizer.vocab))
        run._write(
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
                owner=kept_of(token) if token else None,
                parent=parent,
            )
        )
        return run

    @classmethod
    def open(cls, run_id: str) -> Run:
        """The run with this id. Raises RunProblem when there is none or its `run.json` cannot be understood."""
        if not _ID.fullmatch(run_id) or not (runs_dir() / run_id / "run.json").is_file():
            raise _missing(run_id)
        run = cls(runs_dir() / run_id)
        _ = run.info  # a damaged run is refused here, not at its first use
        return run

    # ---- reading

    @property
    def info(self) -> RunInfo:
        """What `run.json` says now. A run whose writer is gone without a word is "interrupted"."""
        path = self.folder / "run.json"
        try:
            stat, read = path.stat(), self._read
            stamp = stat.st_mtime_ns, stat.st_ino  # clocks of file systems are coarse: two writes may have one time
            if read is None or read[0] != stamp:
                read = self._read = stamp, RunInfo.from_json(parsed(path.read_text("utf-8")))
        except FileNotFoundError as error:
            raise _missing(self.id) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunProblem(f"Run {self.id} is damaged: its run.json cannot be understood.") from error
        info = read[1]
        if info.state in ACTIVE and not self.is_being_written():
            return replace(info, state="interrupted", message="The program that trained it is gone.")
        return info

    def is_being_written(self) -> bool:
        """True while some thread, here or in another process, holds `writing`."""
        if self._lock.is_locked:
            return True
        with _looking:  # whoever looks holds the lock for a moment, and must not be taken for the writer
            try:
                with FileLock(self.folder / "lock", timeout=0.005, poll_interval=0.001, thread_local=False):
                    return False
            except Timeout:
                return True

    @cached_property
    def tokenizer(self) -> CharTokenizer:
        """The characters of the run's text. Raises RunProblem when they cannot be read."""
        try:
            return CharTokenizer(parsed((self.folder / "vocab.json").read_text("utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise RunProblem(f"Run {self.id} is damaged: its vocab.json cannot be understood.") from error

    @property
    def corpus(self) -> Corpus:
        """The text of the run. Raises download.TextProblem when it is gone."""
        return load_corpus(*self.text_and_vocab)

    @property
    def text_and_vocab(self) -> tuple[str, str | None]:
        """What texts.load_corpus takes: the SHA-256 of the text, and its characters where they are the parent's."""
        return self.info.text.sha256, self.tokenizer.vocab if self.old_text else None

    @property
    def old_text(self) -> Text | None:
        """The text that its weights have learned before this one; None for a run that is no such fork."""
        return self.info.old_text

    @property
    def old_corpus(self) -> Corpus | None:
        """The old text, in the same characters. Raises download.TextProblem when it is gone."""
        return self.old_text and load_corpus(self.old_text.sha256, self.tokenizer.vocab)

    @property
    def snapshots(self) -> list[int]:
        """The steps whose weights are kept, in order."""
        return sorted(int(path.stem.removeprefix("step-")) for path in self.folder.glob("snapshots/step-*.safetensors"))

    def newest_snapshot(self) -> int:
        """The last step whose weights are kept. Raises RunProblem before the first."""
        if not (steps := self.snapshots):
            raise RunProblem(f"{self.info.name} has no weights yet.")
        return steps[-1]

    def model_at(self, step: int) -> MicroLLM:
        """The model of a snapshot, in eval mode. Raises checkpoint.WeightsProblem."""
        return load_weights(self._snapshot_path(step), self.info.model, self.tokenizer.vocab_size)

    def _snapshot_path(self, step: int) -> Path:
        return self.folder / "snapshots" / f"step-{step}.safetensors"

    # ---- writing

    @contextlib.contextmanager
    def writing(self) -> Iterator[Writer]:
        """Be the one writer of this folder. Raises RunProblem when it has one already."""
        sentence = f"{self.info.name} is being trained already, here or in another process."
        if self._lock.is_locked:  # acquiring it once more would only count
            raise RunProblem(sentence)
        try:
            self._lock.acquire(timeout=1)
        except Timeout:
            raise RunProblem(sentence) from None
        try:
            for folder in (self._checkpoints, self.folder / "snapshots"):
                sweep(folder)
            for name in ("metrics.jsonl", "events.jsonl"):
                _cut_torn_line(self.folder / name)
            writer = Writer(self)
            try:
                yield writer
            finally:
                writer.close()
        finally:
            self._lock.release()

    def update(self, **changes) -> None:
        """Write some fields of RunInfo to `run.json`."""
        self._write(replace(self.info, **changes))

    def _write(self, info: RunInfo) -> None:
        write_atomically(self.folder / "run.json", json.dumps(asdict(info), indent=1))

    def save_snapshot(self, step: int, state: dict[str, torch.Tensor]) -> None:
        """Keep the weights of `step`; the least telling snapshots go when all take more than SNAPSHOT_BUDGET."""
        path = self._snapshot_path(step)
        save_weights(state, path)
        kept = thin(self.snapshots, keep=SNAPSHOT_BUDGET // path.stat().st_size)
        for other in set(self.snapshots) - set(kept):
            self._snapshot_path(other).unlink(missing_ok=True)

    # ---- going on

    @property
    def _checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def checkpoints(self) -> list[int]:
        """The steps from which training can go on, in order."""
        return checkpoint_steps(self._checkpoints)

    def save_checkpoint(self, state: TrainerState, made_with: dict[str, Any]) -> None:
        """Keep all that training needs to go on from here. Raises OSError when the disk refuses."""
        save_checkpoint(self._checkpoints, state, made_with)

    def load_checkpoint(self, step: int | None = None) -> tuple[TrainerState, dict[str, Any], list[str]] | None:
        """The newest checkpoint that is whole, or that of `step`, as checkpoint.load_checkpoint gives it."""
        return load_checkpoint(self._checkpoints, step)

    def check_what_it_needs(self) -> None:
        """Raises download.TextProblem when a text is gone from which it learns, RunProblem when weights are."""
        _ = self.corpus, self.old_corpus
        if self.info.parent and not self.checkpoints:
            raise self.lost_beginning()

    def lost_beginning(self) -> RunProblem:
        """What to raise for a fork without a checkpoint: from chance it would be another run."""
        return RunProblem(f"No checkpoint of {self.info.name} can be used: fork {self.info.parent.name} again.")

    def extend(self, max_steps: int) -> None:
        """Give a finished run more steps to make: up to `max_steps`. Training it again then goes on to there.

        Raises ValueError when that is no more than it has made, or out of range, or when it cannot go on.
        """
        self.check_what_it_needs()
        with self.writing() as writer:
            info, last = self.info, self.history.read().last
            made = last["step"] if last else 0
            if max_steps <= made:
                raise ValueError(f"max_steps is {max_steps:,}: {info.name} has made {made:,} already.")
            longer = replace(info.train, max_steps=max_steps)
            change = {"max_steps": max_steps, "max_steps_before": info.train.max_steps}
            asked = replayed(info.train, self.history.changes(), made)
            if asked.stop_at_loss and made < info.train.max_steps:  # it would stop again at once
                change["stop_at_loss"] = 0
            if found := problems(info.model, longer, info.text.characters):
                raise ValueError(" ".join(found.values()))
            writer.event(made, change)
            self.update(train=longer, state="interrupted", message="", full_val_loss=None)

    def cut(self, step: int) -> None:
        """Forget what was logged and kept from `step` on: it will be made again. Only for the one who writes."""
        write_atomically(self.folder / "metrics.jsonl", self.logged_before(step))
        for other in self.snapshots:
            if other > step:
                self._snapshot_path(other).unlink(missing_ok=True)

    def logged_before(self, step: int) -> bytes:
        """The whole lines of `metrics.jsonl` before a step."""
        lines = []
        for line in (self.folder / "metrics.jsonl").read_bytes().splitlines(keepends=True):
            with contextlib.suppress(ValueError):
                row = parsed(line)
                if isinstance(row, dict) and isinstance(row.get("step"), int) and row["step"] < step:
                    lines.append(line)
        return b"".join(lines)

    @property
    def size(self) -> int:
        """Bytes that the run's folder takes on the disk."""
        return _bytes_in(self.folder)

    def delete(self) -> None:
        """Remove the run, and each text that no other run needs. Raises RunProblem while it is being trained."""
        with self.writing():
            texts = self.info.texts
            (self.folder / "run.json").unlink()  # from here on there is no such run
        shutil.rmtree(self.folder, ignore_errors=True)
        for sha256 in texts.difference(*(other.info.texts for other in all_runs())):
            forget_text(sha256)


def _missing(run_id: str) -> RunProblem:
    return RunProblem(f"There is no run {run_id[:40]!r} here: deleted, or the link is cut short?")


def _cut_torn_line(path: Path) -> None:
    """Remove a last line that a crash has left without its end, so that the next one stands alone."""
    with contextlib.suppress(FileNotFoundError), path.open("r+b") as file:
        data = file.read()
        file.truncate(data.rfind(b"\n") + 1)


class Writer:
    """Appends to a run's `metrics.jsonl` and `events.jsonl`. On a full disk lines wait here until there is room.

    Any thread may log.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._lock = threading.RLock()
        self._metrics = self._open()
        self._waiting = b""
        self._flushed = 0.0
        self.problem: str | None = None
        """Why the disk refuses lines, while it does."""

    def _open(self):
        return (self._run.folder / "metrics.jsonl").open("ab", buffering=0)

    def log(self, progress: Progress) -> None:
        """Append a line. It reaches readers within a fifth of a second, an exam's at once."""
        row = {name: value for name, value in asdict(progress).items() if value is not None}
        bad = sorted(name for name, value in row.items() if not math.isfinite(value))
        for name in bad:
            row[name] = None  # JSON has no NaN and no infinity
        if bad:
            row["not_finite"] = bad
        line = _line(row)
        with self._lock:
            self._waiting += line
            if progress.val_loss is not None or bad or time.monotonic() - self._flushed > 0.2:
                self.flush()

    def flush(self) -> None:
        """Let readers see everything that was logged, as far as the disk takes it."""
        with self._lock:
            try:
                while self._waiting:
                    self._waiting = self._waiting[self._metrics.write(self._waiting) :]
                self.problem = None
            except OSError as error:
                self.problem = error.strerror or str(error)
            self._flushed = time.monotonic()

    def close(self) -> None:
        """Write what can be written, and end."""
        self.flush()
        self._metrics.close()

    def event(self, step: int, changes: dict[str, float], instead_of: Sequence[dict[str, Any]] = ()) -> None:
        """Append a live change and the step at which it takes effect; call it before the change is made.

        The changes that it stands `instead_of` are removed. Raises OSError when the disk takes no whole line; then all
        stands there as before.
        """
        path, line = self._run.folder / "events.jsonl", _line({"step": step, **changes})
        if instead_of:
            kept = [_line(change) for change in self._run.history.changes() if change not in instead_of]
            write_atomically(path, b"".join([*kept, line]))
            return
        with path.open("ab", buffering=0) as events:
            before = events.tell()
            try:
                if events.write(line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                events.truncate(before)
                raise

    def cut(self, step: int) -> None:
        """Forget what was logged and kept from `step` on, and go on writing after the rest."""
        self.close()
        self._run.cut(step)
        self._metrics = self._open()


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row).encode() + b"\n"


def all_runs() -> list[Run]:
    """Every run that can be opened, the newest first."""
    return runs_and_damaged()[0]


def runs_and_damaged() -> tuple[list[Run], list[str]]:
    """(every run that can be opened, the newest first; the ids of those that cannot): none hides the others."""
    runs, damaged = [], []
    for path in runs_dir().glob("*/run.json"):
        if not _ID.fullmatch(path.parent.name):
            continue
        try:
            runs.append(Run.open(path.parent.name))
        except RunProblem:
            damaged.append(path.parent.name)
    return sorted(runs, key=lambda run: run.info.created, reverse=True), sorted(damaged)


def free_name(name: str) -> str:
    """The name, with a number after it when a run has it already: names are what people tell runs apart by."""
    taken = set()
    for path in runs_dir().glob("*/run.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # of a damaged run
            taken.add(parsed(path.read_bytes())["name"])
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    return name if name not in taken else next(other for other in numbered if other not in taken)


def disk_use() -> int:
    """Bytes that all runs and texts together take on the disk."""
    return _bytes_in(runs_dir()) + _bytes_in(texts_dir())


def check_disk() -> None:
    """Raises RunProblem when there is no room for another run or text."""
    if (used := disk_use()) > (most := most_disk()):
        raise RunProblem(
            f"All runs and texts take {used / 1e6:,.1f} MB, and MICROLLM_DISK allows {most / 1e6:,.0f}: "
            "delete some first."
        )


def most_disk() -> float:
    """`MICROLLM_DISK` in MB, else 20,000; in bytes. With more on the disk no run is begun and no upload taken."""
    with contextlib.suppress(KeyError, ValueError):
        if (wished := 1e6 * float(os.environ["MICROLLM_DISK"])) >= 0:  # NaN is not
            return wished
    return 20e9


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # replaced or deleted meanwhile
            total += path.stat().st_size if path.is_file() else 0
    return total
