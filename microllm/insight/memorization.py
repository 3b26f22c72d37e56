"""How much of a sample is copied from the training text, and how many of its words are real."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass

import torch

from ..data.store import load_text
from .surprisal import _CUT_BEGINNING, _LONGEST_WORD, _MAY_BE_CUT, _UNSEPARATED, _WORD

_PART = 1 << 16  # fits the processor's cache: bigger ones take twice as long
_ODD = 0x1E3779B97F4A7C15


def words(text: str) -> frozenset[str]:
    """The different words of a text, in small letters. Scripts that do not separate their words have none."""
    return frozenset(map(_folded, filter(_is_separated, set(_words_in(text)))))


def _words_in(text: str) -> list[str]:
    return _WORD.findall(text.replace("_", " "))  # _so_ books print italics


def _is_separated(word: str) -> bool:
    return not _UNSEPARATED.match(word)


def _folded(word: str) -> str:
    """The same for all capitals and compositions of a word, also for the Turkish i with and without its dot."""
    return unicodedata.normalize("NFC", word.casefold().replace("i\u0307", "i").replace("ı", "i"))


def real_words(sample: str, known: str | Collection[str]) -> float | None:
    """The share (0 to 1) of the words of `sample` that occur in the training text; None when it has no whole word.

    `known` is that text or, for many samples, its `words`. Capitals do not count. What touches either end of the sample
    may be a cut word and is left out, and so is what has one or two letters: noise is full of such words. Where most
    letters belong to a script that does not separate its words (Chinese, Thai), there is no share either.
    """
    if isinstance(known, str):
        known = words(known)
    whole = _MAY_BE_CUT.sub("", sample)
    if 2 * len(_UNSEPARATED.findall(whole)) > sum(map(str.isalpha, whole)):
        return None
    found = filter(_is_separated, _words_in(whole))
    found = [_folded(word) for word in found if 2 < sum(map(str.isalpha, word)) <= _LONGEST_WORD]
    return sum(word in known for word in found) / len(found) if found else None


def after_a_cut_word(text: str) -> int:
    """Where the first whole word or line begins in a text that may have been cut anywhere, even within a letter.

    Only a blank or a line end within 20 characters tells; without one it is the first whole letter (0 as a rule).
    """
    return _CUT_BEGINNING.match(text).end()


def longest_copy(sample: str, text: str) -> tuple[int, int, int]:
    """The longest piece of `sample` that stands word for word in `text`: (start, length, place).

    sample[start : start + length] == text[place : place + length]; of several the one that `text` has first. (0, 0, 0)
    when they share no character. Exact; a novel takes a tenth of a second, 50 million characters a few seconds.
    """
    best, wanted = (0, 0, 0), _codes(sample)
    for at in range(0, len(text), _PART):
        part = text[at : at + _PART + len(sample)]  # what begins in this part may end in the next one
        codes = _codes(part)
        while found := _shared(sample, wanted, part, codes, best[1] + 1):
            start, place = found
            length = best[1] + 1
            while start + length < len(sample) and part[place + length : place + length + 1] == sample[start + length]:
                length += 1
            best = (start, length, at + place)
    return best


def _shared(sample: str, wanted: torch.Tensor, part: str, codes: torch.Tensor, length: int) -> tuple[int, int] | None:
    """Where a piece of this length stands in both, (start in `sample`, place in `part`); None when there is none.

    Pieces are compared by a number made of each (Karp and Rabin 1987), and letter by letter where the numbers agree.
    """
    if length > min(len(sample), len(part)):
        return None
    ours, theirs = _numbers(wanted, length), _numbers(codes, length)
    is_likely = torch.zeros(1 << 16, dtype=torch.bool)  # a quick sieve before the exact search
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


def _numbers(codes: torch.Tensor, length: int) -> torch.Tensor:
    """One number for each piece of this length, made from those of its two halves, which may overlap; modulo 2^64."""
    numbers, width = codes * _ODD, 1
    while width < length:
        step = min(width, length - width)
        numbers = numbers[:-step] * (_ODD + 2 * width) + numbers[step:]
        width += step
    return numbers


_PASSAGES_FOR_CHANCE = 9


@dataclass(frozen=True)
class _Copy:
    """The longest piece of a sample that stands in the training text, and the same of passages nobody copied."""

    start: int
    length: int
    piece: str
    around: str
    usual: list[int]


def _find_copy(sha256: str, sample: str) -> _Copy:
    trained, _ = parts(sha256)
    start, length, place = longest_copy(sample, trained)
    return _Copy(
        start,
        length,
        sample[start : start + length],
        trained[max(0, place - 30) : place + length + 30],
        _usual(sha256, len(sample)),
    )


@functools.lru_cache(maxsize=64)
def _usual(sha256: str, length: int) -> list[int]:
    """The longest pieces that passages of the held-out text, as long as the sample, share with the training text."""
    trained, held_out = parts(sha256)
    if len(held_out) < 2 * length:
        return []
    count = min(_PASSAGES_FOR_CHANCE, len(held_out) // length)
    starts = [i * (len(held_out) - length) // (count - 1) for i in range(count)]
    return sorted(longest_copy(held_out[start : start + length], trained)[1] for start in starts)


@functools.lru_cache(maxsize=2)
def parts(sha256: str) -> tuple[str, str]:
    """What of a text is trained on, and what is held out."""
    text = load_text(sha256)
    cut = int(0.9 * len(text))
    return text[:cut], text[cut:]
