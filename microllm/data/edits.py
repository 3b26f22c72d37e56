"""Edits of a text: one change to what a model reads, to see what that change causes.

An edit changes the training part only and keeps its length, so that all other characters keep their positions. Two runs
with the same seed, one on the text and one on the edited text, then draw the same windows in the same order, and
differ only where a window contains something that was changed.

The exported script of a twin includes this code, so it uses only the standard library.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

from ..corpus import split_at
from ..tokenizer import visible
from .decode import TextProblem

MAX_WORDS_CHARACTERS = 300
"""The length of a word or sentence of an edit, in characters."""

MAX_TIMES = 1_000

MAX_CHARACTERS = 5_000_000
"""The length of a text that can be edited: in one without spaces or sentences an edit takes a second per million."""

_MAX_SHARE = 0.1  # of the training part that sentences may take up
_MIN_CHAPTER_CHARACTERS = 300  # shorter ones are lines of a table of contents
_MAX_CHAPTERS = 2_000  # in a menu
_TENTHS = 10
_MAX_NAMED_CHARACTERS = 12

_HEADING = re.compile(
    r"^[^\S\n]*((?:chapter|chapitre|kapitel|capítulo|capitolo|глава)[^\S\n]+(?:\d{1,4}|[ivxlcdm]{1,15})\b)[^\n]{0,60}$",
    re.MULTILINE | re.IGNORECASE,
)
_TITLES = "".join(rf"(?<!\b{title})" for title in ("Mr", "Mrs", "Dr", "St", "Rev", "Esq"))  # end with a dot
# a run of empty lines matches as a whole, even at the end; otherwise each of its line ends would scan all of it again
_SENTENCE_START = re.compile(rf"""{_TITLES}[.!?]["'”’»_)]*\s+(?=\S)|\n[^\S\n]*+\n\s*+|\A(?=\S)""")
_WORD = re.compile(r"\S+")
_WORD_START = re.compile(r"(?:\s|\A)(?=\S)")


@dataclass(frozen=True)
class Edit:
    """One change to a text: its `kind`, a key of KINDS, and what it is about.

    "rename": two words, the old one and the new one. "leave-out": the number of a chapter, from 1. "repeat" and
    "plant": a sentence, which occurs `times` more often in the edited text.
    """

    kind: str
    words: tuple[str, ...]
    times: int = 1


@dataclass(frozen=True)
class Change:
    """The characters `begin` to `end` of a text become `new`, which has the same length."""

    begin: int
    end: int
    new: str


@dataclass(frozen=True)
class Chapter:
    """A part of a text that can be left out: its heading, and where it begins and ends."""

    heading: str
    begin: int
    end: int


def edited(text: str, edit: Edit) -> str:
    """The edited text, which has the same length. Raises TextProblem as `changes` does."""
    return changed(text, changes(text, edit))


def changed(text: str, by: list[Change]) -> str:
    """The text with some changes made, which are sorted by position."""
    parts, at = [], 0
    for change in by:
        parts += [text[at : change.begin], change.new]
        at = change.end
    return "".join([*parts, text[at:]])


def changes(text: str, edit: Edit) -> list[Change]:
    """What the edit changes, sorted by position, all of it in the training part.

    Raises TextProblem for an edit that is not possible in this text.
    """
    if found := problem(edit) or too_long(len(text)):
        raise TextProblem(found)
    found = KINDS[edit.kind].find(text[: split_at(len(text))], text, edit)
    if all(text[change.begin : change.end] == change.new for change in found):
        raise TextProblem("This changes nothing in the text: it would be the same afterwards.")
    return found


def problem(edit: Edit) -> str:
    """A sentence that says why this edit is impossible in any text; "" if it is possible in some."""
    for words in edit.words:
        if not words.strip():
            return "Write what to change: a field is empty."
        if len(words) > MAX_WORDS_CHARACTERS:
            return f"That is {len(words):,} characters long; the limit is {MAX_WORDS_CHARACTERS}."
    if edit.kind not in KINDS or len(edit.words) != (2 if edit.kind == "rename" else 1):
        return f"There is no such edit: choose one of {', '.join(KINDS)}."
    return ""


def too_long(characters: int) -> str:
    """A sentence if a text of this length cannot be edited; "" if it can."""
    if characters <= MAX_CHARACTERS:
        return ""
    return f"The text has {characters:,} characters; one of at most {MAX_CHARACTERS:,} can be edited for a twin."


