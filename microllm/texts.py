"""Which text to learn: the book, one made here, a file or what somebody pasted; whole, turned around or cut short."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import builtin, download
from .config import SHORTEST_TEXT
from .corpus import EXAM_CHARACTERS, Corpus
from .home import texts_dir
from .tokenizer import CharTokenizer


@dataclass(frozen=True)
class Text:
    """A text that is kept under its SHA-256, ready for a run.

    `floor` is what no model can do better than on the held-out part, in nats a character, where that is known exactly.
    `notice` is a sentence for the person when something had to be assumed. `source`, `how` and `first` say how to get
    the same text again, in the command line's words: "book", a built-in text's key, or a file (None: not known).
    """

    name: str
    sha256: str
    characters: int
    floor: float | None = None
    notice: str | None = None
    source: str | None = None
    how: str = "none"
    first: int | None = None

    @property
    def is_own(self) -> bool:
        """True for somebody's own text, whatever was done to it: neither the book nor a built-in text."""
        return self.source != "book" and self.source not in builtin.BUILTIN_TEXTS


def book(progress: Callable[[float], None] | None = None) -> str:
    """*Pride and Prejudice*, from the keep or fetched now. Raises download.TextProblem when it cannot be had."""
    return download.fetch_book(progress)


def prepare(
    content: str,
    name: str,
    *,
    how: str = "none",
    first: int | None = None,
    source: str | None = None,
    notice: str | None = None,
) -> Text:
    """Cut and turn `content` (`how` and `first` as in builtin.transform), keep it, and describe it.

    `source` is "book" or a built-in text's key; without one it is somebody's own text, a file called `name`. (Of a name
    that is no Unicode, as a disk may have one, what is none becomes "?".)

    Raises download.TextProblem for a text that no model could learn from: too short, or too many different characters.
    """
    changed = builtin.transform(content, how, first)
    if len(changed) < SHORTEST_TEXT:
        raise download.TextProblem(
            f"{name} has {len(changed)} characters: too short to learn from. It needs {SHORTEST_TEXT}, better 10,000 "
            "or more."
        )
    label = name.encode("utf-8", "replace").decode()
    if first is not None and first < len(content):
        label += f", first {first:,} characters"
    if how != "none":
        label += f", {builtin.TRANSFORMS[how].label}"
    try:
        CharTokenizer.from_text(changed)
    except ValueError as error:
        raise download.TextProblem(str(error)) from error
    sha256 = download.keep_text(changed)
    floor = _floor(changed, how, source)
    return Text(label, sha256, len(changed), floor, notice, source or f"./{name}", how, first)


def _floor(text: str, how: str, source: str | None) -> float | None:
    if source not in builtin.BUILTIN_TEXTS or how not in ("none", "reversed"):
        return None
    held_out = text[int(0.9 * len(text)) :][:EXAM_CHARACTERS]
    # a chain of chances has the same product from either end
    return builtin.BUILTIN_TEXTS[source].floor(held_out if how == "none" else held_out[::-1])


def choose(source: str, *, how: str = "none", first: int | None = None) -> Text:
    """The text a command line or a link names: "book", a built-in text's key, or the path of a file.

    Raises download.TextProblem.
    """
    if source == "book":
        return prepare(book(), download.BOOK, how=how, first=first, source=source)
    if source in builtin.BUILTIN_TEXTS:
        made = builtin.BUILTIN_TEXTS[source]
        return prepare(made.make(made.length, 0), made.name, how=how, first=first, source=source)
    content, notice = download.read_text_file(Path(source))
    return prepare(content, Path(source).name, how=how, first=first, notice=notice)


def is_kept(text: Text) -> bool:
    """True while the text can be loaded: it has not been deleted with its runs."""
    return (texts_dir() / f"{text.sha256}.txt").is_file()


@functools.lru_cache(maxsize=4)
def load_corpus(sha256: str, vocab: str | None = None) -> Corpus:
    """The kept text as ids, those of its own characters or of `vocab`. Cached: it is encoded once, whoever uses it."""
    return Corpus(download.load_text(sha256), vocab and CharTokenizer(vocab))
