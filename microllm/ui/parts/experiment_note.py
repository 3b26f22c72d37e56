"""What to watch while a run of an experiment is displayed, and the button back to the experiment."""

from __future__ import annotations

import streamlit as st

from ...experiments.registry import EXPERIMENTS
from ..state import experiments, navigation
from ..state.session import session
from ..state.view import View
from .live import live

_TICK_SECONDS = 2.0


def experiment_note(view: View) -> None:
    """What to watch, if the displayed run belongs to an experiment."""
    if (name := experiments.name_of(view)) is None:
        return
    is_active = any(part.is_active for part in experiments.parts(name))
    live(lambda now: _tick(now, name), _TICK_SECONDS, key="experiment-note", when=is_active)


def _tick(view: View, name: str) -> None:
    experiment, parts = EXPERIMENTS[name], experiments.parts(name)
    label = next((setup.label for setup in experiment.setups if setup.fits(view.info)), None)
    heading = f"**{experiment.title}**" + (f" ({label})" if label else "")
    is_over = experiments.result(name, parts) is not None
    with st.container(horizontal=True, wrap=False, gap="small", vertical_alignment="center", key="experiment-row"):
        st.caption(f"{heading}. {experiment.watch}", width="stretch")
        for part in parts:
            if (
                part.is_active
                and part.run.id != view.run.id
                and st.button(
                    f"Open: {part.setup.label}",
                    key="experiment-other",
                    type="tertiary",
                    icon=":material/arrow_forward:",
                )
            ):
                navigation.show(part.run.id)
                st.rerun()
                break
        if st.button(
            "See what you found out" if is_over else "Back to the experiment",
            key="experiment-result",
            type="primary" if is_over else "tertiary",
            icon=":material/science:",
        ):
            session().experiment = session().shown_experiment = name
            st.switch_page("pages/experiments.py", query_params=st.query_params.to_dict())
