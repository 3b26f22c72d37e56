"""Copies of a model in training, for reading: the model itself is never handed out."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from ..model import MicroLLM
from ..runs.metrics import Writer
from ..runs.weights import model_from
from ..train import Trainer


class ModelCopy:
    """The newest copy of a trainer's model. It is made by the training thread, through its queue of `commands`."""

    def __init__(self, commands: queue.SimpleQueue[Callable[[Trainer, Writer], None]]) -> None:
        self._commands = commands
        self._copy: tuple[int, MicroLLM] | None = None
        self._made_at = -float("inf")
        self._ordered: Future | None = None
        self._is_closed = False
        self._lock = threading.Lock()

    def get(self, max_age: float, wait: float) -> tuple[int, MicroLLM] | None:
        """(step, model in eval mode), at most `max_age` seconds old if a new copy comes within `wait` seconds.

        Otherwise the previous copy; None before the first and after the end.
        """
        with self._lock:
            if self._is_closed or time.monotonic() - self._made_at <= max_age:
                return self._copy
            if self._ordered is None:
                self._ordered = Future()
                self._commands.put(lambda trainer, _: self.make(trainer))
            ordered = self._ordered
        with contextlib.suppress(TimeoutError):
            ordered.result(timeout=wait)
        return self._copy

    def make(self, trainer: Trainer) -> None:
        """Copy the model, unless there is a copy of this step already: pages keep asking, even in a paused run."""
        made = self._copy
        if made is None or made[0] != trainer.step:
            state = {name: tensor.to("cpu", copy=True) for name, tensor in trainer.model.state_dict().items()}
            made = trainer.step, model_from(state, trainer.model.config, trainer.corpus.vocab_size)
        with self._lock:
            self._copy, self._made_at = made, time.monotonic()
            ordered, self._ordered = self._ordered, None
        ordered.set_result(None)

    def close(self) -> None:
        """Drop the copy, and wake up the threads that wait for another."""
        with self._lock:
            self._is_closed, self._copy = True, None
            if self._ordered:
                self._ordered.set_result(None)
