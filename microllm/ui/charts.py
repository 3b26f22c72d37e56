"""The live parts of the pages: the loss, what the model writes, where it looks, what comes next."""

from __future__ import annotations

import time
from pathlib import Path

import pandas
import streamlit as st

from .. import plots, texts
from ..history import AXES, History
from ..model import MicroLLM
from ..runs import Run
from ..sample import Sampling, next_logits, probabilities
from ..trace import trace
from ..writing import Writing, known_ids
from . import session
from .controls import mode
from .frame import live
from .session import is_active
from .words import choices, literal

_SAMPLE = Sampling(temperature=0.8)
_SAMPLE_LENGTH = 120
_SAMPLE_EVERY = 6.0


# ---- the loss


def loss(chosen: texts.Text | None, block_size: int, max_steps: int) -> None:
    """The live plot of the run on show; before the first run, the lines that the chosen text offers to beat."""
    axis = st.segmented_control(
        "Axis",
        list(AXES),
        default="log",
        format_func={"log": "log steps", "step": "even steps", "seconds": "seconds"}.get,
        key="axis",
        required=True,
        persist_state="session",
        label_visibility="collapsed",
    )
    run = session.run()
    if run:
        live(lambda: _loss_tick(run, axis), 0.48, key="loss-live", when=is_active())
        st.caption(
            "Lower is better. Pale: the loss of each step; bold: its mean. Validation is text that it never trains on. "
            "On the right the same as choices: as unsure as guessing among so many characters. If validation rises "
            "while training falls, it learns by heart. Scroll to zoom, double-click to go back."
        )
        if not run.info.model.causal:
            st.warning(
                "This run cheats (causal is off): each character sees the next one, the very answer. Its loss is no "
                "achievement; look at what it writes.",
                icon=":material/visibility:",
            )
    elif chosen:
        references = texts.load_corpus(chosen.sha256).reference_losses(block_size)
        if chosen.floor is not None:
            references["floor"] = chosen.floor
        with st.container(key="loss-live"):
            _draw_loss(plots.loss_frame(History(Path("none yet")), references, axis), axis, max_steps)
        st.caption(
            f"What plain counting achieves on {literal(chosen.name)} with {block_size} characters in sight: the lines "
            "that your model will have to beat. Press Start and watch its curve come down through them."
        )
    else:
        st.info(
            "The lines to beat appear here as soon as there is a text that fits the settings.",
            icon=":material/hourglass_empty:",
        )


def _loss_tick(run: Run, axis: str) -> None:
    info = run.info
    _draw_loss(plots.loss_frame(run.history.read(), info.references, axis), axis, info.train.max_steps)


def _draw_loss(frame: pandas.DataFrame, axis: str, max_steps: int) -> None:
    st.vega_lite_chart(
        frame,
        plots.loss_spec(axis, max_steps, mode()),
        width="stretch",
        key="loss",
        on_select="rerun",
        selection_mode=["zoom"],  # naming it keeps a zoom from tick to tick
        alt="Training and validation loss against training steps, with the losses of counting tables as lines",
    )


def outcome() -> None:
    """How the run on show ended; nothing while it trains."""
    run = session.run()
    if run is None or is_active():
        return
    info = run.info
    if info.state == "failed":
        st.error(literal(info.message), icon=":material/error:")
    elif info.full_val_loss is not None:
        loss = info.full_val_loss
        st.success(
            f"Finished. On all of the held-out text: {loss:.4f} nats a character ({choices(loss)}).",
            icon=":material/flag:",
        )
    elif info.message:
        st.info(literal(info.message), icon=":material/info:")


def ways_on() -> None:
    """Links to the pages that look at the run: on a phone the navigation is folded away."""
    if session.run():
        with st.container(horizontal=True):
            st.page_link("pages/attention.py", label="See where it looks", icon=":material/visibility:")
            st.page_link("pages/generate.py", label="Let it write", icon=":material/edit_note:")


# ---- what it writes


class _LiveSample:
    """The newest sample of a run that trains, written in the background every few seconds."""

    def __init__(self) -> None:
        self.shown: Writing | None = None
        self._next: Writing | None = None
        self._began = 0.0

    def refresh(self, run: Run) -> Writing | None:
        """The newest whole sample, None before the first; begins another one when it is time."""
        if self._next and not self._next.is_alive():
            self.shown, self._next = self._next, None
        is_news = self.shown is None or self.shown.step == 0  # noise is not shown for long
        if self._next is None and (is_news or time.monotonic() - self._began > _SAMPLE_EVERY):
            now = session.workshop().model_now(run, max_age=1.0, wait=0.05)
            if now and (self.shown is None or now[0] != self.shown.step):
                self._began = time.monotonic()
                self._next = _sample(run, *now)
                self._next.start()
        return self.shown


