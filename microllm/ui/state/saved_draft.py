"""What is chosen but not started outlives a reload and a restart of the server: the browser keeps it.

It is kept as a link is written, and read by the same parser. Of a person's own text only its SHA-256 and its name are
kept there: whoever has the SHA-256 has the text.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl, urlencode

import streamlit as st

from ..components.storage import held, storage
from . import draft, link
from .session import session

_LONGEST = 4_000  # characters
_NOT_CHOSEN = ("key", "step", "also", "sentence")


def follow() -> str | None:
    """Take up the draft that the browser has held since before this session began, if there is one. Sentences about
    what of it is lost.

    What the address says comes first, unless the draft was made after that, on this address; and what a person has
    changed since the page was loaded stays.
    """
    window = session()
    window.first_draft = first = window.first_draft or _chosen()
    if window.draft_answered or (answer := held(window.draft_asked)) is None:
        return None
    window.draft_answered = True
    text, is_of_this_tab = answer
    try:
        says = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=100)) if len(text) <= _LONGEST else {}
    except ValueError:
        return None
    address = _address()
    is_of_here = says.pop("address", None) == address and (is_of_this_tab or _says_a_run_alone())
    if _chosen() != first or (address and not is_of_here):
        return None
    return " ".join(draft.follow(link.read(says, is_draft=True))) or None


def keep() -> None:
    """Let the browser keep what is chosen now. Once a page, in no part that ticks."""
    if draft.text_choice()["source"] == "own":
        draft.take_own()
    written = urlencode(link.written(draft.said()) | {"address": _address()})
    storage(session().draft_asked, written, session().draft_answered)


def _chosen() -> link.Link:
    """What the controls say, but for what a browser that comes back brings along by itself."""
    return replace(draft.said(), own=None, guess=None)


def _address() -> str:
    """What the address says, but for what concerns no next run."""
    says = {name: value for name, value in st.query_params.to_dict().items() if name not in _NOT_CHOSEN}
    return urlencode(sorted(says.items()))


def _says_a_run_alone() -> bool:
    return not set(st.query_params) - {"run", *_NOT_CHOSEN}
