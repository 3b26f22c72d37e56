"""What leaves the window: the link to a run for others, and the run itself for oneself."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

import streamlit as st

from ..state import draft, ownership, view
from ..state.link import Link, written

# ---- for others


def share_link() -> str:
    """The address of this page with all that another person needs to see the same; never with the owner's key."""
    says = {"run": view.run_id(), "step": view.run_id() and view.moment()}
    says = {name: str(value) for name, value in says.items() if value is not None}
    return f"{st.context.url or ''}?{urlencode(says | written(_next_run()))}"


def _next_run() -> Link:
    said, sentence = draft.said(), view.sentence_written()
    if said.text == "own":
        return Link(said.preset, said.values, sentence=sentence)
    return replace(said, sentence=sentence, guess=None)


def share() -> None:
    """A button that unfolds the link for others, and what they can and cannot do with it."""
    with st.popover("Share", icon=":material/share:", help="Share", key="share"):
        # always filled: what is filled after it unfolds has been given its place when it was still empty and small
        st.code(share_link(), language=None, wrap_lines=True)
        st.caption(" ".join(_what_it_gives()))


def _what_it_gives() -> list[str]:
    if view.run_id() is None:
        sentences = ["Whoever opens this link finds the settings as you have them, ready to start."]
    else:
        moment, going = view.moment(), ", live while it trains" if view.is_active() else ""
        sentences = [
            "Whoever opens this link sees this run"
            + (going if moment is None else f" at step {moment:,}")
            + ", with your sentence and your settings for the next one. They can look, let it write and start runs of "
            "their own; they cannot pause, change or stop this one."
        ]
        if ownership.owns():
            sentences.append(
                "The address of your window can do that: it holds the key. Keep it, as a bookmark perhaps, and pass "
                "on this link instead."
            )
    if view.run_id() and view.run().read_info().text.is_own:
        sentences.append(
            "This run learned a person's own text: it is not in other people's lists, but whoever has the link can "
            "read that text."
        )
    elif draft.text_choice()["source"] == "own":
        sentences.append("Your own text is not in the link.")
    return sentences


# ---- for oneself
