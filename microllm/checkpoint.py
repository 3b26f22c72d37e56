"""Weights on disk: snapshots of a run, as safetensors. Nothing is ever unpickled."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from .config import ModelConfig
from .home import write_atomically
from .model import MicroLLM

SNAPSHOT_BUDGET = 64 * 2**20
"""Bytes that the snapshots of one run may take together."""


class WeightsProblem(ValueError):
    """A file of weights that cannot be used; the sentence says why."""


def save_weights(state: dict[str, torch.Tensor], path: Path) -> None:
    """Write a model's state_dict to `path` in one step. Raises OSError when the disk refuses."""
    write_atomically(path, save({name: tensor.contiguous() for name, tensor in state.items()}))


def load_weights(path: Path, config: ModelConfig, vocab_size: int) -> MicroLLM:
    """The model of this shape with the weights of `path`, in eval mode. Raises WeightsProblem."""
    try:
        state = load(path.read_bytes())
        if not all(tensor.isfinite().all() for tensor in state.values()):
            raise WeightsProblem(f"{path.name} holds weights that are no numbers: training had gone wrong by then.")
        return model_from(state, config, vocab_size)
    except OSError as error:
        raise WeightsProblem(f"{path.name} cannot be read: {error.strerror}.") from error
    except SafetensorError as error:
        raise WeightsProblem(f"{path.name} is not a whole safetensors file: {error}.") from error
    except RuntimeError as error:
        raise WeightsProblem(f"{path.name} does not fit this run's configuration. {error}") from error


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
