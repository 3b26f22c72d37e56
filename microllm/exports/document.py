"""What the exported HTML files share: one file that loads nothing, in which no text of a person is markup."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from .. import __version__
from ..data.texts import Text
from ..plots.palette import PALETTE
from ..runs.run import Run

_FOLDER = Path(__file__).parent


def document(name: str, scripts: dict[str, str], /, **values: str) -> str:
    """The file `name`.html with its styles and scripts inside, and `values` (HTML) in the places that are named so.

    `scripts` has the JavaScript file for each place. The policy in the file allows nothing but what is in it: no
    address can be loaded, and no script runs but those.
    """
    style = _colors() + source("style.css") + source(f"{name}.css")
    code = {place: source(file) for place, file in scripts.items()}
    policy = [
        "default-src 'none'",
        f"script-src {' '.join(map(_hash, code.values()))} 'unsafe-eval'",  # browser tests that wait use eval
        "style-src 'unsafe-inline'",  # a style attribute, which copies of a lab sheet have, is no danger
        "font-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    return Template(source(f"{name}.html")).substitute(policy="; ".join(policy), style=style, **code, **values)


def source(file: str) -> str:
    """The text of a file beside this one."""
    return (_FOLDER / file).read_text("utf-8")


def escaped(text: str) -> str:
    """Text of a person as HTML that shows it as it is."""
    return escape(text.encode("utf-8", "replace").decode())


def named(text: str) -> str:
    """A name in the middle of a sentence: letters that run from right to left do not reorder the words around it."""
    return f"<bdi>{escaped(text)}</bdi>"


def data(content: Any) -> str:
    """JSON for a <script> element: in ASCII and without <, so that nothing in it ends the element."""
    return json.dumps(content, sort_keys=True, separators=(",", ":")).replace("<", "\\u003c")


def terms(rows: Sequence[tuple[str, str]]) -> str:
    """Rows (term, HTML) for a <dl>."""
    return "".join(f"<dt>{escaped(term)}</dt><dd>{what}</dd>" for term, what in rows)


def origin(run: Run, step: int) -> str:
    """A sentence (HTML): which run, step, version and text a file came from.

    The SHA-256 of the text that a private parent learned is left out, because it gives access to that text.
    """
    info = run.read_info()
    name = named(info.name) + ("" if info.id == info.name else f" ({info.id})")
    started = datetime.fromtimestamp(info.created, UTC)
    texts = [f"Its text: {_text(info.text)}"]
    if info.parent:
        texts.append(f"It began with the weights of {named(info.parent.name)} at step {info.parent.step:,}")
    if info.old_text:
        texts[-1] += f", which had learned {_text(info.old_text, is_private=info.has_private_parent)}"
    return (
        f"From run {name}, started on {started:%Y-%m-%d}, at step {step:,}. {'. '.join(texts)}. No text that it "
        f"learned is in this file. Made with MicroLLM {__version__}."
    )


def _text(text: Text, *, is_private: bool = False) -> str:
    sha256 = "" if is_private else f", SHA-256 <code>{text.sha256}</code>"
    return f"{named(text.name)}, {text.characters:,} characters{sha256}"


def _colors() -> str:
    light, dark = ("".join(f"--{name}:{color};" for name, color in PALETTE[mode].items()) for mode in ("light", "dark"))
    return f":root{{{light}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}\n"


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
