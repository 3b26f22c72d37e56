"""Pack a run into a zip that another MicroLLM can open."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from ..storage import read_file
from .export import command_line
from .info import Parent
from .run import Run

_MOST_BYTES = 2**30  # of one file


_ABOUT = """{name}: a run of MicroLLM, {state} at step {step:,}.

metrics.jsonl  a line a step: losses in nats a character, seconds, the learning rate
snapshots/     the weights at {snapshots} moments, as safetensors
run.json       settings, the text's name and SHA-256; vocab.json: its characters, in the order of their ids

The text itself is not in here. To look at the run in another MicroLLM, choose "Import a run" in its menu of runs.
To train it again:

{command}
"""


def folder_bytes(run: Run) -> int:
    """About how large `folder_zip` is, in bytes."""
    size = 0
    for path in _files(run):
        with contextlib.suppress(OSError):
            size += path.stat().st_size
    return size


def folder_zip(run: Run, *, names_parent: bool = True) -> bytes:
    """The folder of a run with all snapshots, as a zip that another MicroLLM can open; whose it was is left out.

    Unless it `names_parent`, what would open the run that it was forked from is left out too: its id, and the SHA-256
    of somebody's own text there. A run that trains may go on meanwhile: it is taken as far as it is.
    """
    info = replace(run.read_info(), owner=None)
    if info.parent and not names_parent:
        info = replace(info, parent=_nameless(info.parent))
    file, sums = io.BytesIO(), {}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:

        def put(name: str, data: bytes, kind: int = zipfile.ZIP_DEFLATED) -> None:
            archive.writestr(f"{run.id}/{name}", data, kind)
            sums[name] = hashlib.sha256(data).hexdigest()

        archive.writestr("README.txt", _about(run, names_parent))
        put("run.json", json.dumps(asdict(info), indent=1).encode())
        for path in _files(run):
            try:
                data = read_file(path, _MOST_BYTES)
            except OSError:  # thinned out since it was listed
                continue
            if path.suffix == ".jsonl":
                data = data[: data.rfind(b"\n") + 1]  # the last line may be half written
            # deflating weights would save 8 %, at 14 MB a second
            kind = zipfile.ZIP_STORED if path.suffix == ".safetensors" else zipfile.ZIP_DEFLATED
            put(path.relative_to(run.folder).as_posix(), data, kind)
        archive.writestr(f"{run.id}/manifest.json", json.dumps(sums, indent=1))
    return file.getvalue()


def _nameless(parent: Parent) -> Parent:
    text = parent.text
    return replace(parent, id="", text=replace(text, sha256="0" * 64) if text and text.is_own else text)


def _files(run: Run) -> Iterator[Path]:
    """All that is read of a run, but run.json: no locks, nothing half-written."""
    for name in ("vocab.json", "metrics.jsonl", "events.jsonl"):
        if (path := run.folder / name).is_file():
            yield path
    yield from (run.folder / "snapshots" / f"step-{step}.safetensors" for step in run.list_snapshots())


def _about(run: Run, names_parent: bool) -> str:
    info, last = run.read_info(), run.history.read().last
    return _ABOUT.format(
        name=info.name,
        state=info.state,
        step=last["step"] if last else 0,
        snapshots=len(run.list_snapshots()),
        id=run.id,
        command=command_line(run, names_parent=names_parent),
    )
