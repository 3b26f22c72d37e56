"""Writing in the background: a thread that samples from a model while somebody reads what is there so far."""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from ..inference import next_logits, scored_stream
from ..model import MicroLLM
from ..sample import NotFinite, Sampling
from ..tokenizer import CharTokenizer, known_ids

_REST = 0.002  # seconds after each character, for each other thread that writes
_pen = threading.Lock()
_at_work: set[threading.Thread] = set()


@dataclass
class Sample:
    """One text that a model writes behind `prompt`; `text` is what stands there so far.

    `nats` is the surprise of each character of `text`, -ln of the chance that the model itself gave it, and `seen` how
    many characters it saw then; both may be longer than `text` for a moment, while it is being written. `step` names
    the moment of the model, which nobody may train.
    """

    model: MicroLLM
    tokenizer: CharTokenizer
    step: int
    prompt: str
    seed: int
    text: str = ""
    nats: list[float] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    _asked: tuple[int, torch.Tensor] | None = field(default=None, init=False, repr=False)

    def context(self, place: int) -> torch.Tensor:
        """The ids (T,) that the model saw, or would see, before it wrote character `place` of `text`."""
        ids = torch.tensor(self.tokenizer.encode(self.prompt + self.text[:place]), dtype=torch.long)
        return ids[-(self.seen[place] if place < len(self.seen) else self.model.config.block_size) :]

    def logits(self, place: int) -> torch.Tensor:
        """The scores (V,) of all characters that could stand at `place` of `text`."""
        asked = self._asked
        if asked and asked[0] == place:  # a page asks for the same place at every tick
            return asked[1]
        logits = next_logits(self.model, self.context(place)[None])[0]
        if place < len(self.seen):  # what is written stays
            self._asked = place, logits
        return logits

    def branch(self, place: int, character: str) -> Sample:
        """A sample that is like this one up to `place` of its text, and has another character there.

        Raises ValueError for a place that is not written yet and for a character that the model does not know.
        """
        if not 0 <= place < len(self.text):
            raise ValueError(f"There is no character {place}: {len(self.text)} are written.")
        (chosen,) = self.tokenizer.encode(character)
        nats = -self.logits(place).log_softmax(-1)[chosen].item()
        return Sample(
            self.model,
            self.tokenizer,
            self.step,
            self.prompt,
            self.seed,
            self.text[:place] + character,
            [*self.nats[:place], nats],
            self.seen[: place + 1],
        )


class GenerationThread(threading.Thread):
    """Goes on with some samples at once, `length` characters each. They have one model, and equally long texts so far.

    Where several threads write, one pen goes round, and rests between: a whole class that writes at the same moment
    must leave time for pages and for training. Raises ValueError for a sampling out of range.
    """

    def __init__(self, samples: Sequence[Sample], length: int, sampling: Sampling) -> None:
        super().__init__(name="writing", daemon=True)
        if problem := sampling.problem():
            raise ValueError(problem)
        self.samples, self._length, self._sampling = list(samples), length, sampling
        self._stopped = threading.Event()

    def run(self) -> None:
        """Write until the length is reached or `stop` is called."""
        torch.set_num_threads(1)  # small products: more threads would only disturb training
        atexit.register(self._end)
        _at_work.add(self)
        try:
            self._write()
        except NotFinite:  # the page says so, at the same place
            pass
        finally:
            _at_work.discard(self)
            atexit.unregister(self._end)

    def _write(self) -> None:
        first = self.samples[0]
        idx = torch.stack([_context_to_go_on(sample) for sample in self.samples])
        seeds, skip = [sample.seed for sample in self.samples], len(first.text)
        written = scored_stream(first.model, idx, self._length, self._sampling, seeds, skip)
        while not self._stopped.is_set():
            with _pen:
                character = next(written, None)
            if character is None:
                break
            chosen, logits, seen = character
            nats = -logits.log_softmax(-1).gather(-1, chosen[:, None])[:, 0]
            for sample, new, surprise in zip(self.samples, chosen.tolist(), nats.tolist(), strict=True):
                sample.nats.append(surprise)
                sample.seen.append(seen)
                sample.text += sample.tokenizer.vocab[new]
            if others := len(_at_work) - 1:
                time.sleep(_REST * others)

    def stop(self) -> None:
        """End after the character that is being written."""
        self._stopped.set()

    def _end(self) -> None:
        """A thread that still computes when the program ends would abort it."""
        self.stop()
        self.join(5)


def _context_to_go_on(sample: Sample) -> torch.Tensor:
    """What a model keeps of a sample that it has written so far: so the same dice go on with the same text."""
    size = sample.model.config.block_size
    if not sample.text:
        return sample.context(0)
    seen = sample.seen[len(sample.text) - 1]
    kept = seen if seen < size else size - max(1, size // 4)  # as prefill_or_decode makes room
    return torch.tensor(sample.tokenizer.encode(sample.prompt + sample.text), dtype=torch.long)[-kept - 1 :]


class Generation:
    """The samples that one person sees side by side, and the threads that write on them."""

    def __init__(
        self,
        model: MicroLLM,
        tokenizer: CharTokenizer,
        prompt: str,
        length: int,
        sampling: Sampling,
        seeds: Sequence[int] = (0,),
        step: int = 0,
    ) -> None:
        """Begin one sample for each seed. Characters of the prompt that the model never met are left out.

        Raises ValueError for a sampling out of range, or when no character is left.
        """
        prompt = tokenizer.decode(known_ids(tokenizer, prompt))
        if not prompt:
            raise ValueError("There is nothing to go on from: the prompt has no character that the model knows.")
        self.samples = [Sample(model, tokenizer, step, prompt, seed) for seed in seeds]
        self._threads: list[GenerationThread] = []
        self._write(self.samples, length, sampling)

    @property
    def is_writing(self) -> bool:
        """True while something is being written."""
        return any(writing.is_alive() for writing in self._threads)

    def branch(self, number: int, place: int, character: str, length: int, sampling: Sampling) -> None:
        """Put another character at `place` of a sample's text, and go on from there with the same dice.

        Raises ValueError as `Sample.branch` and `GenerationThread` do, and then leaves everything as it is.
        """
        sample = self.samples[number].branch(place, character)
        self._write([sample], length, sampling)
        self.samples[number] = sample
        for writing in self._threads:
            if not any(one is shown for one in writing.samples for shown in self.samples):
                writing.stop()  # nobody sees what it writes

    def _write(self, samples: Sequence[Sample], length: int, sampling: Sampling) -> None:
        writing = GenerationThread(samples, length, sampling)
        self._threads = [one for one in self._threads if one.is_alive()] + [writing]
        writing.start()

    def stop(self) -> None:
        """End all writing after the characters that are being written."""
        for writing in self._threads:
            writing.stop()
