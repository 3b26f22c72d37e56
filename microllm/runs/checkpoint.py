"""Checkpoints: everything that training needs to continue, as safetensors and JSON. Nothing is ever unpickled.

A checkpoint is a folder `step-N` that is either complete or absent, even after a crash. To save one:

1. write each file into a temporary folder next to it, and fsync it
2. write `manifest.json` with the SHA-256 of each file; fsync it and the temporary folder
3. rename the folder to `step-N`, and fsync the parent folder
4. after the new one verifies, keep only the two newest

The latest checkpoint is the one with the highest step whose manifest verifies; there is no pointer to it.
"""

from __future__ import annotations

import contextlib
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
from .weights import MAX_WEIGHTS_BYTES, WeightsProblem, pack_tensors, read_tensors, steps_in

_KEPT_CHECKPOINTS = 2
_TEMPORARY_PREFIX = ".saving-"
_MAX_SECONDS = 1e11  # of training
_MAX_JSON_BYTES = 2**16  # of a manifest.json or state.json


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
    """The state of a trainer. Its tensors are not copies: save them before the next step changes them."""
    return TrainerState(
        trainer.step, trainer.seconds, trainer.model.state_dict(), optimizer_tensors(trainer.optimizers)
    )


def load_state_dict(trainer: Trainer, state: TrainerState) -> None:
    """Continue from `state`. On the same machine all further steps are bit-identical to those without interruption.

    Raises ValueError if its tensors do not fit the trainer's configuration.
    """
    try:
        trainer.model.load_state_dict(state.model)
    except RuntimeError as error:
        raise ValueError(f"The weights do not fit this run's configuration. {error}") from error
    load_optimizer_tensors(trainer.optimizers, state.optimizers)
    trainer.step, trainer.seconds = state.step, state.seconds


def optimizer_tensors(optimizers: list[torch.optim.Optimizer]) -> dict[str, torch.Tensor]:
    """The state of the optimizers as one dict: "<optimizer>.<parameter>.<name>" (both numbers from 0) -> tensor."""
    return {
        f"{which}.{parameter}.{name}": tensor
        for which, optimizer in enumerate(optimizers)
        for parameter, tensors in optimizer.state_dict()["state"].items()
        for name, tensor in tensors.items()
    }


def load_optimizer_tensors(optimizers: list[torch.optim.Optimizer], tensors: dict[str, torch.Tensor]) -> None:
    """The inverse of `optimizer_tensors`. Raises ValueError for tensors that do not fit these optimizers."""
    states: list[dict[int, dict[str, torch.Tensor]]] = [{} for _ in optimizers]
    parameters = [[p for group in optimizer.param_groups for p in group["params"]] for optimizer in optimizers]
    for key, tensor in tensors.items():
        first, second, name = key.split(".", 2) if key.count(".") == 2 else ("", "", "")
        if not (first.isdecimal() and second.isdecimal() and int(first) < len(optimizers)):
            raise ValueError(f"{key[:40]!r} belongs to no optimizer of this run.")
        which, parameter = int(first), int(second)
        if parameter >= len(parameters[which]) or tensor.shape not in ((), parameters[which][parameter].shape):
            raise ValueError(f"{key} has the shape {tuple(tensor.shape)}, which does not fit its parameter.")
        states[which].setdefault(parameter, {})[name] = tensor
    for optimizer, state_tensors in zip(optimizers, states, strict=True):
        optimizer.load_state_dict({"state": state_tensors, "param_groups": optimizer.state_dict()["param_groups"]})


