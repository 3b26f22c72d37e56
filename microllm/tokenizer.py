"""Text <-> integers, one a character."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

import torch

MAX_CHARACTERS = 6_000
"""Different characters a text may have: five of them in a row then still fit one 64-bit number (`CountingTables`)."""

_CODE_POINTS = 0x110000
_CHUNK = 1 << 18
_VISIBLE = {" ": "␠", "\n": "⏎", "\t": "⇥", "\r": "␍", "\x7f": "␡"}


class CharTokenizer:
    """The different characters of a text, sorted by code point; a character's id is its place in that order.

    `vocab` is a string of different characters. Raises ValueError when a character comes twice.
    """

    def __init__(self, vocab: str) -> None:
        self.vocab = vocab
        self._ids = {character: i for i, character in enumerate(vocab)}
        if len(self._ids) != len(vocab):
            raise ValueError("A vocabulary lists each character once; this one repeats some.")

    @classmethod
    def from_text(cls, text: str) -> CharTokenizer:
        """The tokenizer of all characters in `text`. Raises ValueError for more than MAX_CHARACTERS different ones."""
        seen = torch.zeros(_CODE_POINTS, dtype=torch.bool)
        for codes in _code_points(text):
            seen[codes] = True
        vocab = "".join(map(chr, seen.nonzero().flatten().tolist()))
        if len(vocab) > MAX_CHARACTERS:
            raise ValueError(
                f"The text has {len(vocab):,} different characters; a character-level model takes at most "
                f"{MAX_CHARACTERS:,}."
            )
        return cls(vocab)

    @property
    def vocab_size(self) -> int:
        """The number of different characters, V."""
        return len(self.vocab)

    @property
    def dtype(self) -> torch.dtype:
        """The smallest type that holds an id: uint8 up to 256 different characters, else int32."""
        return torch.uint8 if self.vocab_size <= 256 else torch.int32

    def unknown(self, text: str) -> list[str]:
        """The characters of `text` that have no id, each once, in order of appearance."""
        return [c for c in dict.fromkeys(text) if c not in self._ids]

    def encode(self, text: str) -> list[int]:
        """The id of each character. Raises ValueError that names the characters it does not know."""
        try:
            return [self._ids[character] for character in text]
        except KeyError:
            raise ValueError(self._unknown_sentence(text)) from None

    def encode_tensor(self, text: str) -> torch.Tensor:
        """As `encode`, for long texts: a (len(text),) tensor of `dtype`, made without a loop over characters."""
        table = torch.full((_CODE_POINTS,), -1, dtype=torch.int32)
        table[torch.tensor([ord(c) for c in self.vocab], dtype=torch.long)] = torch.arange(
            self.vocab_size, dtype=torch.int32
        )
        ids, start = torch.empty(len(text), dtype=self.dtype), 0
        for codes in _code_points(text):
            part = table[codes]
            if (part < 0).any():
                raise ValueError(self._unknown_sentence(text))
            ids[start : start + len(part)] = part
            start += len(part)
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some ids. Raises ValueError for an id that is not in 0 .. vocab_size - 1."""
        ids = ids.tolist() if isinstance(ids, torch.Tensor) else list(ids)
        for i in ids:
            if not 0 <= i < self.vocab_size:
                raise ValueError(f"There is no character number {i}: the ids go from 0 to {self.vocab_size - 1}.")
        return "".join(self.vocab[i] for i in ids)

    def _unknown_sentence(self, text: str) -> str:
        unknown = self.unknown(text)
        shown = ", ".join(visible(c) for c in unknown[:8]) + (" …" if len(unknown) > 8 else "")
        sentence = (
            f"The model has never met {shown}: its text has {self.vocab_size} different characters, and not these."
        )
        return " ".join(filter(None, (sentence, self.other_form(text))))

    def other_form(self, text: str) -> str | None:
        """A sentence where unknown characters of `text` are known in Unicode's other form of them; else None.

        An accented letter is one character in the form NFC, and a letter with a combining accent in NFD. Both look the
        same.
        """
        unknown = set(self.unknown(text))
        for form, kind in (("NFC", "one character"), ("NFD", "separate characters")):
            written = unicodedata.normalize(form, text)
            if unknown > set(self.unknown(written)):
                return f"Its text writes a letter and its accent as {kind} (Unicode's form {form}); here they are not."
        return None


def _code_points(text: str) -> Iterable[torch.Tensor]:
    """The code points of a text, a quarter of a million at a time, as int32 tensors that `text` does not share."""
    for start in range(0, len(text), _CHUNK):
        # surrogatepass: a lone surrogate is a character like any other, so that every str survives the round trip
        data = text[start : start + _CHUNK].encode("utf-32-le", "surrogatepass")
        yield torch.frombuffer(bytearray(data), dtype=torch.int32)


def visible(text: str, keep: str = "") -> str:
    """The text with every character that cannot be seen shown by one that can: ␠ ⏎ ⇥, else its code point.

    The characters in `keep` stay as they are.
    """
    return "".join(c if c in keep else _VISIBLE.get(c) or (c if c.isprintable() else _symbol(ord(c))) for c in text)


def visible_alone(letter: str) -> str:
    """`visible` of a letter that stands by itself: a mark that goes over or under a letter has a circle for one."""
    return ("◌" if unicodedata.category(letter[0]) in ("Mn", "Me") else "") + visible(letter)


def _symbol(code: int) -> str:
    return chr(0x2400 + code) if code < 0x20 else f"‹{code:04X}›"


def known_ids(tokenizer: CharTokenizer, text: str) -> torch.Tensor:
    """The ids (N,) of those characters of `text` that the tokenizer knows."""
    unknown = set(tokenizer.unknown(text))
    return torch.tensor(tokenizer.encode("".join(c for c in text if c not in unknown)), dtype=torch.long)
