"""Controls made from the table of knobs, what they cost, and the fields that pages share."""

from __future__ import annotations

import contextlib
import math
from dataclasses import Field, asdict

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from .. import link, plots
from ..config import LIVE, PRESETS, ModelConfig, TrainConfig, configs_from, knobs, nearest_valid, problems
from ..cost import memory_bytes, memory_problem
from ..data import texts
from ..data.files import TextProblem
from ..jobs.samples import PROMPT, beginning_for
from ..model import parameter_count
from ..tokenizer import visible_alone
from . import next_run, orders, server, session
from .fold import fold
from .parts.live import live
from .session import is_active
from .theme import mode
from .words import duration, literal

_MAIN = ("block_size", "n_embd", "n_head", "n_layer")
_RECIPE = (
    "position",
    "lookback",
    "activation",
    "initialization",
    "optimizer",
    "precision",
    "learning_rate",
    "schedule",
    "warmup_steps",
    "causal",
)
_RUN = tuple(name for name in knobs() if name not in _MAIN + _RECIPE)

LONGEST_PROMPT = 200
_TWO_LINES = 96  # pixels, with the label: the least that Streamlit allows
_WARM = 2.0  # seconds of training, before which a run's speed says little: its first steps are slow
_DURATIONS = {"15 s": 15, "1 min": 60, "5 min": 300}


# ---- the knobs


def settings(text_length: int | None) -> tuple[ModelConfig, TrainConfig, dict[str, str]]:
    """Preset and sliders: what they say, and what is wrong with it. It is remembered as the draft of the next run."""
    preset, model, train = next_run.draft()
    st.session_state.setdefault("preset", preset)
    chosen = st.segmented_control(
        "Preset",
        list(PRESETS),
        format_func=lambda key: PRESETS[key].title,
        key="preset",
        required=True,
        persist_state="session",
        width="stretch",
    )
    if chosen != preset:
        preset, (model, train) = chosen, configs_from({}, chosen)
        st.session_state.update(_all((model, train)))
        next_run.remember_draft(preset, {})  # now, so that a run of this script that is cut short is not repeated
    with st.container(horizontal=True, wrap=False):
        st.caption(PRESETS[preset].sentence, width="stretch")
        is_changed = next_run.draft()[1:] != configs_from({}, preset)
        st.button(
            "Reset",
            key="preset-reset",
            type="tertiary",
            disabled=not is_changed,
            help=f"Back to the settings of {PRESETS[preset].title}",
            on_click=next_run.set_draft,
            args=(preset, _all(configs_from({}, preset))),
        )
    values = _all((model, train))
    marks = _grid(_MAIN)
    more = fold("More", key="more")
    beneath = st.container()
    if more:  # what is not seen costs the browser nothing at each tick
        with more:
            st.markdown("**The recipe**: what it is made of, and how it learns")
            marks |= _grid(_RECIPE)
            curve = st.container(key="learning-rate")
            st.markdown("**The run**: how much, how often, how long")
            marks |= _grid(_RUN)
    for name, mark in marks.items():
        with mark:
            values[name] = _knob(knobs()[name], values[name])
            st.caption(knobs()[name].metadata["plain"])
    next_run.remember_draft(preset, values)
    _, model, train = next_run.draft()
    found = problems(model, train, text_length)
    for name, sentence in found.items():
        if name in knobs():
            with marks.get(name, beneath):
                _offer(name, sentence, nearest_valid(name, model, text_length))
    if not model.causal:
        with marks.get("causal", beneath):
            st.warning("Cheating: the answer is in sight.", icon=":material/visibility:")
    if more and not found:
        with curve:
            _learning_rate(train)
    return model, train, found


def _all(configs: tuple[ModelConfig, TrainConfig]) -> dict:
    return {name: value for config in configs for name, value in asdict(config).items()}


def _grid(names: tuple[str, ...]) -> dict[str, DeltaGenerator]:
    """A place for each knob, two in a row."""
    places = {}
    for i in range(0, len(names), 2):
        for name, column in zip(names[i : i + 2], st.columns(2), strict=False):
            places[name] = column.container(gap="xsmall")
    return places


def _knob(knob: Field, value):
    meta = knob.metadata
    common = {"key": knob.name, "help": meta["help"], "persist_state": "session"}
    if knob.name not in st.session_state:
        st.session_state[knob.name] = value
    if knob.type == "bool":
        return st.toggle(knob.name, **common)
    if meta["choices"]:
        return st.selectbox(knob.name, meta["choices"], **common)
    if knob.name in _MAIN or knob.name == "dropout":
        return st.slider(knob.name, meta["low"], meta["high"], step=meta["step"], **common)
    if knob.name == "learning_rate":
        return st.number_input(knob.name, meta["low"], meta["high"], step=1e-4, format="%g", **common)
    return st.number_input(knob.name, meta["low"], meta["high"], step=meta["step"], **common)


