"""The storage of the browser, which keeps a person's owner keys, draft, path and predictions. Invisible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from . import declare

KEY = "storage"
_IN_ADDRESS = ("key", "also")
"""The owner's key in a link from the command line; addresses of earlier versions also had those of other runs."""

_storage = declare(KEY, "<i></i>", shared=("keeping",))


def storage(
    *,
    asked: str | None,
    draft: str | None,
    keep: list[tuple[str, str]],
    drop: list[str],
    done: Sequence[str] = (),
    path: str | None = None,
    predictions: Sequence[tuple[str, str]] = (),
    is_forgetting: bool = False,
) -> None:
    """Make the browser keep some values, and drop the owner keys of the runs in `drop`.

    It keeps `draft` (None: the one that it has), the pairs (id of a run, owner key) in `keep`, the ids of finished
    cards in `done`, what was made on them in `path`, and the pairs (experiment, prediction) in `predictions`. While it
    is `asked`, with another word each time, it answers instead of keeping the draft and the path: see `told`. If it
    `is_forgetting`, it removes everything and reloads the page.
    """
    with st.container(key=f"{KEY}-place"):
        _storage(
            key=KEY,
            data={
                "asked": asked,
                "draft": draft,
                "keep": keep,
                "drop": drop,
                "done": list(done),
                "path": path,
                "predictions": list(predictions),
                "forget": is_forgetting,
            },
            on_told_change=lambda: None,
        )


def has_key(address: Mapping[str, str]) -> bool:
    """True if these query parameters have an owner's key. The component removes it from the address of the browser."""
    return any(name in address for name in _IN_ADDRESS)


def without_key(address: Mapping[str, str]) -> dict[str, str]:
    """These query parameters without an owner's key."""
    return {name: value for name, value in address.items() if name not in _IN_ADDRESS}


def told() -> Mapping[str, Any] | None:
    """What the browser has just answered: `keys` (pairs), `draft`, `mine` (whether this same tab kept the draft),
    `games` (what `guess` let it keep), `done` (ids of cards), `path` (what was made on them), `predictions` (pairs) and
    `refused` (whether the browser keeps nothing). None without an answer.

    It is a trigger, so it arrives once and not with every click. Nothing in it is checked: anybody can send anything.
    """
    reply = st.session_state.get(KEY)
    answer = reply.get("told") if isinstance(reply, Mapping) else None
    return answer if isinstance(answer, Mapping) else None
