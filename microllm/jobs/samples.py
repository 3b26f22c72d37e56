"""What a run writes while it learns: always from the same prompt and seed, so that only the model differs."""

from __future__ import annotations

import functools
import math
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import torch

from ..data.decode import TextProblem
from ..data.texts import load_corpus
from ..inference import stream
from ..insight.memorization import after_a_cut_word, lines_of_list, new_lines, real_words, words
from ..insight.surprisal import top1_accuracy
from ..model import MicroLLM
from ..runs.gallery import ScoredSample
from ..runs.run import Run
from ..sample import Sampling
from .background import Background

_T = TypeVar("_T")

PROMPT = "It is a truth"
TEMPERATURE = 0.8

_OPENING_FACTOR = 10  # take 10 times the prompt's length, so that enough is left after a truncated word and blanks
SAMPLE_CHARACTERS = 120
_OPENING_CHARACTERS = 48
_SECONDS_BETWEEN_SAMPLES = 10.0  # of one run
_REST_FACTOR = 4.0  # times the writing time: samples take a fifth of one core at most
_MAX_REST_SECONDS = 2.0
_MAX_KEPT_SAMPLES = 1_000
_SEARCHED_CHARACTERS = 10_000_000  # longer than most texts


def write_sample(run: Run, step: int, model: MicroLLM) -> ScoredSample:
    """Write a sample with `model`, which is that of `step`, and score it. Takes as long as a few training steps."""
    prompt, sha256 = prompt_for(run), run.read_info().text.sha256
    written = write(run, model, prompt, SAMPLE_CHARACTERS)
    score, known = top1_accuracy(model, run.load_corpus()), lines_of_list(sha256)
    if known is None:
        share = share_of_real_words(run, prompt + written)
        return ScoredSample(step, prompt + written, score, real_words=share)
    return ScoredSample(step, prompt + written, score, new_lines=new_lines([(prompt, written)], known))


def snapshot_text(run: Run, step: int) -> str:
    """What the model of a snapshot writes, with the prompt, as in `write_sample`, but without needing the run's text.

    Raises weights.WeightsProblem.
    """
    if stored := run.stored_samples.get(step):
        return stored.text
    prompt = default_prompt(run)
    return prompt + write(run, run.model_at(step), prompt, SAMPLE_CHARACTERS)


def write(run: Run, model: MicroLLM, prompt: str, length: int, temperature: float = TEMPERATURE) -> str:
    """What the `model` of a run writes after `prompt`, `length` characters, always from the same seed.

    A larger `length` only appends to the text.
    """
    idx, sampling = torch.tensor(run.tokenizer.encode(prompt)), Sampling(temperature=temperature)
    return run.tokenizer.decode(chosen for (chosen,) in stream(model, idx[None], length, sampling, seed=0))


def share_of_real_words(run: Run, sample: str) -> float | None:
    """The share (0 to 1) of the words of a sample, with its prompt, that occur in the training text of the run.

    None if it has no whole word. Raises TextProblem.
    """
    return real_words(sample, _words_of(run.read_info().text.sha256))


def prompt_for(run: Run, words: str = PROMPT) -> str:
    """A prompt for the model of `run`: `words` if they occur in its text, else the first words of the held-out part.

    Line breaks are kept. For a list it is whole lines, so that the model begins a new one. Raises TextProblem when the
    text is not on this server and `words` has characters that the model does not know.
    """
    try:
        return _prompt(*run.text_and_vocab(), words)
    except TextProblem:
        if run.tokenizer.unknown(words):
            raise
        return words


def default_prompt(run: Run) -> str:
    """A prompt for the model of `run`. When its text is not on this server, it is one letter of its vocabulary."""
    try:
        return prompt_for(run)
    except TextProblem:
        vocab = run.tokenizer.vocab
        return next(filter(str.isalpha, vocab), vocab[0])


@functools.lru_cache(maxsize=64)
def _prompt(sha256: str, vocab: str | None, words: str) -> str:
    corpus = load_corpus(sha256, vocab)
    if not corpus.tokenizer.unknown(words):
        ids = corpus.tokenizer.encode_tensor(words).numpy().tobytes()
        if ids in corpus.train[:_SEARCHED_CHARACTERS].numpy().tobytes():
            return words
    own = corpus.tokenizer.decode(corpus.val[: _OPENING_FACTOR * len(words)])
    if lines_of_list(sha256) and (lines := own[own.find("\n") + 1 :][: len(words)].rpartition("\n")[0]):
        return f"{lines}\n"
    return own[after_a_cut_word(own) :][: len(words)] or own[: len(words)]