def save_checkpoint(folder: Path, state: TrainerState, context: dict[str, Any]) -> None:
    """Save `state` in `folder`, with the `determinism_context` in which it was computed.

    Raises OSError; older checkpoints are then unchanged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"step-{state.step}"
    if target.exists():
        if not _faults(target):
            return
        shutil.rmtree(target)
    about = {"step": state.step, "seconds": state.seconds, **context}
    files = {
        "model.safetensors": pack_tensors(state.model),
        "optimizers.safetensors": pack_tensors(state.optimizers),
        "state.json": json.dumps(about, indent=1).encode(),
    }
    temporary = Path(tempfile.mkdtemp(dir=folder, prefix=_TEMPORARY_PREFIX))
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
        for step in checkpoint_steps(folder)[:-_KEPT_CHECKPOINTS]:
            shutil.rmtree(folder / f"step-{step}", ignore_errors=True)


def load_checkpoint(folder: Path, at: int | None = None) -> tuple[TrainerState, dict[str, Any], list[str]] | None:
    """The newest intact checkpoint, or that `at` a step: (state, determinism context, a sentence for each damaged one).

    None if there is none. Raises OSError when the folder cannot be read.
    """
    damaged = []
    for step in reversed(checkpoint_steps(folder)):
        if at not in (None, step):
            continue
        place = folder / f"step-{step}"
        try:
            if faults := _faults(place):
                raise WeightsProblem(" ".join(faults))
            about = parsed(read_file(place / "state.json", _MAX_JSON_BYTES))
            if type(about["step"]) is not int or about["step"] != step or not 0 <= about["seconds"] < _MAX_SECONDS:
                raise ValueError("Its state.json is not valid.")
            model, optimizers = (read_tensors(place / f"{name}.safetensors") for name in ("model", "optimizers"))
            return TrainerState(about.pop("step"), about.pop("seconds"), model, optimizers), about, damaged
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            damaged.append(f"The checkpoint of step {step:,} cannot be used. {error}")
    return None


def checkpoint_steps(folder: Path) -> list[int]:
    """The steps that have a checkpoint, intact or not, in order. Raises OSError when the folder cannot be read."""
    return steps_in(folder, re.compile(r"step-(0|[1-9][0-9]{0,8})"), os.DirEntry.is_dir)


def remove_partial_saves(folder: Path) -> None:
    """Delete what interrupted saves left behind. Call it only while holding the lock of the run."""
    for left in folder.glob(".*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def determinism_context(threads: int, device: torch.device, processes: int) -> dict[str, Any]:
    """What the rounding errors of a computation depend on: torch version, threads, processes, device and processor."""
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    place = f"{device.type}, {platform.machine()}, {kind}"
    known = {"torch": torch.__version__, "threads": threads, "processes": processes, "device": place}
    return known | {"processor": _processor()}


def _processor() -> str:
    """The processor of this machine: two with the same instruction sets can still round differently."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text("utf-8").partition("\n\n")[0].splitlines()
        fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return f"{fields.get('model name')}, family {fields.get('cpu family')}, model {fields.get('model')}"
    return platform.processor()


def context_changes(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """A sentence for each difference between two determinism contexts, for a run that continues in the second."""
    return [
        f"Continued, but not bit-identically: {name} was {then[name]}, now it is {value}."
        for name, value in now.items()
        if then.get(name, value) != value
    ]


def _faults(place: Path) -> list[str]:
    """What is wrong with a checkpoint, according to its manifest; an empty list if it is intact."""
    try:
        sums = parsed(read_file(place / "manifest.json", _MAX_JSON_BYTES))
        expected = {name: str(sums[name]) for name in ("model.safetensors", "optimizers.safetensors", "state.json")}
    except (OSError, ValueError, KeyError, TypeError):
        return ["Its manifest is missing or not valid."]
    found = []
    for name, sha256 in expected.items():
        try:
            with open_file(place / name) as file:
                if os.fstat(file.fileno()).st_size > MAX_WEIGHTS_BYTES:
                    found.append(f"{name} is too large.")
                elif hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                    found.append(f"{name} is damaged: its SHA-256 differs from that in the manifest.")
        except OSError as error:
            found.append(f"{name} cannot be read: {error.strerror}.")
    return found


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # Windows cannot open a folder
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
