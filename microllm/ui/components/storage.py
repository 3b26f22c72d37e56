"""The draft of the settings, kept in the storage of the browser. An invisible component."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from . import declare

KEY = "storage"
_storage = declare(KEY, "<i></i>")


def storage(asked: str, draft: str, is_answered: bool) -> None:
    """Let the browser keep `draft`. First it is asked, under the name `asked`, what it holds already (see `held`).

    If that is another draft, it answers once, and keeps nothing until `is_answered`.
    """
    with st.container(key=f"{KEY}-place"):
        _storage(
            key=KEY,
            data={"asked": asked, "draft": draft, "answered": is_answered},
            default={"held": None},
            on_held_change=lambda: None,
        )


def held(asked: str) -> tuple[str, bool] | None:
    """(the draft that the browser held when it was asked under this name, whether this same tab had kept it).

    None before it answers. The answer is checked, because anybody can send anything.
    """
    reply = st.session_state.get(KEY)
    answer = reply.get("held") if isinstance(reply, Mapping) else None
    if not isinstance(answer, Mapping) or answer.get("asked") != asked or not isinstance(answer.get("draft"), str):
        return None
    return answer["draft"], answer.get("mine") is True
