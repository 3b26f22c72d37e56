"""Which text to learn: the book, one made here, a file or what somebody pasted; whole, turned around or cut short."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..config import SHORTEST_TEXT
from ..corpus import EVAL_CHARACTERS, Corpus
from ..environment import texts_dir
from ..tokenizer import CharTokenizer
from . import builtin, files, gutenberg, store
from .decode import encoding_called

PASTED = "Pasted text"
"""What a text is called that is no file, but was pasted."""


@dataclass(frozen=True)
class Text:
    """A text that is kept under its SHA-256, ready for a run.

    `floor` is what no model can do better than on the held-out part, in nats a character, where that is known exactly.
    `notice` is a sentence for the person when something had to be assumed. `source`, `how` and `first` say how to get
    the same text again, in the command line's words: "book", a built-in text's key, a file, "-" for standard input, or
    several of them with a NUL between, which no path contains (None: not known). `encoding` is that of the files, where
    a person chose it.
    """

    name: str
    sha256: str
    characters: int
    floor: float | None = None
    notice: str | None = None
    source: str | None = None
    how: str = "none"
    first: int | None = None
    encoding: str | None = None

    @property
    def sources(self) -> list[str]:
        """What `source` names."""
        return self.source.split("\0") if self.source else []

    @property
    def is_own(self) -> bool:
        """True for somebody's own text, whatever was done to it: neither the book nor a built-in text."""
        return self.source != "book" and self.source not in builtin.BUILTIN_TEXTS


def book(progress: Callable[[float], None] | None = None, cancelled: threading.Event | None = None) -> str:
    """*Pride and Prejudice*, from the keep or fetched now. Raises TextProblem when it cannot be had, and soon
    after `cancelled` is set. `progress` gets the share done, growing to 1."""
    return gutenberg.fetch_book(progress, cancelled=cancelled)


def prepare(
    content: str,
    name: str,
    *,
    how: str = "none",
    first: int | None = None,
    source: str | None = None,
    notice: str | None = None,
    encoding: str | None = None,
) -> Text:
    """Cut and turn `content` (`how` and `first` as in builtin.transform), keep it, and describe it.

    `source` and `encoding` are as in Text; without a `source` it is somebody's own text, a file called `name`. (Of a
    name that is no Unicode, as a disk may have one, what is none becomes "?".)

    Raises TextProblem for a text that no model could learn from: too short, or too many different characters.
    """
    name, notice = _in_unicode(name), notice and _in_unicode(notice)
    if first is not None and first >= len(content):  # all of it, however large the number
        first = None
    changed = builtin.transform(content, how, first)
    if len(changed) < SHORTEST_TEXT:
        raise files.TextProblem(
            f"{name} has {len(changed)} characters: too short to learn from. It needs {SHORTEST_TEXT}, better 10,000 "
            "or more."
        )
    label = name
    if first is not None:
        label += f", first {first:,} characters"
    if how != "none":
        label += f", {builtin.TRANSFORMS[how].label}"
    try:
        CharTokenizer.from_text(changed)
    except ValueError as error:
        raise files.TextProblem(str(error)) from error
    sha256 = store.keep_text(changed)
    floor = _floor(changed, how, source)
    source = _spelled(source or f"./{name}")
    return Text(label, sha256, len(changed), floor, notice and _spelled(notice), source, how, first, encoding)


def _spelled(words: str) -> str:
    """The words with "?" for what is not Unicode, as a file's name on a disk may have it."""
    return words.encode("utf-8", "replace").decode()


def _in_unicode(said: str) -> str:
    return said.encode("utf-8", "replace").decode()


def _floor(text: str, how: str, source: str | None) -> float | None:
    if source not in builtin.BUILTIN_TEXTS or how not in ("none", "reversed"):
        return None
    held_out = text[int(0.9 * len(text)) :][:EVAL_CHARACTERS]
    # a chain of chances has the same product from either end
    return builtin.BUILTIN_TEXTS[source].floor(held_out if how == "none" else held_out[::-1])


