"""The weights with which a fork begins, from a safetensors file."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from pathlib import Path

import torch

from ...config import ModelConfig
from ...train import Trainer
from .facts import FIRST_STEP, SILENT_BEFORE, WEIGHTS_COMMAND, WEIGHTS_SHA256


def load_weights(trainer: Trainer, file: str) -> None:
    """Begin with the weights in `file`. Prints a note if the run did not begin with these.

    If the run kept the state of the optimizers, the steps before it come first. Raises OSError, ValueError if the file
    does not have the weights of such a model, and Diverged.
    """
    if not file:
        raise ValueError(f"The weights are not in this file: write them with `{WEIGHTS_COMMAND}`, and give --weights.")
    data = Path(file).read_bytes()
    if hashlib.sha256(data).hexdigest() != WEIGHTS_SHA256:
        print("These are not the weights with which the run began, so the losses will differ.", file=sys.stderr)
    try:
        tensors = tensors_in(bytearray(data))
        if SILENT_BEFORE is not None:
            train_before(trainer)
        trainer.model.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError):
        raise ValueError(f"{file} does not fit this model: write its weights with `{WEIGHTS_COMMAND}`.") from None
    trainer.step = FIRST_STEP


def train_before(trainer: Trainer) -> None:
    """Take the steps before the run, with the heads that were silent then. Raises Diverged."""
    print(f"Repeating the first {FIRST_STEP:,} steps, which led to the state of the optimizers.", flush=True)
    layers = [block.attention for block in trainer.model.blocks]
    silenced = [layer.silenced for layer in layers]
    before = ModelConfig(silenced=SILENT_BEFORE).silenced_heads
    for number, layer in enumerate(layers):
        layer.silenced = sorted(head for at, head in before if at == number)
    for progress in trainer:
        if progress.step >= FIRST_STEP:
            break
    for layer, heads in zip(layers, silenced, strict=True):
        layer.silenced = heads


def tensors_in(data: bytearray) -> dict[str, torch.Tensor]:
    """The tensors by name. A file has the length of its header (8 bytes), the header (JSON), and all numbers."""
    start = 8 + int.from_bytes(data[:8], "little")
    tensors = {}
    for name, about in json.loads(data[8:start]).items():
        if name != "__metadata__":
            count, offset = math.prod(about["shape"]), start + about["data_offsets"][0]
            tensors[name] = torch.frombuffer(data, dtype=torch.float32, count=count, offset=offset).view(about["shape"])
    return tensors
