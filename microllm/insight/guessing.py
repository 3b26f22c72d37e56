"""Guess the next letter: a person and a model on the same places of the held-out text, one guess each.

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
"""Characters that are shown before the one to guess: as many as Shannon's readers saw at most."""


@dataclass(frozen=True)
class Turn:
    """One place of the held-out text and what was guessed there. Characters are ids, chances are from 0 to 1."""

    place: int
    truth: int
    yours: int
    bet: int
    """What the model holds for the likeliest."""
    chance_of_bet: float
    chance_of_truth: float


@dataclass(frozen=True)
class Game:
    """A game on a held-out text of `length` characters, at least two. The same seed asks for the same places.

    The text is cut into pieces from a random beginning; a piece is shown, in random order, without its last character,
    which is asked for. So every character that has enough before it is asked for with nearly the same chance, and none
    has been seen before: no piece shares a character with another one.
    """

    length: int
    seed: int
    turns: tuple[Turn, ...] = ()

    @property
    def shown(self) -> int:
        """How many characters are shown before the one to guess: SHOWN, or an eighth of a text that is short."""
        return min(SHOWN, max(1, self.length // 8 - 1))

    @property
    def places(self) -> list[int]:
        """Where the characters stand that are asked for, in order."""
        generator = torch.Generator().manual_seed(stream_seed(self.seed, "guessing"))
        piece = self.shown + 1
        begin = int(torch.randint(min(piece, self.length - piece + 1), (1,), generator=generator))
        order = torch.randperm((self.length - begin) // piece, generator=generator)
        return (begin + order * piece + self.shown).tolist()

    @property
    def place(self) -> int | None:
        """Where the next character to guess stands; None when all places have been asked for."""
        places = self.places
        return places[len(self.turns)] if len(self.turns) < len(places) else None

    def passage(self, place: int) -> slice:
        """What is shown of the held-out text before the character at `place`."""
        return slice(place - self.shown, place)

    def answered(self, truth: int, yours: int, chances: torch.Tensor) -> Game:
        """The game after a guess, with the model's `chances` (V,) at this place. Raises ValueError after the end."""
        if self.place is None:
            raise ValueError("All places have been asked for.")
        bet = int(chances.argmax())
        turn = Turn(self.place, truth, yours, bet, chances[bet].item(), chances[truth].item())
        return replace(self, turns=(*self.turns, turn))

    @property
    def yours(self) -> int:
        """How many of the person's guesses were right."""
        return sum(turn.yours == turn.truth for turn in self.turns)

    @property
    def models(self) -> int:
        """How many of the model's bets were right, on the same places."""
        return sum(turn.bet == turn.truth for turn in self.turns)

    @property
    def margin(self) -> float | None:
        """Twice the largest standard error of a share among so many guesses, 1 / sqrt(n); None before the first."""
        return 1 / math.sqrt(len(self.turns)) if self.turns else None


def letter_of(tokenizer: CharTokenizer, typed: str) -> str | None:
    """The character of the text that a typed letter stands for, however it is composed (NFC, NFD); None without one.

    A letter that the text writes as several characters (e and an accent, both in the text) stands for the first.
    """
    forms = (typed, unicodedata.normalize("NFC", typed), unicodedata.normalize("NFD", typed))
    return next((form[0] for form in sorted(forms, key=len) if form and not tokenizer.unknown(form)), None)


def chances_of_model(model: MicroLLM, passage: torch.Tensor) -> torch.Tensor:
    """The model's chances (V,) of the character after `passage` (N,): it sees the last block_size of it, no more."""
    return probabilities(next_logits(model, passage[None].long())[0], Sampling())


def chances_of_tables(tables: CountingTables, passage: torch.Tensor) -> tuple[int, torch.Tensor]:
    """(n, chances (V,)) of the character after `passage` (N,), from counts of runs of n characters.

    Of the tables the largest one that has met the end of the passage before: after what was never seen, a table of 5
    has no opinion.
    """
    sizes = [n for n in TABLE_SIZES if n <= len(passage) + 1]
    for n in reversed(sizes):
        context = torch.zeros((), dtype=torch.long)
        for character in passage[len(passage) - (n - 1) :].long():
            context = context * tables.vocab_size + character
        tries = tables.count(context, n - 1) if n > 1 else torch.tensor(tables.length)
        if tries > 0:
            break
    hits = tables.count(context * tables.vocab_size + torch.arange(tables.vocab_size), n)
    return n, (hits + tables.smoothing).double() / (tries + tables.smoothing * tables.vocab_size)


def commonest(ids: torch.Tensor, vocab_size: int, count: int) -> list[int]:
    """The `count` commonest characters of a text (N,), the commonest first: what is worth a button."""
    return torch.bincount(ids.long(), minlength=vocab_size).argsort(descending=True, stable=True)[:count].tolist()
