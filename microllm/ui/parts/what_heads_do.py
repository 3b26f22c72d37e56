"""What the heads of the displayed run attend to on held-out text: in words, sorted, and over training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import streamlit as st

from ...data.decode import TextProblem
from ...insight.heads import HeadScore, clear_since, strongest
from ...jobs.head_scores import passage_length
from ...plots.head_scores import head_scores_data
from .. import server
from ..components.head_scores import head_scores
from ..state import navigation
from ..state.view import View
from ..words import literal, percent


class _Words(NamedTuple):
    """The names of a score."""

    label: str
    """On a small picture: one word."""
    short: str
    listed: str
    phrase: str
    """In a sentence."""


_WORDS = {
    "previous_token": _Words("previous", "previous character", "previous character", "the previous character"),
    "two_back": _Words("2 back", "two back", "two back", "the character two back"),
    "three_back": _Words("3 back", "three back", "three back", "the character three back"),
    "four_back": _Words("4 back", "four back", "four back", "the character four back"),
    "self": _Words("self", "itself", "itself", "the character itself"),
    "first_token": _Words("first", "first visible", "first visible character", "the first visible character"),
    "last_space": _Words("space", "most recent space", "most recent space", "the most recent space"),
    "induction": _Words(
        "induction",
        "induction",
        "induction (what followed this character last time)",
        "what followed this character last time (induction)",
    ),
    "next_token": _Words("next", "next character", "next character", "the next character"),
    "spread": _Words("", "spread", "spread", ""),
}
_BY_LAYER = "layer"


@dataclass(frozen=True)
class Measured:
    """What is known about the heads of a run at the displayed snapshot."""

    step: int | None = None
    """The displayed snapshot; while the run trains, the newest that has been measured. None if there is none."""
    over_time: Mapping[int, list[HeadScore]] = field(default_factory=dict)
    """The scores at all snapshots that have been measured, by step."""
    missing: tuple[int, ...] = ()
    """The snapshots that are still being measured."""
    problem: str | None = None
    """Why nothing can be measured on held-out text: a sentence for the user. The scores are then of their sentence."""

    @property
    def scores(self) -> list[HeadScore]:
        """The scores at the displayed snapshot; none while they are being measured."""
        return self.over_time.get(self.step, [])

    def score(self, name: str) -> HeadScore | None:
        """The score with this name."""
        return next((score for score in self.scores if score.name == name), None)

    def since(self, name: str, layer: int, head: int, *, is_whole: bool = False) -> tuple[int | None, int] | None:
        """As `clear_since`, up to the displayed snapshot or, if `is_whole`, over all snapshots.

        None until all of them have been measured.
        """
        if self.problem or self.step is None:
            return None
        if any(is_whole or step < self.step for step in self.missing):
            return None
        some = {step: scores for step, scores in self.over_time.items() if is_whole or step <= self.step}
        return clear_since(some, name, layer, head)


def measured(view: View, wait: float = 0.0) -> Measured:
    """What is known by now, or within `wait` seconds; the rest is measured in the background."""
    steps = view.snapshots
    if not steps:
        return Measured()
    shown = steps[-1] if view.moment is None else view.moment
    order = [shown, *(step for step in steps if step != shown)]
    known = server.head_scores(view.run.id)
    try:
        known.want([shown], wait)
        over_time = known.want(order)
    except TextProblem as problem:
        return Measured(problem=str(problem))
    missing = tuple(step for step in steps if step not in over_time and step not in known.unreadable)
    over_time = {step: scores for step, scores in over_time.items() if scores}  # with block_size 1 there are none
    if view.moment is None and view.is_active:
        shown = max(over_time, default=shown)
    return Measured(shown, over_time, missing)


def on_the_sentence(problem: str, step: int, scores: list[HeadScore]) -> Measured:
    """The scores on the user's sentence, if held-out text is missing because of this problem."""
    return Measured(step, {step: scores}, problem=problem)


# ---- in words


def phrase_of(name: str) -> str:
    """What a score says a head attends to, for use in a sentence."""
    return _WORDS[name].phrase


def label(known: Measured, layer: int, head: int) -> str:
    """One word for what a head does; "" if nothing is clearly above chance."""
    best = strongest(known.scores, layer, head)
    return _WORDS[best.name].label if best else ""


def note(known: Measured, layer: int, head: int) -> str:
    """What a head does, and since when."""
    best = strongest(known.scores, layer, head)
    if best is None:
        return "not measured yet" if known.missing and not known.scores else "no clear pattern"
    share, chance = percent(best.of(layer, head)), percent(best.chance)
    return f"{share} on {_WORDS[best.name].phrase} (chance {chance}){_since(known, best.name, layer, head)}"


