"""Writing in the background: a thread that samples from a model while somebody reads what is there so far."""

from __future__ import annotations

import atexit
import threading

import torch

from .model import MicroLLM
from .sample import Sampling, stream
from .tokenizer import CharTokenizer


class Writing(threading.Thread):
    """Continues `prompt` by `length` characters. `text` is what it wrote so far, without the prompt.

    `step` names the moment of the model. The model must be a copy that nobody trains. Characters of the prompt that the
    model never met are left out. Raises ValueError for a sampling out of range, or when no character is left.
    """

    def __init__(
        self,
        model: MicroLLM,
        tokenizer: CharTokenizer,
        prompt: str,
        length: int,
        sampling: Sampling,
        seed: int = 0,
        step: int = 0,
    ) -> None:
        super().__init__(name="writing", daemon=True)
        if problem := sampling.problem():
            raise ValueError(problem)
        idx = known_ids(tokenizer, prompt)
        if not len(idx):
            raise ValueError("There is nothing to go on from: the prompt has no character that the model knows.")
        self.prompt, self.step, self.text = tokenizer.decode(idx), step, ""
        self._model, self._tokenizer, self._idx = model, tokenizer, idx
        self._length, self._sampling, self._seed = length, sampling, seed
        self._stopped = threading.Event()

    def run(self) -> None:
        """Write until the length is reached or `stop` is called."""
        torch.set_num_threads(1)  # small products: more threads would only disturb training
        atexit.register(self._end)
        for chosen in stream(self._model, self._idx[None], self._length, self._sampling, self._seed):
            if self._stopped.is_set():
                break
            self.text += self._tokenizer.decode(chosen)
        atexit.unregister(self._end)

    def stop(self) -> None:
        """End after the character that is being written."""
        self._stopped.set()

    def _end(self) -> None:
        """A thread that still computes when the program ends would abort it."""
        self.stop()
        self.join(5)


def known_ids(tokenizer: CharTokenizer, text: str) -> torch.Tensor:
    """The ids (N,) of those characters of `text` that the tokenizer knows."""
    unknown = set(tokenizer.unknown(text))
    return torch.tensor(tokenizer.encode("".join(c for c in text if c not in unknown)), dtype=torch.long)
