"""Read, clean and keep texts."""

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


# Reading. It is done to bytes, before they become a string: one emoji makes a string of 200 MB take 800, so there
# should be one such string and no copies of it.


def _plain(data: bytes) -> bytes:
    """The text without a leading byte-order mark, each line end one LF."""
    return data.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def clean_gutenberg(text: str) -> str:
    """What stands between Project Gutenberg's two markers, stripped, with LF line ends; nothing else is removed.

    Raises TextProblem where a marker is missing, as in a book that broke off.
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
_CONTROLS = re.compile(rb"[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f]")  # less what the log of a terminal holds: \b to \r, escape


def refuse_too_large(size: int, name: str) -> None:
    """Raises TextProblem for a text of more than MAX_TEXT_BYTES, which is called by this `name`."""
    if size > MAX_TEXT_BYTES:
        raise TextProblem(f"{name} is {math.ceil(size / 1e6)} MB; at most {MAX_TEXT_BYTES / 1e6:g} MB can be read.")


def _refuse_binary(data: bytes, name: str) -> None:
    sample = data[:1_000_000]
    if b"\0" in data or len(_CONTROLS.findall(sample)) > 0.05 * len(sample):
        raise TextProblem(f"{name} looks binary (control characters): choose a plain text file, saved as UTF-8.")


def decode_text(data: bytes, name: str, encoding: str | None = None) -> tuple[str, str | None]:
    """The text in a file called `name`, and a notice for the person where something was assumed or left out.

    How it is read with and without an `encoding`, decoding.as_utf8 says. Line ends become LF, a leading byte-order mark
    goes, and of files of Project Gutenberg the books stay. Raises TextProblem for an empty, binary or too large file,
    and for bytes that do not fit the encoding.
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
        text = data.decode("utf-8").strip()  # also of the spaces that only Unicode knows
        where = "outside Project Gutenberg's START and END lines"
        notices.append(f"{characters - len(text):,} characters of {name} stand {where} and were left out.")
        if not is_whole:
            notices.append("A START or END line is missing: a book may have broken off.")
    if not text:
        raise TextProblem(" ".join([f"{name} is empty: choose a file with some text in it.", *notices]))
    if line := boilerplate.mention(data):
        notices.append(
            f"The text still names Project Gutenberg ({line}): delete its licence if it should not be learned."
        )
    return text, " ".join(notices) or None


def read_text_file(path: str | os.PathLike[str], encoding: str | None = None) -> tuple[str, str | None]:
    """The text of a local file and perhaps a notice, as `decode_text` gives them. Raises TextProblem."""
    path = Path(path)
    try:
        if path.is_dir():
            raise TextProblem(f"{path} is a folder: name a text file in it.")
        if not path.is_file():
            raise TextProblem(f"There is no file {path}: check its name and folder.")
        refuse_too_large(path.stat().st_size, path.name)
        data = path.read_bytes()
    except OSError as error:
        raise TextProblem(f"{path} cannot be read: {error.strerror or error}.") from error
    return decode_text(data, path.name, encoding)


def read_standard_input() -> bytes:
    """What standard input has to give, to its end. Raises TextProblem where it is closed or gives too much."""
    try:
        data = sys.stdin.buffer.read(MAX_TEXT_BYTES + 1)
    except (AttributeError, ValueError, OSError) as error:
        raise TextProblem("Standard input is closed: send a text to it, or name a file.") from error
    refuse_too_large(len(data), STANDARD_INPUT)
    return data
