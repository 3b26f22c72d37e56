"""What an untrained model will cost: parameters, memory, time."""

from __future__ import annotations

import streamlit as st

from ...config import ModelConfig, TrainConfig, problems
from ...corpus import split_at
from ...cost import Speed, memory_bytes, memory_problem, run_seconds, steps_for
from ...data import texts
from ...model import parameter_count
from .. import server
from ..glossary import term
from ..state import ownership
from ..state.session import knob_key, session
from ..state.view import View
from ..words import duration, literal
from .live import live

_DURATIONS = {"15 s": 15, "1 min": 60, "5 min": 300}
_BESIDE_A_PAGE = 1.2
"""The time of a step relative to one on the command line: a browser on the same machine costs some of it."""


def cost(view: View, model: ModelConfig, train: TrainConfig, text: texts.Text) -> None:
    """What an untrained model will cost: parameters, memory, time."""
    if problems(model, train):
        return
    is_measuring = server.speed() is None
    every, changes = 0.5 if is_measuring else 20.0, is_measuring or view.is_active or _others()
    live(lambda now: _cost(now, model, train, text), every, key="cost", when=bool(changes))


def _cost(view: View, model: ModelConfig, train: TrainConfig, text: texts.Text) -> None:
    vocab_size = texts.load_corpus(text.sha256).vocab_size
    memory = memory_bytes(model, train, vocab_size) / 1e6
    parameters = f"**{parameter_count(model, vocab_size):,}** {term('parameter', 'parameters')}"
    st.markdown(f"{parameters} · about **{memory:,.0f} MB** of memory")
    if problem := memory_problem(model, train, vocab_size):
        st.error(problem, icon=":material/memory:")
    if not (speed := server.speed()):
        st.markdown("Measuring the speed of this server …")
        return
    step = speed.seconds_per_step(model, train, vocab_size) * slowness(view, speed)
    source = f"of {literal(view.info.name)}" if _has_trained_here(view) else "measured when this server started"
    tokens, held_out = train.batch_size * model.block_size, text.characters - split_at(text.characters)
    total = run_seconds(train, tokens, held_out, step)
    st.markdown(
        f"**{train.max_steps:,}** steps of {1000 * step:.0f} ms: **{duration(total)}**{_in_turns()}",
        help=f"At the speed {source}. With validation; without pauses and other people's turns.",
    )
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="durations"):
        st.markdown("Train for", width="content")
        for name, seconds in _DURATIONS.items():
            steps = steps_for(seconds, train, tokens, held_out, step)
            st.button(name, key=f"for-{seconds}", on_click=_train_for, args=(steps,))
    if session().is_duration_chosen:
        session().is_duration_chosen = False
        st.rerun()  # other parts of the page show max_steps too


def _others() -> int:
    """The number of runs in this server that this person's next run would not end."""
    return len(server.runner().slots.runs() - {job.run.id for job in ownership.jobs()})


def _in_turns() -> str:
    """That the run will take longer, if there are more runs than slots, so that they take turns."""
    if (others := _others()) < server.runner().slots.count:
        return ""
    return f", longer while {others} other {'run trains' if others == 1 else 'runs train'} here"


def slowness(view: View, speed: Speed) -> float:
    """How many times the expected time a step takes beside a page: measured in the displayed run if it trained here."""
    if not _has_trained_here(view):
        return _BESIDE_A_PAGE
    return view.history.usual_step_seconds() / speed.seconds_per_step(
        view.info.model, view.info.train, len(view.run.tokenizer.vocab)
    )


def _has_trained_here(view: View) -> bool:
    return view.run.id in server.runner().trained and bool(view.history.usual_step_seconds())


def _train_for(steps: int) -> None:
    st.session_state[knob_key("max_steps")] = steps
    session().is_duration_chosen = True
