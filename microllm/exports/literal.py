"""A value as Python source, as a formatter would write it."""

from __future__ import annotations

import sys
from textwrap import indent
from typing import Any

_INDENT = "    "


def literal(value: Any, before: str = "", width: int = 120) -> str:
    """A value as Python source, with double quotes, after `before`, in lines of at most `width` characters.

    A longer list, tuple or dict gets one line per item.
    """
    if isinstance(value, str):
        quoted = repr(value)  # of which nothing is invisible
        return before + (f'"{quoted[1:-1]}"' if quoted[0] == "'" and '"' not in value else quoted)
    if not isinstance(value, list | tuple | dict):
        return before + repr(value)
    start, end = {list: "[]", tuple: "()", dict: "{}"}[type(value)]
    if isinstance(value, dict):
        items = [(f"{literal(key)}: ", item) for key, item in value.items()]
    else:
        items = [("", item) for item in value]
    only = "," if len(items) == 1 and start == "(" else ""
    line = before + start + ", ".join(literal(item, key, sys.maxsize) for key, item in items) + only + end
    if len(line) <= width or not items:
        return line
    below = (literal(item, key, width - len(_INDENT) - len(",")) for key, item in items)
    return "\n".join([before + start, *(indent(f"{item},", _INDENT) for item in below), end])
