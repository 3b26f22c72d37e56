"""A run is a folder: its settings, its metrics, and its weights at many steps."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from filelock import Timeout

from ..config import problems
from ..corpus import Corpus
from ..data.decode import TextProblem
from ..data.edits import Edit
from ..data.texts import Text, is_kept, load_corpus, restore, why_missing
from ..environment import runs_dir
from ..model import MicroLLM
from ..storage import write_atomically
from ..tokenizer import CharTokenizer
from . import gallery
from .checkpoint import TrainerState, checkpoint_steps, load_checkpoint, remove_partial_saves, save_checkpoint
from .history import History, replayed, without_lost_extension
from .info import ACTIVE, ENDED, NewerFormat, RunInfo, RunProblem, damaged, missing
from .json_files import MAX_JSON_BYTES, checked_json, checked_vocab, read_json
from .lines import MAX_EVENTS_BYTES, MAX_METRICS_BYTES
from .lock import WriterLock
from .metrics import Writer, cut_torn_line
from .weights import SNAPSHOT_BUDGET, load_weights, save_weights, snapshot_steps, thin

ID_PATTERN = re.compile(r"[0-9a-f]{16}")
_MAX_BYTES = {"metrics.jsonl": MAX_METRICS_BYTES, "events.jsonl": MAX_EVENTS_BYTES, "vocab.json": MAX_JSON_BYTES}
_FOLDERS = ("snapshots", "checkpoints")
_MAX_MESSAGE_CHARACTERS = 2_000


class Run:
    """The folder of one run. Any code may read it; only the holder of `writing` may write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = str(folder)
        self._lock = WriterLock(folder / "lock")

    @cached_property  # made on demand: a list of 1,000 runs does not need it
    def history(self) -> History:
        """The curve of the run."""
        return History(self.folder / "metrics.jsonl")

    def changes(self) -> list[dict[str, Any]]:
        """The changes of its settings while it trained, as `History.changes`, without an extension lost in a crash."""
        return without_lost_extension(self.history.changes(), self.read_info().train)

    @property
    def id(self) -> str:
        """The name of the folder; also used in links."""
        return self.folder.name

    @property
    def is_from_gallery(self) -> bool:
        """True for a run that comes with MicroLLM: nothing in its folder ever changes."""
        return self.folder.parent == gallery.FOLDER

    @classmethod
    def open(cls, run_id: str) -> Run:
        """The run with this id. Raises RunProblem if there is none, or if a part of its folder cannot be used."""
        if run_id in gallery.IDS:
            run = cls(gallery.FOLDER / run_id)
        elif ID_PATTERN.fullmatch(run_id):
            run = cls(runs_dir() / run_id)
        else:
            raise missing(run_id)
        run._check()
        return run

    def _check(self) -> None:
        self.read_info()
        for name in (*_MAX_BYTES, *_FOLDERS):
            try:
                found = os.lstat(f"{self._path}/{name}")
            except FileNotFoundError:
                continue
            except OSError as error:
                raise damaged(self.id, f"its {name} cannot be read") from error
            if not (stat.S_ISDIR if name in _FOLDERS else stat.S_ISREG)(found.st_mode):
                raise damaged(self.id, f"its {name} is not a {'folder' if name in _FOLDERS else 'file'}")
            if name in _MAX_BYTES and found.st_size > _MAX_BYTES[name]:
                raise damaged(self.id, f"its {name} is too large ({found.st_size / 1e6:,.1f} MB)")
        _ = self._vocab

    def read_info(self) -> RunInfo:
        """The content of `run.json`. The state of a run whose program crashed is "interrupted".

        Raises RunProblem if the file is missing or is not valid.
        """
        info = self._read_json("run.json", RunInfo.from_json)
        if info.state in ACTIVE and not self.is_being_written():
            return replace(info, state="interrupted", message="The program that trained it has ended.")
        return info

    def _read_json(self, name: str, understand: Callable[[Any], Any]) -> Any:
        """The content of a JSON file of the run, as `understand` returns it. Raises RunProblem."""
        try:
            content = read_json(f"{self._path}/{name}", understand)
        except FileNotFoundError as error:
            raise missing(self.id) if name == "run.json" else damaged(self.id, f"it has no {name}") from error
        except OSError as error:
            raise damaged(self.id, f"its {name} cannot be read") from error
        if isinstance(content, NewerFormat):
            raise RunProblem(f"Run {self.id} cannot be opened: {content}.")
        if content is None:
            raise damaged(self.id, f"its {name} is not valid")
        return content

    def is_being_written(self) -> bool:
        """True while a thread holds `writing`, in this or another process. False if there is no usable lock."""
        return self._lock.is_held()

    @property
    def _vocab(self) -> str:
        return self._read_json("vocab.json", checked_vocab)

    @cached_property
    def tokenizer(self) -> CharTokenizer:
        """The tokenizer of the run. Raises RunProblem if its vocabulary cannot be read."""
        return CharTokenizer(self._vocab)

    def load_corpus(self) -> Corpus:
        """The text of the run. Raises TextProblem if it is missing, or is not the text that the run was trained on."""
        corpus = self._loaded(self.read_info().text, self._foreign_vocab, self.read_info().edit)
        if corpus.tokenizer.vocab != self._vocab:
            raise self._not_its_text(self.read_info().text)
        return corpus

    def text_and_vocab(self) -> tuple[str, str | None]:
        """The arguments for texts.load_corpus: the SHA-256 of the text, and the vocabulary if another text has it.

        Raises TextProblem as `load_corpus` does.
        """
        self.load_corpus()
        return self.read_info().text.sha256, self._foreign_vocab

    @property
    def _foreign_vocab(self) -> str | None:
        info = self.read_info()
        return self._vocab if info.parent or info.edit else None

    def _loaded(self, text: Text, vocab: str | None, edit: Edit | None = None) -> Corpus:
        restore(text, edit)
        try:
            corpus = load_corpus(text.sha256, vocab)
        except TextProblem as problem:
            raise problem if is_kept(text) else TextProblem(why_missing(text)) from problem
        except ValueError as error:  # it has characters outside the vocabulary
            raise self._not_its_text(text) from error
        if len(corpus) != text.characters:
            raise self._not_its_text(text)
        return corpus

    def _not_its_text(self, text: Text) -> TextProblem:
        return TextProblem(f"{text.name}, as stored here, is not the text that {self.read_info().name} was trained on.")

    def load_old_corpus(self) -> Corpus | None:
        """The text before the fork, in the same vocabulary; None without one. Raises TextProblem if it is missing."""
        return (old := self.read_info().old_text) and self._loaded(old, self._vocab)

    @cached_property
    def stored_samples(self) -> dict[int, gallery.ScoredSample]:
        """The samples that came with a run of the gallery, by step; other runs have none."""
        return gallery.samples(self.folder) if self.is_from_gallery else {}

    @cached_property
    def stored_head_scores(self) -> dict[int, list[dict[str, Any]]]:
        """The scores of the heads that came with a run of the gallery, by step; other runs have none."""
        return gallery.head_scores(self.folder) if self.is_from_gallery else {}

    def list_snapshots(self) -> list[int]:
        """The steps that have a snapshot, in order."""
        return snapshot_steps(self.folder / "snapshots")

    def newest_snapshot(self) -> int:
        """The step of the last snapshot. Raises RunProblem if there is none yet."""
        if not (steps := self.list_snapshots()):
            raise RunProblem(f"{self.read_info().name} has no weights yet.")
        return steps[-1]

    def snapshot_called(self, step: int | None) -> int:
        """The step of the snapshot that a person asks for; None is the newest. Raises RunProblem if there is none."""
        newest, steps = self.newest_snapshot(), self.list_snapshots()
        if step is not None and step not in steps:
            known = ", ".join(map(str, steps))
            raise RunProblem(f"{self.read_info().name} has no weights of step {step}, only of {known}.")
        return newest if step is None else step

    def model_at(self, step: int) -> MicroLLM:
        """The model of a snapshot, in eval mode. Raises weights.WeightsProblem."""
        return load_weights(self._snapshot_path(step), self.read_info().model, self.tokenizer.vocab_size)

    def _snapshot_path(self, step: int) -> Path:
        return self.folder / "snapshots" / f"step-{step}.safetensors"

    @contextlib.contextmanager
    def writing(self) -> Iterator[Writer]:
        """Become the only writer of this folder.

        Raises RunProblem if it has a writer already, if its lock cannot be used, or if nothing in it may change (see
        `is_from_gallery`).
        """
        self._check_may_change()
        name = self.read_info().name
        try:
            self._lock.acquire()
        except Timeout:
            raise RunProblem(f"{name} is already being trained, here or in another process.") from None
        except OSError as error:
            self.read_info()  # it may have been deleted: then this raises
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

    def _check_may_change(self) -> None:
        if self.is_from_gallery:
            raise RunProblem(
                f"{self.read_info().name} comes with MicroLLM and never changes. Fork it, or start a run of your own."
            )

    def _check_is_not_deleted(self) -> None:
        """Raises RunProblem if the run was deleted while we waited for its lock, and removes what the lock left."""
        try:
            self.read_info()
        except RunProblem:
            with contextlib.suppress(OSError):  # not empty: the run is damaged, not deleted
                if not os.path.lexists(f"{self._path}/run.json"):
                    (self.folder / "lock").unlink()
                    self.folder.rmdir()
            raise

    def update(self, **changes) -> None:
        """Change some fields of `run.json`. Raises RunProblem for values that are not allowed, and OSError."""
        self._check_may_change()
        if "message" in changes:  # it may quote arbitrary text
            changes["message"] = changes["message"].encode("utf-8", "replace").decode()[:_MAX_MESSAGE_CHARACTERS]
        write_atomically(self.folder / "run.json", checked_json(replace(self.read_info(), **changes)))

    def save_snapshot(self, step: int, state: dict[str, torch.Tensor]) -> None:
        """Save the weights of `step`. If all snapshots exceed SNAPSHOT_BUDGET, some are deleted (see weights.thin)."""
        path = self._snapshot_path(step)
        save_weights(state, path)
        kept = thin(self.list_snapshots(), keep=SNAPSHOT_BUDGET // path.stat().st_size)
        for other in set(self.list_snapshots()) - set(kept):
            self._snapshot_path(other).unlink(missing_ok=True)

    @property
    def _checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def list_checkpoints(self) -> list[int]:
        """The steps that have a checkpoint, in order; none while the folder cannot be read."""
        with contextlib.suppress(OSError):
            return checkpoint_steps(self._checkpoints)
        return []

    def save_checkpoint(self, state: TrainerState, context: dict[str, Any]) -> None:
        """Save all that training needs to continue. Raises OSError."""
        save_checkpoint(self._checkpoints, state, context)

    def load_checkpoint(self, step: int | None = None) -> tuple[TrainerState, dict[str, Any], list[str]] | None:
        """The newest intact checkpoint, or that of `step`: see checkpoint.load_checkpoint. Raises OSError."""
        return load_checkpoint(self._checkpoints, step)

    def check_what_it_needs(self) -> None:
        """Raises TextProblem or RunProblem if the run cannot continue: a text or its weights are missing, or it is from
        the gallery.
        """
        self._check_may_change()
        self.load_corpus()
        self.load_old_corpus()
        try:
            checkpoint_steps(self._checkpoints)
        except OSError as error:  # with "there is none" it would start again and delete what it has learned
            raise RunProblem(f"The checkpoints of {self.read_info().name} cannot be read: {error.strerror}.") from error
        if not self.can_continue():
            raise self.lost_beginning()

    def can_continue(self) -> bool:
        """False if no checkpoint is left, and starting again at step 0 would lose what the run has learned: that of a
        fork, or of a run that has ended, such as an imported one.
        """
        info = self.read_info()
        has_ended = info.state in ENDED and self.history.read().last is not None
        return bool(self.list_checkpoints()) or not (info.parent or has_ended)

    def lost_beginning(self) -> RunProblem:
        """The error for a run without a usable checkpoint."""
        info = self.read_info()
        cure = f"fork {info.parent.name} again" if info.parent else "fork it from a snapshot; it keeps its own curve"
        return RunProblem(f"No checkpoint of {info.name} can be used: {cure}.")

    def extend(self, max_steps: int) -> None:
        """Let a run continue to `max_steps`, when it is next trained.

        Raises ValueError if it has already taken that many steps, if this is out of range, or if it cannot continue.
        """
        self.check_what_it_needs()
        with self.writing() as writer:
            info, last = self.read_info(), self.history.read().last
            made = last["step"] if last else 0
            if max_steps <= made:
                raise ValueError(f"max_steps is {max_steps:,}: {info.name} has already taken {made:,} steps.")
            longer = replace(info.train, max_steps=max_steps)
            change = {"max_steps": max_steps, "max_steps_before": info.train.max_steps}
            changes = self.changes()
            config = replayed(info.train, changes, made)
            if config.stop_at_loss and made < info.train.max_steps:  # else it would stop again at once
                change["stop_at_loss"] = 0
            if found := problems(info.model, longer, info.text.characters):
                raise ValueError(" ".join(found.values()))
            lost = [other for other in self.history.changes() if other not in changes]
            writer.event(made, change, instead_of=lost)
            self.update(train=longer, state="interrupted", message="", full_val_loss=None)

    def discard(self, step: int, writer: Writer) -> None:
        """Remove metrics from `step` on and later snapshots: these steps will be repeated."""
        writer.cut(step)
        for other in self.list_snapshots():
            if other > step:
                self._snapshot_path(other).unlink(missing_ok=True)
