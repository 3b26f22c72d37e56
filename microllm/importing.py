"""A run that somebody else packed: everything in the zip is checked before anything is kept."""

from __future__ import annotations

import hashlib
import io
import json
import re
import secrets
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from .checkpoint import load_weights
from .config import PRESETS, problems
from .corpus import REFERENCE_NAMES
from .home import parsed, runs_dir
from .run_info import RunInfo, is_count, is_number, kept_of
from .runs import ACTIVE, Run, RunProblem, check_disk, free_name
from .tokenizer import MAX_CHARACTERS, CharTokenizer

MOST_BYTES = 300 * 2**20
"""What the zip, and all that it holds, may take."""

_MOST_FILES = 1_000
_NAME = re.compile(r"run\.json|vocab\.json|metrics\.jsonl|events\.jsonl|snapshots/step-(0|[1-9]\d{0,8})\.safetensors")
_LONGEST = {"run.json": 2**20, "vocab.json": 2**20, "events.jsonl": 2**20}
_STATES = ("stopped", "interrupted", "failed", "finished", *ACTIVE)


def import_run(data: bytes, token: str | None = None) -> Run:
    """Keep the run that `export.folder_zip` packed, under a new id, owned by whoever has `token`.

    Raises RunProblem with the first thing that is wrong; then nothing is kept. The text is not in such a zip: the run
    can be looked at, and can go on where its text is kept too.
    """
    check_disk()
    files = _files(data)
    info = _info(files, token)
    try:
        vocab = parsed(files["vocab.json"])
        size = CharTokenizer(vocab).vocab_size if isinstance(vocab, str) else 0
    except (ValueError, TypeError) as error:
        raise RunProblem(f"vocab.json of this run cannot be understood: {error}") from error
    if not 0 < size <= MAX_CHARACTERS:
        raise RunProblem(f"vocab.json of this run has to be a text of 1 to {MAX_CHARACTERS:,} different characters.")
    _check_lines("metrics.jsonl", files, _check_row)
    _check_lines("events.jsonl", files, lambda change: _check_change(change, info))
    runs_dir().mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=runs_dir(), prefix=".importing-"))
    try:
        for name, content in (files | {"run.json": json.dumps(asdict(info), indent=1).encode()}).items():
            path = temporary / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
            if path.suffix == ".safetensors":
                try:
                    load_weights(path, info.model, size)
                except ValueError as error:
                    raise RunProblem(str(error)) from error
        temporary.rename(runs_dir() / info.id)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return Run.open(info.id)


def _files(data: bytes) -> dict[str, bytes]:
    """The files of the one run in a zip, by their names in its folder."""
    if len(data) > MOST_BYTES:
        raise RunProblem(f"This zip has {len(data) / 1e6:,.0f} MB; at most {MOST_BYTES / 1e6:,.0f} are taken.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _unpacked(archive)
    except RunProblem:
        raise
    except Exception as error:  # of a damaged zip zipfile raises a dozen kinds, most of them not documented
        raise RunProblem(f"This is not a whole zip file: {error}.") from error


def _unpacked(archive: zipfile.ZipFile) -> dict[str, bytes]:
    entries = [entry for entry in archive.infolist() if entry.filename != "README.txt" and not entry.is_dir()]
    if len(entries) > _MOST_FILES:
        raise RunProblem(f"This zip has {len(entries):,} files; a run has at most {_MOST_FILES:,}.")
    if (total := sum(entry.file_size for entry in entries)) > MOST_BYTES:
        raise RunProblem(f"What is in this zip takes {total / 1e6:,.0f} MB; at most {MOST_BYTES / 1e6:,.0f} are taken.")
    files: dict[str, bytes] = {}
    folders = {entry.filename.partition("/")[0] for entry in entries}
    for entry in entries:
        name = entry.filename.partition("/")[2]
        if len(folders) != 1 or name in files or not (name == "manifest.json" or _NAME.fullmatch(name)):
            raise RunProblem(f"{entry.filename[:80]!r} has no place in the zip of one run.")
        if entry.file_size > _LONGEST.get(name, MOST_BYTES):
            raise RunProblem(f"{name} has {entry.file_size / 1e6:,.0f} MB: that is no file of ours.")
        with archive.open(entry) as file:
            files[name] = file.read(entry.file_size)  # no more than it claims, and its SHA-256 is checked below
    return _verified(files)


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


def _info(files: dict[str, bytes], token: str | None) -> RunInfo:
    """What run.json says, checked as if it were typed, with an id, an owner and a date of its own."""
    try:
        info = RunInfo.from_json(parsed(files["run.json"]))
        _check(info)
        found = problems(info.model, info.train, max(info.text.characters, 0))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunProblem(f"run.json of this run cannot be understood: {error}") from error
    if found:
        raise RunProblem(" ".join(found.values()))
    return replace(
        info,
        id=secrets.token_hex(8),
        name=free_name(info.name[:60]),
        message=info.message[:500],
        parent=info.parent and replace(info.parent, name=info.parent.name[:60]),
        created=time.time(),
        owner=kept_of(token) if token else None,
    )


def _check(info: RunInfo) -> None:
    """Raises ValueError or TypeError for what `from_json` lets pass."""
    if not (info.references.keys() <= REFERENCE_NAMES.keys() and info.preset in PRESETS):
        raise ValueError("it names a preset, or a loss to beat, that there is not.")
    if info.state not in _STATES or not 1 <= info.threads <= 256:
        raise ValueError(f"state {info.state[:20]!r}, threads {info.threads}.")
    # half of a pair of characters can be a character of a text, but no part of what a page says
    said = replace(info, parent=info.parent and replace(info.parent, left_out=""))
    json.dumps(asdict(said), ensure_ascii=False).encode()


def _check_lines(name: str, files: dict[str, bytes], check: Callable[[dict[str, Any]], None]) -> None:
    """Each has a step, and `check` finds nothing wrong with the rest. (A crash can leave changes out of order.)"""
    for number, line in enumerate(files.get(name, b"").splitlines(), 1):
        try:
            said = parsed(line)
            if not is_count(said.pop("step")):
                raise ValueError("its step is none")
            check(said)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RunProblem(f"Line {number:,} of {name} cannot be understood: {error}.") from error


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
