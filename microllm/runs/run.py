"""A run is a folder: what was asked, what was measured, and the weights of many moments."""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from ..config import problems
from ..corpus import Corpus
from ..data.decode import TextProblem
from ..data.texts import Text, load_corpus
from ..environment import runs_dir
from ..model import MicroLLM
from ..storage import open_file, parsed, read_file, write_atomically
from ..tokenizer import MAX_CHARACTERS, CharTokenizer
from .checkpoint import TrainerState, checkpoint_steps, load_checkpoint, remove_partial_saves, save_checkpoint
from .disk import _bytes_in
from .history import MOST_EVENTS, MOST_METRICS, History, replayed
from .info import ACTIVE, NewerFormat, RunInfo, RunProblem
from .metrics import Writer, cut_torn_line
from .weights import SNAPSHOT_BUDGET, load_weights, save_weights, snapshot_steps, thin

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

MOST_JSON = 2**17
"""Bytes of a run.json or vocab.json. A larger one is not read."""

_ID = re.compile(r"[0-9a-f]{16}")
_MOST_BYTES = {"metrics.jsonl": MOST_METRICS, "events.jsonl": MOST_EVENTS, "vocab.json": MOST_JSON}
_FOLDERS = ("snapshots", "checkpoints")
_LONGEST_MESSAGE = 2_000
_MOST_REMEMBERED = 10_000
_remembered: dict[str, tuple[tuple[int, int, int], Any]] = {}  # path of a JSON file: its stamp, and what it said