def label(edit: Edit, chapters: Sequence[Chapter] = ()) -> str:
    """What is different in the edited text, in a few words. A chapter has its heading if the `chapters` are given."""
    if edit.kind == "rename":
        return f"“{edit.words[0]}” renamed to “{edit.words[1]}”"
    if edit.kind == "leave-out":
        headings = {str(number): chapter.heading for number, chapter in enumerate(chapters, 1)}
        return f"without {headings.get(edit.words[0], f'part {edit.words[0]}')}"
    return f"“{edit.words[0]}” {'repeated' if edit.kind == 'repeat' else 'planted'} {edit.times:,} times"


# ---- a word


def _renamed(train: str, text: str, edit: Edit) -> list[Change]:
    old, new = edit.words
    _check_known(new, text)
    if len(old) != len(new):
        raise TextProblem(
            f"“{new}” has {len(new)} characters and “{old}” has {len(old)}: both need the same number, so that all "
            "other text stays in place."
        )
    if old == new:
        raise TextProblem("The new word is the same as the old one.")
    found = []
    for begin, end in _whole_words(old, train):
        is_as_given = train[begin:end] == old
        other_case = new[0].upper() if train[begin].isupper() else new[0].lower()
        has_one = not is_as_given and len(other_case) == 1  # ß and İ become two characters
        found.append(Change(begin, end, other_case + new[1:] if has_one else new))
    _check_known("".join({change.new[0] for change in found}), text)
    if not found:
        raise TextProblem(f"“{old}” does not occur as a whole word in the part that the model trains on.")
    return found


def _whole_words(word: str, text: str) -> Iterator[tuple[int, int]]:
    """Where a word begins and ends, with no letter, mark or digit beside it, its first letter in either case."""
    firsts = {case for case in (word[0], word[0].upper(), word[0].lower()) if len(case) == 1}
    # str.find is linear; a regular expression can take seconds, in which every other thread waits
    begins = {either: text.find(either) for either in (first + word[1:] for first in sorted(firsts))}
    while begins := {either: begin for either, begin in begins.items() if begin >= 0}:
        begin = min(begins.values())
        end = begin + len(word)
        beside = text[max(0, begin - 1) : begin] + text[end : end + 1]
        is_whole = not any(unicodedata.category(character)[0] in "LMN" for character in beside)
        if is_whole:
            yield begin, end
        at = end if is_whole else begin + 1
        begins = {either: text.find(either, at) if found < at else found for either, found in begins.items()}


def _check_known(words: str, text: str) -> None:
    if unknown := [character for character in dict.fromkeys(words) if character not in text]:
        named = " ".join(map(visible, unknown[:_MAX_NAMED_CHARACTERS]))
        raise TextProblem(f"The text does not contain these characters, so a model of it cannot read them: {named}")


# ---- a chapter