def choose(*sources: str, how: str = "none", first: int | None = None, encoding: str | None = None) -> Text:
    """The text a command line names: "book", a built-in text's key, the path of a file, or "-" for standard input.

    Several are joined in their order, each from a new line. `encoding` is any name of what the files are written in.
    Raises TextProblem.
    """
    if encoding is not None:
        encoding = encoding_called(encoding)
        if all(source == "book" or source in builtin.BUILTIN_TEXTS for source in sources):
            raise files.TextProblem("An encoding is that of a file: name the file as well.")
    parts, size = [], 0
    for source in sources:
        part = _part(source, encoding)
        size += part.size
        files.refuse_too_large(size, "What these files hold")
        parts.append(part)
    *before, last = (part.content for part in parts)
    return prepare(
        "".join([*(it if it.endswith("\n") else it + "\n" for it in before), last]),
        parts[0].name if len(parts) == 1 else f"{parts[0].name} and {len(parts) - 1} more",
        how=how,
        first=first,
        source="\0".join(part.source for part in parts),
        notice=" ".join(part.notice for part in parts if part.notice) or None,
        encoding=encoding,
    )


class _Part(NamedTuple):
    """What one word after `--text` stands for; `source` as in Text, `size` in bytes of a file."""

    content: str
    name: str
    source: str
    notice: str | None = None
    size: int = 0


def _part(source: str, encoding: str | None) -> _Part:
    if source == "book":
        return _Part(book(), gutenberg.BOOK, source)
    if source in builtin.BUILTIN_TEXTS:
        made = builtin.BUILTIN_TEXTS[source]
        return _Part(made.make(made.length, 0), made.name, source)
    if source == "-":
        data = files.read_standard_input()
        content, notice = files.decode_text(data, files.STANDARD_INPUT, encoding)
        return _Part(content, files.STANDARD_INPUT, source, notice, len(data))
    path = Path(source)
    content, notice = files.read_text_file(path, encoding)
    return _Part(content, path.name, f"./{path.name}", notice, path.stat().st_size)


def made_here(key: str, *, how: str = "none", first: int | None = None) -> Text:
    """The built-in text with this key. It reads no file, whatever the key: paths belong to the command line.

    Raises KeyError for a key that is not in BUILTIN_TEXTS, TextProblem.
    """
    made = builtin.BUILTIN_TEXTS[key]
    return prepare(made.make(made.length, 0), made.name, how=how, first=first, source=key)


def is_kept(text: Text) -> bool:
    """True while the text can be loaded: it has not been deleted with its runs."""
    return (texts_dir() / f"{text.sha256}.txt").is_file()


class _Corpora:
    """Texts as ids. What is in use is shared; of what nobody uses, the newest stay, as far as there is room."""

    most_idle = 100_000_000
    """Bytes of ids that may stay with nobody using them; the newest stays however large it is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: weakref.WeakValueDictionary[tuple[str, str | None], Corpus] = weakref.WeakValueDictionary()
        self._newest: dict[tuple[str, str | None], Corpus] = {}

    def __call__(self, sha256: str, vocab: str | None = None) -> Corpus:
        """The kept text as ids, those of its own characters or of `vocab`: encoded once, whoever uses it.

        Raises TextProblem.
        """
        key = sha256, vocab
        corpus = self._used.get(key)
        if corpus is None:
            corpus = Corpus(store.load_text(sha256), vocab and CharTokenizer(vocab))
        with self._lock:
            self._newest.pop(key, None)
            self._used[key] = self._newest[key] = corpus
            while len(self._newest) > 1 and sum(one.nbytes for one in self._newest.values()) > self.most_idle:
                del self._newest[next(iter(self._newest))]
            if len(self._newest) > 4:
                del self._newest[next(iter(self._newest))]
        return corpus

    def let_go(self) -> None:
        """Keep only what is in use."""
        with self._lock:
            self._newest.clear()

    def cache_clear(self) -> None:
        """Encode each text anew."""
        with self._lock:
            self._newest.clear()
            self._used.clear()


load_corpus = _Corpora()
