"""Weights on disk, as safetensors: snapshots to look at, checkpoints to go on from. Nothing is ever unpickled.

A checkpoint is a folder `step-N` that is there whole or not at all:

1. write each file into a temporary folder beside, and fsync it
2. write `manifest.json`, the SHA-256 of each file, last of all; fsync it, and the temporary folder
3. rename the folder to `step-N`, and fsync the folder around it
4. only when the new one verifies, remove all but the one before

There is no pointer to the latest: that is the highest step whose manifest verifies.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from ..storage import open_file, parsed, read_file
from ..train import TrainerState
from .weights import _FOREVER, WeightsProblem, _packed, _steps_in, read_tensors

_KEPT = 2
_TEMPORARY = ".saving-"
_MOST_JSON = 2**16  # bytes of a manifest.json or state.json
# ---- snapshots


# ---- checkpoints


def save_checkpoint(folder: Path, state: TrainerState, made_with: dict[str, Any]) -> None:
    """Keep `state` in `folder`, and in what surroundings it was computed (see `surroundings`).

    Raises OSError when the disk refuses; the checkpoints before are then as they were.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"step-{state.step}"
    if target.exists():
        if not _faults(target):
            return
        shutil.rmtree(target)
    about = {"step": state.step, "seconds": state.seconds, **made_with}
    files = {
        "model.safetensors": _packed(state.model),
        "optimizers.safetensors": _packed(state.optimizers),
        "state.json": json.dumps(about, indent=1).encode(),
    }
    temporary = Path(tempfile.mkdtemp(dir=folder, prefix=_TEMPORARY))
    try:
        for name, data in files.items():
            _write_durably(temporary / name, data)
        sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        _write_durably(temporary / "manifest.json", json.dumps(sums, indent=1).encode())
        _sync_folder(temporary)
        os.rename(temporary, target)
        _sync_folder(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    if not _faults(target):
        for step in checkpoint_steps(folder)[:-_KEPT]:
            shutil.rmtree(folder / f"step-{step}", ignore_errors=True)


def load_checkpoint(folder: Path, at: int | None = None) -> tuple[TrainerState, dict[str, Any], list[str]] | None:
    """The newest checkpoint that is whole, or that `at` a step: its state, its surroundings, and a sentence for each
    newer one that is not whole. None when there is none.
    """
    damaged = []
    for step in reversed(checkpoint_steps(folder)):
        if at not in (None, step):
            continue
        place = folder / f"step-{step}"
        try:
            if faults := _faults(place):
                raise WeightsProblem(" ".join(faults))
            about = parsed(read_file(place / "state.json", _MOST_JSON))
            if type(about["step"]) is not int or about["step"] != step or not 0 <= about["seconds"] < _FOREVER:
                raise ValueError("Its state.json makes no sense.")
            model, memory = (read_tensors(place / f"{name}.safetensors") for name in ("model", "optimizers"))
            return TrainerState(about.pop("step"), about.pop("seconds"), model, memory), about, damaged
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            damaged.append(f"The checkpoint of step {step:,} cannot be used. {error}")
    return None


def checkpoint_steps(folder: Path) -> list[int]:
    """The steps that have a checkpoint, whole or not, in order."""
    return _steps_in(folder, re.compile(r"step-(0|[1-9][0-9]{0,8})"), os.DirEntry.is_dir)


def sweep(folder: Path) -> None:
    """Remove what saves that were cut short have left. Only for the one who writes here."""
    for left in folder.glob(".*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def surroundings(threads: int, device: torch.device, processes: int) -> dict[str, Any]:
    """What the last digits of a sum depend on, besides the program."""
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    place = f"{device.type}, {platform.machine()}, {kind}"
    return {"torch": torch.__version__, "threads": threads, "processes": processes, "device": place}


def _faults(place: Path) -> list[str]:
    """What is wrong with a checkpoint, by its manifest; nothing when it is whole."""
    try:
        sums = parsed(read_file(place / "manifest.json", _MOST_JSON))
        expected = {name: str(sums[name]) for name in ("model.safetensors", "optimizers.safetensors", "state.json")}
    except (OSError, ValueError, KeyError, TypeError):
        return ["Its manifest is missing or cannot be understood."]
    found = []
    for name, sha256 in expected.items():
        try:
            with open_file(place / name) as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                    found.append(f"{name} is not what was saved: its SHA-256 differs from the manifest's.")
        except OSError as error:
            found.append(f"{name} cannot be read: {error.strerror}.")
    return found


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
