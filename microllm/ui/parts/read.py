"""Reading on the generate page: a text tinted by how each character surprises the model, and what a sample copied."""

from __future__ import annotations

import math
import statistics
import threading

import streamlit as st

from ...data.decode import TextProblem
from ...insight.memorization import _Copy, _find_copy, after_a_cut_word
from ...insight.surprisal import TokenSurprisals, token_surprisals
from ...jobs.generation import Sample
from ...model import MicroLLM
from ...runs.run import Run
from ...tokenizer import known_ids, visible
from ..components import letters
from ..server import Background, in_the_background
from ..state import draft, view, window
from ..state.session import session
from ..state.view import is_active
from ..words import choices, isolated, literal
from . import text_fields, write
from .live import live

_PASSAGE = 600
_LONGEST = 2_000
_GUESSES = 5
_EVERY = 2.5
_SOURCES = {
    "passage": "Held-out passage",
    "sentence": "Your sentence",
    "own": "My own text",
    "sample": "Last sample",
}


def read() -> None:
    """All of the view Read: which text, and what the model makes of it, again every few seconds while it trains."""
    run, sample, origin = view.run(), None, ""
    with st.container(horizontal=True, vertical_alignment="center"):
        source = st.segmented_control(
            "Text to read",
            list(_SOURCES),
            default="passage",
            format_func=_SOURCES.get,
            key="reading-source",
            required=True,
            persist_state="session",
            label_visibility="collapsed",
        )
        if source == "passage":
            text = ""
            try:
                text, origin = _passage(run)
            except TextProblem as problem:  # its text is gone, or another one stands in its place
                st.error(literal(str(problem)), icon=":material/error:")
    if source == "sentence":
        text = text_fields.sentence()
    elif source == "own":
        text = _own()
    elif source == "sample":
        sample = _sample()
        text = sample.prompt + sample.text if sample else ""
    if text:
        live(lambda _: _tick(run, text, sample), _EVERY, key="reading-live", when=is_active())
        st.caption(f"{origin} Look for words: a strong tint at the start, hardly any on the rest once it knows them.")


# ---- the text


def _passage(run: Run) -> tuple[str, str]:
    """A held-out passage, and where it comes from."""
    held_out = run.load_corpus().val
    number = session().passage
    start = number * _PASSAGE % max(1, len(held_out) - _PASSAGE)

    def go_on() -> None:
        session().passage = number + 1

    st.button("Next passage", key="next-passage", icon=":material/arrow_forward:", on_click=go_on)
    passage = run.tokenizer.decode(held_out[start : start + _PASSAGE])
    cut = after_a_cut_word(passage)
    origin = (
        f"From the tenth of {literal(run.read_info().text.name)} that this model never trains on, characters "
        f"{start + cut + 1:,} to {start + len(passage):,} of {len(held_out):,}."
    )
    return passage[cut:], origin


def _own() -> str:
    written = st.text_area(
        "Your text", key="reading-own", height=120, max_chars=draft.MOST_PASTED, persist_state="session"
    )
    known = text_fields.readable(written.replace("\r\n", "\n"), _LONGEST)
    if not known:
        st.info("Write or paste something, and leave the field: the model reads it.", icon=":material/edit_note:")
    return known


def _sample() -> Sample | None:
    generation = write.newest()
    if generation is None or not any(sample.text for sample in generation.samples):
        st.info("This model has not written anything here yet: choose Write above.", icon=":material/edit_note:")
        return None
    if generation.is_writing:
        st.caption("It is still being written; what stands there so far is read.")
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
    return Sample(
        sample.model, sample.tokenizer, sample.step, sample.prompt, sample.seed, sample.text
    )  # it stands still


# ---- what the model makes of it


