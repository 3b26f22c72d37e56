"""Snapshots: the weights of one step, as safetensors. Nothing is ever unpickled."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from ..config import ModelConfig
from ..model import MicroLLM, parameter_count
from ..storage import read_file, write_atomically

SNAPSHOT_BUDGET = 64 * 2**20
"""The disk space in bytes for all snapshots of one run."""

MAX_WEIGHTS_BYTES = 2**29
"""The maximum bytes of a file of tensors: the largest model takes 220 MB with the state of AdamW."""

_MAX_HEADER_BYTES = 2**20
_FORMER_NAMES = {"ln": "ln_f", "head": "lm_head"}  # in runs of format 1
_MAX_TENSORS = 10_000
_TESTED_CHARACTERS = 1_024
_MAX_REMEMBERED = 10_000
_known_to_be_finite: set[tuple] = set()


class WeightsProblem(ValueError):
    """A file of weights that cannot be used; the message says why."""


def save_weights(state: dict[str, torch.Tensor], path: Path) -> None:
    """Write a model's state_dict to `path` atomically. Raises OSError."""
    write_atomically(path, pack_tensors(state))


def load_weights(path: Path, config: ModelConfig, vocab_size: int) -> MicroLLM:
    """A model with the weights in `path`, in eval mode. Raises WeightsProblem.

    It computes in float32, even if the file has float16, as in the gallery. Weights and logits are checked to be
    finite, because pages could not plot or divide by anything else.
    """
    state = read_tensors(path, 4 * parameter_count(config, vocab_size) + _MAX_HEADER_BYTES)
    if others := {str(tensor.dtype) for tensor in state.values()} - {"torch.float32", "torch.float16"}:
        raise WeightsProblem(f"{path.name} does not fit this run's configuration: it holds {', '.join(others)}.")
    state = {name: tensor.float() for name, tensor in state.items()}
    if not all(tensor.isfinite().all() for tensor in state.values()):
        raise WeightsProblem(f"{path.name} holds weights that are not finite numbers: training had diverged by then.")
    try:
        model = model_from(state, config, vocab_size)
    except RuntimeError as error:
        raise WeightsProblem(f"{path.name} does not fit this run's configuration. {error}") from error
    if not _has_finite_logits(model, (path, _stamp(path), config, vocab_size)):
        raise WeightsProblem(f"{path.name} holds weights so large that the model's logits are not finite numbers.")
    return model


def _has_finite_logits(model: MicroLLM, key: tuple) -> bool:
    """True if the logits are finite on full contexts with every character, up to about _TESTED_CHARACTERS.

    This takes a second for the largest models, so success is remembered under `key`.
    """
    if key in _known_to_be_finite:
        return True
    size, vocab_size = model.config.block_size, model.vocab_size
    rows = max(1, min(math.ceil(vocab_size / size), _TESTED_CHARACTERS // size))
    ids = torch.arange(rows * size).remainder(vocab_size).view(rows, size)
    with torch.inference_mode():
        is_finite = bool(model(ids)[0].isfinite().all())
    if is_finite:
        if len(_known_to_be_finite) >= _MAX_REMEMBERED:
            _known_to_be_finite.clear()
        _known_to_be_finite.add(key)
    return is_finite


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:  # deleted meanwhile
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def read_tensors(path: Path, max_bytes: int = MAX_WEIGHTS_BYTES) -> dict[str, torch.Tensor]:
    """The tensors of an untrusted safetensors file of at most `max_bytes` bytes. Raises WeightsProblem."""
    try:
        return _unpacked(read_file(path, max_bytes), path.name)
    except OSError as error:
        raise WeightsProblem(f"{path.name} cannot be read: {error.strerror}.") from error


def model_from(state: dict[str, torch.Tensor], config: ModelConfig, vocab_size: int) -> MicroLLM:
    """A model in eval mode that uses the tensors of `state`. Raises RuntimeError if a name or shape differs."""
    model = MicroLLM(config, vocab_size, device="meta")
    model.load_state_dict(state, assign=True)
    return model.eval().requires_grad_(False)


def snapshot_is_due(step: int) -> bool:
    """True for steps 0 and 8, then two per doubling: 12, 16, 24, 32, 48, 64, ..."""
    if step < 8:
        return step == 0
    half = 1 << (step.bit_length() - 2)
    return step % half == 0


def thin(steps: list[int], keep: int) -> list[int]:
    """At most `keep` (at least 2) of the steps, evenly spaced in log(step), always with the first and the last.

    It removes one step at a time: the one that leaves the smallest gap.
    """
    kept = sorted(steps)
    while len(kept) > max(2, keep):
        gaps = [math.log((kept[i + 1] + 1) / (kept[i - 1] + 1)) for i in range(1, len(kept) - 1)]
        del kept[1 + gaps.index(min(gaps))]
    return kept


def pack_tensors(tensors: dict[str, torch.Tensor]) -> bytes:
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def _unpacked(data: bytes, name: str) -> dict[str, torch.Tensor]:
    header = int.from_bytes(data[:8], "little")
    if header > _MAX_HEADER_BYTES:  # parsing it would take long
        raise WeightsProblem(f"{name} is not a snapshot: its header claims to be {header:,} bytes long.")
    if data[8 : 8 + header].count(b'"data_offsets"') > _MAX_TENSORS:
        raise WeightsProblem(f"{name} is not a snapshot: it lists more than {_MAX_TENSORS:,} tensors.")
    try:
        return {_current_name(tensor_name): tensor for tensor_name, tensor in load(data).items()}
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:  # KeyError: a data type that torch lacks
        raise WeightsProblem(f"{name} is not an intact safetensors file: {error}.") from error


def _current_name(name: str) -> str:
    """The current name of a parameter: runs of format 1 have old names for some."""
    module, dot, rest = name.partition(".")
    return _FORMER_NAMES.get(module, module) + dot + rest


def snapshot_steps(folder: Path) -> list[int]:
    """The steps that have a snapshot, in order; none while the folder cannot be read."""
    with contextlib.suppress(OSError):
        return steps_in(folder, re.compile(r"step-(0|[1-9][0-9]{0,8})\.safetensors"), os.DirEntry.is_file)
    return []


def steps_in(folder: Path, name: re.Pattern[str], is_kind: Callable[..., bool]) -> list[int]:
    """The steps in the names of files that match exactly: copies, links and other files are ignored.

    Without a folder there are none. Raises OSError when it cannot be read: that does not mean that it is empty.
    """
    try:
        with os.scandir(folder) as entries:
            found = [name.fullmatch(entry.name) for entry in entries if is_kind(entry, follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(match[1]) for match in found if match)
