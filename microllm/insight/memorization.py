"""Memorization: how much of a sample is copied from the text, and how many of its words are real or its lines new."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import regex
import torch

from ..corpus import split_at
from ..data.store import load_text

_MAX_WORD_LETTERS = 40  # anything longer is a DNA sequence, a key or a line without spaces

# Word boundaries (UAX 29) and line breaks (UAX 14) as Unicode defines them. Some scripts do not separate words: Thai,
# Lao, Khmer, Burmese (SA), Chinese, Japanese (ID, CJ), Balinese, Javanese (AK, AS), Tibetan.
_WORD = regex.compile(r"(?V1w)\b\p{L}.*?\b")
_UNSEPARATED = regex.compile(r"(?V1)[[\p{LB=SA}\p{LB=ID}\p{LB=CJ}\p{LB=AK}\p{LB=AS}\p{Tibetan}]&&\p{L}]")
_MAY_BE_CUT = regex.compile(r"(?V1)^[\P{WB=Other}--\s]++|[\P{WB=Other}--\s]++$")
_CUT_BEGINNING = regex.compile(r"\S{0,20}\s+|[\p{M}\p{Cf}]*+")

_MIN_LIST_LINES = 20
_MIN_ENTRY_SHARE = 0.9
_MAX_ENTRY_WORDS = 3
_MAX_ENTRY_CHARACTERS = 30
_MAX_LIST_CHARACTERS = 10_000_000  # the set of its lines takes up to ten times as many bytes
_SHAPE_CHARACTERS = 100_000  # the beginning of a text shows whether it is a list

_PART_CHARACTERS = 1 << 16  # fits the processor's cache: larger parts take twice as long
_HASH_FACTOR = 0x1E3779B97F4A7C15  # odd, so that no information is lost modulo 2^64
_PASSAGES_TO_COMPARE = 9


# ---- real words


def words(text: str) -> frozenset[str]:
    """The different words of a text, in lower case. Words of scripts that do not separate them are left out."""
    return frozenset(map(_folded, filter(_is_separated, set(_words_in(text)))))


def _words_in(text: str) -> list[str]:
    return _WORD.findall(text.replace("_", " "))  # Gutenberg writes italics as _so_


def _is_separated(word: str) -> bool:
    return not _UNSEPARATED.match(word)


def _folded(word: str) -> str:
    """A word normalized in case, in composition (NFC), and in the Turkish i with or without a dot."""
    return unicodedata.normalize("NFC", word.casefold().replace("i\u0307", "i").replace("ı", "i"))


def real_words(sample: str, known: str | Collection[str]) -> float | None:
    """The share (0 to 1) of the words of `sample` that occur in the training text; None when it has no whole word.

    `known` is that text or its `words` (faster for many samples). Case is ignored. Words that touch either end of the
    sample may be cut off and are left out, and so are words of one or two letters, because noise is full of them. Also
    None if most letters belong to a script that does not separate words (Chinese, Thai).
    """
    if isinstance(known, str):
        known = words(known)
    whole = _MAY_BE_CUT.sub("", sample)
    if 2 * len(_UNSEPARATED.findall(whole)) > sum(map(str.isalpha, whole)):
        return None
    found = filter(_is_separated, _words_in(whole))
    found = [_folded(word) for word in found if 2 < sum(map(str.isalpha, word)) <= _MAX_WORD_LETTERS]
    return sum(word in known for word in found) / len(found) if found else None


def after_a_cut_word(text: str) -> int:
    """Where the first whole word or line begins in a text that may have been cut anywhere, even inside a letter.

    That is after a space or line end in the first 20 characters; without one, at the first whole letter (usually 0).
    """
    return _CUT_BEGINNING.match(text).end()


# ---- new lines of a list


def is_list(text: str) -> bool:
    """True for a list of names, places or words: 20 lines or more, of which at least 90 % are entries.

    An entry has one to three words, and at most 30 characters; an empty line, as between paragraphs, is not an entry.
    """
    lines = text.strip("\n").split("\n")
    return len(lines) >= _MIN_LIST_LINES and sum(map(_is_entry, lines)) >= _MIN_ENTRY_SHARE * len(lines)


def _is_entry(line: str) -> bool:
    return len(line) <= _MAX_ENTRY_CHARACTERS and 1 <= len(line.split()) <= _MAX_ENTRY_WORDS


@functools.lru_cache(maxsize=8)
def lines_of_list(sha256: str) -> frozenset[str] | None:
    """All lines of a stored text, including those of its held-out part, if it is a list; else None.

    Also None for a list of more than 10 million characters. Raises TextProblem.
    """
    text = load_text(sha256)
    is_short = len(text) <= _MAX_LIST_CHARACTERS
    return frozenset(text.split("\n")) if is_short and is_list(text[:_SHAPE_CHARACTERS]) else None


def new_lines(samples: Iterable[tuple[str, str]], known: Collection[str]) -> tuple[int, int]:
    """The number of different lines in the samples that are not `known`, and of all different lines.

    A sample is (prompt, what was written after it). The line that the prompt began counts. Earlier lines of the prompt
    do not, nor does the last line of the sample, which may be cut off.
    """
    found: set[str] = set()
    for prompt, written in samples:
        begun = prompt[prompt.rfind("\n") + 1 :]
        found.update((begun + written).split("\n")[:-1])
    found.discard("")
    return len(found.difference(known)), len(found)


# ---- copies


def longest_copy(sample: str, text: str) -> tuple[int, int, int]:
    """The longest piece of `sample` that occurs verbatim in `text`: (start, length, place).

    sample[start : start + length] == text[place : place + length]; of equally long pieces, the first in `text`.
    (0, 0, 0) if they share no character. Exact; a novel takes 0.1 seconds, 50 million characters a few seconds.
    """
    best, wanted = (0, 0, 0), _codes(sample)
    for at in range(0, len(text), _PART_CHARACTERS):
        part = text[at : at + _PART_CHARACTERS + len(sample)]  # a piece may end in the next part
        codes = _codes(part)
        while found := _find_piece(sample, wanted, part, codes, best[1] + 1):
            start, place = found
            length = best[1] + 1
            while start + length < len(sample) and part[place + length : place + length + 1] == sample[start + length]:
                length += 1
            best = (start, length, at + place)
    return best


def _find_piece(
    sample: str, wanted: torch.Tensor, part: str, codes: torch.Tensor, length: int
) -> tuple[int, int] | None:
    """A piece of this length that occurs in both, as (start in `sample`, place in `part`); None if there is none.

    Compares a hash of each piece (Karp and Rabin 1987), and the letters where the hashes agree.
    """
    if length > min(len(sample), len(part)):
        return None
    ours, theirs = _hashes(wanted, length), _hashes(codes, length)
    is_likely = torch.zeros(1 << 16, dtype=torch.bool)  # a quick filter before the exact search
    is_likely[ours >> 48 & 0xFFFF] = True
    places = is_likely[theirs >> 48 & 0xFFFF].nonzero()[:, 0]
    places = places[torch.isin(theirs[places], ours)]
    for place in places.tolist():
        for start in (ours == theirs[place]).nonzero()[:, 0].tolist():
            if sample.startswith(part[place : place + length], start):
                return start, place
    return None


def _codes(text: str) -> torch.Tensor:
    """The code points of a text (N,), as int64."""
    data = bytearray(text.encode("utf-32-le", "surrogatepass"))
    return torch.frombuffer(data, dtype=torch.int32).long() if data else torch.zeros(0, dtype=torch.long)


def _hashes(codes: torch.Tensor, length: int) -> torch.Tensor:
    """A hash of each piece of this length (N - length + 1,), from those of its two halves, which may overlap."""
    hashes, width = codes * _HASH_FACTOR, 1
    while width < length:
        step = min(width, length - width)
        hashes = hashes[:-step] * (_HASH_FACTOR + 2 * width) + hashes[step:]
        width += step
    return hashes


@dataclass(frozen=True)
class Copy:
    """The longest piece of a sample that occurs in the training text: sample[start : start + length]."""

    start: int
    length: int
    piece: str
    usual: list[int]
    """The lengths of such pieces for held-out passages of the same length, sorted; empty for a short text."""


def find_copy(sha256: str, sample: str) -> Copy:
    """What a sample copied from the training part of a stored text, and how much to expect by chance."""
    train_text, _ = parts(sha256)
    start, length, _ = longest_copy(sample, train_text)
    return Copy(start, length, sample[start : start + length], _usual(sha256, len(sample)))


@functools.lru_cache(maxsize=64)
def _usual(sha256: str, length: int) -> list[int]:
    """The lengths of the longest pieces that held-out passages of `length` characters share with the training text."""
    train_text, val_text = parts(sha256)
    if len(val_text) < 2 * length:
        return []
    count = min(_PASSAGES_TO_COMPARE, len(val_text) // length)
    starts = [i * (len(val_text) - length) // (count - 1) for i in range(count)]
    return sorted(longest_copy(val_text[start : start + length], train_text)[1] for start in starts)


@functools.lru_cache(maxsize=2)
def parts(sha256: str) -> tuple[str, str]:
    """The training part and the held-out part of a stored text."""
    text = load_text(sha256)
    cut = split_at(len(text))
    return text[:cut], text[cut:]
