"""Generation in the background: a thread writes text with a model while a page shows what is there so far."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from ..inference import next_logits, scored_stream
from ..model import MicroLLM
from ..sample import Sampling
from ..tokenizer import CharTokenizer, known_ids
from .background import Background, running

_REST_SECONDS = 0.002  # after each character, per other generating thread
_one_character = threading.Lock()


@dataclass
class Sample:
    """A text that a model writes after `prompt`; `text` is what it has written so far.

    `nats` is the surprisal of each character of `text`: -ln of the probability that the model gave it. `seen` is the
    number of characters that the model saw for it. Both may be longer than `text` for a moment during writing. `model`
    is that of training step `step`, and must not be trained further. `sampling` is how the newest part was sampled.
    """

    model: MicroLLM
    tokenizer: CharTokenizer
    step: int
    prompt: str
    seed: int
    text: str = ""
    nats: list[float] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    sampling: Sampling = field(default_factory=Sampling)
    _last_logits: tuple[int, torch.Tensor] | None = field(default=None, init=False, repr=False)

    def context(self, place: int) -> torch.Tensor:
        """The ids (T,) that the model saw, or would see, when it predicted character `place` of `text`."""
        ids = torch.tensor(self.tokenizer.encode(self.prompt + self.text[:place]), dtype=torch.long)
        return ids[-(self.seen[place] if place < len(self.seen) else self.model.config.block_size) :]

    def logits(self, place: int) -> torch.Tensor:
        """The model's logits (V,) for character `place` of `text`."""
        last = self._last_logits
        if last and last[0] == place:  # a page asks for the same place at every tick
            return last[1]
        logits = next_logits(self.model, self.context(place)[None])[0]
        if place < len(self.seen):  # its context is final
            self._last_logits = place, logits
        return logits

    def branch(self, place: int, character: str, sampling: Sampling) -> Sample:
        """A copy of this sample up to `place` of its text, with another character there, to continue with `sampling`.

        Raises ValueError for a place that is not written yet and for a character that the model does not know.
        """
        if not 0 <= place < len(self.text):
            raise ValueError(f"There is no character {place} yet: {len(self.text)} are written.")
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
            sampling,
        )


def write(samples: Sequence[Sample], length: int, cancelled: threading.Event) -> None:
    """Append `length` characters to each of the samples, which have the same model, sampling and length.

    Ends early when `cancelled` is set. All generating threads share one lock, and after every character each sleeps
    2 ms per other such thread, so that a whole class generating at once leaves time for pages and training.
    """
    first = samples[0]
    idx = torch.stack([_context_so_far(sample) for sample in samples])
    written = scored_stream(
        first.model, idx, length, first.sampling, [sample.seed for sample in samples], skip=len(first.text)
    )
    while not cancelled.is_set():
        with _one_character:
            character = next(written, None)
        if character is None:
            break
        chosen, logits, seen = character
        nats = -logits.log_softmax(-1).gather(-1, chosen[:, None])[:, 0]
        for sample, new, surprisal in zip(samples, chosen.tolist(), nats.tolist(), strict=True):
            sample.nats.append(surprisal)
            sample.seen.append(seen)
            sample.text += sample.tokenizer.vocab[new]
        if others := running("generation") - 1:
            time.sleep(_REST_SECONDS * others)


def _context_so_far(sample: Sample) -> torch.Tensor:
    """The ids (T,) that the model's cache would hold by now, so that the same seed continues with the same text."""
    size = sample.model.config.block_size
    if not sample.text:
        return sample.context(0)
    seen = sample.seen[len(sample.text) - 1]
    kept = seen if seen < size else size - max(1, size // 4)  # as inference.prefill_or_decode drops a quarter
    return torch.tensor(sample.tokenizer.encode(sample.prompt + sample.text), dtype=torch.long)[-kept - 1 :]


class Generation:
    """The samples that one user sees side by side, and the background work that writes them."""

    def __init__(
        self,
        model: MicroLLM,
        tokenizer: CharTokenizer,
        prompt: str,
        length: int,
        samplings: Sequence[Sampling],
        seeds: Sequence[int] = (0,),
        step: int = 0,
    ) -> None:
        """Begin one sample for each seed and sampling: the first seed with each sampling, then the next seed.

        Characters of the prompt that the model does not know are left out.

        Raises ValueError when a sampling setting is out of range, or when no character of the prompt is left.
        """
        prompt = tokenizer.decode(known_ids(tokenizer, prompt))
        if not prompt:
            raise ValueError("The prompt has no character that the model knows: give at least one.")
        if problem := next(filter(None, (sampling.problem() for sampling in samplings)), None):
            raise ValueError(problem)
        self.width = len(samplings)
        """How many samples in a row have the same seed."""
        self.samples = [
            Sample(model, tokenizer, step, prompt, seed, sampling=sampling) for seed in seeds for sampling in samplings
        ]
        self._writing: list[tuple[list[Sample], Background]] = []
        for i in range(self.width):  # each a thread, so that all are written at the same time
            self._begin(self.samples[i :: self.width], length)

    @property
    def is_writing(self) -> bool:
        """True while a sample is being written."""
        return any(work.is_busy for _, work in self._writing)

    def branch(self, number: int, place: int, character: str, length: int, sampling: Sampling) -> None:
        """Put another character at `place` in a sample's text, and continue from there with the same seed.

        Raises ValueError as `Sample.branch` does, or when a sampling setting is out of range; then nothing changes.
        """
        if problem := sampling.problem():
            raise ValueError(problem)
        sample = self.samples[number].branch(place, character, sampling)
        self._begin([sample], length)
        self.samples[number] = sample
        for samples, work in self._writing:
            if not any(sample is shown for sample in samples for shown in self.samples):
                work.cancelled.set()  # these samples are no longer shown

    def _begin(self, samples: list[Sample], length: int) -> None:
        work = Background(lambda background: write(samples, length, background.cancelled), name="generation")
        self._writing = [pair for pair in self._writing if pair[1].is_busy] + [(samples, work)]

    def stop(self) -> None:
        """Stop writing after the current character."""
        for _, work in self._writing:
            work.cancelled.set()