def chapters(text: str) -> list[Chapter]:
    """The chapters that lie entirely in the training part, found by their headings.

    A heading is a line such as "Chapter 12" or "CHAPTER XII.". Without any, or with more than fit into a menu, the
    chapters are ten parts of equal length.
    """
    train = text[: split_at(len(text))]
    headings = [(match.start(), match[1]) for match in _HEADING.finditer(train)]
    ends = [begin for begin, _ in headings[1:]]  # the last one may continue in the held-out part
    found = [
        Chapter(" ".join(heading.split()), begin, end)
        for (begin, heading), end in zip(headings, ends, strict=False)
        if end - begin >= _MIN_CHAPTER_CHARACTERS
    ]
    if 1 < len(found) <= _MAX_CHAPTERS:
        return found
    cuts = [len(train) * number // _TENTHS for number in range(_TENTHS + 1)]
    return [Chapter(f"Part {number} of {_TENTHS}", *cut) for number, cut in enumerate(pairwise(cuts), 1)]


def _left_out(train: str, text: str, edit: Edit) -> list[Change]:
    all_chapters = chapters(text)
    number = int(edit.words[0]) if edit.words[0].isascii() and edit.words[0].isdigit() else 0
    if not 1 <= number <= len(all_chapters):
        raise TextProblem(f"There is no part {edit.words[0]}: this text has parts 1 to {len(all_chapters)}.")
    chapter = all_chapters[number - 1]
    length = chapter.end - chapter.begin
    before, after = train[max(0, chapter.begin - length) : chapter.begin], train[chapter.end :][:length]
    instead = after if len(after) == length else before
    if len(instead) < length:
        raise TextProblem(f"{chapter.heading} cannot be left out: the text beside it is too short to fill the gap.")
    return [Change(chapter.begin, chapter.end, instead)]


# ---- a sentence


def _repeated(train: str, text: str, edit: Edit) -> list[Change]:
    if (found := _sentence(edit.words[0], train)) is None:
        raise TextProblem("This sentence does not occur in the part that the model trains on. To add one, plant it.")
    begin, end = found
    return _spread(train, train[begin:end], edit.times, found)


def _sentence(sentence: str, text: str) -> tuple[int, int] | None:
    """Where a sentence begins and ends first, with any white space between its words; None if it does not occur.

    It is found in the text with single spaces, by str.find, and then by counting words.
    """
    wanted, flat = " ".join(sentence.split()), " ".join(text.split())
    if (at := flat.find(wanted)) < 0:
        return None
    last = at + len(wanted) - 1
    (first_word, first_letter), (last_word, last_letter) = (
        (flat.count(" ", 0, place), place - flat.rfind(" ", 0, place) - 1) for place in (at, last)
    )
    words = islice(_WORD.finditer(text), first_word, last_word + 1)
    starts = [word.start() for word in words]
    return starts[0] + first_letter, starts[-1] + last_letter + 1


def _planted(train: str, text: str, edit: Edit) -> list[Change]:
    _check_known(edit.words[0], text)
    return _spread(train, edit.words[0], edit.times)


def _spread(train: str, sentence: str, times: int, keep: tuple[int, int] = (0, 0)) -> list[Change]:
    """Put the sentence once into each of `times` equal parts of the training part, in place of other characters.

    It replaces whole sentences where some have its length, else words from the start of a sentence, else any words. It
    never replaces the characters `keep` (begin, end).
    """
    length = len(sentence) + 1  # with the space after it, which stays
    fits = int(_MAX_SHARE * len(train)) // length
    if not 1 <= times <= min(fits, MAX_TIMES):
        raise TextProblem(
            f"{times:,} times is not possible: this sentence fits into a tenth of the training part "
            f"{min(fits, MAX_TIMES):,} times."
        )
    sentences = sentence_starts(train)
    words = [match.end() for match in _WORD_START.finditer(train)]
    for places in (sentences, words):
        places.append(len(train))
    choices = [(sentences, sentences), (sentences, words), (words, words)]
    cuts = [len(train) * number // times for number in range(times + 1)]
    found = []
    for low, high in pairwise(cuts):
        fitting = (
            begin
            for begins, ends in choices
            for begin in _between(begins, low, high - length)
            if _between(ends, begin + length, begin + length) and not (begin < keep[1] and keep[0] < begin + length)
        )
        begin = next(fitting, low)
        found.append(Change(begin, begin + len(sentence), sentence))
    return found


def sentence_starts(text: str) -> list[int]:
    """Where sentences begin: after a mark that ends one, after an empty line, and at the beginning of the text."""
    return [match.end() for match in _SENTENCE_START.finditer(text)]


def _between(places: list[int], low: int, high: int) -> list[int]:
    """Those of the sorted places that are from `low` to `high`."""
    return places[bisect_left(places, low) : bisect_right(places, high)]


# ---- all kinds


@dataclass(frozen=True)
class Kind:
    """A kind of edit: what it does, a sentence about it, and `find(training part, whole text, edit)`."""

    title: str
    about: str
    find: Callable[[str, str, Edit], list[Change]]


KINDS = {
    "rename": Kind(
        "Rename a word everywhere",
        "The new word has as many letters as the old one, so that all other text stays in place.",
        _renamed,
    ),
    "leave-out": Kind(
        "Leave a chapter out",
        "A copy of the text beside it fills the gap, so that all other text stays in place.",
        _left_out,
    ),
    "repeat": Kind(
        "Repeat a sentence",
        "Its copies are spread evenly, and each replaces the same number of other characters.",
        _repeated,
    ),
    "plant": Kind(
        "Plant a sentence that is not true",
        "Its copies are spread evenly, and each replaces the same number of other characters.",
        _planted,
    ),
}
