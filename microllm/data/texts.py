"""The text to train on: a published or built-in text, a file or pasted text; whole, shortened or transformed."""

from __future__ import annotations

import contextlib
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..config import MIN_TEXT_CHARACTERS, too_short
from ..corpus import EVAL_CHARACTERS, Corpus, split_at
from ..environment import home, texts_dir
from ..tokenizer import CharTokenizer
from . import builtin, edits, files, store
from .decode import TextProblem, encoding_called
from .download import fetch, kept
from .edits import Edit
from .published import PUBLIC_TEXTS, PUBLISHED_TEXTS

PASTED = "Pasted text"
"""The name of a text that was pasted."""


@dataclass(frozen=True)
class Text:
    """A text that is stored under its SHA-256, ready for a run.

    `floor` is the lowest possible loss on the held-out part, in nats per character, where it is known exactly. `notice`
    is a sentence for the user if something had to be assumed. `source`, `how` and `first` say how to get the same
    text again on the command line. `source` is the key of a public text, a file, "-" for standard input, or several of
    these separated by NUL, which no path contains (None: unknown). `encoding` is the one that a person chose
    for the files.
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
        """The parts of `source`."""
        return self.source.split("\0") if self.source else []

    @property
    def is_own(self) -> bool:
        """True for a person's own text: not one of PUBLIC_TEXTS, transformed or not."""
        return self.source not in PUBLIC_TEXTS


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
    """Shorten and transform `content` (`how` and `first` as in builtin.transform), store it, and describe it.

    `source` and `encoding` are as in Text; without a `source` it is a person's own text, a file called `name`. In names
    that are not valid Unicode, which a disk may have, the invalid parts become "?". The corpus that the checks need is
    given to `load_corpus`, so that a text is scanned and encoded only once.

    Raises TextProblem for a text that no model can learn: too short, or too many different characters.
    """
    name, notice = _valid_unicode(name), notice and _valid_unicode(notice)
    if first is not None and first >= len(content):  # then it is the whole text
        first = None
    changed = builtin.transform(content, how, first)
    if len(changed) < MIN_TEXT_CHARACTERS:
        raise TextProblem(too_short(name, len(changed)))
    label = name
    if first is not None:
        label += f", first {first:,} characters"
    if how != "none":
        label += f", {builtin.TRANSFORMS[how].label}"
    try:
        corpus = Corpus(changed)
    except ValueError as error:
        raise TextProblem(str(error)) from error
    sha256 = store.keep_text(changed)
    load_corpus.add(sha256, corpus)
    floor = _floor(changed, how, source)
    source = _valid_unicode(source or f"./{name}")
    return Text(label, sha256, len(changed), floor, notice, source, how, first, encoding)


def _valid_unicode(name: str) -> str:
    return name.encode("utf-8", "replace").decode()


def _floor(text: str, how: str, source: str | None) -> float | None:
    if source not in builtin.BUILTIN_TEXTS or how not in ("none", "reversed"):
        return None
    held_out = text[split_at(len(text)) :][:EVAL_CHARACTERS]
    # the probability of a text is a product over its characters, so it is the same backwards
    return builtin.BUILTIN_TEXTS[source].floor(held_out if how == "none" else held_out[::-1])


def choose(*sources: str, how: str = "none", first: int | None = None, encoding: str | None = None) -> Text:
    """The text that the command line names: a key of PUBLIC_TEXTS, a file's path, or "-" for standard input.

    Several are joined in their order, each starting on a new line. `encoding` is that of the files. Raises TextProblem.
    """
    if encoding is not None:
        encoding = encoding_called(encoding)
        if all(source in PUBLIC_TEXTS for source in sources):
            raise TextProblem("--encoding is for files: name a file with --text.")
    parts, size = [], 0
    for source in sources:
        part = _part(source, encoding)
        size += part.size
        files.refuse_too_large(size, "The text in these files")
        parts.append(part)
    *before, last = (part.content for part in parts)
    return prepare(
        "".join([*(content if content.endswith("\n") else content + "\n" for content in before), last]),
        parts[0].name if len(parts) == 1 else f"{parts[0].name} and {len(parts) - 1} more",
        how=how,
        first=first,
        source="\0".join(part.source for part in parts),
        notice=" ".join(part.notice for part in parts if part.notice) or None,
        encoding=encoding,
    )


