"""Four challenges, and how far this person's runs have come."""

from __future__ import annotations

import streamlit as st

from ...experiments.challenges import CHALLENGES, Standing
from ...runs.info import RunProblem
from ..server import opened
from ..state import attempts, navigation
from ..words import literal


def challenges() -> None:
    """The challenges; each is ticked when a run of this person meets it."""
    with st.container(key="challenges", gap="small"):
        st.markdown("**Challenges.** Each is ticked when one of your runs meets it.")
        for key, standing in attempts.standings().items():
            _challenge(key, standing)
        if is_measuring():
            st.caption("Measuring what your runs recite …")


def is_measuring() -> bool:
    """True while something about this person's runs is still being measured."""
    return attempts.is_measuring()


def _challenge(key: str, standing: Standing) -> None:
    challenge = CHALLENGES[key]
    icon = ":material/check_circle:" if standing.is_met else ":material/radio_button_unchecked:"
    with st.container(key=f"challenge-{key}", gap="xsmall"):
        st.markdown(f"{icon} **{challenge.title}**")
        st.caption(challenge.rule)
        if standing.run_id is None:
            return
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            st.markdown(f"Your best: **{standing.best}**", width="content")
            if st.button(f"Open {_name(standing.run_id)}", key=f"challenge-open-{key}", type="tertiary"):
                navigation.show(standing.run_id)
                st.switch_page("pages/train.py", query_params=st.query_params.to_dict())


def _name(run_id: str) -> str:
    try:
        return literal(opened(run_id).read_info().name)
    except RunProblem:  # deleted since
        return "the run"
