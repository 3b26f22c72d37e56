"""Twins: repeat the displayed run on an edited text, and see what the edit changes."""

from __future__ import annotations

import streamlit as st

from .. import server
from ..components.scroll import scroll_to
from ..state import twins as own
from ..state.session import session
from ..state.twins import Family
from ..state.view import View
from ..words import literal
from .live import live
from .twin_difference import RESULT, is_comparing, twin_difference
from .twin_form import twin_form

_TICK_SECONDS = 1.0


def twins(view: View) -> None:
    """What to change in the text of the displayed run, the buttons that train its twins, and how these differ."""
    family = own.family(view)
    if family.original is None:
        st.caption(f"{literal(view.info.twin.name)}, of which this run is a twin, no longer exists.")
        return
    drawn = _state(family)  # before anything is drawn, so that no change is missed
    twin_form(view, family)
    is_changing = bool(family.active) or server.speed() is None or is_comparing(family) or family.original.is_active
    live(lambda now: _tick(now, drawn), _TICK_SECONDS, key="twins-watch", when=is_changing)
    has_result = twin_difference(family)
    scroll_to(RESULT if has_result and own.is_awaited(family) else "", only_on_a_phone=True)


def link() -> None:
    """A button that opens the twins of the displayed run."""
    if st.button("Change the text and train a twin", key="twins-link", type="tertiary", icon=":material/content_copy:"):
        session().lesson, session().is_in_glossary, session().is_with_twins = None, False, True
        st.switch_page("pages/learn.py", query_params=st.query_params.to_dict())


def _state(family: Family) -> tuple:
    """What the page depends on and no click changes."""
    shown = [family.original, *family.twins, *family.others]
    return server.speed() is None, [(view.run.id, view.state) for view in shown], is_comparing(family)


def _tick(view: View, drawn: tuple) -> None:
    family = own.family(view)
    if family.original is None or _state(family) != drawn:
        st.rerun()
    for one in family.active:
        made = one.history.last["step"] if one.history.last else 0
        what = own.label(family.original, one.info.edit) if one.info.edit else f"seed {one.info.train.seed}"
        steps = one.info.train.max_steps
        about = f"**{literal(one.info.name)}**, {literal(what)}: {one.state}, step {made:,} of {steps:,}"
        st.progress(min(1.0, made / steps), text=about)