def _since(known: Measured, name: str, layer: int, head: int) -> str:
    if (found := known.since(name, layer, head)) is None:
        return ""
    before, since = found
    if before is None:
        return f", already at its first snapshot (step {since:,})"
    return f", since step {since:,} (not yet at step {before:,})"


def describe(view: View, known: Measured, layer: int, head: int) -> None:
    """All scores of the chosen head, and what it does since when."""
    if not known.scores:
        st.caption(_why_empty(view, known))
        return
    best = strongest(known.scores, layer, head)
    does = f"**{_WORDS[best.name].listed}**{_since(known, best.name, layer, head)}" if best else "**no clear pattern**"
    passage = "this sentence" if known.problem else f"{passage_length(view.info):,} held-out characters"
    whole = ", nothing knocked out" if view.without and not known.problem else ""
    lines = [f"Attends to: {does}"]
    if best and view.info.model.position == "relative" and known.since(best.name, layer, head) == (None, 0):
        then = next(score for score in known.over_time[0] if score.name == best.name).of(layer, head)
        lines.append(
            f"Each head starts with a preference for one distance (relative positions): here {percent(then)} at step 0."
        )
    even = "chance: if it looked at all visible characters equally"
    lines.append(f"Its attention on {passage} at step {known.step:,}{whole} ({even}):")
    for score in known.scores:
        if score.name == "spread":
            lines.append(f"spread: over about {score.of(layer, head):.1f} of {score.chance:.1f} visible characters")
        else:
            share, chance = percent(score.of(layer, head)), percent(score.chance)
            lines.append(f"{_WORDS[score.name].listed}: {share} (chance {chance})")
    st.caption("  \n".join(lines))
    if known.problem:
        st.caption(literal(known.problem))


def _why_empty(view: View, known: Measured) -> str:
    if known.problem:
        return "A single character can attend only to itself: write a longer sentence."
    if known.missing:
        return "Measuring the heads on held-out text …"
    if view.info.model.block_size == 1:
        return "With block_size 1, each character can attend only to itself."
    return "The heads of this snapshot could not be measured."


# ---- in order


def sorted_by(view: View) -> str | None:
    """A menu of the order of the heads. Returns the name of the score to sort by; None for layer by layer."""
    names = [_BY_LAYER, *(name for name in _WORDS if name != "next_token" or not view.info.model.causal)]
    name = st.selectbox(
        "Order of the heads",
        names,
        format_func=lambda name: "by layer" if name == _BY_LAYER else f"by {_WORDS[name].short}",
        key="heads-order",
        label_visibility="collapsed",
        width=230,
        persist_state="session",
    )
    return None if name == _BY_LAYER else name


def in_order(score: HeadScore) -> list[int]:
    """The numbers of the heads (counted layer by layer), the highest share first; for the spread, the lowest first."""
    numbers = score.shares.flatten().tolist()
    return sorted(range(len(numbers)), key=lambda i: numbers[i] if score.name == "spread" else -numbers[i])


def number(score: HeadScore, layer: int, head: int) -> str:
    """A score of one head, as a short text."""
    return f"{score.of(layer, head):.1f}" if score.name == "spread" else percent(round(score.of(layer, head), 2))


# ---- over training


def over_training(view: View, known: Measured, name: str | None, layer: int, head: int) -> None:
    """One score of every head against the step: the one they are sorted by, or the highest of the chosen head."""
    if known.problem:
        st.info(literal(known.problem), icon=":material/info:")
        return
    if not known.scores:
        st.caption(_why_empty(view, known))
        return
    if name is None:
        newest = known.over_time[max(known.over_time)]
        best = strongest(newest, layer, head)
        name = best.name if best else newest[0].name
    found = known.since(name, layer, head, is_whole=True)
    data = head_scores_data(
        known.over_time,
        view.history,
        name,
        "characters attended to (spread)" if name == "spread" else f"attention on {_WORDS[name].phrase}",
        (layer, head),
        since=found[1] if found and found[0] is not None else None,
        moment=view.moment,
        max_steps=view.info.train.max_steps,
    )
    head_scores(data, navigation.choose_moment)
    rule = " From the diamond on it stays at twice chance or more." if data["since"] >= 0 else ""
    event = "falls, because the head concentrates on few characters" if name == "spread" else "rises above chance"
    st.caption(
        f"Look for the step where a line {event}, and for what the loss does there. Thick: the chosen one, layer "
        f"{layer + 1}, head {head + 1}.{rule} A click goes to that step."
    )
