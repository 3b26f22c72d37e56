"""Parts of the page that are ours: each a .py, with the .js and .css that the browser runs beside it."""

from __future__ import annotations

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


def told(key: str, event: str) -> Any | None:
    """What the component with this key tells, in the callback of `event`; None when it tells nothing.

    So it is, too, when the component has gone meanwhile, with a run that was deleted: what it said was on its way.
    """
    said = st.session_state.get(key)
    return None if said is None else said[event]
