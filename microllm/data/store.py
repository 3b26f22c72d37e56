"""Stores each text once, under its SHA-256."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from ..environment import texts_dir
from ..storage import read_file, write_atomically
from .decode import TextProblem
from .files import MAX_TEXT_BYTES

_MAX_STORED_BYTES = 4 * MAX_TEXT_BYTES  # a byte of a file can become four of UTF-8


def keep_text(text: str) -> str:
    """Store a text; return its SHA-256, under which it is stored. Raises OSError on a full or read-only disk."""
    data = _encoded(text)
    sha256 = hashlib.sha256(data).hexdigest()
    path = texts_dir() / f"{sha256}.txt"
    if path.is_file() and _sha256_of_file(path) == sha256:
        path.touch()  # the oldest texts that no run needs are deleted first
    else:
        write_atomically(path, data)
    return sha256


def sha256_of(text: str) -> str:
    """The SHA-256 under which a text is stored."""
    return hashlib.sha256(_encoded(text)).hexdigest()


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def forget_text(sha256: str) -> None:
    """Delete a stored text that no run needs."""
    (texts_dir() / f"{sha256}.txt").unlink(missing_ok=True)


def _sha256_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_text(sha256: str) -> str:
    """The stored text. Raises TextProblem if it is missing or damaged, or if `sha256` is not one."""
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise TextProblem(f"{sha256!r} is not the SHA-256 of a text: it must have 64 hexadecimal digits.")
    try:
        data = read_file(texts_dir() / f"{sha256}.txt", _MAX_STORED_BYTES)
    except OSError as error:
        raise TextProblem(f"The text {sha256[:8]}… is not stored here: choose the text again.") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise TextProblem(f"The stored text {sha256[:8]}… is damaged (its SHA-256 differs): choose the text again.")
    return data.decode("utf-8", "surrogatepass")
