"""What to do next with a run that is over: each suggestion of its own measurements is one click."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby

import streamlit as st

from ...config import ModelConfig, TrainConfig, knobs
from ...data.texts import Text
from ...runs.advice import Suggestion, differences, learns_by_heart, what_changes
from ...runs.advice import next_steps as suggested
from ...runs.info import RunInfo
from ...runs.run import Run
from ..state import commands, draft, ownership, view
from ..words import literal
from .live import live


def next_steps() -> None:
    """What the measurements of the run on show suggest, once it is over; and more steps. A click starts that."""
    run = view.run()
    if run is None or view.is_active():
        return
    info = run.read_info()
    can_go_on = ownership.owns() and bool(run.list_checkpoints()) and info.train.stop_at_loss == 0
    suggestions = suggested(info, run.history)
    if not any(suggestion.situation == "still falling" for suggestion in suggestions):
        _train_on(run)
    if not suggestions:
        return
    if not draft.is_at_hand(info.text):  # from another MicroLLM
        st.caption(
            f"What next? That takes the text it has learned, {literal(info.text.name)}, which is not kept here: choose "
            "it under *Text to learn*."
        )
        return
    with st.container(key="next-steps", gap="small"):
        st.markdown("**What next?** One click each, and nothing else is changed.")
        number = 0
        for measured, some in groupby(suggestions, key=lambda suggestion: suggestion.measured):
            st.markdown(measured)
            for suggestion in some:
                with st.container(horizontal=True, gap="small", vertical_alignment="center"):
                    goes_on = suggestion.situation == "still falling" and can_go_on
                    st.button(
                        _label(info, suggestion, "Go on" if goes_on else "Start"),
                        key=f"next-{number}",
                        icon=":material/resume:" if goes_on else ":material/play_arrow:",
                        on_click=commands.resume if goes_on else _begin,
                        args=(info.id, suggestion.changes.get("max_steps")) if goes_on else (info, suggestion),
                    )
                    st.markdown(suggestion.advice, width="content")
                number += 1


def _train_on(run: Run) -> None:
    """More of the same, for the owner of a finished run whose measurements do not ask for it."""
    longer = 2 * run.read_info().train.max_steps
    is_finished = run.read_info().state == "finished" and bool(run.list_checkpoints())
    if ownership.owns() and is_finished and longer <= knobs()["max_steps"].metadata["high"]:
        st.button(
            f"Train it on, to {longer:,} steps",
            key="train-on",
            icon=":material/resume:",
            on_click=commands.resume,
            args=(run.id, longer),
            help="The same run goes on where it ended; the learning rate follows its curve to the new end.",
        )


def _label(info: RunInfo, suggestion: Suggestion, verb: str) -> str:
    changes = differences(asdict(info.model) | asdict(info.train), suggestion.changes)
    return f"{verb}: {', '.join(changes)}" if changes else f"{verb} to the end"


def _begin(info: RunInfo, suggestion: Suggestion) -> None:
    draft.adopt(info, **suggestion.changes)
    commands.start()


def start_label(model: ModelConfig, train: TrainConfig, text: Text | None) -> str:
    """What the button says: after the first run, what the next one would do differently."""
    run = view.run()
    if run is None:
        return "Start"
    preset, _, _ = draft.draft()
    return f"Start: {literal(what_changes(run.read_info(), model, train, preset, text))}"


def by_heart() -> None:
    """A sentence from the moment on at which the run on show, while it trains, begins to learn by heart."""
    if view.is_active():
        live(lambda _: _by_heart_tick(), 5.0, key="by-heart")


def _by_heart_tick() -> None:
    history = view.run().history.read()
    if (best := learns_by_heart(history)) is None:
        return
    loss, now = dict(history.val_losses)[best], history.val_losses[-1][1]
    st.warning(
        f"It learns by heart now (overfitting): the text that it never trains on surprised it least at step {best:,}, "
        f"by {loss:.2f} nats a character. Since then that has risen to {now:.2f}, while training still falls.",
        icon=":material/menu_book:",
    )