def _learning_rate(train: TrainConfig) -> None:
    st.vega_lite_chart(
        plots.learning_rate_frame(train),
        plots.learning_rate_spec(mode()),
        width="stretch",
        key="learning-rate-curve",
        alt="The learning rate of each step of the run",
    )
    st.caption("How big the corrections will be, from the first step to the last (learning-rate curve).")


def _offer(name: str, sentence: str, value) -> None:
    st.error(sentence, icon=":material/error:")
    if value is not None:

        def take() -> None:
            st.session_state[name] = value

        st.button(f"Use {value}", key=f"use-{name}", on_click=take)


# ---- what it costs


def cost(model: ModelConfig, train: TrainConfig, text: texts.Text) -> None:
    """What a model that is not trained yet will cost: parameters, memory, time."""
    if problems(model, train):
        return
    is_measuring = server.speed() is None
    live(lambda: _cost(model, train, text), 0.5 if is_measuring else 20.0, key="cost", when=is_measuring or is_active())


def _cost(model: ModelConfig, train: TrainConfig, text: texts.Text) -> None:
    vocab_size = texts.load_corpus(text.sha256).vocab_size
    memory = memory_bytes(model, train, vocab_size) / 1e6
    st.markdown(f"**{parameter_count(model, vocab_size):,}** parameters · about **{memory:,.0f} MB** of memory")
    if problem := memory_problem(model, train, vocab_size):
        st.error(problem, icon=":material/memory:")
    if not (speed := server.speed()):
        st.markdown("Measuring how fast this server is …")
        return
    step, source = speed.seconds_per_step(model, train, vocab_size), "measured on this server"
    run = session.run()
    is_measured = run and (last := run.history.read().last) and last["seconds"] > _WARM
    if is_measured and (rate := run.history.steps_per_second()):  # what a run really took corrects the estimate
        expected = speed.seconds_per_step(run.info.model, run.info.train, len(run.tokenizer.vocab))
        step, source = step / (expected * rate), f"at the speed of {literal(run.info.name)}"
    st.markdown(
        f"**{train.max_steps:,}** steps of **{1000 * step:.0f} ms**: **{duration(step * train.max_steps)}** ({source})"
    )
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown("How long:", width="content", help="Sets max_steps, by the speed above.")
        for name, seconds in _DURATIONS.items():
            st.button(name, key=f"for-{seconds}", on_click=_last, args=(seconds, step))
    if st.session_state.pop("max_steps_chosen", False):
        st.rerun()  # more than this part of the page says how long


def _last(seconds: int, step: float) -> None:
    """Let the next run make about as many steps as fit into so many seconds, a round number of them."""
    most = knobs()["max_steps"].metadata["high"]
    steps = max(1, seconds / step)
    digit = 10 ** max(0, int(math.log10(steps)) - 1)
    st.session_state["max_steps"] = int(min(most, max(1, round(steps / digit) * digit)))
    st.session_state["max_steps_chosen"] = True


def guess() -> None:
    """What the person expects, before it is known: drawn on the plot, and compared at the end."""
    st.number_input(
        "Your guess: how low will validation end?",
        0.0,
        link.MOST_GUESS,
        None,
        0.05,
        key="guess",
        placeholder="nats a character; empty: no guess",
        persist_state="session",
        help="It is pinned to the plot, and at the end the run says how far off it was. Before the first run, a click "
        "on the plot sets it too.",
    )


def start_buttons(label: str, can_start: bool) -> None:
    """The button that starts a run; while one of this window trains, also one that lets the new run wait for it."""
    shared = {"width": "stretch", "on_click": orders.start, "disabled": not can_start}
    going = session.trainings()
    name = literal(going[0].folder.info.name) if going else ""
    help = f"{name} is stopped and kept" if going else None
    st.button(label, key="start", type="primary", icon=":material/play_arrow:", help=help, **shared)
    if going:
        help = f"It begins when {name} is over. One can wait: it takes the place of another that does."
        st.button(f"Start it after {name}", key="queue", icon=":material/schedule:", help=help, args=(True,), **shared)


# ---- while it trains


