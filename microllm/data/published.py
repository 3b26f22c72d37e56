"""The public texts: published ones, which are downloaded (see `download`), and built-in ones."""

from __future__ import annotations

from dataclasses import dataclass

from .builtin import BUILTIN_TEXTS, BuiltinText


@dataclass(frozen=True)
class PublishedText:
    """A text that somebody else has published.

    A download is accepted only if it has this `sha256`. A text without one is a book of Project Gutenberg, whose
    editions change: it must have Gutenberg's START and END lines.
    """

    name: str
    note: str  # its license and source in one line, for the user who chooses (more in the README)
    addresses: tuple[str, ...]  # tried in this order
    file: str  # its name in MICROLLM_MIRROR and in the folder of texts
    size: int  # bytes; those of a book are an estimate
    sha256: str | None = None


PUBLISHED_TEXTS: dict[str, PublishedText] = {
    "book": PublishedText(
        "Pride and Prejudice",
        "Public domain, from Project Gutenberg",
        (
            "https://www.gutenberg.org/cache/epub/1342/pg1342.txt",
            "https://www.gutenberg.org/files/1342/1342-0.txt",
            "https://gutenberg.pglaf.org/1/3/4/1342/1342-0.txt",
        ),
        "pg1342.txt",
        772_448,  # the edition of 2024
    ),
    "shakespeare": PublishedText(
        "Tiny Shakespeare",
        "Public domain, from Karpathy's char-rnn",
        (
            "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
            "https://cdn.jsdelivr.net/gh/karpathy/char-rnn@master/data/tinyshakespeare/input.txt",
        ),
        "tiny_shakespeare.txt",
        1_115_394,
        "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    ),
    "names": PublishedText(
        "First names",
        "US public data, from Karpathy's makemore",
        (
            "https://raw.githubusercontent.com/karpathy/makemore/master/names.txt",
            "https://cdn.jsdelivr.net/gh/karpathy/makemore@master/names.txt",
        ),
        "names.txt",
        228_145,
        "0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
    ),
}

PUBLIC_TEXTS: dict[str, PublishedText | BuiltinText] = PUBLISHED_TEXTS | BUILTIN_TEXTS
"""All of them, by the key used in links and on the command line. Any other text is a person's own."""
