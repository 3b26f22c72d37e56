"""The link to what this window shows, for other people, and the way to the downloads."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlencode

import streamlit as st

from ..state import draft, ownership
from ..state.link import Link, written
from ..state.session import session
from ..state.view import View, sentence_written


def share(view: View) -> None:
    """A button that opens the link for others, and says what they can and cannot do with it."""
    with st.popover("Share", icon=":material/share:", help="Share", key="share", on_change="rerun"):
        # never empty: the browser positions a popover by its size before it opens
        st.code(share_link(view), language=None, wrap_lines=True)
        st.caption(" ".join(_what_it_gives(view)))
        if st.button(
            "Download this run",
            key="share-download",
            icon=":material/download:",
            type="tertiary",
            on_click=st.session_state.update,
            args=({"share": False, "take-away": True},),  # close this, and open the downloads
        ):
            st.switch_page("pages/train.py", query_params=st.query_params.to_dict())


def share_link(view: View) -> str:
    """The address of this page with everything another person needs to see the same, but not the owner's key."""
    values = {"run": view.run.id, "step": view.moment}
    values = {name: str(value) for name, value in values.items() if value is not None}
    page = (st.context.url or "").removesuffix("learn")  # Learn shows the film of another run; Train shows this one
    return f"{page}?{urlencode(values | written(_next_run()))}"


def _next_run() -> Link:
    link, sentence = draft.to_link(), sentence_written()
    if link.text == "own":
        return Link(link.preset, link.values, sentence=sentence)
    return replace(link, sentence=sentence, guess=None)


def _what_it_gives(view: View) -> list[str]:
    what = "this run"
    if view.moment is not None:
        what += f" at step {view.moment:,}"
    elif view.is_active:
        what += ", live while it trains"
    if view.is_from_gallery:
        what += " (it came with MicroLLM)"
    sentences = [
        f"This link opens {what}, with your sentence and your settings for the next run. Other people can look at it, "
        "generate text and start their own runs."
    ]
    if not view.is_from_gallery:
        sentences.append("They cannot pause, change or stop this one.")
    if ownership.owns():
        sentences.append(
            "You can, because this browser keeps the run's key. No link contains it, so the address bar is safe to "
            "copy, too."
            if session().browser_keeps
            else "You can, because this tab holds the run's key. No link contains it."
        )
    if view.info.text.is_own:
        sentences.append(
            "This run was trained on a person's own text. Other people do not see it in their lists, but anyone with "
            "the link can read that text."
        )
    elif draft.text_choice()["source"] == "own":
        sentences.append("The link does not include your own text.")
    return sentences
