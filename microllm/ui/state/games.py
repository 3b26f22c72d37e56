"""The guessing games of a window, one for each text that was played on. The browser keeps the newest across a reload.

components/guess.js stores what `written` returns after each guess. After a reload the browser sends it back. It may
send anything, so `play_on` checks it against the text when the game continues.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...corpus import Corpus
from ...insight.guessing import Game, Turn
from ...storage import parsed
from ..browser_input import number
from .session import session

_MAX_GAMES = 5
_MAX_TURNS = 200
_MAX_CHARACTERS = 500_000
_MAX_SEED = 2**32 - 1
_MAX_STEP = 10**9

TextKey = tuple[str, str | None]
"""A text, as `load_corpus` takes it."""


@dataclass(frozen=True)
class Play:
    """A game on one text, the predictor of its last turn, how many guesses were refused, and why the last one was."""

    text: TextKey
    game: Game
    predictor: tuple[str, int] | None = None
    """("model", its step) or ("table", how many characters it counts)."""
    refused: int = 0
    notice: str = ""


def play_on(text: TextKey, corpus: Corpus) -> Play:
    """The game on this text: the window's, else the one that the browser kept, else a new one."""
    told = session().kept_games.pop(text, None)
    if play := session().plays.get(text):
        return play
    try:
        return _restored(text, corpus, told)
    except (TypeError, ValueError, KeyError):  # nothing was kept, or it is not ours
        return Play(text, Game(len(corpus.val), secrets.randbits(32)))


def keep(play: Play) -> None:
    """Make this the newest game of the window."""
    session().plays.pop(play.text, None)
    session().plays[play.text] = play


def written() -> str:
    """The newest games, for the browser to keep."""
    kept = [*session().kept_games.values(), *map(_record, session().plays.values())]
    return json.dumps(kept[-_MAX_GAMES:], separators=(",", ":"))


def read(told: Any) -> dict[TextKey, Any]:
    """The games that a browser sent, by text, unchecked."""
    if not isinstance(told, str) or len(told) > _MAX_CHARACTERS:
        return {}
    try:
        return dict(_by_text(parsed(told)))
    except (TypeError, ValueError, KeyError):
        return {}


def _by_text(records: Any) -> Iterator[tuple[TextKey, Any]]:
    for record in records[-_MAX_GAMES:]:
        sha256, vocab = record["text"]
        if isinstance(sha256, str) and isinstance(vocab, str | None):
            yield (sha256, vocab), record


def _record(play: Play) -> dict[str, Any]:
    game = play.game
    turns = [
        [turn.place, turn.yours, turn.bet, round(turn.chance_of_bet, 4), round(turn.chance_of_truth, 4)]
        for turn in game.turns[-_MAX_TURNS:]
    ]
    return {"text": play.text, "seed": game.seed, "at": game.at, "turns": turns, "predictor": play.predictor}


def _restored(text: TextKey, corpus: Corpus, record: Any) -> Play:
    """The game of a record. Raises TypeError, ValueError or KeyError if it cannot be one on this text."""
    game = Game(len(corpus.val), _whole(record["seed"], _MAX_SEED))
    places, last = game.places, corpus.vocab_size - 1
    at = _whole(record["at"], len(places))
    asked = {*places[:at]}
    turns = []
    for place, yours, bet, of_bet, of_truth in record["turns"][-_MAX_TURNS:]:
        asked.remove(place)
        chances = number(of_bet, 0, 1), number(of_truth, 0, 1)
        if None in chances:
            raise ValueError("a chance is from 0 to 1")
        turns.append(Turn(place, int(corpus.val[place]), _whole(yours, last), _whole(bet, last), *chances))
    if not turns:
        return Play(text, Game(game.length, game.seed, at=at))
    kind, size = record["predictor"]
    if kind not in ("model", "table"):
        raise ValueError("it is predicted by a model or a table")
    return Play(text, Game(game.length, game.seed, tuple(turns), at), (kind, _whole(size, _MAX_STEP)))


def _whole(value: Any, most: int) -> int:
    """`value`, if it is a whole number from 0 to `most`; else raises ValueError."""
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"it must be a whole number from 0 to {most}")
    return value
