"""Reading on the generate page: a text tinted by how surprising each character is to the model, why each is there, and
what a sample copied from the training text.
"""

from __future__ import annotations

import functools
import math
import statistics
import threading
from dataclasses import dataclass
from typing import Any

import streamlit as st

from ...data.decode import TextProblem
from ...insight.memorization import Copy, after_a_cut_word, find_copy
from ...insight.surprisal import TokenSurprisals, context_start, token_surprisals
from ...insight.table_model import TableModel
from ...jobs.background import Background
from ...jobs.generation import Sample
from ...runs.run import Run
from ...tokenizer import known_ids, visible
from ..components import letters
from ..server import in_the_background
from ..state import draft, window
from ..state.session import session
from ..state.view import View
from ..words import choices, isolated, literal
from . import predictor, text_fields, write
from .live import live
from .predictor import Predictor
from .why import Place, nothing_chosen, why

_PASSAGE_CHARACTERS = 600
_MAX_CHARACTERS = 2_000
_GUESSES_SHOWN = 5
_TICK_SECONDS = 2.5
_SOURCES = {
    "passage": "Held-out passage",
    "sentence": "Your sentence",
    "own": "Your text",
    "sample": "Last sample",
}


@dataclass(frozen=True)
class Passage:
    """A text to read, where it comes from, and the sample that it is, if any."""

    text: str = ""
    origin: str = ""
    sample: Sample | None = None


def panel(view: View) -> Passage:
    """The controls of what predicts and which text it reads."""
    predictor.choose(view)
    source = st.segmented_control(
        "Text to read",
        list(_SOURCES),
        default="passage",
        format_func=_SOURCES.get,
        key="reading-source",
        required=True,
        persist_state="session",
    )
    if source == "passage":
        try:
            return _passage(view)
        except TextProblem as problem:  # its text is gone, or was replaced by another
            st.info(literal(str(problem)), icon=":material/info:")
            return Passage()
    if source == "sentence":
        return Passage(text_fields.sentence(view, is_for_model=predictor.chosen() == predictor.MODEL))
    if source == "own":
        return Passage(_own(view))
    sample = _sample(view)
    if sample is None:
        return Passage()
    who = predictor.name_of(sample.model)
    when = "" if isinstance(sample.model, TableModel) else f" at step {sample.step:,}"
    return Passage(sample.prompt + sample.text, f"Written by {who}{when}.", sample)


def reading(view: View, passage: Passage) -> None:
    """How the model reads a text, updated every few seconds while it trains."""
    if not passage.text:
        return
    text, sample = passage.text, passage.sample
    live(lambda shown: _tick(shown, text, sample), _TICK_SECONDS, key="reading-live", when=view.is_active)
    tint = "The stronger the tint, the bigger the surprise."
    if predictor.chosen() == predictor.MODEL:
        tint += " Once the model knows a word, only its first letters are tinted."
    st.caption(f"{passage.origin} {tint}")


# ---- the text


def _passage(view: View) -> Passage:
    """A held-out passage."""
    held_out = view.run.load_corpus().val
    number = session().passage
    start = number * _PASSAGE_CHARACTERS % max(1, len(held_out) - _PASSAGE_CHARACTERS)

    def show_next() -> None:
        session().passage = number + 1

    st.button("Next passage", key="next-passage", icon=":material/arrow_forward:", on_click=show_next)
    passage = view.run.tokenizer.decode(held_out[start : start + _PASSAGE_CHARACTERS])
    cut = after_a_cut_word(passage)
    origin = (
        f"From the held-out part of {literal(view.info.text.name)} (the last 10 %, which the model never trains on): "
        f"characters {start + cut + 1:,} to {start + len(passage):,} of {len(held_out):,}."
    )
    return Passage(passage[cut:], origin)


def _own(view: View) -> str:
    written = st.text_area(
        "Your text", key="reading-own", height=120, max_chars=draft.MAX_PASTED_CHARACTERS, persist_state="session"
    )
    known = text_fields.readable(view.run.tokenizer, written.replace("\r\n", "\n"), _MAX_CHARACTERS)
    if not known:
        st.info("Write or paste a text, then leave the field.", icon=":material/edit_note:")
    return known


def _sample(view: View) -> Sample | None:
    generation = write.newest(view)
    if generation is None or not any(sample.text for sample in generation.samples):
        st.info("This model has not written anything in this window yet: choose Write.", icon=":material/edit_note:")
        return None
    if generation.is_writing:
        st.caption("The model is still writing; this is what it has written so far.")
    number = 0
    if len(generation.samples) > 1:
        number = st.segmented_control(
            "Sample",
            list(range(len(generation.samples))),
            default=0,
            format_func=lambda i: f"seed {generation.samples[i].seed}",
            key=f"sample-of-{len(generation.samples)}",
            required=True,
        )
    sample = generation.samples[number]
    # a copy, which does not grow
    return Sample(sample.model, sample.tokenizer, sample.step, sample.prompt, sample.seed, sample.text)


# ---- how the model reads it


