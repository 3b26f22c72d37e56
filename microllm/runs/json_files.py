"""The small JSON files of a run, run.json and vocab.json: what they may contain, and a cache for reading them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from ..storage import parsed, read_file
from ..tokenizer import MAX_CHARACTERS
from .info import NewerFormat, RunInfo, RunProblem

MAX_JSON_BYTES = 2**17
"""A larger run.json or vocab.json is not read."""

_MAX_REMEMBERED = 10_000
_remembered: dict[str, tuple[tuple[int, int, int], Any]] = {}  # path: (stamp of the file, what `understand` returned)


def read_json(path: str, understand: Callable[[Any], Any]) -> Any:
    """What `understand` returns for a JSON file, a NewerFormat error, or None if it is not valid. Raises OSError.

    A file that did not change is not read again: every page asks several times a second.
    """
    found = os.lstat(path)
    stamp = found.st_mtime_ns, found.st_ino, found.st_size  # a coarse clock gives two writes the same time
    known = _remembered.get(path)
    if known is None or known[0] != stamp:
        known = stamp, _understood(read_file(path, MAX_JSON_BYTES), understand)
        if len(_remembered) >= _MAX_REMEMBERED:
            _remembered.clear()
        _remembered[path] = known
    return known[1]


def _understood(data: bytes, understand: Callable[[Any], Any]) -> Any:
    try:
        return understand(parsed(data))
    except NewerFormat as error:
        return error
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def checked_vocab(data: Any) -> str:
    """The characters that a vocab.json lists. Raises ValueError for none, too many, or a repeated one."""
    if not (isinstance(data, str) and 0 < len(data) <= MAX_CHARACTERS and len({*data}) == len(data)):
        raise ValueError(f"it must be a string of 1 to {MAX_CHARACTERS:,} different characters")
    return data


def checked_json(info: RunInfo) -> str:
    """The content of run.json for `info`, if it can be read back. Raises RunProblem otherwise."""
    try:
        text = json.dumps(asdict(info), indent=1)
        RunInfo.from_json(parsed(text))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunProblem(f"This run cannot be saved: {error}") from error
    if len(text) > MAX_JSON_BYTES:
        raise RunProblem(f"This run cannot be saved: its run.json would be {len(text):,} bytes.")
    return text
