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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..storage import open_file, parsed, read_file
from ..train import Trainer
from .weights import _FOREVER, MOST_WEIGHTS, WeightsProblem, _packed, _steps_in, read_tensors

_KEPT = 2
_TEMPORARY = ".saving-"
_MOST_JSON = 2**16  # bytes of a manifest.json or state.json


@dataclass(frozen=True)
class TrainerState:
    """Everything that training needs to continue after `step` updates.

    `model` holds the weights, `optimizers` the state of the optimizers (see `optimizer_tensors`), and `seconds` the sum
    of all step times. No random state is needed: the random numbers of a step are a function of (seed, step).
    """

    step: int
    seconds: float
    model: dict[str, torch.Tensor]
    optimizers: dict[str, torch.Tensor]


def state_dict(trainer: Trainer) -> TrainerState:
    """The state of a trainer. The next step changes these very tensors, so save them before it."""
    return TrainerState(
        trainer.step, trainer.seconds, trainer.model.state_dict(), optimizer_tensors(trainer.optimizers)
    )


def load_state_dict(trainer: Trainer, state: TrainerState) -> None:
    """Continue from `state`: on the same machine, every later step is bitwise the one that would have followed it.

    Raises ValueError when its tensors do not fit the trainer's configuration.
    """
    try:
        trainer.model.load_state_dict(state.model)
    except RuntimeError as error:
        raise ValueError(f"The weights do not fit this run's configuration. {error}") from error
    load_optimizer_tensors(trainer.optimizers, state.optimizers)
    trainer.step, trainer.seconds = state.step, state.seconds


def optimizer_tensors(optimizers: list[torch.optim.Optimizer]) -> dict[str, torch.Tensor]:
    """The state of the optimizers, flat: "optimizer number . parameter number . name" -> tensor."""
    return {
        f"{which}.{parameter}.{name}": tensor
        for which, optimizer in enumerate(optimizers)
        for parameter, memory in optimizer.state_dict()["state"].items()
        for name, tensor in memory.items()
    }


def load_optimizer_tensors(optimizers: list[torch.optim.Optimizer], tensors: dict[str, torch.Tensor]) -> None:
    """The inverse of `optimizer_tensors`. Raises ValueError for what does not fit these optimizers."""
    memories: list[dict[int, dict[str, torch.Tensor]]] = [{} for _ in optimizers]
    parameters = [[p for group in optimizer.param_groups for p in group["params"]] for optimizer in optimizers]
    for key, tensor in tensors.items():
        which, parameter, name = key.split(".", 2) if key.count(".") == 2 else ("", "", "")
        if not (which.isdecimal() and parameter.isdecimal() and int(which) < len(optimizers)):
            raise ValueError(f"{key[:40]!r} belongs to no optimizer of this run.")
        which, parameter = int(which), int(parameter)
        if parameter >= len(parameters[which]) or tensor.shape not in ((), parameters[which][parameter].shape):
            raise ValueError(f"{key} has the shape {tuple(tensor.shape)}, which fits no parameter there.")
        memories[which].setdefault(parameter, {})[name] = tensor
    for optimizer, memory in zip(optimizers, memories, strict=True):
        optimizer.load_state_dict({"state": memory, "param_groups": optimizer.state_dict()["param_groups"]})


def save_checkpoint(folder: Path, state: TrainerState, made_with: dict[str, Any]) -> None:
    """Keep `state` in `folder`, and in what surroundings it was computed (see `determinism_context`).

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
    """The newest checkpoint that is whole, or that `at` a step: its state, its determinism_context, and a sentence for each
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


def remove_partial_saves(folder: Path) -> None:
    """Remove what saves that were cut short have left. Only for the one who writes here."""
    for left in folder.glob(".*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def determinism_context(threads: int, device: torch.device, processes: int) -> dict[str, Any]:
    """What the last digits of a sum depend on, besides the program."""
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    place = f"{device.type}, {platform.machine()}, {kind}"
    return {"torch": torch.__version__, "threads": threads, "processes": processes, "device": place}


def context_changes(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """A sentence for each difference between two determinism contexts, for a run that continues in the second."""
    return [
        f"Continues, not bit-identical: {name} was {then[name]}, now it is {value}."
        for name, value in now.items()
        if then.get(name, value) != value
    ]


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
                if os.fstat(file.fileno()).st_size > MOST_WEIGHTS:
                    found.append(f"{name} is too large to be ours.")
                elif hashlib.file_digest(file, "sha256").hexdigest() != sha256:
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