def live_settings() -> None:
    """The settings that its owner may change while the run on show trains; to others, what they can do."""
    training = session.commanded()
    if training is None:
        if is_active():
            st.info(
                "You are watching: this run was started in another window or on the command line, and only there can "
                "it be paused, changed or stopped. Look at it, let it write, or start one of your own: this one goes "
                "on.",
                icon=":material/visibility:",
            )
        return
    with st.form("live", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        values = {
            name: st.number_input(
                f"{name} from now on",
                value=getattr(training.config, name),
                step=knobs()[name].metadata["step"] or 1e-4,
                format="%g",
                key=f"live-{name}",
                help=knobs()[name].metadata["help"],
            )
            for name in LIVE
        }
        is_applied = st.form_submit_button("Apply", key="live-apply")
    if is_applied:
        news = {name: value for name, value in values.items() if value != getattr(training.config, name)}
        try:
            if news:
                training.change(**news)
            said = ", ".join(f"{name} {value:g}" for name, value in news.items())
            st.caption(f"From the next step on: {said}." if news else "That is how it is already.")
        except ValueError as problem:
            st.error(literal(str(problem)), icon=":material/error:")


# ---- a sentence, a prompt, dice


def need_a_run(sentence: str) -> None:
    """Without a run to look at, end the page here: say what it is for, and show the way to one."""
    if session.run():
        return
    st.info(sentence, icon=":material/model_training:")
    st.page_link("pages/train.py", label="Train a model", icon=":material/arrow_forward:")
    st.stop()


def sentence() -> str:
    """The sentence that all pages look at. Characters the model never met are named and left out."""
    _begin_with("sentence", session.SENTENCE)
    return _field("Your sentence", "sentence", link.SENTENCE_LENGTH)


def prompt() -> str:
    """What the model goes on from. Characters it never met are named and left out."""
    _begin_with(prompt_key(), PROMPT)
    return _field("Prompt", prompt_key(), LONGEST_PROMPT)


def prompt_written() -> str:
    """The prompt as it stands in its field, as far as it is taken: in a callback, what was typed just before too."""
    return st.session_state[prompt_key()][:LONGEST_PROMPT]


def prompt_key() -> str:
    """The key of the prompt's field, another one after each `set_prompt`: a tick on its way says the old value."""
    return f"prompt-{turn}" if (turn := st.session_state.get("prompt_turn", 0)) else "prompt"


def set_prompt(text: str) -> None:
    """Put another prompt into its field, from a callback."""
    st.session_state["prompt_turn"] = st.session_state.get("prompt_turn", 0) + 1
    st.session_state[prompt_key()] = text


def _begin_with(key: str, words: str) -> None:
    """Put `words` into a field that nobody has written in; for a model that never met them, some of its own text."""
    offered = st.session_state.setdefault("offered", [])  # all that ever stood in a field and was not written there
    if st.session_state.get(key) in (None, *offered):
        with contextlib.suppress(TextProblem):  # a text that is not here
            words = beginning_for(session.run(), words)
        st.session_state[key] = words
        offered += [words] if words not in offered else []


def _field(label: str, key: str, longest: int) -> str:
    hint = "Enter begins a new line; Ctrl+Enter, or a click elsewhere, applies what you wrote."
    written = st.text_area(label, key=key, height=_TWO_LINES, placeholder=hint, persist_state="session")
    known = readable(written, longest)
    if not known:
        st.warning("There is nothing to go on from: write at least one character that the model knows.")
    elif len(known) > (size := session.run().info.model.block_size):
        st.caption(f"The model sees the last {size} characters before each guess (block_size).")
    return known


def readable(written: str, longest: int) -> str:
    """What the model on show can read of a text: its first `longest` characters, but for those that it never met.

    What is left out is named. (Streamlit's own limit drops all of a text that is pasted and too long, in silence.)
    """
    if len(written) > longest:
        st.caption(f"The first {longest:,} of its {len(written):,} characters are taken.")
        written = written[:longest]
    tokenizer = session.run().tokenizer
    unknown = tokenizer.unknown(written)
    if unknown:
        st.text(f"Left out, because the model has never met them: {' '.join(map(visible_alone, unknown))}")
        if other_form := tokenizer.other_form(written):
            st.caption(other_form)
    return "".join(c for c in written if c not in unknown)


_SAMPLING = {"temperature": 0.8, "length": 400, "sampling-seed": 0, "samples": 1, "top_k": 0, "top_p": 1.0}


def prepare_sampling() -> None:
    """Let everything that Generate reads have a value before its button is there: a quick click comes before the rest
    of the page is drawn.
    """
    for key, value in _SAMPLING.items():
        st.session_state.setdefault(key, value)


def temperature() -> None:
    """How boldly a character is chosen."""
    st.slider(
        "temperature",
        0.0,
        2.0,
        step=0.05,
        key="temperature",
        persist_state="session",
        help="0: always the likeliest character. 1: as the model bets. Above: bolder, and soon nonsense.",
    )


def sampling() -> None:
    """Length, what is cut off, the dice and how many samples."""
    with st.popover("More", icon=":material/tune:", key="sampling"):
        left, right = st.columns(2, gap="medium")
        with left:
            st.slider("length, in characters", 50, 2_000, step=50, key="length", persist_state="session")
            st.number_input("seed: the dice", 0, 2**31 - 1, key="sampling-seed", persist_state="session")
            st.slider("samples side by side, each with dice of its own", 1, 4, key="samples", persist_state="session")
        with right:
            st.slider("top-k: keep only so many of the likeliest (0: all)", 0, 50, key="top_k", persist_state="session")
            st.slider(
                "top-p: keep the fewest that reach this chance together (1: all)",
                0.05,
                1.0,
                step=0.05,
                key="top_p",
                persist_state="session",
            )
