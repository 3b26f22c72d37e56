"""Settings that were chosen but not started survive a reload and a restart of the server: the browser keeps them.

They are saved as a link and read by the same parser. Of a person's own text only the SHA-256 and the name are saved.
Anyone who has the SHA-256 can load the text.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl, urlencode

import streamlit as st

from ..components.storage import held, storage
from . import draft, link
from .session import session

_MAX_CHARACTERS = 4_000
_NOT_SETTINGS = ("key", "step", "also", "sentence")


def restore() -> str | None:
    """Restore the draft that the browser saved before this session began, if any. Sentences about what was lost.

    The address has priority, unless the draft was made later, at this same address. What a person has changed since the
    page was loaded stays.
    """
    window = session()
    window.first_draft = first = window.first_draft or _chosen()
    if window.draft_answered or (answer := held(window.draft_asked)) is None:
        return None
    window.draft_answered = True
    text, is_of_this_tab = answer
    try:
        values = (
            dict(parse_qsl(text, keep_blank_values=True, max_num_fields=100)) if len(text) <= _MAX_CHARACTERS else {}
        )
    except ValueError:
        return None
    address = _address()
    is_of_here = values.pop("address", None) == address and (is_of_this_tab or _names_only_a_run())
    if _chosen() != first or (address and not is_of_here):
        return None
    return " ".join(draft.apply_link(link.read(values, is_draft=True))) or None


def save() -> None:
    """Let the browser save what is chosen now. Once per page, in no part that ticks."""
    if draft.text_choice()["source"] == "own":
        draft.read_own_fields()
    written = urlencode(link.written(draft.to_link()) | {"address": _address()})
    storage(session().draft_asked, written, session().draft_answered)


def _chosen() -> link.Link:
    """What the controls say, without the fields that a reloading browser fills in by itself."""
    return replace(draft.to_link(), own=None, guess=None)


def _address() -> str:
    """The part of the address that concerns the next run, and the displayed run."""
    values = {name: value for name, value in st.query_params.to_dict().items() if name not in _NOT_SETTINGS}
    return urlencode(sorted(values.items()))


def _names_only_a_run() -> bool:
    return not set(st.query_params) - {"run", *_NOT_SETTINGS}