class _Part(NamedTuple):
    """The text for one word after `--text`; `source` is as in Text, `size` the bytes of a file."""

    content: str
    name: str
    source: str
    notice: str | None = None
    size: int = 0


def _part(source: str, encoding: str | None) -> _Part:
    if source in PUBLISHED_TEXTS:
        published = PUBLISHED_TEXTS[source]
        return _Part(fetch(published), published.name, source)
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
    """The built-in text with this key. It never reads a file: paths are for the command line only.

    Raises KeyError for a key that is not in BUILTIN_TEXTS, and TextProblem.
    """
    made = builtin.BUILTIN_TEXTS[key]
    return prepare(made.make(made.length, 0), made.name, how=how, first=first, source=key)


def is_kept(text: Text) -> bool:
    """True if the text is stored on this server: it was not deleted with its runs."""
    return (texts_dir() / f"{text.sha256}.txt").is_file()


def restore(text: Text, edit: Edit | None = None) -> None:
    """Store a text that is missing here if it needs no download: a built-in text, or one that was downloaded before.

    Runs of the gallery and imported runs have such texts. `edit` is the last change that was made to it.
    """
    if is_kept(text) or not home().is_dir():
        return
    if text.source in PUBLISHED_TEXTS:
        content = kept(PUBLISHED_TEXTS[text.source])
    elif text.source in builtin.BUILTIN_TEXTS:
        made = builtin.BUILTIN_TEXTS[text.source]
        content = made.make(made.length, 0)
    else:
        return
    if content is None:
        return
    content = builtin.transform(content, text.how, text.first)
    if edit:
        with contextlib.suppress(TextProblem):  # another edition, in which the edit is not possible
            content = edits.edited(content, edit)
    if store.sha256_of(content) == text.sha256:  # it may be another edition
        with contextlib.suppress(OSError):
            store.keep_text(content)


def why_missing(text: Text) -> str:
    """A sentence about a text that is not stored here and that `restore` could not restore."""
    published = PUBLISHED_TEXTS.get(text.source)
    if published and kept(published):
        return f"This needs the edition of {text.name} that the run was trained on; this server has another one."
    if published:
        return f"This needs {text.name}, which is not on this server yet: choose it on the Train page to download it."
    return f"This needs {text.name}, which is not stored here: choose the text again."


class _Corpora:
    """A cache of corpora. One in use is shared by all its users; of the others, the newest stay while there is room."""

    max_idle_bytes = 100_000_000
    """Memory for corpora that nobody uses. The newest one stays even if it is larger."""

    max_idle = 4

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._used: weakref.WeakValueDictionary[tuple[str, str | None], Corpus] = weakref.WeakValueDictionary()
        self._newest: dict[tuple[str, str | None], Corpus] = {}

    def __call__(self, sha256: str, vocab: str | None = None) -> Corpus:
        """The corpus of a stored text, with its own vocabulary or with `vocab`. Raises TextProblem."""
        key = sha256, vocab
        corpus = self._used.get(key)
        if corpus is None:
            corpus = Corpus(store.load_text(sha256), vocab and CharTokenizer(vocab))
        return self._remember(key, corpus)

    def add(self, sha256: str, corpus: Corpus) -> None:
        """Remember the corpus of a text that was just stored, in its own vocabulary."""
        key = sha256, None
        self._remember(key, self._used.get(key, corpus))

    def _remember(self, key: tuple[str, str | None], corpus: Corpus) -> Corpus:
        with self._lock:
            self._newest.pop(key, None)
            self._used[key] = self._newest[key] = corpus
            while len(self._newest) > self.max_idle or self._is_too_large():
                del self._newest[next(iter(self._newest))]
        return corpus

    def _is_too_large(self) -> bool:
        return len(self._newest) > 1 and sum(corpus.nbytes for corpus in self._newest.values()) > self.max_idle_bytes

    def let_go(self) -> None:
        """Forget all corpora that are not in use."""
        with self._lock:
            self._newest.clear()

    def cache_clear(self) -> None:
        """Forget all corpora, so that each text is read and encoded again."""
        with self._lock:
            self._newest.clear()
            self._used.clear()


load_corpus = _Corpora()
