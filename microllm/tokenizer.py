"""Text to integers and back: every character is one token."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

import torch

MAX_CHARACTERS = 6_000
"""The largest vocabulary: five ids must still fit into one 64-bit integer (`CountingTables`)."""

_CODE_POINTS = 0x110000
_CHUNK = 1 << 18
_VISIBLE = {" ": "␠", "\n": "⏎", "\t": "⇥", "\r": "␍", "\x7f": "␡"}


class CharTokenizer:
    """Maps characters to ids: the id of a character is its index in `vocab`.

    Raises ValueError if a character occurs twice in `vocab`.
    """

    def __init__(self, vocab: str) -> None:
        self.vocab = vocab
        self._ids = {character: i for i, character in enumerate(vocab)}
        if len(self._ids) != len(vocab):
            raise ValueError("A vocabulary lists each character once; this one repeats some.")

    @classmethod
    def from_text(cls, text: str) -> CharTokenizer:
        """A tokenizer for all characters of `text`, sorted by code point. Raises ValueError above MAX_CHARACTERS."""
        seen = torch.zeros(_CODE_POINTS, dtype=torch.bool)
        for codes in _code_points(text):
            seen[codes] = True
        vocab = "".join(map(chr, seen.nonzero().flatten().tolist()))
        if len(vocab) > MAX_CHARACTERS:
            raise ValueError(
                f"The text has {len(vocab):,} different characters; a character-level model can use at most "
                f"{MAX_CHARACTERS:,}."
            )
        return cls(vocab)

    @property
    def vocab_size(self) -> int:
        """The number of different characters, V."""
        return len(self.vocab)

    @property
    def dtype(self) -> torch.dtype:
        """The type of stored ids: uint8 for up to 256 different characters, else int32."""
        return torch.uint8 if self.vocab_size <= 256 else torch.int32

    def unknown(self, text: str) -> list[str]:
        """The characters of `text` that have no id, each once, in order of appearance."""
        return [c for c in dict.fromkeys(text) if c not in self._ids]

    def encode(self, text: str) -> list[int]:
        """The id of each character. Raises ValueError, listing the unknown characters."""
        try:
            return [self._ids[character] for character in text]
        except KeyError:
            raise ValueError(self._unknown_sentence(text)) from None

    def encode_tensor(self, text: str) -> torch.Tensor:
        """Like `encode`, for long texts: a (len(text),) tensor of `dtype`, without a Python loop over characters."""
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
        """The text that the ids stand for. Raises ValueError for an id outside 0 ... vocab_size - 1."""
        ids = ids.tolist() if isinstance(ids, torch.Tensor) else list(ids)
        for i in ids:
            if not 0 <= i < self.vocab_size:
                raise ValueError(f"Id {i} is out of range: ids run from 0 to {self.vocab_size - 1}.")
        return "".join(self.vocab[i] for i in ids)

    def _unknown_sentence(self, text: str) -> str:
        unknown = self.unknown(text)
        shown = ", ".join(visible(c) for c in unknown[:8]) + (" …" if len(unknown) > 8 else "")
        sentence = f"The model does not know {shown}: these are not among the {self.vocab_size} characters of its text."
        return " ".join(filter(None, (sentence, self.other_form(text))))

    def other_form(self, text: str) -> str | None:
        """A sentence if unknown characters of `text` are known in another Unicode form, else None.

        An accented letter is one character in NFC, and a letter plus a combining accent in NFD. Both look the same.
        """
        unknown = set(self.unknown(text))
        for form, kind in (("NFC", "one character"), ("NFD", "separate characters")):
            written = unicodedata.normalize(form, text)
            if unknown > set(self.unknown(written)):
                return f"Its text stores a letter and its accent as {kind} (Unicode form {form}); this text does not."
        return None


def _code_points(text: str) -> Iterable[torch.Tensor]:
    """The code points of a text as int32 tensors, 262,144 at a time."""
    for start in range(0, len(text), _CHUNK):
        # surrogatepass: a lone surrogate counts as a character, so that every Python string survives the round trip
        data = text[start : start + _CHUNK].encode("utf-32-le", "surrogatepass")
        yield torch.frombuffer(bytearray(data), dtype=torch.int32)


def visible(text: str, keep: str = "") -> str:
    """The text with invisible characters replaced by symbols (␠ ⏎ ⇥) or code points, except those in `keep`."""
    return "".join(c if c in keep else _VISIBLE.get(c) or (c if c.isprintable() else _symbol(ord(c))) for c in text)


def visible_alone(letter: str) -> str:
    """`visible` for a single character: a combining mark is put on a dotted circle."""
    return ("◌" if unicodedata.category(letter[0]) in ("Mn", "Me") else "") + visible(letter)


def _symbol(code: int) -> str:
    return chr(0x2400 + code) if code < 0x20 else f"‹{code:04X}›"


def known_ids(tokenizer: CharTokenizer, text: str) -> torch.Tensor:
    """The ids (N,) of `text`, without the characters that the tokenizer does not know."""
    unknown = set(tokenizer.unknown(text))
    return torch.tensor(tokenizer.encode("".join(c for c in text if c not in unknown)), dtype=torch.long)
