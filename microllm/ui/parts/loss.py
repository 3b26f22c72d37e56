"""The live loss plot, and the guess of the final loss that is pinned to it."""

from __future__ import annotations

import streamlit as st

from ... import plots
from ...config import knobs
from ...runs.history import History, without_lost_extension
from ..components.loss_plot import loss_plot
from ..state import draft, link, navigation
from ..state.view import View
from . import compare, steer
from .around_the_plot import plot_axis, plot_caption, plot_row
from .live import live
from .regrowth import regrowth
from .samples import what_it_writes

_TICK_SECONDS = 0.48
_WAITING_TICK_SECONDS = 2.0


def loss(view: View) -> None:
    """The live plot of the displayed run and what it writes."""
    with plot_row():
        axis = plot_axis()
        if not view.is_active:
            _guess()
        compared = compare.compare_menu(view)
        steer.live_settings(view)
    # one tick for the plot and the samples
    every = _WAITING_TICK_SECONDS if view.waits else _TICK_SECONDS
    guess, is_growing = draft.guess(), compare.is_growing(compared)
    live(
        lambda shown: _tick(shown, axis, guess, compared, is_growing),
        every,
        key="loss-live",
        when=view.is_active or is_growing,
    )
    if not view.info.model.causal:
        st.warning(
            "This run cheats: without the causal mask, each character can see the next one, which is the "
            "answer. Its loss means nothing. Look at what it writes.",
            icon=":material/visibility:",
        )


def _tick(view: View, axis: str, drawn_guess: float | None, compared: list[str], was_growing: bool) -> None:
    if draft.guess() != drawn_guess:
        st.rerun()  # a click on the plot placed the guess, which the menu shows too
    if was_growing and not compare.is_growing(compared):
        st.rerun()  # to end the ticks
    info, history = view.info, view.history
    passed = plots.passed_references(history.val_losses, info.references)
    guess = draft.guess() if view.is_from_gallery else info.guess  # before the first run: the guess for that one
    marks = passed + _guess_mark(guess, info.train.max_steps)
    if info.parent and info.parent.goes_on:
        marks.append(plots.Mark("change", info.parent.step, f"forked from {info.parent.name}"))
    for change in without_lost_extension(history.changes(), info.train):
        note = ", ".join(f"{name} {value:g}" for name, value in change.items() if name in knobs())
        marks.append(plots.Mark("change", change["step"], note))
    if view.moment is not None:
        marks.append(plots.Mark("moment", view.moment, f"step {view.moment:,}: shown"))
    data = plots.loss_data(
        history,
        info.references,
        axis,
        marks,
        info.train.max_steps,
        about=info.id,
        others=compare.others(view, compared),
        can_guess=view.is_from_gallery,
        peak_rate=view.job.config.learning_rate if view.job else None,
        jump=(info.parent.step, *info.parent.losses) if info.parent and info.parent.losses else None,
    )
    loss_plot(data, max_guess=link.MAX_GUESS_NATS, guess=draft.set_guess, open_run=navigation.show)
    if len(history.old_val_losses) > 1:
        _transfer(history)
    if info.parent and info.parent.losses:
        regrowth(view)
    else:
        plot_caption()
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


def _guess() -> None:
    """A menu with the user's guess of the final validation loss of the next run."""
    guess = draft.guess()
    with st.popover("Guess" if guess is None else f"Guess: {guess:.3f}", key="guess-menu"):
        st.number_input(
            "The final validation loss of the next run, in nats per character",
            0.0,
            link.MAX_GUESS_NATS,
            None,
            0.05,
            format="%.3f",
            key="guess",
            placeholder="no guess",
            persist_state="session",
            help="The plot shows your guess, and at the end the page says how far off it was. Before the first run you "
            "can also click or tap the plot.",
        )
