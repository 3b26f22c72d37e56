"""The open card of the path on the page on which it is done: what to do there, and whether it is done."""

from __future__ import annotations

import streamlit as st

from ...insight.heads import strongest
from ..state import ownership, path
from ..state.session import session
from ..state.view import View
from ..state.window import window
from . import what_heads_do
from .live import live

_TICK_SECONDS = 1.0
_TWO_BACK = "two_back"


def notice(view: View, page: str) -> None:
    """Remember which cards are done by what the window shows and has done, on any page."""
    facts = path.Facts(
        owns_run=ownership.owns(view.run.id),
        checks=sum(step > 0 for step, _ in view.history.val_losses),
        generations=len(window().generations),
        is_right_head=page == "attention" and _looks_two_back(view),
        stage=session().stage,
        without=session().without,
    )
    session().done_cards |= path.done_elsewhere(facts)


def _looks_two_back(view: View) -> bool:
    """True if the chosen head attends to the character two back: clearly, or more than any other head.

    Where heads cannot be measured, any head but the first one will do.
    """
    known = what_heads_do.measured(view)
    layer, head = session().head
    config = view.info.model
    if (score := known.score(_TWO_BACK)) is None:
        return bool(known.problem) and (layer, head) != (0, 0)
    if layer >= config.n_layer or head >= config.n_head:
        return False
    best = strongest(known.scores, layer, head)
    return (best is not None and best.name == _TWO_BACK) or score.of(layer, head) == score.shares.max().item()


def task(page: str) -> None:
    """The task of the open card, if it is done on this page, with a button back; its controls get an outline."""
    card = path.CARDS.get(session().lesson)
    if card is None or card.page != page:
        return
    is_done = session().lesson in session().done_cards
    live(lambda view: _task(view, page, is_done), _TICK_SECONDS, key="path-task", when=not is_done)


def _task(view: View, page: str, was_done: bool) -> None:
    lesson = session().lesson
    if lesson not in path.CARDS:
        return
    notice(view, page)
    card, is_done = path.CARDS[lesson], lesson in session().done_cards
    if is_done and not was_done:
        st.rerun()  # the whole page: the browser keeps it, and nothing needs to tick
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="path-task-row"):
        outline = "" if is_done else _outline(card.controls)
        # one element: a style of its own would leave a gap; both strings are our own
        st.markdown(f"{words(lesson, is_done)}{outline}", width="content", unsafe_allow_html=True)
        kind = "primary" if is_done else "secondary"
        if st.button("Back to the path", key="path-back", icon=":material/arrow_back:", type=kind):
            st.switch_page("pages/learn.py", query_params=st.query_params.to_dict())
        if st.button("Leave the path", key="path-leave", icon=":material/close:", type="tertiary"):
            session().lesson = None
            st.rerun()


def words(card: str, is_done: bool) -> str:
    """The task of a card, or that it is done, as Markdown."""
    if is_done:
        return f":green[:material/check_circle:] **Done.** {path.CARDS[card].done}"
    return f":material/footprint: **Your task:** {path.CARDS[card].task}"


def _outline(controls: tuple[str, ...]) -> str:
    """A style that outlines controls and, while they are in a closed sidebar, the button that opens it."""
    places = ", ".join(f".st-key-{key}" for key in controls)
    opener = f"body:has([data-collapsed=true] :is({places})) [data-testid=stExpandSidebarButton]"
    return f"<style>:is({places}), {opener} {{outline: 2px solid var(--path-outline); outline-offset: 4px}}</style>"
