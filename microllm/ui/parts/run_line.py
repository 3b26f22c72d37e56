"""The displayed run in one line: its text, its settings, and the run that it was forked from."""

from __future__ import annotations

import streamlit as st

from ...config import PRESETS, flat
from ...runs.advice import differences
from ...runs.info import RunInfo, RunProblem
from ...runs.run import Run
from ..state import navigation, ownership
from ..state.view import View
from ..words import literal
from . import knockout
from .gallery_note import gallery_note

_ALWAYS = ("block_size", "n_embd", "n_head", "n_layer", "max_steps")


def run_line(view: View, *, is_whole: bool = False) -> None:
    """The settings of the displayed run, on one line; if parts of its model are knocked out, these instead.

    `is_whole` on a page that always shows the whole model. Not for a part that ticks.
    """
    if view.without:
        knocked_out(view, is_whole=is_whole)
        return
    if view.is_from_gallery:
        gallery_note(view.info.name, view.info.text.name, PRESETS[view.info.preset].title)
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="run-line"):
        st.caption(f"**{literal(view.info.name)}** · {settings(view.info)}", width="content")
        if (parent := view.info.parent) is None:
            return
        name = literal(parent.name)
        restarted = "Only the weights were saved at that step, so the optimizer restarted."
        st.caption(
            f"forked from **{name}** at step {parent.step:,}",
            width="content",
            help=None if parent.has_memory or not parent.goes_on else restarted,
        )
        if ownership.knows_parent() and _exists(parent.id):
            st.button(f"Open {name}", key="parent", on_click=navigation.show, args=(parent.id,), type="tertiary")


def knocked_out(view: View, *, is_whole: bool = False) -> None:
    """Which parts of the displayed model are knocked out, if any; `is_whole` as in `run_line`."""
    if view.without:
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key="run-line"):
            knockout.badge(view, is_whole=is_whole)


def settings(info: RunInfo) -> str:
    """A run in one line: its text, the four sizes and max_steps, and other settings that differ from the preset."""
    values, preset = flat(info.model, info.train), PRESETS[info.preset]
    usual = flat(preset.model, preset.train)
    others = {name: value for name, value in values.items() if name not in _ALWAYS}
    parts = [literal(info.text.name), preset.title]
    parts += [f"{name} {values[name]:,}" for name in _ALWAYS]
    return " · ".join(parts + differences(usual, others))


def _exists(run_id: str) -> bool:
    try:
        Run.open(run_id)
    except RunProblem:
        return False
    return True