@functools.lru_cache(maxsize=8)
def _words_of(sha256: str) -> frozenset[str]:
    corpus = load_corpus(sha256)
    return words(corpus.tokenizer.decode(corpus.train[:_SEARCHED_CHARACTERS]))


class Samples:
    """The samples of all runs in this process. Each is written once, in the background, one at a time.

    `model_now` returns (step, model) for a run that is training, or None before its first step.
    """

    def __init__(self, model_now: Callable[[Run], tuple[int, MicroLLM] | None]) -> None:
        self._model_now = model_now
        self._one_at_a_time = threading.Lock()
        self._lock = threading.Lock()
        self._past: dict[tuple[str, int], Background] = {}
        self._first_words: dict[tuple[str, int], Background] = {}
        self._newest: dict[str, ScoredSample] = {}
        self._next: dict[str, Background] = {}
        self._began: dict[str, float] = {}
        self._rests_until = 0.0

    def newest(self, run: Run) -> ScoredSample | None:
        """The newest sample of a run that is training; None before the first. Begins another when one is due."""
        with self._lock:
            following = self._next.get(run.id)
            if following and not following.is_busy:
                del self._next[run.id]
                self._newest[run.id] = following.get(0)
            shown = self._newest.get(run.id)
            is_urgent = shown is None or shown.step == 0  # step 0 is noise: replace it soon
            now = time.monotonic()
            is_due = now > self._rests_until and (is_urgent or now - self._began[run.id] > _SECONDS_BETWEEN_SAMPLES)
            model = self._model_now(run) if is_due and run.id not in self._next else None
            if model and (shown is None or model[0] != shown.step):
                self._began[run.id] = now
                self._rests_until = math.inf
                self._next[run.id] = self._begin(lambda: write_sample(run, *model), then_rests=True)
            return shown

    def at(self, run: Run, step: int, wait: float = 0.0) -> ScoredSample | None:
        """The sample of a snapshot; None if it takes more than `wait` seconds. Raises weights.WeightsProblem."""
        if stored := run.stored_samples.get(step):
            return stored
        return self._once(self._past, run, step, lambda: write_sample(run, step, run.model_at(step)), wait=wait)

    def first_words(self, run: Run, step: int, wait: float = 0.0) -> str | None:
        """The first words of a snapshot's sample, without its scores; None if it takes more than `wait` seconds.

        With `wait` 0, writing starts only if sampling is not resting, so the caller should ask again at its next tick.
        """

        if stored := run.stored_samples.get(step):
            return stored.text[: len(PROMPT) + _OPENING_CHARACTERS]

        def write_words() -> str:
            prompt = prompt_for(run)
            return prompt + write(run, run.model_at(step), prompt, _OPENING_CHARACTERS)

        with self._lock:
            if not wait and (run.id, step) not in self._first_words:
                if time.monotonic() < self._rests_until:
                    return None
                self._rests_until = math.inf
        return self._once(self._first_words, run, step, write_words, then_rests=True, wait=wait)

    def _once(
        self,
        done: dict[tuple[str, int], Background],
        run: Run,
        step: int,
        write: Callable[[], _T],
        *,
        then_rests: bool = False,
        wait: float,
    ) -> _T | None:
        with self._lock:
            if (run.id, step) not in done:
                while len(done) >= _MAX_KEPT_SAMPLES:
                    del done[next(iter(done))]
                done[run.id, step] = self._begin(write, then_rests)
            writing = done[run.id, step]
        return writing.get(wait)

    def _begin(self, write: Callable[[], _T], then_rests: bool = False) -> Background:
        """Write when nothing else is written. If it `then_rests`, however it ends, nothing is due for four times as
        long: samples of many runs must not take much time from training.
        """

        def work(background: Background) -> _T | None:
            with self._one_at_a_time:
                began = time.monotonic()
                try:
                    return None if background.cancelled.is_set() else write()
                finally:
                    if then_rests:
                        now = time.monotonic()
                        self._rests_until = now + min(_MAX_REST_SECONDS, _REST_FACTOR * (now - began))

        return Background(work, name="sample")
