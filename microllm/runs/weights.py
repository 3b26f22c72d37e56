"""Weights on disk as safetensors: snapshots to look at. Nothing is ever unpickled."""

from __future__ import annotations

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
"""Bytes that the snapshots of one run may take together."""


_LONGEST_HEADER = 2**20
_FORMER_NAMES = {"ln": "ln_f", "head": "lm_head"}
_MOST_TENSORS = 10_000
_MOST_BYTES = 2**29  # of a file of weights: the largest model, and what AdamW remembers of it, take 220 MB

_FOREVER = 1e11  # seconds
_TRIED = 1_024  # characters that a model reads before it is used
_MOST_SOUND = 10_000
_sound: set[tuple] = set()


class WeightsProblem(ValueError):
    """A file of weights that cannot be used; the sentence says why."""


def save_weights(state: dict[str, torch.Tensor], path: Path) -> None:
    """Write a model's state_dict to `path` in one step. Raises OSError when the disk refuses."""
    write_atomically(path, _packed(state))


def load_weights(path: Path, config: ModelConfig, vocab_size: int) -> MicroLLM:
    """The model of this shape with the weights of `path`, in eval mode. Raises WeightsProblem.

    Weights and scores are finite: a page that divides by them or draws them would break.
    """
    state = read_tensors(path, 4 * parameter_count(config, vocab_size) + _LONGEST_HEADER)
    if others := {str(tensor.dtype) for tensor in state.values()} - {"torch.float32"}:
        raise WeightsProblem(f"{path.name} does not fit this run's configuration: it holds {', '.join(others)}.")
    if not all(tensor.isfinite().all() for tensor in state.values()):
        raise WeightsProblem(f"{path.name} holds weights that are no numbers: training had gone wrong by then.")
    try:
        model = model_from(state, config, vocab_size)
    except RuntimeError as error:
        raise WeightsProblem(f"{path.name} does not fit this run's configuration. {error}") from error
    if not _has_finite_scores(model, (path, _stamp(path), config, vocab_size)):
        raise WeightsProblem(f"{path.name} holds weights so large that the model's scores are no numbers.")
    return model


def _has_finite_scores(model: MicroLLM, key: tuple) -> bool:
    """True when the model's scores are numbers on full contexts that hold every character, as far as _TRIED reaches.

    The largest models take a second for that, so the good answer is remembered under `key`.
    """
    if key in _sound:
        return True
    size, vocab_size = model.config.block_size, model.vocab_size
    rows = max(1, min(math.ceil(vocab_size / size), _TRIED // size))
    ids = torch.arange(rows * size).remainder(vocab_size).view(rows, size)
    with torch.inference_mode():
        is_finite = bool(model(ids)[0].isfinite().all())
    if is_finite:
        if len(_sound) >= _MOST_SOUND:
            _sound.clear()
        _sound.add(key)
    return is_finite


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:  # deleted since it was read
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def read_tensors(path: Path, most: int = _MOST_BYTES) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file of at most `most` bytes, which anybody may have made. Raises WeightsProblem."""
    try:
        return _unpacked(read_file(path, most), path.name)
    except OSError as error:
        raise WeightsProblem(f"{path.name} cannot be read: {error.strerror}.") from error


def model_from(state: dict[str, torch.Tensor], config: ModelConfig, vocab_size: int) -> MicroLLM:
    """A model, in eval mode, that owns the tensors of `state`. Raises RuntimeError when a name or shape differs."""
    model = MicroLLM(config, vocab_size, device="meta")
    model.load_state_dict(state, assign=True)
    return model.eval().requires_grad_(False)


def snapshot_is_due(step: int) -> bool:
    """Steps 0 and 8, then two a doubling: 12, 16, 24, 32, 48, 64, ..."""
    if step < 8:
        return step == 0
    half = 1 << (step.bit_length() - 2)
    return step % half == 0


def thin(steps: list[int], keep: int) -> list[int]:
    """At most `keep` (at least 2) of the steps: the first, the last, and those that space log(step) most evenly.

    One at a time, the step whose absence leaves the smallest hole goes.
    """
    kept = sorted(steps)
    while len(kept) > max(2, keep):
        holes = [math.log((kept[i + 1] + 1) / (kept[i - 1] + 1)) for i in range(1, len(kept) - 1)]
        del kept[1 + holes.index(min(holes))]
    return kept


def _packed(tensors: dict[str, torch.Tensor]) -> bytes:
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def _unpacked(data: bytes, name: str) -> dict[str, torch.Tensor]:
    header = int.from_bytes(data[:8], "little")
    if header > _LONGEST_HEADER:  # what reads it would take its time
        raise WeightsProblem(f"{name} is not a whole safetensors file of ours: its header claims {header:,} bytes.")
    if data[8 : 8 + header].count(b'"data_offsets"') > _MOST_TENSORS:
        raise WeightsProblem(f"{name} is not a file of ours: it lists more than {_MOST_TENSORS:,} tensors.")
    try:
        return {_current_name(tensor_name): tensor for tensor_name, tensor in load(data).items()}
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:  # KeyError: a type that torch has not
        raise WeightsProblem(f"{name} is not a whole safetensors file: {error}.") from error


def _current_name(name: str) -> str:
    """The name of a parameter as `MicroLLM` has it now: runs of format 1 have some under former names."""
    module, dot, rest = name.partition(".")
    return _FORMER_NAMES.get(module, module) + dot + rest


def snapshot_steps(folder: Path) -> list[int]:
    """The steps whose weights are kept, in order."""
    return _steps_in(folder, re.compile(r"step-(0|[1-9][0-9]{0,8})\.safetensors"), os.DirEntry.is_file)


def _steps_in(folder: Path, name: re.Pattern[str], is_kind: Callable[..., bool]) -> list[int]:
    """The steps in names that are exactly ours: copies, links and what others have put there do not count."""
    try:
        with os.scandir(folder) as entries:
            found = [name.fullmatch(entry.name) for entry in entries if is_kind(entry, follow_symlinks=False)]
    except OSError:
        return []
    return sorted(int(match[1]) for match in found if match)
