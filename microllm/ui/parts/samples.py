"""What the model writes while it trains."""

from __future__ import annotations

import time

import streamlit as st

from ... import plots
from ...jobs.samples import ScoredSample
from ...runs.run import Run
from ...tokenizer import visible
from .. import server
from ..state import view
from ..state.view import is_active
from ..words import literal


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


def _sample(run: Run, moment: int | None) -> ScoredSample | None:
    if moment is None and view.job():
        return server.samples().newest(run)
    steps = run.list_snapshots()
    if not steps:
        return None
    return server.samples().at(run, steps[-1] if moment is None else moment, wait=2.0)


def _judgement(sample: ScoredSample) -> str:
    parts = [f"Step {sample.step:,}"]
    if sample.real_words is not None:
        parts.append(f"**{sample.real_words:.0%}** of its words are real: they stand in the text")
    parts.append(f"its first guess of the next character is right **{sample.top1_accuracy:.0%}** of the time")
    return " · ".join(parts) + ". Always the same beginning and the same dice, so that only the model changes."


def _milestones(run: Run, passed: list[plots.Mark]) -> None:
    kept = set(run.list_snapshots())
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
