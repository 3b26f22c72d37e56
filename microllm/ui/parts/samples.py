"""What the model writes while it trains."""

from __future__ import annotations

import time

import streamlit as st

from ... import plots
from ...data.decode import TextProblem
from ...runs.gallery import ScoredSample
from ...tokenizer import visible
from .. import server
from ..state.view import View
from ..words import literal
from .shown_sample import show_sample


def what_it_writes(view: View, passed: list[plots.Mark]) -> None:
    """A sample of the model at the displayed moment, and what it wrote as it beat each reference loss (`passed`)."""
    try:
        sample = _sample(view)
        show_sample(sample, _shown(sample) if sample else "…", is_now=view.moment is None)
        _milestones(view, passed)
    except TextProblem as problem:  # an imported run comes without its text
        st.warning(literal(str(problem)), icon=":material/description:")
    except ValueError as problem:  # its weights cannot be read
        st.error(literal(str(problem)), icon=":material/error:")


def _sample(view: View) -> ScoredSample | None:
    if view.moment is None and view.job:
        return server.samples().newest(view.run)
    if not view.snapshots:
        return None
    step = view.snapshots[-1] if view.moment is None else view.moment
    return server.samples().at(view.run, step, wait=2.0)


def _shown(sample: ScoredSample) -> str:
    """The text of a sample; the many short lines of a list one after another, so that they need no more room."""
    if sample.new_lines:
        return visible(sample.text, keep=" ").replace("⏎", "⏎ ")
    return visible(sample.text, keep=" \n\t")


def _milestones(view: View, passed: list[plots.Mark]) -> None:
    rows = [mark for mark in passed if mark.step in view.snapshots]
    if not rows:
        return
    st.markdown("**What it wrote as it beat each line**")
    lines, deadline = [], time.monotonic() + (0.0 if view.is_active else 2.0)  # a page that does not tick draws once
    for mark in rows:
        wait = max(0.0, deadline - time.monotonic())
        text = visible(server.samples().first_words(view.run, mark.step, wait) or "…", keep=" ")
        lines.append(f"step {mark.step:,}: {mark.note}\n  {text}")
    with st.container(key="milestones"):
        st.code("\n".join(lines), language=None, wrap_lines=True)
