"""The live parts of the pages: the loss, what the model writes, where it looks, what comes next."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pandas
import streamlit as st

from ... import plots
from ...config import knobs
from ...data import texts
from ...runs.history import AXES, History
from ...runs.run import Run
from ..browser_input import number
from ..state import draft, link, view
from ..state.link import MOST_GUESS
from ..state.view import is_active
from ..theme import mode
from ..words import literal
from .live import live
from .samples import _writes

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
    run = view.run()
    if run:
        # one tick for all of it: each costs the browser as much as the plot does
        live(lambda _: _tick(run, axis), 2.0 if view.waits() else 0.48, key="loss-live", when=is_active())
        if not run.read_info().model.causal:
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
    info, history, moment = run.read_info(), run.history.read(), view.moment()
    passed = plots.passed_references(history.val_losses, info.references)
    marks = passed + _guess_mark(info.guess, info.train.max_steps)
    if info.parent and info.parent.goes_on:
        marks.append(plots.Mark("change", info.parent.step, f"forked from {info.parent.name}"))
    for change in history.changes():
        said = ", ".join(f"{name} {value:g}" for name, value in change.items() if name in knobs())
        marks.append(plots.Mark("change", change["step"], said))
    if moment is not None:
        marks.append(plots.Mark("moment", moment, f"step {moment:,}: the moment on show"))
    frame = plots.loss_data(history, info.references, axis, marks, info.train.max_steps)
    _draw_loss(frame, axis, info.train.max_steps, has_old_text=run.read_info().old_text is not None)
    if len(history.old_val_losses) > 1:
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
    (new, gained), (old, forgotten) = (
        (losses[0][1], losses[-1][1]) for losses in (history.val_losses, history.old_val_losses)
    )
    st.markdown(
        f"On this text **{new:.2f} → {gained:.2f}** nats: what it gains. On the text before (dashed) "
        f"**{old:.2f} → {forgotten:.2f}**: what it forgets."
    )


def _draw_lines(references: dict[str, float], axis: str, max_steps: int) -> None:
    """The lines alone, before the first run; a click sets a guess."""
    marks = plots.losses_to_guess(references, max_steps) + _guess_mark(draft.guess(), max_steps)
    st.vega_lite_chart(
        plots.loss_data(History(Path("none yet")), references, axis, marks, max_steps),
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
            draft.set_guess(round(loss, 2))


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


# ---- what it writes


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
