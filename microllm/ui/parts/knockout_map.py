"""The map of all parts of the model, in the sidebar: a click knocks one out, and a number shows its worth."""

from __future__ import annotations

import streamlit as st

from ...data.decode import TextProblem
from ...insight.knockout import Part, parts_of
from ...jobs.results import Measured
from ..components.knockout_map import knockout_map as draw
from ..glossary import term
from ..server import knockouts
from ..state import navigation
from ..state.session import session
from ..state.view import View, has_text
from ..words import literal
from .knockout import capitalized, name, named
from .live import live

_TICK_SECONDS = 2.0  # while the run trains
_WAITING_TICK_SECONDS = 0.4
_WAYS = {"mean": "its average", "zero": "zero"}


def knockout_map(view: View) -> None:
    """The map of all parts, which knocks them out, and what they are replaced by."""
    st.markdown("**Knock out a part of the model**")
    if has_text(view.run):
        st.segmented_control(
            "What it computes is replaced by",
            list(_WAYS),
            default=session().replaced_by,
            format_func=_WAYS.get,
            key="replaced-by",
            required=True,
            persist_state="session",
            on_change=_choose_way,
            help="With its average over held-out text, the rest of the model gets inputs in their usual range (mean "
            "ablation). Zero is an input that it has never seen, so this exaggerates a part's worth (zero ablation).",
        )
    else:
        st.caption("What it computes is replaced by zero: its average needs the text of the run.")
    is_waiting = view.is_active or each_alone(view)[0].is_waiting
    seconds = _TICK_SECONDS if view.is_live else _WAITING_TICK_SECONDS
    key = view.model_key
    live(lambda shown: _map_tick(shown, key, is_waiting), seconds, key="knockout-map-live", when=is_waiting)


def _choose_way() -> None:
    if (way := st.session_state.get("replaced-by")) in _WAYS:
        navigation.replace_by(way)


def each_alone(view: View) -> tuple[Measured, str]:
    """(The map, or as much of it as is measured; a sentence about it)."""
    now = view.model(max_age=2.0, wait=0.2, whole=True)
    if now is None:
        return Measured(None, 0.0 if view.is_active else 1.0), "The model has no weights yet."
    try:
        found = knockouts().map(view.run, *now, session().replaced_by, is_live=view.is_live)
    except TextProblem as problem:
        return Measured(None, 1.0), str(problem)
    if found.result is None:
        return found, f"Measuring what each part is worth: {100 * found.share:.0f} % …"
    return found, f"Measured at step {found.result.step:,}." if view.is_live else ""


def _map_tick(view: View, drawn: tuple, was_waiting: bool) -> None:
    found, about = each_alone(view)
    if view.model_key != drawn or (was_waiting and not found.is_waiting and not view.is_active):
        st.rerun()  # for the whole page, or to stop ticking
    parts = parts_of(view.info.model)
    silent = {Part(*place) for place in view.info.model.silenced_heads}
    draw(
        parts,
        [capitalized(name(part)) for part in parts],
        found.result.changes if found.result else found.so_far or {},
        view.without,
        navigation.knock_out,
        silent=silent,
    )
    if silent:
        st.caption(f"{capitalized(named(sorted(silent)))}: silent in this run, in training too.")
    st.caption(
        f"Click a part to switch it off on every page ({term('knock-out')}); ff is the {term('feed-forward-network')}. "
        f"A number is how much the {term('validation-loss')} rises without that part alone, in nats per character. "
        f"{literal(about)}"
    )
