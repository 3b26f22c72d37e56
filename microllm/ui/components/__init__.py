"""Our own components for the page: each is a .py, beside the .js and .css that the browser runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

_FOLDER = Path(__file__).parent


def declare(name: str, html: str, shared: tuple[str, ...] = ()):
    """The component with the script `name`.js and the style `name`.css; call the result to show it.

    `shared` names scripts and styles that it has in common with others; they come before its own. `html` is its content
    before the script runs. It has a shadow root, so that no style leaks in or out; the theme's colors are available as
    --st-... variables.
    """
    css, js = (source(name, shared, kind) for kind in ("css", "js"))
    return st.components.v2.component(f"microllm.{name}", html=html, css=css, js=js)


def source(name: str, shared: tuple[str, ...], kind: str) -> str:
    """The whole style ("css") or script ("js") of a component."""
    files = [_FOLDER / f"{part}.{kind}" for part in (*shared, name)]
    return "\n".join(file.read_text("utf-8") for file in files if file.exists())


def reported(key: str, event: str, is_offered: Callable[[Any], bool]) -> Any | None:
    """What the component with this key reports, in the callback of `event`; None if it did not offer that.

    Also None if the component has since disappeared, with a run that was deleted.
    """
    try:
        value = st.session_state[key][event]
        return value if is_offered(value) else None
    except (TypeError, ValueError, KeyError, IndexError):  # of another shape, or from a component that has gone
        return None
