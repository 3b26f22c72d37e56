"""Read a text file and clean it.

Files are cleaned as bytes: one emoji makes a 200 MB string take 800 MB, so there should be only one such string.
"""

from __future__ import annotations

import codecs
import math
import os
import re
import sys
from pathlib import Path

from . import boilerplate
from .decode import TextProblem, as_utf8

MAX_TEXT_BYTES = 200_000_000
STANDARD_INPUT = "standard input"


def _plain(data: bytes) -> bytes:
    """The text without a leading byte-order mark, and with LF line ends."""
    return data.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def clean_gutenberg(text: str) -> str:
    """The text between Project Gutenberg's two markers, stripped, with LF line ends; nothing else is removed.

    Raises TextProblem if a marker is missing, as in an incomplete download.
    """
    books, is_whole = boilerplate.books(_plain(text.encode("utf-8", "surrogatepass")))
    if not (books and is_whole):
        raise TextProblem("Project Gutenberg's START or END line is missing")
    return books[0].decode("utf-8", "surrogatepass").strip()


_BINARY_STARTS = (
    (b"\x89PNG\r\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF-", "a PDF document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"PK\x03\x04", "a ZIP archive, or a Word or EPUB file"),
)
# without \b to \r and escape, which occur in terminal logs
_CONTROLS = re.compile(rb"[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f]")


def refuse_too_large(size: int, name: str) -> None:
    """Raises TextProblem if a text called `name` has more than MAX_TEXT_BYTES."""
    if size > MAX_TEXT_BYTES:
        raise TextProblem(f"{name} is {math.ceil(size / 1e6)} MB; the limit is {MAX_TEXT_BYTES / 1e6:g} MB.")


def _refuse_binary(data: bytes, name: str) -> None:
    sample = data[:1_000_000]
    if b"\0" in data or len(_CONTROLS.findall(sample)) > 0.05 * len(sample):
        raise TextProblem(f"{name} looks binary (control characters): choose a plain text file, saved as UTF-8.")


def decode_text(data: bytes, name: str, encoding: str | None = None) -> tuple[str, str | None]:
    """The text in a file called `name`, and a notice if something was assumed or left out.

    For `encoding` see decode.as_utf8. Line ends become LF, a leading byte-order mark is removed, and of a Project
    Gutenberg file only the books are used. Raises TextProblem for an empty, binary or too large file, and for bytes
    that are not valid in the encoding.
    """
    refuse_too_large(len(data), name)
    for start, kind in _BINARY_STARTS:
        if data.startswith(start):
            raise TextProblem(f"{name} looks binary ({kind}): choose a plain text file.")
    data, notice = as_utf8(data, name, encoding)
    _refuse_binary(data, name)
    data = _plain(data)
    notices = [notice] if notice else []
    books, is_whole = boilerplate.books(data)
    if books is None:
        text = data.decode("utf-8")
    else:
        characters = boilerplate.characters(data)
        data = b"\n\n".join(books)
        text = data.decode("utf-8").strip()  # also strips Unicode spaces
        where = "outside Project Gutenberg's START and END lines"
        notices.append(f"{characters - len(text):,} characters of {name} are {where} and were left out.")
        if not is_whole:
            notices.append("A START or END line is missing: a book may be incomplete.")
    if not text:
        raise TextProblem(" ".join([f"{name} is empty: choose a file with some text in it.", *notices]))
    if line := boilerplate.mention(data):
        notices.append(
            f"The text still mentions Project Gutenberg ({line}): delete the license if the model should not learn it."
        )
    return text, " ".join(notices) or None


def read_text_file(path: str | os.PathLike[str], encoding: str | None = None) -> tuple[str, str | None]:
    """The text of a local file, and a notice or None: see `decode_text`. Raises TextProblem."""
    path = Path(path)
    try:
        if path.is_dir():
            raise TextProblem(f"{path} is a folder: name a text file in it.")
        if not path.is_file():
            if path.exists():
                raise TextProblem(
                    f"{path} is no regular file: copy it into one, or send it to standard input (--text -)."
                )
            raise TextProblem(f"There is no file {path}: check its name and folder.")
        refuse_too_large(path.stat().st_size, path.name)
        data = path.read_bytes()
    except OSError as error:
        raise TextProblem(f"{path} cannot be read: {error.strerror or error}.") from error
    return decode_text(data, path.name, encoding)


def read_standard_input() -> bytes:
    """All of standard input. Raises TextProblem if it is closed or too large."""
    try:
        data = sys.stdin.buffer.read(MAX_TEXT_BYTES + 1)
    except (AttributeError, ValueError, OSError) as error:
        raise TextProblem("Standard input is closed: send a text to it, or name a file with --text.") from error
    refuse_too_large(len(data), STANDARD_INPUT)
    return data
