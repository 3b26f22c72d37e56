"""Keep each text once, under its SHA-256."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from ..environment import texts_dir
from ..storage import write_atomically
from .decode import TextProblem


def keep_text(text: str) -> str:
    """Keep a text for the runs that learn it; its SHA-256 is its name. Raises OSError on a full or read-only disk."""
    data = text.encode("utf-8", "surrogatepass")
    sha256 = hashlib.sha256(data).hexdigest()
    path = texts_dir() / f"{sha256}.txt"
    if not (path.is_file() and _sha256_of(path) == sha256):  # a damaged copy is healed
        write_atomically(path, data)
    return sha256


def forget_text(sha256: str) -> None:
    """Remove a kept text that no run learns any more."""
    (texts_dir() / f"{sha256}.txt").unlink(missing_ok=True)


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_text(sha256: str) -> str:
    """The very text that `keep_text` kept. Raises TextProblem where it is gone, damaged, or the name is no SHA-256."""
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise TextProblem(f"{sha256!r} names no kept text: 64 hexadecimal digits would.")
    try:
        data = (texts_dir() / f"{sha256}.txt").read_bytes()
    except OSError as error:
        raise TextProblem(f"The text {sha256[:8]}… is not kept here: choose the text again.") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise TextProblem(f"The kept text {sha256[:8]}… is damaged (its SHA-256 differs): choose the text again.")
    return data.decode("utf-8", "surrogatepass")
