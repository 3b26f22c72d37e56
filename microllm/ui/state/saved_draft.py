"""Settings that were chosen but not started survive a reload and a restart of the server: the browser keeps them.

They are saved as a link and read by the same parser. Of a person's own text only the SHA-256 and the name are saved.
Anyone who has the SHA-256 can load the text. How they reach the browser and come back is in browser_storage.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import streamlit as st

from ...config import knobs
from . import draft, link
from .session import session

_MAX_CHARACTERS = 4_000
_SETTINGS = ("run", "preset", "text", "transform", "first", *knobs())


def written() -> str | None:
    """What is chosen now, for the browser to keep. None while it should go on keeping another draft: a link was opened,
    and nothing has been changed since.
    """
    if session().linked_draft is not None:
        if _chosen() == session().linked_draft:
            return None
        session().linked_draft = None
    if draft.text_choice()["source"] == "own":
        draft.read_own_fields()
    return urlencode(link.written(draft.to_link()) | {"address": _about_next_run(st.query_params.to_dict())})


def remember_first() -> None:
    """Remember the controls before the browser has answered, so that what a person changes meanwhile stays."""
    session().first_draft = session().first_draft or _chosen()


def restore(saved: Any, is_of_this_tab: bool) -> dict[str, str | None]:
    """Restore the draft that the browser has saved, if any. Returns what was lost, as `Session.notes` has it.

    The address has priority, unless the draft was made later, at this same address.
    """
    if not isinstance(saved, str) or len(saved) > _MAX_CHARACTERS or session().first_draft not in (None, _chosen()):
        return {}
    try:
        values = dict(parse_qsl(saved, keep_blank_values=True, max_num_fields=100))
    except ValueError:
        return {}
    arrived = session().arrived
    address, names_only_a_run = _about_next_run(arrived), arrived.keys() & {*_SETTINGS} <= {"run"}
    is_of_here = values.pop("address", None) == address and (is_of_this_tab or names_only_a_run)
    if address and not is_of_here:
        session().linked_draft = _chosen()
        return {}
    return draft.apply_link(link.read(values, is_draft=True))


def is_bare(address: Mapping[str, str]) -> bool:
    """True for an address that names neither a run nor settings."""
    return not _about_next_run(address)


def _chosen() -> link.Link:
    """The values of the controls, without the fields that a reloading browser fills in by itself."""
    return replace(draft.to_link(), own=None, guess=None)


def _about_next_run(address: Mapping[str, str]) -> str:
    """The part of an address that concerns the next run, and the displayed run."""
    return urlencode(sorted((name, value) for name, value in address.items() if name in _SETTINGS))
