"""Read, clean and keep texts."""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import math
import os
import re
from pathlib import Path

from microllm.home import texts_dir, write_atomically

MAX_TEXT_BYTES = 200_000_000


class TextProblem(ValueError):
    """A text cannot be had or used. Its message is for the person: what is wrong, and what would be right."""


# Cleaning. It is done to bytes in UTF-8 or another encoding that holds ASCII as it is, before they become a string:
# one emoji makes a string of 200 MB take 800, so there should be one such string and no copies of it.

_START = re.compile(rb"^[ \t]*\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG EBOOK\b.*$", re.MULTILINE | re.IGNORECASE)
_END = re.compile(rb"^[ \t]*\*\*\* ?END OF (?:THE|THIS) PROJECT GUTENBERG EBOOK\b.*$", re.MULTILINE | re.IGNORECASE)


def _plain(data: bytes) -> bytes:
    """The text without a leading byte-order mark, each line end one LF."""
    return data.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _between_markers(data: bytes) -> bytes | None:
    start = _START.search(data)
    end = start and _END.search(data, start.end())
    return data[start.end() : end.start()].strip() if start and end else None


def clean_gutenberg(text: str) -> str:
    """What stands between Project Gutenberg's two markers, stripped, with LF line ends; nothing else is removed.

    Raises TextProblem where a marker is missing, as in a book that broke off.
    """
    inside = _between_markers(_plain(text.encode("utf-8", "surrogatepass")))
    if inside is None:
        raise TextProblem("Project Gutenberg's START or END line is missing")
    return inside.decode("utf-8", "surrogatepass").strip()


# A person's own text

_BYTE_ORDER_MARKS = (  # the longer first: UTF-32's begins with UTF-16's
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8"),
)
_BINARY_STARTS = (
    (b"\x89PNG\r\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF-", "a PDF document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"PK\x03\x04", "a ZIP archive, or a Word or EPUB file"),
)
_CONTROLS = re.compile(rb"[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f]")  # less what the log of a terminal holds: \b to \r, escape


def _refuse_too_large(size: int, name: str) -> None:
    if size > MAX_TEXT_BYTES:
        raise TextProblem(f"{name} is {math.ceil(size / 1e6)} MB; at most {MAX_TEXT_BYTES / 1e6:g} MB can be read.")


def _refuse_binary(data: bytes, name: str) -> None:
    sample = data[:1_000_000]
    if b"\0" in data or len(_CONTROLS.findall(sample)) > 0.05 * len(sample):
        raise TextProblem(f"{name} looks binary (control characters): choose a plain text file, saved as UTF-8.")


ENCODINGS = {
    "cp1252": "Western European",
    "cp1250": "Central European",
    "cp1251": "Cyrillic (Windows)",
    "koi8_r": "Cyrillic (KOI8-R)",
    "cp1253": "Greek",
    "cp1254": "Turkish",
    "cp1255": "Hebrew",
    "cp1256": "Arabic",
    "shift_jis": "Japanese",
    "gb18030": "Chinese",
    "euc_kr": "Korean",
}
"""What a file that is not Unicode may be written in, by the name that Python gives it."""


def decode_text(data: bytes, name: str, encoding: str | None = None) -> tuple[str, str | None]:
    """The text in a file called `name`, and a notice for the person where its encoding had to be guessed.

    `encoding`, or else a byte-order mark, decides; without both it is UTF-8, or Western European with a notice, since
    the bytes alone cannot tell such an encoding from another. Line ends become LF and a leading byte-order mark goes; a
    file of Project Gutenberg is cleaned like the book. Raises TextProblem for an empty, binary or too large file, and
    for bytes that do not fit `encoding`.
    """
    _refuse_too_large(len(data), name)
    for start, kind in _BINARY_STARTS:
        if data.startswith(start):
            raise TextProblem(f"{name} looks binary ({kind}): choose a plain text file.")
    encoding = encoding or next((marked for mark, marked in _BYTE_ORDER_MARKS if data.startswith(mark)), None)
    if encoding:
        try:
            data = data.decode(encoding).encode("utf-8")
        except (LookupError, ValueError) as error:
            raise TextProblem(f"{name} cannot be read as {encoding}: save it as UTF-8 and choose it again.") from error
    _refuse_binary(data, name)
    data = _plain(data)
    inside = _between_markers(data)
    data = data if inside is None else inside  # and let go of the whole
    text, guess = _decoded(data)
    if inside is not None:
        text = text.strip()  # of the spaces that only Unicode knows
    if not text:
        raise TextProblem(f"{name} is empty: choose a file with some text in it.")
    notice = guess and (
        f"{name} is not UTF-8; it was read as Western European ({guess}). If letters look wrong, save it as UTF-8."
    )
    return text, notice


def _decoded(data: bytes) -> tuple[str, str | None]:
    """The text in `data`, and the encoding that was guessed where it is not UTF-8."""
    with contextlib.suppress(UnicodeDecodeError):
        return data.decode("utf-8"), None
    with contextlib.suppress(UnicodeDecodeError):
        return data.decode("cp1252"), "cp1252"
    return data.decode("latin-1"), "latin-1"  # five bytes mean nothing in cp1252; here every byte is a character


def read_text_file(path: str | os.PathLike[str]) -> tuple[str, str | None]:
    """The text of a local file and perhaps a notice, as `decode_text` gives them. Raises TextProblem."""
    path = Path(path)
    try:
        if path.is_dir():
            raise TextProblem(f"{path} is a folder: name a text file in it.")
        if not path.is_file():
            raise TextProblem(f"There is no file {path}: check its name and folder.")
        _refuse_too_large(path.stat().st_size, path.name)
        data = path.read_bytes()
    except OSError as error:
        raise TextProblem(f"{path} cannot be read: {error.strerror or error}.") from error
    return decode_text(data, path.name)


# Keeping


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
