"""Guess the next letter: a person and a model guess the same characters of the held-out text, once each.

After Shannon, "Prediction and Entropy of Printed English" (1951), whose readers guessed a text letter by letter.
"""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass, replace

import torch

from ..config import stream_seed
from ..corpus import TABLE_SIZES, CountingTables
from ..inference import next_logits
from ..model import MicroLLM
from ..sample import Sampling, probabilities
from ..tokenizer import CharTokenizer

SHOWN = 100
"""Characters shown before the first one to guess: the most that Shannon's readers saw."""

ASKED = 25
"""Characters guessed in a passage, before another one begins."""


@dataclass(frozen=True)
class Turn:
    """One position of the held-out text and what was guessed there. Characters are ids, chances are from 0 to 1."""

    place: int
    truth: int
    yours: int
    bet: int
    """The character that the model considers most likely."""
    chance_of_bet: float
    chance_of_truth: float


@dataclass(frozen=True)
class Game:
    """A game on a held-out text of `length` characters, at least two. The same seed gives the same positions.

    The text is cut into passages from a random offset on, and they come in random order. All but the last few
    characters of a passage are shown, and those last ones are guessed one after another. So nearly every character with
    enough context before it is equally likely to be asked for. None has been seen before, because passages do not
    overlap. `at` is the number of the next position, in the order of `places`.
    """

    length: int
    seed: int
    turns: tuple[Turn, ...] = ()
    at: int = 0

    @property
    def shown(self) -> int:
        """How many characters are shown at the beginning of a passage: SHOWN, or an eighth of a short text."""
        return min(SHOWN, max(1, self.length // 8 - 1))

    @property
    def asked(self) -> int:
        """How many characters of a passage are guessed."""
        return min(ASKED, self.shown)

    @property
    def places(self) -> list[int]:
        """The positions of the characters to guess, in the order of the turns."""
        generator = torch.Generator().manual_seed(stream_seed(self.seed, "guessing"))
        size = self.shown + self.asked
        begin = int(torch.randint(min(size, self.length - size + 1), (1,), generator=generator))
        order = torch.randperm((self.length - begin) // size, generator=generator)
        return (begin + order[:, None] * size + self.shown + torch.arange(self.asked)).flatten().tolist()

    @property
    def place(self) -> int | None:
        """The position of the next character to guess; None after the last."""
        places = self.places
        return places[self.at] if self.at < len(places) else None

    @property
    def passage(self) -> slice:
        """The part of the held-out text that is shown before the next place. Raises ValueError after the end."""
        if self.place is None:
            raise ValueError("This game is over.")
        return slice(self.place - self.at % self.asked - self.shown, self.place)

    def answered(self, truth: int, yours: int, chances: torch.Tensor) -> Game:
        """The game after a guess, with the model's probabilities, `chances` (V,). Raises ValueError after the end."""
        if self.place is None:
            raise ValueError("This game is over.")
        bet = int(chances.argmax())
        turn = Turn(self.place, truth, yours, bet, chances[bet].item(), chances[truth].item())
        return replace(self, turns=(*self.turns, turn), at=self.at + 1)

    def next_passage(self) -> Game:
        """The game at the beginning of the next passage."""
        return replace(self, at=(self.at // self.asked + 1) * self.asked)

    @property
    def yours(self) -> int:
        """How many of the user's guesses were right."""
        return sum(turn.yours == turn.truth for turn in self.turns)

    @property
    def models(self) -> int:
        """How many of the model's guesses were right, at the same places."""
        return sum(turn.bet == turn.truth for turn in self.turns)

    @property
    def margin(self) -> float | None:
        """Twice the largest standard error of a share among that many guesses, 1 / sqrt(n); None before the first."""
        return 1 / math.sqrt(len(self.turns)) if self.turns else None


def letter_of(tokenizer: CharTokenizer, typed: str) -> str | None:
    """The character of the text that a typed letter stands for, in NFC or NFD; None if the text has no such letter.

    A letter that the text writes as several characters (e and a combining accent) stands for the first of them.
    """
    forms = (typed, unicodedata.normalize("NFC", typed), unicodedata.normalize("NFD", typed))
    return next((form[0] for form in sorted(forms, key=len) if form and not tokenizer.unknown(form)), None)


def chances_of_model(model: MicroLLM, passage: torch.Tensor) -> torch.Tensor:
    """The model's probabilities (V,) of the character after `passage` (N,), of which it sees the last block_size."""
    return probabilities(next_logits(model, passage[None].long())[0], Sampling())


def chances_of_tables(tables: CountingTables, passage: torch.Tensor) -> tuple[int, torch.Tensor]:
    """(n, probabilities (V,)) of the character after `passage` (N,), from counts of n-character sequences.

    n is that of the largest table with counts for the end of the passage: after an unseen context, a table knows
    nothing.
    """
    sizes = [n for n in TABLE_SIZES if n <= len(passage) + 1]
    for n in reversed(sizes):
        context = passage[len(passage) - (n - 1) :]
        if n == 1 or tables.count(tables.keys(context), n - 1) > 0:
            break
    return n, tables.chances(context)


def commonest(ids: torch.Tensor, vocab_size: int, count: int) -> list[int]:
    """The `count` most common characters of a text (N,), in order of their frequency."""
    return torch.bincount(ids.long(), minlength=vocab_size).argsort(descending=True, stable=True)[:count].tolist()
