"""Import a run from a zip made by `archive.folder_zip`. Everything in it is checked before anything is stored."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import re
import secrets
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..config import problems
from ..data.decode import TextProblem
from ..data.texts import Text, is_kept
from ..environment import runs_dir
from ..storage import parsed
from .catalog import free_name, note_folder
from .disk import check_disk
from .info import ACTIVE, ENDED, RunInfo, RunProblem, hash_key, is_count, is_number
from .json_files import MAX_JSON_BYTES, checked_vocab
from .lines import MAX_EVENTS_BYTES, MAX_LINE_BYTES, is_row
from .run import Run
from .weights import WeightsProblem

MAX_ZIP_BYTES = 300 * 2**20
"""The maximum size of the zip, and of its content."""

_MAX_COMPRESSION, _SMALL_BYTES = 4, 2**16  # of snapshots: up to half of their weights may be zero
_MAX_FILES = 1_000
_MAX_TEXT_NAME = 1_000  # characters: the longest name of a file, and the words of an edit
_MAX_ENTRIES = 5_000  # with folders, and with files that operating systems add
_SPARE = 0.1  # of the disk limit, which imports leave for training
_MAX_SECONDS = 1e9  # of training: 30 years
_SNAPSHOT = re.compile(r"snapshots/step-(0|[1-9][0-9]{0,8})\.safetensors")
_MAX_BYTES = {"run.json": MAX_JSON_BYTES, "vocab.json": MAX_JSON_BYTES}
_MAX_BYTES |= {"metrics.jsonl": 2**26, "events.jsonl": MAX_EVENTS_BYTES, "manifest.json": 2**18}
_NAMES = {*_MAX_BYTES}
# added by operating systems and archive.folder_zip
_ADDED = re.compile(r"\._.*|\.DS_Store|Thumbs\.db|desktop\.ini|README\.txt")
_one_at_a_time = threading.Lock()  # the content of a zip is in memory until it is stored


def import_run(data: bytes, owner_key: str | None = None) -> Run:
    """Store the run that `archive.folder_zip` packed, under a new id, owned by the holder of `owner_key`.

    The zip does not contain the text. The run can be viewed, and forked if its text is on this server too.
    Raises RunProblem with the first problem found; then nothing is stored.
    """
    with _one_at_a_time:
        return _import(data, owner_key)


def _import(data: bytes, owner_key: str | None) -> Run:
    check_disk(spare=_SPARE)
    files = _files(data)
    check_disk(coming=sum(map(len, files.values())), spare=_SPARE)
    info = _info(files, owner_key)
    try:
        checked_vocab(parsed(files["vocab.json"]))
    except (ValueError, TypeError) as error:
        raise RunProblem(f"vocab.json of this run is not valid: {error}.") from error
    steps = _check_lines("metrics.jsonl", files, _RowCheck())
    _check_lines("events.jsonl", files, lambda change: _check_change(change, info))
    _check_steps(files, info, steps)
    if info.state not in ENDED:
        info = replace(info, state="stopped")  # it came without checkpoints, so it cannot be resumed
    runs_dir().mkdir(parents=True, exist_ok=True)
    note_folder()
    temporary = Path(tempfile.mkdtemp(dir=runs_dir(), prefix=".importing-"))
    try:
        for name, content in (files | {"run.json": json.dumps(asdict(info), indent=1).encode()}).items():
            path = temporary / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        _check_whole(Run(temporary))
        temporary.rename(runs_dir() / info.id)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return Run.open(info.id)


def _files(data: bytes) -> dict[str, bytes]:
    """The files of the run in a zip, by their paths in its folder."""
    if len(data) > MAX_ZIP_BYTES:
        raise RunProblem(f"This zip is {len(data) / 1e6:,.0f} MB; the limit is {MAX_ZIP_BYTES / 1e6:,.0f} MB.")
    if (entries := data.count(b"PK\1\2")) > _MAX_ENTRIES:  # before zipfile creates an object for each
        raise RunProblem(f"This zip has {entries:,} files; a run has at most {_MAX_FILES:,}.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _unpacked(archive)
    except RunProblem:
        raise
    except Exception as error:  # zipfile raises a dozen kinds for damaged files, mostly undocumented
        raise RunProblem(f"This zip file is damaged: {error}.") from error


def _unpacked(archive: zipfile.ZipFile) -> dict[str, bytes]:
    entries = [entry for entry in archive.infolist() if not entry.is_dir() and not _is_added(entry.filename)]
    if len(entries) > _MAX_FILES:
        raise RunProblem(f"This zip has {len(entries):,} files; a run has at most {_MAX_FILES:,}.")
    if (total := sum(entry.file_size for entry in entries)) > MAX_ZIP_BYTES:
        raise RunProblem(
            f"The content of this zip is {total / 1e6:,.0f} MB; the limit is {MAX_ZIP_BYTES / 1e6:,.0f} MB."
        )
    files: dict[str, bytes] = {}
    # one or more folders around the run: packing it again adds another
    around = next(filter(None, (_folder_around(entry.filename) for entry in entries)), "")
    for entry in entries:
        name = entry.filename.removeprefix(around)
        is_ours = name in _NAMES or _SNAPSHOT.fullmatch(name)
        if not (is_ours and entry.filename.startswith(around)) or name in files:
            raise RunProblem(f"{entry.filename[:80]!r} does not belong in the zip of a run.")
        if entry.file_size > _MAX_BYTES.get(name, MAX_ZIP_BYTES):
            raise RunProblem(f"{name} is {entry.file_size / 1e6:,.1f} MB, which is too large.")
        if _SNAPSHOT.fullmatch(name) and entry.file_size > _MAX_COMPRESSION * entry.compress_size + _SMALL_BYTES:
            raise RunProblem(f"{name} is compressed far more than weights of a model can be.")
        with archive.open(entry) as file:
            files[name] = file.read(entry.file_size)  # at most as much as it declares; its SHA-256 is checked below
    return _verified(files)


def _is_added(name: str) -> bool:
    """True for files that operating systems add to a zip. They are ignored."""
    *folders, last = name.split("/")
    return ".." not in folders and ("__MACOSX" in folders or bool(_ADDED.fullmatch(last)))


def _folder_around(name: str) -> str:
    """The folders before run.json or manifest.json, with the last slash; "" for any other file."""
    *folders, last = name.split("/")
    is_clean = last in ("run.json", "manifest.json") and not {"", ".", ".."} & {*folders}
    return name.removesuffix(last) if is_clean else ""


def _verified(files: dict[str, bytes]) -> dict[str, bytes]:
    try:
        sums = parsed(files.pop("manifest.json"))
        missing = sorted({"run.json", "vocab.json", *sums} - files.keys())
        unlisted = sorted(files.keys() - sums.keys())
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise RunProblem("This is not the zip of a run: its manifest.json is missing or not valid.") from error
    if missing or unlisted:
        faults = [f"{name} is missing" for name in missing] + [f"{name} is not in its manifest" for name in unlisted]
        raise RunProblem(f"This run is not complete: {', '.join(faults[:3])}.")
    for name, content in files.items():
        if hashlib.sha256(content).hexdigest() != sums[name]:
            raise RunProblem(f"{name} is damaged: its SHA-256 differs from that in the manifest.")
    return files


def _info(files: dict[str, bytes], owner_key: str | None) -> RunInfo:
    """The checked content of run.json, with a new id, owner and date."""
    try:
        info = RunInfo.from_json(parsed(files["run.json"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunProblem(f"run.json of this run is not valid: {error}") from error
    return replace(
        info,
        id=secrets.token_hex(8),
        name=free_name(info.name[:60]),
        message=info.message[:500],
        text=_short(info.text),
        parent=info.parent
        and replace(info.parent, name=info.parent.name[:60], text=info.parent.text and _short(info.parent.text)),
        twin=info.twin and replace(info.twin, name=info.twin.name[:60]),
        created=time.time(),
        owner=hash_key(owner_key) if owner_key else None,
    )


def _short(text: Text) -> Text:
    """The text with its name and notice shortened to what a list of runs has room for."""
    name, notice = text.name[:_MAX_TEXT_NAME], text.notice and text.notice[:_MAX_TEXT_NAME]
    return replace(text, name=name, notice=notice)


def _check_lines(name: str, files: dict[str, bytes], check: Callable[[dict[str, Any]], None]) -> list[int]:
    """The step of each line. `check` raises if it finds something wrong with the rest of a line."""
    steps, lines = [], io.BytesIO(files.get(name, b""))
    for number in itertools.count(1):
        if not (line := lines.readline(MAX_LINE_BYTES + 1)):
            return steps
        try:
            if len(line) > MAX_LINE_BYTES:
                raise ValueError(f"it is longer than {MAX_LINE_BYTES:,} bytes")
            row = parsed(line)
            if not is_count(step := row.pop("step")):
                raise ValueError("its step is not valid")
            check(row)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RunProblem(f"Line {number:,} of {name} is not valid: {error}.") from error
        steps.append(step)


def _check_steps(files: dict[str, bytes], info: RunInfo, steps: list[int]) -> None:
    """Raises RunProblem if metrics and snapshots do not fit one run of that many steps.

    A run that was packed during training, or that was killed, can have a snapshot of a step that is not in its metrics
    yet. Such a snapshot is removed from `files`.
    """
    last, end = steps[-1] if steps else -1, info.train.max_steps
    if any(after <= before for before, after in pairwise(steps)):
        raise RunProblem("metrics.jsonl of this run is not valid: its steps do not increase.")
    if last > end:
        raise RunProblem(f"metrics.jsonl of this run goes to step {last:,}, but the run ends at {end:,} (max_steps).")
    for name in [*files]:
        found = _SNAPSHOT.fullmatch(name)
        if found and int(found[1]) > last + 1:  # + 1: a fork has a snapshot of the first step that it will log
            if info.state not in (*ACTIVE, "interrupted"):
                raise RunProblem(f"{name} does not belong to this run: its metrics.jsonl ends at step {last:,}.")
            del files[name]


def _check_whole(run: Run) -> None:
    """Raises RunProblem if weights cannot be used, or if a text that is stored on this server does not fit the run."""
    try:
        for step in run.list_snapshots():
            run.model_at(step)
        if is_kept(run.read_info().text):
            run.load_corpus()
        if run.read_info().old_text and is_kept(run.read_info().old_text):
            _ = run.load_old_corpus()
    except (WeightsProblem, TextProblem) as error:
        raise RunProblem(str(error)) from error


class _RowCheck:
    """Checks the rows of metrics.jsonl one after another."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def __call__(self, row: dict[str, Any]) -> None:
        not_finite = row.pop("not_finite", [])
        if not (isinstance(not_finite, list) and all(isinstance(name, str) for name in not_finite)):
            raise TypeError("not_finite must be a list of names")
        if not is_row({"step": 0} | row) or not all(value is None or is_number(value) for value in row.values()):
            raise TypeError("it must contain numbers only")
        if not self._seconds <= row["seconds"] <= _MAX_SECONDS:
            raise ValueError("its seconds do not increase, or are no time of training")
        self._seconds = row["seconds"]


def _check_change(change: dict[str, Any], info: RunInfo) -> None:
    before = {"max_steps": change.pop("max_steps_before")} if "max_steps_before" in change else {}
    for changes in (change, before):
        if found := problems(info.model, replace(info.train, **changes)):
            raise ValueError(" ".join(found.values()))
