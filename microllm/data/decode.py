"""Convert a file in any encoding to UTF-8, with a notice if something had to be assumed."""

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
"""The encodings that can be chosen, by Python's name. No other name is passed to `bytes.decode`."""

_BYTE_ORDER_MARKS = (  # longer ones first: that of UTF-32 begins with that of UTF-16
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8"),
)
_SAMPLE_BYTES = 1 << 20
_REPLACED = "\ufffd"


class TextProblem(ValueError):
    """A text cannot be loaded or used. The message tells the user what is wrong, and what to do."""


def encoding_called(name: str) -> str:
    """The key of ENCODINGS for any of an encoding's names, such as "windows-1251". Raises TextProblem."""
    for key in ENCODINGS:
        if _canonical(key) == _canonical(name):
            return key
    raise TextProblem(f"There is no encoding {name[:40]!r}: choose one of {', '.join(ENCODINGS)}.")


def _canonical(name: str) -> str:
    name = name.strip().lower().replace("-", "_").replace(" ", "_")
    name = aliases.get(name, name)
    return "gb18030" if name in ("gbk", "gb2312") else name  # gb18030 contains both


def as_utf8(data: bytes, name: str, encoding: str | None = None) -> tuple[bytes, str | None]:
    """The content of a file called `name` in UTF-8, and a notice if something had to be assumed.

    `encoding`, a key of ENCODINGS, or else a byte-order mark decides. Without either it is UTF-8, UTF-16 or, if neither
    fits, Western European, because the bytes alone do not distinguish 8-bit encodings. A few invalid bytes, as at the
    end of a truncated file, become U+FFFD. Raises TextProblem if there are more.
    """
    if encoding not in (None, *ENCODINGS):
        raise TextProblem(f"{name} cannot be read as {encoding}: choose one of {', '.join(ENCODINGS)}.")
    used = encoding or likely_encoding(data)
    text, bad, where = _decoded(data, used)
    if used == "utf-8" and not bad:
        return data, None
    if bad and not _is_few(data, text, bad, used):
        raise TextProblem(
            f"{name} cannot be read as {used}: {_invalid(bad, where)}. Choose another encoding, or save the file as "
            "UTF-8."
        )
    notices = []
    if not encoding and not _marked(data) and used != "utf-8":
        kind = "UTF-16" if used == "utf-16" else f"Western European ({used})"
        notices.append(
            f"{name} is not UTF-8; it was read as {kind}. If letters look wrong, choose its encoding (on the command "
            "line: --encoding), or save the file as UTF-8."
        )
    if bad:
        notices.append(
            f"{name} was read as {used}, but {_invalid(bad, where)}. Invalid bytes became {_REPLACED} (U+FFFD)."
        )
    return text.encode("utf-8"), " ".join(notices) or None


def _invalid(bad: int, where: str) -> str:
    if bad == 1:
        return f"a byte sequence is invalid, {where}"
    return f"{bad:,} byte sequences are invalid; the first is {where}"


def likely_encoding(data: bytes) -> str:
    """The encoding according to a byte-order mark, or else to the bytes: a key of ENCODINGS, or "utf-32"."""
    if marked := _marked(data):
        return marked
    if _is_utf16(data):
        return "utf-16"
    text, bad, _ = _decoded(data, "utf-8")
    if not bad or _is_nearly_utf8(data, text, bad):
        return "utf-8"
    # five bytes are not valid in cp1252; in Latin-1 every byte is
    return "cp1252" if not _decoded(data, "cp1252")[1] else "latin-1"


def _marked(data: bytes) -> str | None:
    return next((marked for mark, marked in _BYTE_ORDER_MARKS if data.startswith(mark)), None)


def _is_utf16(data: bytes) -> bool:
    """True for UTF-16 without a byte-order mark: in ASCII characters the same one of two bytes is zero."""
    few, many = sorted(_zeros(data))
    sample = data[:_SAMPLE_BYTES]
    return many > max(len(sample) / 100, 2 * few) and _is_few(sample, *_decoded(sample, "utf-16")[:2], "utf-16")


def _zeros(data: bytes) -> tuple[int, int]:
    """The number of zero bytes at even positions (UTF-16 with the high byte first) and at odd ones (low byte first)."""
    sample = data[:_SAMPLE_BYTES]
    return sample[::2].count(0), sample[1::2].count(0)


def _decoded(data: bytes, encoding: str) -> tuple[str, int, str]:
    """The text in `data`, the number of invalid places that became U+FFFD, and where the first one is."""
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
    """True if so few places are invalid that the encoding is still plausible."""
    return 100 * bad <= len(data) or (encoding == "utf-8" and _is_nearly_utf8(data, text, bad))


def _is_nearly_utf8(data: bytes, text: str, bad: int) -> bool:
    """True if there are three times as many UTF-8 continuation bytes as invalid places (not counting a cut-off end).

    In other encodings valid sequences of several bytes rarely occur by chance.
    """
    continuation_bytes = len(data) - len(text) - 2 * data.startswith(codecs.BOM_UTF8)
    return continuation_bytes > 0 and 3 * (bad - text.endswith(_REPLACED)) <= continuation_bytes
