"""The live loss plot, and the guess of the final loss that is pinned to it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import streamlit as st

from ... import plots
from ...config import knobs
from ...data import texts
from ...runs.history import AXES, History
from ..browser_input import number
from ..state import draft, link
from ..state.view import View
from ..theme import mode
from ..words import literal
from .live import live
from .samples import what_it_writes

_TICK_SECONDS = 0.48
_WAITING_TICK_SECONDS = 2.0


def loss(view: View | None, chosen: texts.Text | None, block_size: int, max_steps: int) -> None:
    """The live plot of the displayed run and what it writes; before the first run, the reference losses of `chosen`."""
    axis = st.segmented_control(
        "Axis",
        list(AXES),
        default="log",
        format_func={"log": "log steps", "step": "linear steps", "seconds": "seconds"}.get,
        key="axis",
        required=True,
        persist_state="session",
        label_visibility="collapsed",
    )
    if view:
        # one tick for the plot and the samples: in the browser each tick costs as much as the plot itself
        every = _WAITING_TICK_SECONDS if view.waits else _TICK_SECONDS
        live(lambda shown: _tick(shown, axis), every, key="loss-live", when=view.is_active)
        if not view.info.model.causal:
            st.warning(
                "This run cheats: without the causal mask, each character can see the next one, which is the "
                "answer. Its loss means nothing. Look at what it writes.",
                icon=":material/visibility:",
            )
    elif chosen:
        references = texts.load_corpus(chosen.sha256).reference_losses(block_size)
        if chosen.floor is not None:
            references["floor"] = chosen.floor
        with st.container(key="loss-live"):
            _draw_references(references, axis, max_steps)
        st.caption(
            f"The dashed lines show how well simple counting predicts {literal(chosen.name)}. Your model should beat "
            "them. How low will it get? Click or tap the plot to place your guess, then press Start."
        )
    else:
        st.info(
            "The lines to beat appear here once there is a text and all settings are valid.",
            icon=":material/hourglass_empty:",
        )


def _tick(view: View, axis: str) -> None:
    info, history = view.info, view.history
    passed = plots.passed_references(history.val_losses, info.references)
    marks = passed + _guess_mark(info.guess, info.train.max_steps)
    if info.parent and info.parent.goes_on:
        marks.append(plots.Mark("change", info.parent.step, f"forked from {info.parent.name}"))
    for change in history.changes():
        note = ", ".join(f"{name} {value:g}" for name, value in change.items() if name in knobs())
        marks.append(plots.Mark("change", change["step"], note))
    if view.moment is not None:
        marks.append(plots.Mark("moment", view.moment, f"step {view.moment:,}: shown"))
    st.vega_lite_chart(
        plots.loss_data(history, info.references, axis, marks, info.train.max_steps),
        plots.loss_spec(axis, info.train.max_steps, mode(), has_old_text=info.old_text is not None),
        width="stretch",
        key="loss",
        on_select="rerun",
        selection_mode=["zoom"],  # naming it keeps a zoom from tick to tick
        alt="Training and validation loss against training steps, with the losses of counting tables as lines",
    )
    if len(history.old_val_losses) > 1:
        _transfer(history)
    st.caption(
        "Lower is better. Thin: training loss at each step; thick: its running average. Validation: loss on text that "
        "the model never trains on. A diamond marks where it beat a dashed line. The right axis shows the same as a "
        "number of equally likely choices. Scroll to zoom; double-click resets the zoom."
    )
    what_it_writes(view, passed)


def _guess_mark(guess: float | None, max_steps: int) -> list[plots.Mark]:
    return [] if guess is None else [plots.Mark("guess", max_steps, f"your guess: {guess:.3f}", guess)]


def _transfer(history: History) -> None:
    """How much a fork on another text has learned of the new text and forgotten of the old one."""
    (new_first, new_last), (old_first, old_last) = (
        (losses[0][1], losses[-1][1]) for losses in (history.val_losses, history.old_val_losses)
    )
    st.markdown(
        f"Validation loss on the new text: **{new_first:.3f} → {new_last:.3f}** (what it learns). "
        f"On the old text (dashed): **{old_first:.3f} → {old_last:.3f}** (what it forgets)."
    )


def _draw_references(references: dict[str, float], axis: str, max_steps: int) -> None:
    """The reference losses alone, before the first run; a click places the guess."""
    marks = plots.losses_to_guess(references, max_steps) + _guess_mark(draft.guess(), max_steps)
    st.vega_lite_chart(
        plots.loss_data(History(Path("none yet")), references, axis, marks, max_steps),
        plots.loss_spec(axis, max_steps, mode(), can_guess=True),
        width="stretch",
        key="lines",
        on_select=_take_the_guess,
        selection_mode=["zoom", "guess"],
        alt="The losses of counting tables as lines; click to place your guess of the final validation loss",
    )


def _take_the_guess() -> None:
    clicked = st.session_state["lines"].selection.get("guess")
    with contextlib.suppress(TypeError, KeyError, IndexError):  # a click off the plot, or a forged report
        if (loss := number(clicked[0]["loss"], 0, link.MAX_GUESS_NATS)) is not None:
            draft.set_guess(round(loss, 2))


def guess() -> None:
    """The field for the user's guess of the final validation loss."""
    st.number_input(
        "Your guess: final validation loss",
        0.0,
        link.MAX_GUESS_NATS,
        None,
        0.05,
        format="%.3f",
        key="guess",
        placeholder="nats per character; empty: no guess",
        persist_state="session",
        help="The plot shows your guess, and at the end the page says how far off it was. Before the first run you can "
        "also click the plot.",
    )
