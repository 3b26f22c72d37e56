"""The one way to tick: a part of a page that is drawn again every so many seconds."""

from __future__ import annotations

import functools
from collections.abc import Callable

import streamlit as st

from ..presence import refresh_slowdown
from ..words import literal


def live(part: Callable[[], None], every: float, *, key: str, when: bool = True) -> None:
    """Show `part`, and again every so many seconds `when` asked to: the only way in which anything here ticks.

    In a refresh_slowdown it ticks slower: what many windows draw must leave time for answers, and for training. It stands in a
    container of its own, because a click at the moment of a tick makes the element after a ticking fragment vanish
    (streamlit #16708).
    """
    with st.container(key=key):
        st.fragment(_or_the_whole_page(part), run_every=every * refresh_slowdown() if when else None)()


def _or_the_whole_page(part: Callable[[], None]) -> Callable[[], None]:
    """`part`, as long as the run on show is that for which it was drawn, and there still is one: else the whole page is
    drawn anew. (What a person did last may arrive when the part is on the page no more.)
    """
    from ...runs.info import RunProblem
    from ...sample import NotFinite
    from ..state import view

    its_run = view.run_id()

    @functools.wraps(part)
    def shown() -> None:
        if view.run_id() != its_run:
            st.rerun()
        try:
            part()
        except NotFinite as problem:  # weights that anybody may have made can pass every trial but this one
            st.error(literal(str(problem)), icon=":material/error:")
        except RunProblem:
            if not view.is_gone():
                raise
            st.rerun()

    return shown
