"""What a model that is not trained yet will cost: parameters, memory, time."""

from __future__ import annotations

import math

import streamlit as st

from ...config import ModelConfig, TrainConfig, knobs, problems
from ...cost import memory_bytes, memory_problem
from ...data import texts
from ...model import parameter_count
from .. import server
from ..state import view
from ..state.session import knob_key, session
from ..state.view import is_active
from ..words import duration, literal
from .live import live

_WARM = 2.0  # seconds of training, before which a run's speed says little: its first steps are slow
_DURATIONS = {"15 s": 15, "1 min": 60, "5 min": 300}


def cost(model: ModelConfig, train: TrainConfig, text: texts.Text) -> None:
    """What a model that is not trained yet will cost: parameters, memory, time."""
    if problems(model, train):
        return
    is_measuring = server.speed() is None
    live(
        lambda _: _cost(model, train, text), 0.5 if is_measuring else 20.0, key="cost", when=is_measuring or is_active()
    )


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
    run = view.run()
    is_measured = run and (last := run.history.read().last) and last["seconds"] > _WARM
    if is_measured and (rate := run.history.steps_per_second()):  # what a run really took corrects the estimate
        expected = speed.seconds_per_step(run.read_info().model, run.read_info().train, len(run.tokenizer.vocab))
        step, source = step / (expected * rate), f"at the speed of {literal(run.read_info().name)}"
    st.markdown(
        f"**{train.max_steps:,}** steps of **{1000 * step:.0f} ms**: **{duration(step * train.max_steps)}** ({source})"
    )
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown("How long:", width="content", help="Sets max_steps, by the speed above.")
        for name, seconds in _DURATIONS.items():
            st.button(name, key=f"for-{seconds}", on_click=_last, args=(seconds, step))
    if session().is_duration_chosen:
        session().is_duration_chosen = False
        st.rerun()  # more than this part of the page says how long


def _last(seconds: int, step: float) -> None:
    """Let the next run make about as many steps as fit into so many seconds, a round number of them."""
    most = knobs()["max_steps"].metadata["high"]
    steps = max(1, seconds / step)
    digit = 10 ** max(0, int(math.log10(steps)) - 1)
    st.session_state[knob_key("max_steps")] = int(min(most, max(1, round(steps / digit) * digit)))
    session().is_duration_chosen = True
