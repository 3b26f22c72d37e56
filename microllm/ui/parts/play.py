"""Play: the attention map of the chosen head at all snapshots of the run."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from ...insight.trace import trace
from ...jobs.snapshots import OverSnapshots
from ...model import MicroLLM
from ...plots.attention import packed
from ...plots.play import play_data
from ...tokenizer import known_ids
from ..components.play import play
from ..state.view import View
from ..words import literal

_FIRST_WAIT_SECONDS = 0.3  # enough for all maps of most runs, which are small


class _Film:
    """The maps that this window plays: one head of one run on one sentence, computed once for each snapshot."""

    def __init__(self) -> None:
        self._about: tuple = ()
        self._maps: OverSnapshots[str] | None = None

    def maps(self, view: View, text: str, layer: int, head: int) -> OverSnapshots[str]:
        about = view.run.id, text, layer, head
        if self._about != about:
            self.stop()
            ids = known_ids(view.run.tokenizer, text)

            def measure(model: MicroLLM, _: Callable[[], None]) -> str:
                return packed(trace(model, ids).pattern[layer, head], causal=model.config.causal)

            self._about, self._maps = about, OverSnapshots(view.run, measure)
        return self._maps

    def stop(self) -> None:
        if self._maps:
            self._maps.stop()


@st.cache_resource(scope="session", on_release=_Film.stop, show_spinner=False)
def _film() -> _Film:
    return _Film()


def film(view: View, text: str, layer: int, head: int) -> None:
    """The map of a head (both from 0) at all snapshots."""
    steps = view.snapshots
    if len(steps) < 2:
        st.caption("This run has no second snapshot yet, so there is nothing to play.")
        return
    if view.without:
        st.caption("All snapshots are played with nothing knocked out.")
    maps = _film().maps(view, text, layer, head)
    ready = maps.want(steps, wait=_FIRST_WAIT_SECONDS if not maps.values else 0.0)
    is_complete = maps.is_complete(steps)
    if maps.unreadable:
        unreadable = ", ".join(f"{step:,}" for step in sorted(maps.unreadable))
        st.caption(literal(f"These snapshots cannot be read and are left out: {unreadable}."))
    data = play_data(
        ready,
        text,
        view.history,
        causal=view.info.model.causal,
        name=f"Layer {layer + 1}, head {head + 1}",
    )
    if data["left_out"]:
        st.caption(f"{data['left_out']} snapshots are left out, to keep the animation below 2 MB.")
    play(
        data | {"run": view.run.id, "about": f"{layer} {head} {text}", "isComplete": is_complete},
        ask=lambda: None,  # the rerun of this part is the answer
    )
