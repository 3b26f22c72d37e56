"""A run that somebody else packed: everything in the zip is checked before anything is kept."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import re
import secrets
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..config import problems
from ..data.decode import TextProblem
from ..data.texts import is_kept
from ..environment import runs_dir
from ..storage import parsed
from .catalog import free_name
from .disk import check_disk
from .history import LONGEST_LINE, MOST_EVENTS
from .info import ACTIVE, RunInfo, RunProblem, hash_key, is_count, is_number
from .json_files import MAX_JSON_BYTES, checked_vocab
from .run import Run
from .weights import WeightsProblem

MOST_BYTES = 300 * 2**20
"""What the zip, and all that it holds, may take."""

_MOST_PACKED, _SMALL = 4, 2**16  # times; bytes: half of the weights of a model may still be zero
_MOST_FILES = 1_000
_MOST_ENTRIES = 5_000  # with folders, and with what systems add to each file
_SNAPSHOT = re.compile(r"snapshots/step-(0|[1-9][0-9]{0,8})\.safetensors")
_LONGEST = {
    "run.json": MAX_JSON_BYTES,
    "vocab.json": MAX_JSON_BYTES,
    "events.jsonl": MOST_EVENTS,
    "manifest.json": 2**18,
}
_NAMES = {*_LONGEST, "metrics.jsonl"}
_ADDED = re.compile(r"\._.*|\.DS_Store|Thumbs\.db|desktop\.ini|README\.txt")  # by systems, by export.folder_zip


def import_run(data: bytes, owner_key: str | None = None) -> Run:
    """Keep the run that `export.folder_zip` packed, under a new id, owned by whoever has `owner_key`.

    Raises RunProblem with the first thing that is wrong; then nothing is kept. The text is not in such a zip: the run
    can be looked at, and can go on where its text is kept too.
    """
    check_disk()
    files = _files(data)
    check_disk(coming=sum(map(len, files.values())))
    info = _info(files, owner_key)
    try:
        checked_vocab(parsed(files["vocab.json"]))
    except (ValueError, TypeError) as error:
        raise RunProblem(f"vocab.json of this run cannot be understood: {error}.") from error
    steps = _check_lines("metrics.jsonl", files, _check_row)
    _check_lines("events.jsonl", files, lambda change: _check_change(change, info))
    _check_steps(files, info, steps)
    runs_dir().mkdir(parents=True, exist_ok=True)
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
    """The files of the one run in a zip, by their names in its folder."""
    if len(data) > MOST_BYTES:
        raise RunProblem(f"This zip has {len(data) / 1e6:,.0f} MB; at most {MOST_BYTES / 1e6:,.0f} are taken.")
    if (entries := data.count(b"PK\1\2")) > _MOST_ENTRIES:  # before zipfile makes objects of them, for ever
        raise RunProblem(f"This zip has {entries:,} files; a run has at most {_MOST_FILES:,}.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _unpacked(archive)
    except RunProblem:
        raise
    except Exception as error:  # of a damaged zip zipfile raises a dozen kinds, most of them not documented
        raise RunProblem(f"This is not a whole zip file: {error}.") from error


def _unpacked(archive: zipfile.ZipFile) -> dict[str, bytes]:
    entries = [entry for entry in archive.infolist() if not entry.is_dir() and not _is_added(entry.filename)]
    if len(entries) > _MOST_FILES:
        raise RunProblem(f"This zip has {len(entries):,} files; a run has at most {_MOST_FILES:,}.")
    if (total := sum(entry.file_size for entry in entries)) > MOST_BYTES:
        raise RunProblem(f"What is in this zip takes {total / 1e6:,.0f} MB; at most {MOST_BYTES / 1e6:,.0f} are taken.")
    files: dict[str, bytes] = {}
    # a folder, or folders in folders, around the run: whoever packs it again makes one more
    around = next(filter(None, (_folder_around(entry.filename) for entry in entries)), "")
    for entry in entries:
        name = entry.filename.removeprefix(around)
        is_ours = name in _NAMES or _SNAPSHOT.fullmatch(name)
        if not (is_ours and entry.filename.startswith(around)) or name in files:
            raise RunProblem(f"{entry.filename[:80]!r} has no place in the zip of one run.")
        if entry.file_size > _LONGEST.get(name, MOST_BYTES):
            raise RunProblem(f"{name} has {entry.file_size / 1e6:,.1f} MB: that is no file of ours.")
        if _SNAPSHOT.fullmatch(name) and entry.file_size > _MOST_PACKED * entry.compress_size + _SMALL:
            raise RunProblem(f"{name} is packed far smaller than weights of a model can be.")
        with archive.open(entry) as file:
            files[name] = file.read(entry.file_size)  # no more than it claims, and its SHA-256 is checked below
    return _verified(files)


def _is_added(name: str) -> bool:
    """True for what systems put into a zip beside what was packed. It is not looked at."""
    *folders, last = name.split("/")
    return ".." not in folders and ("__MACOSX" in folders or bool(_ADDED.fullmatch(last)))


def _folder_around(name: str) -> str:
    """The folders before run.json or manifest.json, with the last stroke; "" for any other file."""
    *folders, last = name.split("/")
    is_clean = last in ("run.json", "manifest.json") and not {"", ".", ".."} & {*folders}
    return name.removesuffix(last) if is_clean else ""


def _verified(files: dict[str, bytes]) -> dict[str, bytes]:
    try:
        sums = parsed(files.pop("manifest.json"))
        missing = sorted({"run.json", "vocab.json", *sums} - files.keys())
        unlisted = sorted(files.keys() - sums.keys())
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise RunProblem(
            "This is not the zip of a run: its manifest.json is missing or cannot be understood."
        ) from error
    if missing or unlisted:
        said = [f"{name} is missing" for name in missing] + [f"{name} is not in its manifest" for name in unlisted]
        raise RunProblem(f"This is not a whole run: {', '.join(said[:3])}.")
    for name, content in files.items():
        if hashlib.sha256(content).hexdigest() != sums[name]:
            raise RunProblem(f"{name} is damaged: its SHA-256 differs from the manifest's.")
    return files


def _info(files: dict[str, bytes], owner_key: str | None) -> RunInfo:
    """What run.json says, checked as if it were typed, with an id, an owner and a date of its own."""
    try:
        info = RunInfo.from_json(parsed(files["run.json"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunProblem(f"run.json of this run cannot be understood: {error}") from error
    return replace(
        info,
        id=secrets.token_hex(8),
        name=free_name(info.name[:60]),
        message=info.message[:500],
        parent=info.parent and replace(info.parent, name=info.parent.name[:60]),
        created=time.time(),
        owner=hash_key(owner_key) if owner_key else None,
    )


def _check_lines(name: str, files: dict[str, bytes], check: Callable[[dict[str, Any]], None]) -> list[int]:
    """The step of each line. `check` finds nothing wrong with the rest."""
    steps, lines = [], io.BytesIO(files.get(name, b""))
    for number in itertools.count(1):
        if not (line := lines.readline(LONGEST_LINE + 1)):
            return steps
        try:
            if len(line) > LONGEST_LINE:
                raise ValueError(f"it is longer than {LONGEST_LINE:,} bytes")
            said = parsed(line)
            if not is_count(step := said.pop("step")):
                raise ValueError("its step is none")
            check(said)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RunProblem(f"Line {number:,} of {name} cannot be understood: {error}.") from error
        steps.append(step)


def _check_steps(files: dict[str, bytes], info: RunInfo, steps: list[int]) -> None:
    """Raises RunProblem when metrics and snapshots are not those of one run of so many steps.

    A run that was packed while it trained, or killed, can have a snapshot of a step that was not written down yet: it
    is left out of `files`.
    """
    last, most = steps[-1] if steps else -1, info.train.max_steps
    if any(after <= before for before, after in pairwise(steps)):
        raise RunProblem("metrics.jsonl of this run cannot be understood: its steps do not go up.")
    if last > most:
        raise RunProblem(f"metrics.jsonl of this run goes to step {last:,}, but the run ends at {most:,} (max_steps).")
    for name in [*files]:
        found = _SNAPSHOT.fullmatch(name)
        if found and int(found[1]) > last + 1:  # a fork has a snapshot of the first step that it is going to write down
            if info.state not in (*ACTIVE, "interrupted"):
                raise RunProblem(f"{name} does not belong to this run: its metrics.jsonl ends at step {last:,}.")
            del files[name]


def _check_whole(run: Run) -> None:
    """Raises RunProblem when weights cannot be used, or when a text that is kept here does not fit the run."""
    try:
        for step in run.list_snapshots():
            run.model_at(step)
        if is_kept(run.read_info().text):
            run.load_corpus()
        if run.read_info().old_text and is_kept(run.read_info().old_text):
            _ = run.load_old_corpus()
    except (WeightsProblem, TextProblem) as error:
        raise RunProblem(str(error)) from error


def _check_row(said: dict[str, Any]) -> None:
    not_finite = said.pop("not_finite", [])
    if not (isinstance(not_finite, list) and all(isinstance(name, str) for name in not_finite)):
        raise TypeError("not_finite has to be a list of names")
    if not (is_number(said["seconds"]) and all(it is None or is_number(it) for it in said.values())):
        raise TypeError("there is something else than numbers in it")


def _check_change(said: dict[str, Any], info: RunInfo) -> None:
    before = {"max_steps": said.pop("max_steps_before")} if "max_steps_before" in said else {}
    for changes in (said, before):
        if found := problems(info.model, replace(info.train, **changes)):
            raise ValueError(" ".join(found.values()))
