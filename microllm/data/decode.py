"""Bytes that somebody wrote somewhere -> UTF-8, with a sentence where something had to be assumed."""

from __future__ import annotations

import codecs
from encodings.aliases import aliases

ENCODINGS = {
    "utf-8": "Unicode (UTF-8)",
    "utf-16": "Unicode (UTF-16)",
    "cp1252": "Western European",
    "latin-1": "Western European (Latin-1)",
    "cp1250": "Central European",
    "cp1251": "Cyrillic (Windows)",
    "koi8_r": "Cyrillic (KOI8-R)",
    "cp1253": "Greek",
    "cp1254": "Turkish",
    "cp1255": "Hebrew",
    "cp1256": "Arabic",
    "shift_jis": "Japanese",
    "gb18030": "Chinese",
    "big5": "Chinese (Big5)",
    "euc_kr": "Korean",
}
"""What a file may be written in, by the name that Python gives it. No other name reaches `bytes.decode`."""

_BYTE_ORDER_MARKS = (  # the longer first: UTF-32's begins with UTF-16's
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8"),
)
_SAMPLE = 1 << 20  # bytes
_REPLACED = "\ufffd"


class TextProblem(ValueError):
    """A text cannot be had or used. Its message is for the person: what is wrong, and what would be right."""


def encoding_called(name: str) -> str:
    """The key of ENCODINGS for any of an encoding's names, such as "windows-1251". Raises TextProblem."""
    for key in ENCODINGS:
        if _canonical(key) == _canonical(name):
            return key
    raise TextProblem(f"No encoding called {name[:40]!r} can be read here; choose one of: {', '.join(ENCODINGS)}.")


def _canonical(name: str) -> str:
    name = name.strip().lower().replace("-", "_").replace(" ", "_")
    name = aliases.get(name, name)
    return "gb18030" if name in ("gbk", "gb2312") else name  # which hold a part of its characters


def as_utf8(data: bytes, name: str, encoding: str | None = None) -> tuple[bytes, str | None]:
    """The text in a file called `name`, in UTF-8, and a notice for the person where something had to be assumed.

    `encoding`, a key of ENCODINGS, or else a byte-order mark decides. Without both it is UTF-8, or UTF-16, or else
    Western European, since the bytes alone cannot tell such an encoding from another. A few places that do not fit, as
    where a file broke off in the middle of a character, become U+FFFD. Raises TextProblem where more do not fit.
    """
    if encoding not in (None, *ENCODINGS):
        raise TextProblem(f"{name} cannot be read as {encoding}: choose one of {', '.join(ENCODINGS)}.")
    used = encoding or likely_encoding(data)
    text, bad, where = _decoded(data, used)
    if used == "utf-8" and not bad:
        return data, None
    if bad and not _is_few(data, text, bad, used):
        raise TextProblem(
            f"{name} cannot be read as {used}: {bad:,} places in it do not fit, the first {where}. Choose another "
            "encoding, or save it as UTF-8."
        )
    notices = []
    if not encoding and not _marked(data) and used != "utf-8":
        kind = "UTF-16" if used == "utf-16" else f"Western European ({used})"
        notices.append(
            f"{name} is not UTF-8; it was read as {kind}. If letters look wrong, choose its encoding (on the command "
            "line with --encoding), or save it as UTF-8."
        )
    if bad:
        places = "A place" if bad == 1 else f"{bad:,} places"
        first = where if bad == 1 else f"the first {where}"
        notices.append(f"{places} in {name} cannot be read as {used} and became {_REPLACED} (U+FFFD): {first}.")
    return text.encode("utf-8"), " ".join(notices) or None


def likely_encoding(data: bytes) -> str:
    """What its byte-order mark says, or else the bytes themselves: a key of ENCODINGS, or "utf-32"."""
    if marked := _marked(data):
        return marked
    if _is_utf16(data):
        return "utf-16"
    text, bad, _ = _decoded(data, "utf-8")
    if not bad or _is_nearly_utf8(data, text, bad):
        return "utf-8"
    # five bytes mean nothing in cp1252; in Latin-1 every byte is a character
    return "cp1252" if not _decoded(data, "cp1252")[1] else "latin-1"


def _marked(data: bytes) -> str | None:
    return next((marked for mark, marked in _BYTE_ORDER_MARKS if data.startswith(mark)), None)


def _is_utf16(data: bytes) -> bool:
    """True for UTF-16 without a byte-order mark: of each space and line end in it, the same half is zero."""
    few, many = sorted(_zeros(data))
    sample = data[:_SAMPLE]
    return many > max(len(sample) / 100, 2 * few) and _is_few(sample, *_decoded(sample, "utf-16")[:2], "utf-16")


def _zeros(data: bytes) -> tuple[int, int]:
    """How many bytes are zero at even and at odd places: in UTF-16 with the high byte first, and with the low one."""
    sample = data[:_SAMPLE]
    return sample[::2].count(0), sample[1::2].count(0)


def _decoded(data: bytes, encoding: str) -> tuple[str, int, str]:
    """The text in `data`, how many places in it became U+FFFD because they do not fit, and where the first is."""
    if encoding == "utf-16" and not data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        high_first, low_first = _zeros(data)
        encoding = "utf-16-be" if high_first > low_first else "utf-16-le"
    try:
        return data.decode(encoding), 0, ""
    except UnicodeDecodeError as error:
        text = data.decode(encoding, "replace")
        meant = data.count(_REPLACED.encode()) if encoding == "utf-8" else 0
        before = data[: error.start].decode(encoding, "replace").replace("\r\n", "\n").replace("\r", "\n")
        before = before.removeprefix("\ufeff")
        where = f"in line {before.count(chr(10)) + 1:,} at character {len(before) - before.rfind(chr(10)):,}"
        return text, text.count(_REPLACED) - meant, where


def _is_few(data: bytes, text: str, bad: int, encoding: str) -> bool:
    """True where so few places do not fit that the encoding is right all the same."""
    return 100 * bad <= len(data) or (encoding == "utf-8" and _is_nearly_utf8(data, text, bad))


def _is_nearly_utf8(data: bytes, text: str, bad: int) -> bool:
    """True where the bytes after the first of each character far outnumber the bad places, but for a cut at the end.

    Other encodings hardly ever have a character of several bytes in UTF-8 by chance.
    """
    further = len(data) - len(text) - 2 * data.startswith(codecs.BOM_UTF8)
    return further > 0 and 3 * (bad - text.endswith(_REPLACED)) <= further
