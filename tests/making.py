"""Tiny runs that train in a fraction of a second, shared by tests of every kind."""

import time
from collections.abc import Callable
from typing import Any

import torch
from patience import patience

from microllm.config import configs_from
from microllm.data import texts
from microllm.data.builtin import drawing_room
from microllm.jobs.slots import Slots
from microllm.jobs.training import TrainingJob
from microllm.model import MicroLLM
from microllm.runs import catalog
from microllm.runs.run import Run

TINY = {"block_size": 8, "n_embd": 16, "n_head": 2, "n_layer": 1, "batch_size": 4, "eval_interval": 10}
ENDLESS = 1_000_000
"""More steps than any test waits for."""


def new_run(
    text: texts.Text | str | None = None,
    *,
    text_name: str = "made",
    preset: str = "quick",
    threads: int = 1,
    owner_key: str | None = None,
    **settings,
) -> Run:
    """A run of a tiny model, not yet started, on `text` (by default 2,000 characters of drawing-room sentences)."""
    model, train = configs_from(TINY | {"max_steps": 20} | settings, preset)
    is_prepared = text is not None and not isinstance(text, str)
    prepared = text if is_prepared else texts.prepare(text or drawing_room(2_000), text_name)
    return catalog.create(model, train, prepared, preset=preset, threads=threads, owner_key=owner_key)


def draw_biases(model: MicroLLM) -> MicroLLM:
    """Give relative positions random values, so that every distance matters. Returns the model."""
    for block in model.blocks:
        if block.attention.bias is not None:
            torch.nn.init.normal_(block.attention.relative_bias, std=0.1, generator=torch.Generator().manual_seed(3))
    return model


def train(run: Run, slots: Slots | None = None) -> str:
    """Train a run from its last step to its end; the state that it ends in."""
    job = TrainingJob(run, slots or Slots(1))
    job.start()
    job.join()
    return run.read_info().state


def wait_until(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Wait until `condition` holds; what it returned. Fails after `seconds`, or later on a busy machine."""
    deadline = time.monotonic() + patience(seconds)
    while not (found := condition()):
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.005)
    return found
