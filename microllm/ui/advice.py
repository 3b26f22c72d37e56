"""What to do next with a run that is over: each suggestion of its own measurements is one click."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby

import streamlit as st

from ..advice import Suggestion, differences, learns_by_heart
from ..advice import next_steps as suggested
from ..runs import RunInfo
from . import session
from .frame import live


def next_steps() -> None:
    """What the measurements of the run on show suggest, once it is over. A click starts that."""
    run = session.run()
    if run is None or session.is_active():
        return
    info = run.info
    suggestions = suggested(info, run.history)
    if not suggestions:
        return
    with st.container(key="next-steps", gap="small"):
        st.markdown("**What next?** Each button starts a run of its own, with nothing else changed.")
        number = 0
        for measured, some in groupby(suggestions, key=lambda suggestion: suggestion.measured):
            st.markdown(measured)
            for suggestion in some:
                with st.container(horizontal=True, gap="small", vertical_alignment="center"):
                    st.button(
                        _label(info, suggestion),
                        key=f"next-{number}",
                        icon=":material/play_arrow:",
                        on_click=_begin,
                        args=(info, suggestion),
                    )
                    st.markdown(suggestion.advice, width="content")
                number += 1


def _label(info: RunInfo, suggestion: Suggestion) -> str:
    changes = differences(asdict(info.model) | asdict(info.train), suggestion.changes)
    return f"Start: {', '.join(changes)}" if changes else "Start again"


def _begin(info: RunInfo, suggestion: Suggestion) -> None:
    session.adopt(info, **suggestion.changes)
    session.start()


def by_heart() -> None:
    """A sentence from the moment on at which the run on show, while it trains, begins to learn by heart."""
    if session.is_active():
        live(_by_heart_tick, 5.0, key="by-heart")


def _by_heart_tick() -> None:
    history = session.run().history.read()
    if (best := learns_by_heart(history)) is None:
        return
    loss, now = dict(history.exams)[best], history.exams[-1][1]
    st.warning(
        f"It learns by heart now (overfitting): the text that it never trains on surprised it least at step {best:,}, "
        f"by {loss:.2f} nats a character. Since then that has risen to {now:.2f}, while training still falls.",
        icon=":material/menu_book:",
    )
