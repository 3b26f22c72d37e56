"""How a run and its twin differ: losses, the next character, samples, and the text around a change."""

from __future__ import annotations

import streamlit as st

from ...data.edits import Edit
from ...jobs.background import Background
from ...jobs.twins import Comparison, Losses, Passage
from ...tokenizer import visible
from ..components.effect import effect
from ..state import twins as own
from ..state.session import session
from ..state.twins import Family
from ..state.view import has_text
from ..words import literal

RESULT = "twin-result"

_WAIT_SECONDS = 0.3
_CLEAR = 2.0  # times the difference of another seed
_ROUNDED = (
    " One of the two was trained by several processes, or it continued in other conditions, such as another version of "
    "torch. Some of what differs can come from rounding."
)
_PASSAGES = {"before": "As it was", "after": "As the twin read it"}


def twin_difference(family: Family) -> bool:
    """How the chosen twin differs, and a menu of all twins; nothing while there is none to compare.

    Returns True once there is a result, in a container with the key RESULT.
    """
    if (twin := family.chosen) is None:
        return False
    with st.container(key=RESULT):
        if len(family.ready) > 1:
            _menu(family)
        found = _comparison(family)
        if found is None:
            return False
        found.wait(_WAIT_SECONDS)
        if found.is_busy:
            st.caption("Comparing the two models …")
        elif found.result is None:
            st.warning(literal(found.problem or "The two models could not be compared."), icon=":material/error:")
            st.button("Try again", key="twin-again", on_click=own.forget)
        else:
            _show(twin.info.edit, own.label(family.original, twin.info.edit), found.result)
        return found.result is not None


def _comparison(family: Family) -> Background | None:
    """The comparison with the chosen twin, which may still be computing; None while there is nothing to compare."""
    original, twin, other = family.original, family.chosen, family.other
    if twin is None or original.is_active or not original.snapshots or not has_text(original.run):
        return None
    return own.comparison(original.run, twin.run, other and other.run)


def is_comparing(family: Family) -> bool:
    """True while the comparison with the chosen twin is being computed."""
    found = _comparison(family)
    return found is not None and found.is_busy


def _menu(family: Family) -> None:
    labels = {one.run.id: f"{own.label(family.original, one.info.edit)} ({one.info.name})" for one in family.ready}
    st.session_state["twin-shown"] = family.chosen.run.id

    def choose() -> None:
        if st.session_state.get("twin-shown") in labels:
            session().twin = st.session_state["twin-shown"]

    st.selectbox("Twin", list(labels), format_func=labels.get, key="twin-shown", on_change=choose)


def _show(edit: Edit, label: str, found: Comparison) -> None:
    words = literal(label)
    st.markdown(f"**{words[0].upper()}{words[1:]}**: the differences at step {found.step:,}")
    numbers, words = st.columns([3, 2], gap="medium", vertical_alignment="center")
    numbers.markdown(_table(found))
    numbers.caption(_measured_on(found))
    words.markdown(_verdict(edit, found))
    words.caption(_windows(found))
    st.caption("Boxed: the first character in which the samples differ. Both begin with the same prompt and seed.")
    above = st.container()  # what the control below it chooses
    kind = "after" if edit.kind in ("repeat", "plant") else "before"
    shown = st.segmented_control(
        "Passage",
        list(_PASSAGES),
        default=kind,
        format_func=_PASSAGES.get,
        key=f"twin-passage-{kind}",
        required=True,
        label_visibility="collapsed",
    )
    passage: Passage = found.after if shown == "after" else found.before
    with above:
        effect(
            visible(found.prompt),
            "twin",
            found.following,
            found.samples,
            (passage.text, *passage.nats),
            "",
            names=("original", "twin"),
            of=f"The text around a change, {'as the twin read it' if shown == 'after' else 'as it was'}",
            key="twin-effect",
        )


def _table(found: Comparison) -> str:
    """The losses of all models, and their differences, as Markdown."""
    rows = ["| Loss on | original | twin | twin − original | other seed − original |", "|---|--:|--:|--:|--:|"]
    for name, losses in (("taken out", found.taken_out), ("put in", found.put_in), ("held-out text", found.held_out)):
        noise = "–" if losses.noise is None else _signed(losses.noise)
        rows.append(f"| {name} | {losses.original:.3f} | {losses.twin:.3f} | **{_signed(losses.change)}** | {noise} |")
    return "\n".join(rows)


def _measured_on(found: Comparison) -> str:
    """The unit of the losses, and on how much text they were measured."""
    return (
        f"In nats per character, on {_how_many(found.taken_out)} that were taken out, {_how_many(found.put_in)} that "
        f"were put in their place, and {_how_many(found.held_out)} of held-out text."
    )


def _how_many(losses: Losses) -> str:
    return f"{losses.characters:,}{'' if losses.characters == losses.of else f' of {losses.of:,}'} characters"


def _signed(nats: float) -> str:
    return f"{'−' if nats < 0 else '+'}{abs(nats):.3f}"


def _verdict(edit: Edit, found: Comparison) -> str:
    """What to look for, and whether the change makes a larger difference than another seed."""
    is_left_out = edit.kind == "leave-out"
    losses: Losses = found.taken_out if is_left_out else found.put_in
    what = "what it never read" if is_left_out else "what was put in"
    direction = "higher" if losses.change > 0 else "lower"
    measured = f"On {what}, the loss of the twin is **{abs(losses.change):.3f}** nats per character {direction}."
    if losses.noise is None:
        return f"{measured} Train another seed to see how large a difference chance makes."
    if abs(losses.change) <= _CLEAR * abs(losses.noise):
        return f"{measured} Another seed makes a difference of {abs(losses.noise):.3f}: this may be chance."
    return f"{measured} Another seed makes a difference of only {abs(losses.noise):.3f}: the edit is the cause."


def _windows(found: Comparison) -> str:
    """How exact the comparison is, in measured numbers."""
    read = f"Of the windows of the first {found.steps:,} steps, {_exact(found.shared)} are identical in both runs."
    first, losses = found.differ_from, found.losses_differ_from
    if first is None or losses is None:
        return read
    if losses < first:
        return (
            f"{read} The first that differs is in step {first:,}, but the training losses differ from step {losses:,}: "
            "the two were trained on different machines, with different versions of torch or by several processes, "
            "which round differently."
        )
    until_then = "; before it, both have exactly the same losses" if first > 1 else ""
    return f"{read} The first that differs is in step {first:,}{until_then}.{'' if found.are_repeatable else _ROUNDED}"


def _exact(share: float) -> str:
    return f"{100 * share:.1f}\u00a0%"