class _Reader:
    """The newest reading of one text by a model that trains: made in the background, so that no tick waits for it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.shown: tuple[int, TokenSurprisals] | None = None
        self._next: Background | None = None
        self._step = -1

    def refresh(self, run: Run, step: int, model: MicroLLM) -> tuple[int, TokenSurprisals] | None:
        """(step, reading), the newest there is; begins another one when the model is another."""
        self._take()
        if self._next is None and step != self._step:
            self._step = step
            ids = known_ids(run.tokenizer, self.text)

            def read(cancelled: threading.Event) -> tuple[int, TokenSurprisals] | None:
                reading = token_surprisals(model, ids, _GUESSES, _stride(model), cancelled.is_set)
                return reading and (step, reading)

            self._next = in_the_background(read)
        if self._next:  # most are done at once; the first one is worth waiting for
            self._next.wait(0.03 if self.shown else 2.0)
            self._take()
        return self.shown

    def stop(self) -> None:
        """Give up a reading that is under way: the text is another now, or the window has gone."""
        if self._next:
            self._next.cancelled.set()

    def _take(self) -> None:
        if self._next and not self._next.is_busy:
            self.shown, self._next = self._next.result or self.shown, None


def _stride(model: MicroLLM) -> int:
    return max(1, model.config.block_size // 8)


def _tick(run: Run, text: str, sample: Sample | None) -> None:
    now = view.model_shown(max_age=1.0)
    if now is None:
        st.caption("The model has no weights to show yet.")
        return
    readers = window.window().readers
    if run.id not in readers or readers[run.id].text != text:
        for before in readers.values():  # a window reads one text at a time
            before.stop()
        readers.clear()
        readers[run.id] = _Reader(text)
    read = readers[run.id].refresh(run, *now)
    if read is None:
        st.caption("Reading …")
        return
    step, reading = read
    st.markdown(_summary(run, step, reading))
    copied = _copied(run, sample) if sample else None
    if sample:
        st.markdown(_copy_sentence(copied))
    nats = reading.nats.tolist()
    guesses = reading.guesses.flatten().tolist()
    percents = reading.chances.flatten().mul(100).round().int().tolist()
    size = run.read_info().model.block_size
    note = (
        f"Each from its last {size - _stride(now[1]) + 1} to {size} characters, as far as there are any (block_size)."
    )
    letters.reading(
        "reading",
        letters.sample("", "", text, nats),
        "".join(run.tokenizer.vocab[i] for i in guesses),
        percents,
        [-1 if math.isnan(one) else round(100 * one) for one in nats],
        note,
        (len(sample.prompt) + copied.start, copied.length) if copied else (0, 0),
    )


def _summary(run: Run, step: int, reading: TokenSurprisals) -> str:
    if math.isnan(reading.mean):
        return "One character alone: nothing stands before it, so there is nothing to be surprised by."
    mean = reading.mean
    said = f"At step {step:,}: on average **{mean:.2f} nats** a character, as unsure as **{choices(mean)}**."
    val_losses = [loss for at, loss in run.history.read().val_losses if at <= step]
    return said + (f" On held-out text in general: {val_losses[-1]:.2f} (validation loss)." if val_losses else "")


# ---- what a sample copied


def _copied(run: Run, sample: Sample) -> _Copy | None:
    searching = _search(run.read_info().text.sha256, sample.text)
    searching.wait(0.03)
    return searching.result


@st.cache_resource(max_entries=16, show_spinner=False)
def _search(sha256: str, sample: str) -> Background:
    return in_the_background(lambda _: _find_copy(sha256, sample))


def _copy_sentence(found: _Copy | None) -> str:
    if found is None:
        return "Searching the training text for its longest piece …"
    if not found.length:
        return "No piece of it stands in the training text."
    said = (
        f"Its longest piece that stands word for word in the training text, underlined, has **{found.length} "
        f"characters**: “{isolated(literal(visible(found.piece)))}”."
    )
    if not found.usual:
        return said
    low, high, middle = found.usual[0], found.usual[-1], statistics.median_low(found.usual)
    verdict = "it learned this place by heart" if found.length > high else "no sign of learning by heart"
    return (
        f"{said} For comparison, {len(found.usual)} held-out passages of the same length, which nobody copied, share "
        f"pieces of {low} to {high} characters with it, the middle one {middle}: {verdict}."
    )


# ---- in the background
