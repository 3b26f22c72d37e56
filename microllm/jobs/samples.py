"""What a run writes as it learns: always the same beginning and the same dice, so that only the model changes."""

from __future__ import annotations

import functools
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch

from ..data.decode import TextProblem
from ..data.texts import load_corpus
from ..inference import stream
from ..insight.memorization import after_a_cut_word, real_words, words
from ..insight.surprisal import top1_accuracy
from ..model import MicroLLM
from ..runs.run import Run
from ..sample import Sampling

_T = TypeVar("_T")

PROMPT = "It is a truth"

_ENOUGH = 10  # times as many characters, so that something is left behind a cut word and many blanks
_LENGTH = 120
_SAMPLING = Sampling(temperature=0.8)
_FIRST_WORDS = 48
_EVERY = 10.0
_REST = 4.0
_LONGEST_REST = 2.0
_MOST_KEPT = 1_000
_LOOKED_THROUGH = 10_000_000  # characters of a text: all of most


@dataclass(frozen=True)
class ScoredSample:
    """What the model of `step` writes after the beginning, which `text` includes.

    `real_words` is the share of its words that stand in the training text (None without a whole word), `top1_accuracy` the
    share of held-out characters that the model's first guess gets right.
    """

    step: int
    text: str
    real_words: float | None
    top1_accuracy: float


def write_sample(run: Run, step: int, model: MicroLLM) -> ScoredSample:
    """Let `model`, the one of `step`, write, and judge it. Takes as long as some training steps."""
    text = _write(run, model, _LENGTH)
    return ScoredSample(
        step, text, real_words(text, _words_of(run.read_info().text.sha256)), top1_accuracy(model, run.load_corpus())
    )


def _write(run: Run, model: MicroLLM, length: int) -> str:
    torch.set_num_threads(1)  # small products: more threads would only disturb training
    beginning, tokenizer = beginning_for(run), run.tokenizer
    idx = torch.tensor(tokenizer.encode(beginning))
    written = [chosen for (chosen,) in stream(model, idx[None], length, _SAMPLING, seed=0)]
    return beginning + tokenizer.decode(written)


def beginning_for(run: Run, words: str = PROMPT) -> str:
    """`words` where the run's text has them; else as many characters of its held-out part, from a whole word on.

    Line ends stay. Raises TextProblem when the text is not here and `words` has characters that it lacks.
    """
    try:
        return _beginning(*run.text_and_vocab(), words)
    except TextProblem:
        if run.tokenizer.unknown(words):
            raise
        return words


@functools.lru_cache(maxsize=64)
def _beginning(sha256: str, vocab: str | None, words: str) -> str:
    corpus = load_corpus(sha256, vocab)
    if not corpus.tokenizer.unknown(words):
        ids = corpus.tokenizer.encode_tensor(words).numpy().tobytes()
        if ids in corpus.train[:_LOOKED_THROUGH].numpy().tobytes():
            return words
    own = corpus.tokenizer.decode(corpus.val[: _ENOUGH * len(words)])
    return own[after_a_cut_word(own) :][: len(words)] or own[: len(words)]


@functools.lru_cache(maxsize=8)
def _words_of(sha256: str) -> frozenset[str]:
    corpus = load_corpus(sha256)
    return words(corpus.tokenizer.decode(corpus.train[:_LOOKED_THROUGH]))


class Samples:
    """The samples of all runs of this process, each written once, one after another, in the background.

    `model_now` gives (step, model) of a run that trains, None before the first.
    """

    def __init__(self, model_now: Callable[[Run], tuple[int, MicroLLM] | None]) -> None:
        self._model_now = model_now
        self._hand = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix="samples"
        )  # ended with the program, unaborted
        self._lock = threading.Lock()
        self._past: dict[tuple[str, int], Future[ScoredSample]] = {}
        self._first_words: dict[tuple[str, int], Future[str]] = {}
        self._newest: dict[str, ScoredSample] = {}
        self._next: dict[str, Future[ScoredSample]] = {}
        self._began: dict[str, float] = {}
        self._free_at = 0.0

    def newest(self, run: Run) -> ScoredSample | None:
        """The newest sample of a run that trains, None before the first. Begins another one when it is time."""
        with self._lock:
            following = self._next.get(run.id)
            if following and following.done():
                del self._next[run.id]
                self._newest[run.id] = following.result()
            shown = self._newest.get(run.id)
            is_news = shown is None or shown.step == 0  # noise is not shown for long
            now = time.monotonic()
            is_time = now > self._free_at and (is_news or now - self._began[run.id] > _EVERY)
            model = self._model_now(run) if is_time and run.id not in self._next else None
            if model and (shown is None or model[0] != shown.step):
                self._began[run.id] = now
                self._free_at = math.inf
                self._next[run.id] = self._hand.submit(self._and_rest, lambda: write_sample(run, *model))
            return shown

    def _and_rest(self, write: Callable[[], _T]) -> _T:
        """Write, then rest for some times as long: many runs together must not take their time from training."""
        began = time.monotonic()
        try:
            return write()
        finally:
            self._free_at = time.monotonic() + min(_LONGEST_REST, _REST * (time.monotonic() - began))

    def at(self, run: Run, step: int, wait: float = 0.0) -> ScoredSample | None:
        """The sample of a snapshot; None if it is not there within `wait` seconds. Raises weights.WeightsProblem."""
        return self._once(self._past, run, step, lambda: write_sample(run, step, run.model_at(step)), wait)

    def first_words(self, run: Run, step: int, wait: float = 0.0) -> str | None:
        """How the sample of a snapshot begins, without judgement; None if it is not there within `wait` seconds.

        Without a wait it is begun when there is time for it: the next tick asks again.
        """

        def write() -> str:
            return self._and_rest(lambda: _write(run, run.model_at(step), _FIRST_WORDS))

        with self._lock:
            if not wait and (run.id, step) not in self._first_words:
                if time.monotonic() < self._free_at:
                    return None
                self._free_at = math.inf
        return self._once(self._first_words, run, step, write, wait)

    def _once(
        self, done: dict[tuple[str, int], Future], run: Run, step: int, write: Callable[[], _T], wait: float
    ) -> _T | None:
        with self._lock:
            if (run.id, step) not in done:
                while len(done) >= _MOST_KEPT:
                    del done[next(iter(done))]
                done[run.id, step] = self._hand.submit(write)
            writing = done[run.id, step]
        try:
            return writing.result(timeout=wait)
        except TimeoutError:
            return None
