"""Parts of the page that are ours: each a .py, with the .js and .css that the browser runs beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

_FOLDER = Path(__file__).parent


def declare(name: str, html: str, shared: tuple[str, ...] = ()):
    """The component whose script and style lie here as `name`.js and `name`.css; call the result to show it.

    Scripts named in `shared` come before its own: what several components have in common.

    `html` is what stands in it before the script runs. It lives in a shadow root, so that no style leaks in or out;
    the theme's colours are there as --st-... variables.
    """
    css = (_FOLDER / f"{name}.css").read_text("utf-8")
    js = "\n".join((_FOLDER / f"{script}.js").read_text("utf-8") for script in (*shared, name))
    return st.components.v2.component(f"microllm.{name}", html=html, css=css, js=js)


def reported(key: str, event: str, is_offered: Callable[[Any], bool]) -> Any | None:
    """What the component with this key reports, in the callback of `event`; None for what it could not have offered.

    It is None, too, when the component went while its report was on the way, with a run that was deleted.
    """
    try:
        value = st.session_state[key][event]
        return value if is_offered(value) else None
    except (TypeError, ValueError, KeyError, IndexError):  # of another shape, or of a component that is gone
        return None
