"""Ticking: draw a part of a page again at a fixed interval. Each time is a tick."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from ...runs.info import RunProblem
from ...sample import NotFinite
from ..presence import refresh_slowdown
from ..state import view
from ..state.view import View, look
from ..words import literal


def live(part: Callable[[View], None], every: float, *, key: str, when: bool = True) -> None:
    """Draw `part` with the current View, and again every `every` seconds if `when`.

    With many open windows it ticks more slowly, so that clicks and training are not delayed. It has its own container,
    because a click during a tick removes the element after a ticking fragment (streamlit #16708).
    """
    with st.container(key=key):
        st.fragment(_part_or_page(part), run_every=every * refresh_slowdown() if when else None)()


def _part_or_page(part: Callable[[View], None]) -> Callable[[], None]:
    """A fragment that draws `part` while the same run is shown and exists. Otherwise it draws the whole page.

    (A click can arrive after its part has left the page.)
    """
    run_id = view.run_id()

    def draw() -> None:
        if view.run_id() != run_id:
            st.rerun()
        try:
            part(look())
        except NotFinite as problem:  # checking the weights on a few inputs cannot rule this out
            st.error(literal(str(problem)), icon=":material/error:")
        except RunProblem:
            if not view.is_gone():
                raise
            st.rerun()

    return draw
