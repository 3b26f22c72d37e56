"""The one way to tick: a part of a page that is drawn again at a fixed interval."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from ...runs.info import RunProblem
from ...sample import NotFinite
from ..presence import refresh_slowdown
from ..state import view
from ..state.view import View, look
from ..words import literal


def live(part: Callable[[View | None], None], every: float, *, key: str, when: bool = True) -> None:
    """Draw `part` with what is on show now, and again every `every` seconds if `when`.

    With many open windows it ticks more slowly, so that answers to clicks and training keep their time. It stands in a
    container of its own, because a click during a tick makes the element after a ticking fragment vanish (streamlit
    #16708).
    """
    with st.container(key=key):
        st.fragment(_or_the_whole_page(part), run_every=every * refresh_slowdown() if when else None)()


def _or_the_whole_page(part: Callable[[View | None], None]) -> Callable[[], None]:
    """A fragment that draws `part` as long as the same run is on show and exists, and else the whole page.

    (A click can arrive after its part has left the page.)
    """
    its_run = view.run_id()

    def shown() -> None:
        if view.run_id() != its_run:
            st.rerun()
        try:
            part(look())
        except NotFinite as problem:  # a check of weights on a few inputs cannot rule this out
            st.error(literal(str(problem)), icon=":material/error:")
        except RunProblem:
            if not view.is_gone():
                raise
            st.rerun()

    return shown