class _Reader:
    """The newest surprisals of one text under a model that trains, computed in the background so that no tick waits."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.shown: tuple[Predictor, TokenSurprisals] | None = None
        self._next: Background | None = None
        self._step: int | None = -1

    def refresh(self, run: Run, now: Predictor) -> tuple[Predictor, TokenSurprisals] | None:
        """The newest (predictor, surprisals); starts to compute new ones when the model has changed."""
        self._collect()
        if self._next is None and now.step != self._step:
            self._step = now.step
            ids, stride = known_ids(run.tokenizer, self.text), _stride(now)

            def read(cancelled: threading.Event) -> tuple[Predictor, TokenSurprisals] | None:
                reading = token_surprisals(now.model, ids, _GUESSES_SHOWN, stride, cancelled.is_set)
                return reading and (now, reading)

            self._next = in_the_background(read)
        if self._next:  # seconds: most are done at once, and the first is worth waiting for
            self._next.wait(0.03 if self.shown else 2.0)
            self._collect()
        return self.shown

    def stop(self) -> None:
        """Cancel what is being computed: another text is shown, or the window was closed."""
        if self._next:
            self._next.cancelled.set()

    def _collect(self) -> None:
        if self._next and not self._next.is_busy:
            self.shown, self._next = self._next.result or self.shown, None


def _stride(now: Predictor) -> int:
    return max(1, now.model.config.block_size // 8)


def _tick(view: View, text: str, sample: Sample | None) -> None:
    now = predictor.predictor(view, max_age=1.0)
    if now is None:
        st.caption(literal(predictor.why_none(view)))
        return
    run, key, readers = view.run, predictor.key(view), window.window().readers
    if key not in readers or readers[key].text != text:
        for before in readers.values():  # a window reads one text at a time
            before.stop()
        readers.clear()
        readers[key] = _Reader(text)
    read = readers[key].refresh(run, now)
    if read is None:
        st.caption("Reading …")
        return
    now, reading = read
    st.markdown(_summary(view, now, reading))
    copied = _copied(view, sample) if sample else None
    if sample:
        write.new_lines_of(view, [sample])
        st.markdown(_copy_sentence(copied, predictor.name_of(sample.model)))
    nats = reading.nats.tolist()
    guesses = reading.guesses.flatten().tolist()
    percents = reading.chances.flatten().mul(100).round().int().tolist()
    asked, reason = _why(view, text, now)
    letters.reading(
        "reading",
        letters.sample("", "", text, nats),
        "".join(run.tokenizer.vocab[i] for i in guesses),
        percents,
        [-1 if math.isnan(surprisal) else round(100 * surprisal) for surprisal in nats],
        _context_note(now),
        (len(sample.prompt) + copied.start, copied.length) if copied else (0, 0),
        who=predictor.name_of(now.model),
        asked=asked,
        why=reason,
        ask=functools.partial(_ask, text),
    )


def _context_note(now: Predictor) -> str:
    if isinstance(now.model, TableModel):
        return predictor.context_of(now.model)
    size, stride = now.model.config.block_size, _stride(now)
    context = f"up to the previous {size}" if stride == 1 else f"the previous {size - stride + 1} to {size}"
    return f"Each prediction uses {context} characters (block_size), fewer at the start."


def _ask(text: str, asked: int) -> None:
    """The user chose a character of this text, or whether to see why it was predicted."""
    session().is_asking_why = asked != letters.CLOSED
    session().read_character = (text, asked) if asked >= 0 else None


def _why(view: View, text: str, now: Predictor) -> tuple[int, dict[str, Any] | None]:
    """What was asked about this text, and the answer, in the component's format."""
    if not session().is_asking_why:
        return letters.CLOSED, None
    about, at = session().read_character or (None, 0)
    if about != text:
        return letters.OPEN, nothing_chosen()
    start = context_start(now.model, at, len(text), _stride(now))
    return at, why(view, Place(text, at, at - start, now.model, now.step or 0))


def _summary(view: View, now: Predictor, reading: TokenSurprisals) -> str:
    if math.isnan(reading.mean):
        return "A single character has no context, so there is no prediction to compare it with."
    mean = reading.mean
    sentence = f"loss **{mean:.3f} nats** per character on this text, as unsure as **{choices(mean)}**."
    if isinstance(now.model, TableModel):
        who, loss = predictor.name_of(now.model), view.info.references.get(f"table_{now.model.n}")
        validation = "" if loss is None else f" Validation loss: {loss:.3f}."
        return f"{who[0].upper()}{who[1:]}: {sentence}{validation}"
    sentence = f"At step {now.step:,}: {sentence}"
    val_losses = [loss for at, loss in view.history.val_losses if at <= now.step and not view.without]
    return sentence + (f" Validation loss: {val_losses[-1]:.3f}." if val_losses else "")


# ---- what a sample copied


def _copied(view: View, sample: Sample) -> Copy | None:
    searching = _search(view.info.text.sha256, sample.text)
    searching.wait(0.03)
    return searching.result


@st.cache_resource(max_entries=16, show_spinner=False)
def _search(sha256: str, sample: str) -> Background:
    return in_the_background(lambda _: find_copy(sha256, sample))


def _copy_sentence(found: Copy | None, who: str) -> str:
    if found is None:
        return "Searching the training text for the longest copied piece …"
    if not found.length:
        return "No piece of it occurs in the training text."
    sentence = (
        f"The longest piece that occurs word for word in the training text (underlined) is **{found.length} "
        f"characters** long: “{isolated(literal(visible(found.piece)))}”."
    )
    if not found.usual:
        return sentence
    low, high, median = found.usual[0], found.usual[-1], statistics.median_low(found.usual)
    verdict = f"So {who} memorized this piece" if found.length > high else "So there is no sign of memorization"
    return (
        f"{sentence} For comparison: {len(found.usual)} held-out passages of the same length, which cannot have "
        f"been copied, share pieces of {low} to {high} characters with the training text (median {median}). {verdict}."
    )
