"""What the exported HTML files share: each is a single file that loads nothing else, and escapes all user text."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from ..plots.loss_svg import loss_svg
from ..plots.palette import PALETTE
from ..runs.run import Run
from .origin import origin

CHEATS = (
    "This model was trained without a causal mask: at each position it sees the very character that it should predict. "
    "So a low loss only means that it copies well."
)
"""The note about the losses of such a run. They are not compared with those of simple counting."""

_FOLDER = Path(__file__).parent


def document(name: str, title: str, scripts: dict[str, str], /, **values: str) -> str:
    """A file with this title, its styles, and `name`.html as its body, with `values` (HTML) in the places of that name.

    `scripts` has the JavaScript file for each place. The content security policy allows only what is in the file: it
    can load no address and run no other script.
    """
    style = _colors() + source("style.css") + source(f"{name}.css")
    code = {place: source(file) for place, file in scripts.items()}
    policy = [
        "default-src 'none'",
        f"script-src {' '.join(map(_hash, code.values()))} 'unsafe-eval'",  # browser tests that wait use eval
        "style-src 'unsafe-inline'",  # copies of a lab sheet have style attributes, which are harmless
        "font-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    body = Template(source(f"{name}.html")).substitute(**code, **values)
    return Template(source("document.html")).substitute(
        policy="; ".join(policy), title=escaped(title), style=style, body=body
    )


def source(file: str) -> str:
    """The text of a file beside this one."""
    return (_FOLDER / file).read_text("utf-8")


def escaped(text: str) -> str:
    """User text as HTML that shows it unchanged."""
    return escape(text.encode("utf-8", "replace").decode())


def named(text: str) -> str:
    """A name inside a sentence, isolated so that right-to-left letters do not reorder the words around it."""
    return f"<bdi>{escaped(text)}</bdi>"


def data(content: Any) -> str:
    """JSON for a <script> element, in ASCII and without <, so that nothing in it can end the element."""
    return json.dumps(content, sort_keys=True, separators=(",", ":")).replace("<", "\\u003c")


def terms(rows: Sequence[tuple[str, str]]) -> str:
    """Rows (term, HTML) for a <dl>."""
    return "".join(f"<dt>{escaped(term)}</dt><dd>{what}</dd>" for term, what in rows)


def figure(run: Run, step: int) -> str:
    """The loss curve of a run up to `step` with its caption, as HTML."""
    info, words = run.read_info(), CHEATS
    if info.model.causal:
        words = (
            "The lower the loss, the better it predicts. Where the curve falls below a dashed line, it predicts better "
            "than counting does."
        )
    curve = loss_svg(run.history.read(), info.references if info.model.causal else {}, step)
    return f"<figure>{curve}<figcaption>{words}</figcaption></figure>"


def colophon(run: Run, step: int) -> str:
    """Where a file comes from, as HTML."""
    return origin(run, step).sentences(named, escaped)


def _colors() -> str:
    light, dark = ("".join(f"--{name}:{color};" for name, color in PALETTE[mode].items()) for mode in ("light", "dark"))
    return f":root{{{light}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
