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

_MAX_FILE_BYTES = 2**30

_ABOUT = """{name}: a run of MicroLLM, {state} at step {step:,}.

metrics.jsonl  one line per step: losses in nats per character, seconds, learning rate
snapshots/     the weights at {snapshots} steps, as safetensors
run.json       settings, name and SHA-256 of the text; vocab.json: its characters in the order of their ids

The text itself is not included. To open the run in another MicroLLM, choose "Import a run" in its menu of runs.
To train it again:

{command}
"""


def folder_bytes(run: Run) -> int:
    """The approximate size of `folder_zip` in bytes."""
    size = 0
    for path in _files(run):
        with contextlib.suppress(OSError):
            size += path.stat().st_size
    return size


def folder_zip(run: Run, *, names_parent: bool = True) -> bytes:
    """The folder of a run with all snapshots, as a zip that another MicroLLM can open, without the owner's key hash.

    Without `names_parent`, it also leaves out what gives access to the parent of a fork, or to the original of a twin:
    its id, and the SHA-256 of a person's own text. A run that is training can be packed as well.
    """
    info = replace(run.read_info(), owner=None)
    if not names_parent:
        twin = info.twin and replace(info.twin, id="")
        info = replace(info, parent=info.parent and _nameless(info.parent), twin=twin)
    file, sums = io.BytesIO(), {}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:

        def put(name: str, data: bytes, kind: int = zipfile.ZIP_DEFLATED) -> None:
            archive.writestr(f"{run.id}/{name}", data, kind)
            sums[name] = hashlib.sha256(data).hexdigest()

        archive.writestr("README.txt", _about(run, names_parent))
        put("run.json", json.dumps(asdict(info), indent=1).encode())
        for path in _files(run):
            try:
                data = read_file(path, _MAX_FILE_BYTES)
            except OSError:  # a snapshot that was deleted by thinning
                continue
            if path.suffix == ".jsonl":
                data = data[: data.rfind(b"\n") + 1]  # the last line may be incomplete
            # compressing weights would save 8 %, at 14 MB per second
            kind = zipfile.ZIP_STORED if path.suffix == ".safetensors" else zipfile.ZIP_DEFLATED
            put(path.relative_to(run.folder).as_posix(), data, kind)
        archive.writestr(f"{run.id}/manifest.json", json.dumps(sums, indent=1))
    return file.getvalue()


def _nameless(parent: Parent) -> Parent:
    text = parent.text
    if text and text.is_own:
        text = replace(text, sha256="0" * 64, name="a private text", source="./private.txt", notice=None)
    return replace(parent, id="", text=text)


def _files(run: Run) -> Iterator[Path]:
    """The files of a run except run.json; no locks, nothing incomplete."""
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