def _sample(run: Run, step: int, model: MicroLLM) -> Writing:
    return Writing(model, run.tokenizer, prompt_for(run), _SAMPLE_LENGTH, _SAMPLE, step=step)


@st.cache_data(show_spinner=False, max_entries=500)
def _sample_at(run_id: str, step: int) -> str:
    run = Run.open(run_id)
    writing = _sample(run, step, run.model_at(step))
    writing.run()
    return writing.prompt + writing.text


def prompt_for(run: Run) -> str:
    """The fixed beginning of every sample; where the text lacks its characters, the held-out text's own beginning."""
    tokenizer = run.tokenizer
    return tokenizer.decode(run.corpus.val[:12]) if tokenizer.unknown(session.PROMPT) else session.PROMPT


def writes_now() -> None:
    """A sample of the run as it stands, and a slider back through what it wrote at each snapshot."""
    run = session.run()
    if run is None:
        return
    st.markdown("**What it writes now**")
    live(lambda: _sample_tick(run), 2.0, key="sample-live", when=is_active())
    live(lambda: _sample_past(run), 5.0, key="sample-past", when=is_active())


def _sample_tick(run: Run) -> None:
    steps = run.snapshots
    if session.training():
        samples = session.window().samples
        sample = samples.setdefault(run.id, _LiveSample()).refresh(run)
        step, text = (sample.step, sample.prompt + sample.text) if sample else (None, "")
    else:
        step, text = (steps[-1], _sample_at(run.id, steps[-1])) if steps else (None, "")
    if step is None:
        st.caption("Its first words are on their way.")
        return
    st.code(text, language=None, wrap_lines=True)
    st.caption(f"Step {step:,}. Always the same beginning and the same dice, so that only the model changes.")


def _sample_past(run: Run) -> None:
    steps = run.snapshots
    if len(steps) < 2:
        return
    remembered = st.session_state.get("past_step", 0)
    step = st.session_state["past_step"] = st.select_slider(
        "Back in time: what it wrote at step",
        steps,
        value=max((step for step in steps if step <= remembered), default=steps[0]),
        format_func="{:,}".format,
        key=f"past-{run.id}-{len(steps)}",  # a slider with other options is another slider
    )
    st.code(_sample_at(run.id, step), language=None, wrap_lines=True)


# ---- attention


def attention(sentence: str) -> None:
    """The heads of the run on show on the person's sentence, again every few seconds while it trains."""
    run = session.run()
    info = run.info
    left, right = st.columns(2)
    with left:
        layer = _number("layer", info.model.n_layer)
    with right:
        head = _number("head", info.model.n_head)
    live(
        lambda: _attention_tick(run, sentence, layer, head),
        3.0,
        key="attention-live",
        when=is_active(),
    )


def _number(name: str, count: int) -> int:
    return st.segmented_control(
        name, list(range(count)), default=0, format_func=lambda i: str(i + 1), key=f"{name}-of-{count}", required=True
    )


def _attention_tick(run: Run, sentence: str, layer: int, head: int) -> None:
    now = session.model_shown(max_age=1.0)
    if now is None:
        st.caption("The model has no weights to show yet.")
        return
    step, model = now
    idx = known_ids(run.tokenizer, sentence)
    pattern = trace(model, idx).pattern
    st.markdown(f"Computed now, with the model of **step {step:,}**.")
    shown = run.tokenizer.decode(idx)
    big, small = st.columns([3, 2])
    with big:
        st.markdown(
            f"**Layer {layer + 1}, head {head + 1}**: each row is a character, its columns are what it looks at"
        )
        st.plotly_chart(plots.attention_figure(pattern[layer, head], shown, mode()), key="attention-one")
    with small:
        st.markdown("**All heads**, the chosen one framed")
        st.plotly_chart(plots.heads_figure(pattern, (layer, head), mode()), key="attention-all")


# ---- the next character


def next_character(prompt: str) -> None:
    """Bars of the likeliest next characters after `prompt`, as the model gives them and after what the sliders cut."""
    if not prompt:
        return
    _, _, sampling, _ = session.wish()
    live(lambda: _next_character_tick(prompt, sampling), 1.0, key="chances-live", when=is_active())


def _next_character_tick(prompt: str, sampling: Sampling) -> None:
    run, now = session.run(), session.model_shown(max_age=1.0)
    if now is None:
        st.caption("The model has no weights to show yet.")
        return
    step, model = now
    idx = known_ids(run.tokenizer, prompt)
    logits = next_logits(model, idx[None])[0]
    frame = plots.chances_frame(probabilities(logits, Sampling()), probabilities(logits, sampling), run.tokenizer.vocab)
    alt = "Chances of the next character"
    st.vega_lite_chart(frame, plots.chances_spec(mode()), width="stretch", key="chances", alt=alt)
    st.caption(f"After the prompt, at step {step:,}. Blue: the chance it is drawn with. Grey: what the model gave it.")
