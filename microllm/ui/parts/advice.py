"""What to do after a run has ended: suggestions from its own measurements, one click each."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby

import streamlit as st

from ...config import ModelConfig, TrainConfig, knobs
from ...data.texts import Text
from ...runs.advice import SAME, Suggestion, all_changes, differences, overfits_since, what_changes
from ...runs.advice import next_steps as suggested
from ...runs.info import RunInfo
from ..state import commands, draft, ownership
from ..state.view import View
from ..words import literal
from .live import live

_OVERFITTING_TICK_SECONDS = 5.0


def next_steps(view: View) -> None:
    """Once the displayed run is over: what its measurements suggest, and more steps. A click starts it."""
    if view.is_active:
        return
    info = view.info
    can_resume = ownership.owns() and bool(view.run.list_checkpoints())
    suggestions = suggested(info, view.history)
    if can_resume and not any(suggestion.situation == "still falling" for suggestion in suggestions):
        _keep_training(info)
    if not suggestions:
        return
    if not draft.is_at_hand(info.text):  # from another MicroLLM
        st.caption(
            f"There are suggestions for this run, but its text, {literal(info.text.name)}, is not on this server. "
            "Choose it under *Text to learn* to see them."
        )
        return
    with st.container(key="next-steps", gap="small"):
        st.markdown("**What next?** One click each; nothing else changes.")
        number = 0
        for measured, some in groupby(suggestions, key=lambda suggestion: suggestion.measured):
            st.markdown(measured)
            for suggestion in some:
                with st.container(horizontal=True, gap="small", vertical_alignment="center"):
                    resumes = suggestion.situation == "still falling" and can_resume and info.train.stop_at_loss == 0
                    st.button(
                        _label(info, suggestion, "Keep training" if resumes else "Start"),
                        key=f"next-{number}",
                        icon=":material/resume:" if resumes else ":material/play_arrow:",
                        on_click=commands.resume if resumes else _start,
                        args=(info.id, suggestion.changes.get("max_steps")) if resumes else (info, suggestion),
                    )
                    st.markdown(suggestion.advice, width="content")
                number += 1


def _keep_training(info: RunInfo) -> None:
    """The button for more steps, for a finished run whose measurements do not suggest them."""
    longer = 2 * info.train.max_steps
    if info.state == "finished" and longer <= knobs()["max_steps"].metadata["high"]:
        st.button(
            f"Keep training to {longer:,} steps",
            key="train-on",
            icon=":material/resume:",
            on_click=commands.resume,
            args=(info.id, longer),
            help="The same run continues where it ended; the learning rate follows its schedule to the new end.",
        )


def _label(info: RunInfo, suggestion: Suggestion, verb: str) -> str:
    changes = differences(asdict(info.model) | asdict(info.train), suggestion.changes)
    return f"{verb}: {', '.join(changes)}" if changes else f"{verb} to the end"


def _start(info: RunInfo, suggestion: Suggestion) -> None:
    draft.adopt(info, **suggestion.changes)
    commands.start()


def start_label(view: View, model: ModelConfig, train: TrainConfig, text: Text | None) -> tuple[str, str]:
    """(the label of the start button, with how the next run differs from the displayed one; all differences)."""
    preset, _, _ = draft.draft()
    changes = what_changes(view.info, model, train, preset, text)
    label = "Start" if view.is_from_gallery and changes == SAME else f"Start: {literal(changes)}"
    differing = literal(", ".join(all_changes(view.info, model, train, text)))
    return label, f"Differs from {literal(view.info.name)} in: {differing}." if differing else ""


def overfitting(view: View) -> None:
    """A warning once the displayed run begins to overfit, while it is active."""
    if view.is_active:
        live(_overfitting_tick, _OVERFITTING_TICK_SECONDS, key="by-heart")


def _overfitting_tick(view: View) -> None:
    history = view.history
    if (best := overfits_since(history)) is None:
        return
    loss, now = dict(history.val_losses)[best], history.val_losses[-1][1]
    st.warning(
        f"It is memorizing the training text (overfitting). Validation loss was lowest at step {best:,} "
        f"({loss:.3f} nats per character) and has risen to {now:.3f}, while training loss still falls.",
        icon=":material/menu_book:",
    )