class Run:
    """One run's folder, to read by anybody and to write by the one who holds `writing`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = str(folder)

    @cached_property  # as the lock: a list of a thousand runs needs neither
    def history(self) -> History:
        """The curve of the run."""
        return History(self.folder / "metrics.jsonl")

    @cached_property
    def _lock(self) -> FileLock:
        return FileLock(self.folder / "lock", thread_local=False)

    @property
    def id(self) -> str:
        """The folder's name, which also stands in the link."""
        return self.folder.name

    @classmethod
    def open(cls, run_id: str) -> Run:
        """The run with this id. Raises RunProblem when there is none or a part of its folder cannot be used.

        A run that is damaged is refused here, and not at its first use.
        """
        if not _ID.fullmatch(run_id):
            raise _missing(run_id)
        run = cls(runs_dir() / run_id)
        run._check()
        return run

    def _check(self) -> None:
        self.read_info()
        for name in (*_MOST_BYTES, *_FOLDERS):
            try:
                found = os.lstat(f"{self._path}/{name}")
            except FileNotFoundError:
                continue
            except OSError as error:
                raise _damaged(self.id, f"its {name} cannot be read") from error
            if not (stat.S_ISDIR if name in _FOLDERS else stat.S_ISREG)(found.st_mode):
                raise _damaged(self.id, f"its {name} is not a {'folder' if name in _FOLDERS else 'file'}")
            if name in _MOST_BYTES and found.st_size > _MOST_BYTES[name]:
                raise _damaged(self.id, f"its {name} is too large to be ours ({found.st_size / 1e6:,.1f} MB)")
        _ = self._vocab

    # ---- reading

    def read_info(self) -> RunInfo:
        """What `run.json` says now. A run whose writer is gone without a word is "interrupted".

        Raises RunProblem when it is gone or cannot be understood.
        """
        info = self._said("run.json", RunInfo.from_json)
        if info.state in ACTIVE and not self.is_being_written():
            return replace(info, state="interrupted", message="The program that trained it is gone.")
        return info

    def _said(self, name: str, understood: Callable[[Any], Any]) -> Any:
        """What a JSON file of the run says, as `understood`. It is read once, however many ask."""
        path = f"{self._path}/{name}"
        try:
            found = os.lstat(path)
            stamp = found.st_mtime_ns, found.st_ino, found.st_size  # two writes may have one time of a coarse clock
            known = _remembered.get(path)
            if known is None or known[0] != stamp:
                known = stamp, _understood(read_file(path, MOST_JSON), understood)
                if len(_remembered) >= _MOST_REMEMBERED:
                    _remembered.clear()
                _remembered[path] = known
        except FileNotFoundError as error:
            raise _missing(self.id) if name == "run.json" else _damaged(self.id, f"it has no {name}") from error
        except OSError as error:
            raise _damaged(self.id, f"its {name} cannot be read") from error
        if isinstance(known[1], NewerFormat):
            raise RunProblem(f"Run {self.id} cannot be opened: {known[1]}.")
        if known[1] is None:
            raise _damaged(self.id, f"its {name} cannot be understood")
        return known[1]

    def is_being_written(self) -> bool:
        """True while some thread, here or in another process, holds `writing`. Where no lock can be read, nobody does.

        Nothing is written for that: a run can be looked at where only reading is allowed.
        """
        try:
            with open_file(f"{self._path}/lock") as file:
                if fcntl:  # those who only look do not take each other for the writer: the lock is shared
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    return False
            with FileLock(self.folder / "lock", timeout=0.005, poll_interval=0.001, thread_local=False):
                return False
        except (BlockingIOError, Timeout):
            return True
        except OSError:  # also on a file system without such locks: there we know of this very object only
            return "_lock" in vars(self) and self._lock.is_locked

    @property
    def _vocab(self) -> str:
        return self._said("vocab.json", checked_vocab)

    @cached_property
    def tokenizer(self) -> CharTokenizer:
        """The characters of the run's text. Raises RunProblem when they cannot be read."""
        return CharTokenizer(self._vocab)

    def load_corpus(self) -> Corpus:
        """The text of the run. Raises TextProblem when it is gone, or is not the one that the run learned."""
        corpus = self._loaded(self.read_info().text, self._foreign_vocab)
        if corpus.tokenizer.vocab != self._vocab:
            raise self._not_its_text(self.read_info().text)
        return corpus

    def text_and_vocab(self) -> tuple[str, str | None]:
        """What texts.load_corpus takes: the SHA-256 of the text, and its characters where they are the parent's.

        Raises TextProblem as `corpus` does.
        """
        self.load_corpus()
        return self.read_info().text.sha256, self._foreign_vocab

    @property
    def _foreign_vocab(self) -> str | None:
        return self._vocab if self.read_info().old_text else None

    def _loaded(self, text: Text, vocab: str | None) -> Corpus:
        try:
            corpus = load_corpus(text.sha256, vocab)
        except TextProblem:
            raise
        except ValueError as error:  # it has characters that are not in the vocabulary
            raise self._not_its_text(text) from error
        if len(corpus) != text.characters:
            raise self._not_its_text(text)
        return corpus

    def _not_its_text(self, text: Text) -> TextProblem:
        return TextProblem(
            f"{text.name}, as it is kept here, is not what {self.read_info().name} learned: they do not fit."
        )

    def load_old_corpus(self) -> Corpus | None:
        """The old text, in the same characters. Raises TextProblem when it is gone."""
        return (old := self.read_info().old_text) and self._loaded(old, self._vocab)

    def list_snapshots(self) -> list[int]:
        """The steps whose weights are kept, in order."""
        return snapshot_steps(self.folder / "snapshots")

    def newest_snapshot(self) -> int:
        """The last step whose weights are kept. Raises RunProblem before the first."""
        if not (steps := self.list_snapshots()):
            raise RunProblem(f"{self.read_info().name} has no weights yet.")
        return steps[-1]

    def model_at(self, step: int) -> MicroLLM:
        """The model of a snapshot, in eval mode. Raises weights.WeightsProblem."""
        return load_weights(self._snapshot_path(step), self.read_info().model, self.tokenizer.vocab_size)

    def _snapshot_path(self, step: int) -> Path:
        return self.folder / "snapshots" / f"step-{step}.safetensors"

    # ---- writing

    @contextlib.contextmanager
    def writing(self) -> Iterator[Writer]:
        """Be the one writer of this folder. Raises RunProblem when it has one already, or has no usable lock."""
        name = self.read_info().name
        is_taken = f"{name} is being trained already, here or in another process."
        if self._lock.is_locked:  # acquiring it once more would only count
            raise RunProblem(is_taken)
        try:
            with contextlib.suppress(FileNotFoundError):  # what no reader could see locked is no lock
                open_file(self.folder / "lock").close()
            self._lock.acquire(timeout=1)
        except Timeout:
            raise RunProblem(is_taken) from None
        except OSError as error:
            self.read_info()  # deleted meanwhile?
            lock = self.folder / "lock"
            raise RunProblem(f"{name} cannot be written: {lock} cannot be used ({error.strerror}).") from error
        try:
            self._check_is_not_deleted()
            for folder in (self._checkpoints, self.folder / "snapshots"):
                remove_partial_saves(folder)
            for file in ("metrics.jsonl", "events.jsonl"):
                cut_torn_line(self.folder / file)
            writer = Writer(self.folder, self.history)
            try:
                yield writer
            finally:
                writer.close()
        finally:
            self._lock.release()

    def _check_is_not_deleted(self) -> None:
        """Raises RunProblem when the run was deleted while its lock was waited for. No folder is left for the lock."""
        try:
            self.read_info()
        except RunProblem:
            with contextlib.suppress(OSError):  # not empty: it is damaged, and not deleted
                if not os.path.lexists(f"{self._path}/run.json"):
                    (self.folder / "lock").unlink()
                    self.folder.rmdir()
            raise

    def update(self, **changes) -> None:
        """Write some fields of RunInfo to `run.json`. Raises RunProblem for what no run may say, OSError."""
        if "message" in changes:  # it may quote anything
            changes["message"] = changes["message"].encode("utf-8", "replace").decode()[:_LONGEST_MESSAGE]
        write_atomically(self.folder / "run.json", checked_json(replace(self.read_info(), **changes)))

    def save_snapshot(self, step: int, state: dict[str, torch.Tensor]) -> None:
        """Keep the weights of `step`; the least telling snapshots go when all take more than SNAPSHOT_BUDGET."""
        path = self._snapshot_path(step)
        save_weights(state, path)
        kept = thin(self.list_snapshots(), keep=SNAPSHOT_BUDGET // path.stat().st_size)
        for other in set(self.list_snapshots()) - set(kept):
            self._snapshot_path(other).unlink(missing_ok=True)

    # ---- going on

    @property
    def _checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def list_checkpoints(self) -> list[int]:
        """The steps from which training can go on, in order."""
        return checkpoint_steps(self._checkpoints)

    def save_checkpoint(self, state: TrainerState, made_with: dict[str, Any]) -> None:
        """Keep all that training needs to go on from here. Raises OSError when the disk refuses."""
        save_checkpoint(self._checkpoints, state, made_with)

    def load_checkpoint(self, step: int | None = None) -> tuple[TrainerState, dict[str, Any], list[str]] | None:
        """The newest checkpoint that is whole, or that of `step`, as checkpoint.load_checkpoint gives it."""
        return load_checkpoint(self._checkpoints, step)

    def check_what_it_needs(self) -> None:
        """Raises TextProblem when a text is gone from which it learns, RunProblem when weights are."""
        self.load_corpus()
        self.load_old_corpus()
        if self.read_info().parent and not self.list_checkpoints():
            raise self.lost_beginning()

    def lost_beginning(self) -> RunProblem:
        """What to raise where no checkpoint can be used: from step 0 on, all that was learned would be lost."""
        parent = self.read_info().parent
        cure = f"fork {parent.name} again" if parent else "start a new run; its curve and its snapshots stay"
        return RunProblem(f"No checkpoint of {self.read_info().name} can be used: {cure}.")

    def extend(self, max_steps: int) -> None:
        """Give a finished run more steps to make: up to `max_steps`. Training it again then goes on to there.

        Raises ValueError when that is no more than it has made, or out of range, or when it cannot go on.
        """
        self.check_what_it_needs()
        with self.writing() as writer:
            info, last = self.read_info(), self.history.read().last
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

    def discard(self, step: int, writer: Writer) -> None:
        """Remove what was logged from `step` on, and the snapshots after it: those steps will be made again."""
        writer.cut(step)
        for other in self.list_snapshots():
            if other > step:
                self._snapshot_path(other).unlink(missing_ok=True)

    def disk_size(self) -> int:
        """Bytes that the run's folder takes on the disk."""
        return _bytes_in(self.folder)


def checked_vocab(data: Any) -> str:
    """The characters that a vocab.json lists. Raises ValueError when they are none, too many, or one comes twice."""
    if not (isinstance(data, str) and 0 < len(data) <= MAX_CHARACTERS and len({*data}) == len(data)):
        raise ValueError(f"it has to be a text of 1 to {MAX_CHARACTERS:,} different characters")
    return data


def _understood(data: bytes, understand: Callable[[Any], Any]) -> Any:
    try:
        return understand(parsed(data))
    except NewerFormat as error:
        return error
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def checked_json(info: RunInfo) -> str:
    """What stands in run.json for `info`, if the rule that reads it takes it. Raises RunProblem."""
    try:
        text = json.dumps(asdict(info), indent=1)
        RunInfo.from_json(parsed(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunProblem(f"A run like this cannot be kept: {error}") from error
    if len(text) > MOST_JSON:
        raise RunProblem(f"A run like this cannot be kept: its run.json would have {len(text):,} bytes.")
    return text


def _missing(run_id: str) -> RunProblem:
    return RunProblem(f"There is no run {run_id[:40]!r} here: deleted, or the link is cut short?")


def _damaged(run_id: str, why: str) -> RunProblem:
    return RunProblem(f"Run {run_id} is damaged: {why}.")
