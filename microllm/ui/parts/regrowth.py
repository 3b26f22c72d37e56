"""Does the model recover? How a fork that keeps training without some heads makes up for them."""

from __future__ import annotations

import streamlit as st

from ...data.decode import TextProblem
from ...insight.heads import taken_over
from ...insight.knockout import Part
from ...runs.fork import recovered_after
from .. import server
from ..state.view import View
from ..words import percent
from . import knockout, what_heads_do

_CLEAR_RISE = 0.1
_WAIT_SECONDS = 0.3


def regrowth(view: View) -> None:
    """For a fork that silenced heads: how soon its loss recovered, and which head took over. For a part that ticks."""
    (before, without), step = view.info.parent.losses, view.info.parent.step
    parts = [Part.parse(name) for name in view.info.parent.silenced.split()]
    heads, named = [(part.layer, part.head) for part in parts], knockout.named(parts)
    named = named[0].upper() + named[1:]
    have = "has" if len(heads) == 1 else "have"
    with st.container(key="regrowth"):
        st.markdown(
            f"**Does the model recover?** {named} {have} been silent since step {step:,}, which changed the validation "
            f"loss from {before:.3f} to {without:.3f}. {_recovery(view)} {_successor(view, heads)}"
        )


def _recovery(view: View) -> str:
    parent = view.info.parent
    if (steps := recovered_after(parent, view.history)) is not None:
        return f"It was back at {parent.losses[0]:.3f} **after {steps:,} steps**."
    checks = [check for check in view.history.val_losses if check[0] > parent.step]
    if not checks:
        return "The next validation check will show how far it has recovered."
    step, loss = checks[-1]
    return f"It has not recovered yet: {loss:.3f} after {step - parent.step:,} steps."


def _successor(view: View, heads: list[tuple[int, int]]) -> str:
    """Which other head took over from the silenced ones, by the newest snapshot that has been measured."""
    first, scores = view.info.parent.step, server.head_scores(view.run.id)
    try:
        scores.want([view.snapshots[-1], first], 0.0 if view.is_active else _WAIT_SECONDS)
    except TextProblem as problem:
        return str(problem)
    known = dict(scores.values)
    newest = max(known, default=first)
    if newest <= first or first not in known:
        return "Each snapshot is measured to see whether another head takes over."
    found = taken_over(known[first], known[newest], heads, view.info.model.silenced_heads)
    if found is None:
        return "No other head has clearly taken over."
    name, (layer, head), then, now = found
    what, who = what_heads_do.phrase_of(name), f"layer {layer + 1}, head {head + 1}"
    when = f"At step {newest:,}" if view.is_active else "At the end"
    rise = f"{percent(then)} → {percent(now)}"
    if now - then < _CLEAR_RISE:
        return f"{when}, no other head attends clearly more to {what} than before (at most {rise})."
    return f"{when}, **{who}** attends to {what} more than before: **{rise}**, the largest rise."
