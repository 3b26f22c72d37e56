"""Parts of the page that are ours: each a .py, with the .js and .css that the browser runs beside it."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_FOLDER = Path(__file__).parent


def declare(name: str, html: str):
    """The component whose script and style lie here as `name`.js and `name`.css; call the result to show it.

    `html` is what stands in it before the script runs. It lives in a shadow root, so that no style leaks in or out;
    the theme's colours are there as --st-... variables.
    """
    css, js = ((_FOLDER / f"{name}.{kind}").read_text("utf-8") for kind in ("css", "js"))
    return st.components.v2.component(f"microllm.{name}", html=html, css=css, js=js)
