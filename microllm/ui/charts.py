"""The live parts of the pages: the loss, what the model writes, where it looks, what comes next."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pandas
import streamlit as st

from .. import plots
from ..config import knobs
from ..data import texts
from ..jobs.samples import Sample
from ..link import MOST_GUESS
from ..runs.history import AXES, History
from ..runs.run import Run
from ..tokenizer import visible
from . import next_run, server, session
from .browser_input import number
from .parts.live import live
from .session import is_active
from .share import take_away
from .theme import mode
from .words import choices, literal

# ---- the loss


def loss(chosen: texts.Text | None, block_size: int, max_steps: int) -> None:
    """The live plot of the run on show and what it writes; before the first run, the lines that the text offers."""
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
        # one tick for all of it: each costs the browser as much as the plot does
        live(lambda: _tick(run, axis), 2.0 if session.waits() else 0.48, key="loss-live", when=is_active())
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
            _draw_lines(references, axis, max_steps)
        st.caption(
            f"What plain counting achieves on {literal(chosen.name)} with {block_size} characters in sight: the lines "
            "that your model will have to beat. How low will it come? Click there: your guess. Then press Start and "
            "watch its curve come down through the lines."
        )
    else:
        st.info(
            "The lines to beat appear here as soon as there is a text and the settings fit.",
            icon=":material/hourglass_empty:",
        )


def _tick(run: Run, axis: str) -> None:
    info, history, moment = run.info, run.history.read(), session.moment()
    passed = plots.passed_references(history.exams, info.references)
    marks = passed + _guess_mark(info.guess, info.train.max_steps)
    if info.parent and info.parent.goes_on:
        marks.append(plots.Mark("change", info.parent.step, f"forked from {info.parent.name}"))
    for change in history.changes():
        said = ", ".join(f"{name} {value:g}" for name, value in change.items() if name in knobs())
        marks.append(plots.Mark("change", change["step"], said))
    if moment is not None:
        marks.append(plots.Mark("moment", moment, f"step {moment:,}: the moment on show"))
    frame = plots.loss_frame(history, info.references, axis, marks, info.train.max_steps)
    _draw_loss(frame, axis, info.train.max_steps, has_old_text=run.old_text is not None)
    if len(history.old_exams) > 1:
        _gain_and_loss(history)
    st.caption(
        "Lower is better. Pale: the loss of each step; bold: its mean. Validation is text that it never trains on; a "
        "diamond is where it passed a line. On the right the same as choices: as unsure as guessing among so many "
        "characters. Scroll to zoom, double-click to go back."
    )
    _writes(run, moment, passed)


def _guess_mark(guess: float | None, max_steps: int) -> list[plots.Mark]:
    return [] if guess is None else [plots.Mark("guess", max_steps, f"your guess {guess:.2f}", guess)]


def _gain_and_loss(history: History) -> None:
    """What a fork with another text gains and forgets, in words."""
    (new, gained), (old, forgotten) = ((losses[0][1], losses[-1][1]) for losses in (history.exams, history.old_exams))
    st.markdown(
        f"On this text **{new:.2f} → {gained:.2f}** nats: what it gains. On the text before (dashed) "
        f"**{old:.2f} → {forgotten:.2f}**: what it forgets."
    )


def _draw_lines(references: dict[str, float], axis: str, max_steps: int) -> None:
    """The lines alone, before the first run; a click sets a guess."""
    marks = plots.losses_to_guess(references, max_steps) + _guess_mark(next_run.guess(), max_steps)
    st.vega_lite_chart(
        plots.loss_frame(History(Path("none yet")), references, axis, marks, max_steps),
        plots.loss_spec(axis, max_steps, mode(), can_guess=True),
        width="stretch",
        key="lines",
        on_select=_take_the_guess,
        selection_mode=["zoom", "guess"],
        alt="The losses of counting tables as lines; a click sets your guess of the last validation loss",
    )


def _take_the_guess() -> None:
    clicked = st.session_state["lines"].selection.get("guess")
    with contextlib.suppress(TypeError, KeyError, IndexError):  # a click beside all of them, or no report of ours
        if (loss := number(clicked[0]["loss"], 0, MOST_GUESS)) is not None:
            next_run.set_guess(round(loss, 2))


def _draw_loss(frame: pandas.DataFrame, axis: str, max_steps: int, *, has_old_text: bool = False) -> None:
    st.vega_lite_chart(
        frame,
        plots.loss_spec(axis, max_steps, mode(), has_old_text=has_old_text),
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
        if info.guess is not None and (exams := run.history.read().exams):
            last = exams[-1][1]
            where = "lower" if last < info.guess else "higher"
            st.caption(
                f"You guessed that validation would end at {info.guess:.2f}. It ended at {last:.2f}: "
                f"{abs(last - info.guess):.2f} {where}."
            )
    elif info.message:
        st.info(literal(info.message), icon=":material/info:")


def ways_on() -> None:
    """Links to the pages that look at the run, for on a phone the navigation is folded away; and a way to keep it."""
    if session.run():
        with st.container(horizontal=True):
            st.page_link("pages/attention.py", label="See where it looks", icon=":material/visibility:")
            st.page_link("pages/generate.py", label="Let it write", icon=":material/edit_note:")
        take_away()


# ---- what it writes


def _writes(run: Run, moment: int | None, passed: list[plots.Mark]) -> None:
    """A sample of the run at the moment on show, and what it wrote when it passed the lines."""
    st.markdown("**What it writes**" + (" now" if moment is None else ""))
    try:
        sample = _sample(run, moment)
        with st.container(key="sample-live"):
            if sample is None:
                st.caption("Its first words are on their way.")
            else:
                st.code(visible(sample.text, keep=" \n\t"), language=None, wrap_lines=True)
                st.caption(_judgement(sample))
        _milestones(run, passed)
    except ValueError as problem:  # its text or its weights cannot be read
        st.error(literal(str(problem)), icon=":material/error:")


def _sample(run: Run, moment: int | None) -> Sample | None:
    if moment is None and session.training():
        return server.samples().newest(run)
    steps = run.snapshots
    if not steps:
        return None
    return server.samples().at(run, steps[-1] if moment is None else moment, wait=2.0)


def _judgement(sample: Sample) -> str:
    parts = [f"Step {sample.step:,}"]
    if sample.real_words is not None:
        parts.append(f"**{sample.real_words:.0%}** of its words are real: they stand in the text")
    parts.append(f"its first guess of the next character is right **{sample.next_right:.0%}** of the time")
    return " · ".join(parts) + ". Always the same beginning and the same dice, so that only the model changes."


def _milestones(run: Run, passed: list[plots.Mark]) -> None:
    kept = set(run.snapshots)
    rows = [mark for mark in passed if mark.step in kept]
    if not rows:
        return
    st.markdown("**As it passed the lines**")
    told, deadline = [], time.monotonic() + (0.0 if is_active() else 2.0)  # a page that does not tick is drawn once
    for mark in rows:
        wait = max(0.0, deadline - time.monotonic())
        text = visible(server.samples().first_words(run, mark.step, wait) or "…", keep=" ")
        told.append(f"step {mark.step:,}, {mark.note}\n  {text}")
    st.code("\n".join(told), language=None, wrap_lines=True)
