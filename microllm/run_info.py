"""What stands in a run's `run.json`: what was asked, how it ended, whose it is and where it comes from."""

from __future__ import annotations

import hashlib
import hmac
import random
import re
from dataclasses import dataclass
from typing import Any

from .builtin import TRANSFORMS
from .config import ModelConfig, TrainConfig, problems
from .texts import Text

_PARTS = {
    **dict.fromkeys(("id", "name", "state", "message", "preset", "torch"), str),
    **dict.fromkeys(("model", "train", "text", "references"), dict),
    "created": (int, float),
    "threads": int,
}
_MOST = 10**9  # steps or characters
_LARGEST = 3.4028234663852886e38  # in float32
_FAR_FUTURE = 1e11  # seconds since 1970
_ADJECTIVES = """
    amiable brave bright candid civil clever eager easy fond gentle glad grave happy keen kind lively merry modest
    noble patient plain polite proud quick quiet rapid sober steady warm wise
"""
_NAMES = """
    bennet bingley brandon charlotte collins crawford darcy dashwood elinor elliot emma fanny harriet highbury jane
    kitty knightley lizzy longbourn lucas lydia marianne mary meryton norland pemberley rosings tilney weston wickham
"""


@dataclass(frozen=True)
class Parent:
    """The run that another one was forked from, and at which step: with its weights of that step the fork began.

    `goes_on` is True when its own steps go on from there, on the same text, and `has_memory` when the optimisers went
    on with what they remembered, and did not begin anew. `text` is one that its weights have learned before the text of
    the fork, and `left_out` are characters of the latter that they had never met. `private` is True when the run that
    was forked is private (see RunInfo).
    """

    id: str
    name: str
    step: int
    goes_on: bool
    has_memory: bool = False
    text: Text | None = None
    left_out: str = ""
    private: bool = False


@dataclass(frozen=True)
class RunInfo:
    """What stands in `run.json`.

    `message` is the sentence that goes with the state, `references` are losses to beat, `full_val_loss` is the loss on
    all held-out characters, scored when a run has finished, and `guess` is what a person expected the last validation
    loss to be; losses are nats a character. `owner` is what is kept of the token of the one who may command the run in
    the app (see `kept_of`); a run without one everybody may watch there and nobody command.
    `parent` is what it was forked from, if it was.
    """

    id: str
    name: str
    state: str
    message: str
    created: float
    preset: str
    model: ModelConfig
    train: TrainConfig
    threads: int
    torch: str
    text: Text
    references: dict[str, float]
    full_val_loss: float | None = None
    guess: float | None = None
    owner: str | None = None
    parent: Parent | None = None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RunInfo:
        """The inverse of `asdict`. Raises KeyError, TypeError, ValueError for a part missing or without sense."""
        for name, kind in _PARTS.items():
            if not isinstance(data[name], kind):
                raise TypeError(f"{name} is {type(data[name]).__name__}")
        if not isinstance(data.get("owner"), (str, type(None))):
            raise TypeError(f"owner is {type(data['owner']).__name__}")
        parts = {"model": ModelConfig(**data["model"]), "train": TrainConfig(**data["train"])}
        if (parent := data.get("parent")) is not None:
            learned = parent["text"]
            parts["parent"] = Parent(**parent | {"text": learned and Text(**learned)})
        info = cls(**data | parts | {"text": Text(**data["text"])})
        _check_text(info.text)
        if info.parent:
            _check_parent(info.parent)
        if found := problems(info.model, info.train):  # a file can be edited
            raise ValueError(" ".join(found.values()))
        if not 0 <= info.created < _FAR_FUTURE:
            raise ValueError("created is no time")
        losses = [*info.references.values(), *(it for it in (info.full_val_loss, info.guess) if it is not None)]
        if not all(map(is_number, losses)):
            raise TypeError("a loss in it is no number")
        return info

    @property
    def old_text(self) -> Text | None:
        """The text that its weights have learned before this one; None for a run that is no such fork."""
        return self.parent and self.parent.text

    @property
    def is_private(self) -> bool:
        """True when its weights have learned somebody's own text, here or before it was forked: the app does not list
        such a run for others."""
        return self.text.is_own or self.has_private_parent

    @property
    def has_private_parent(self) -> bool:
        """True when the run that it was forked from is private."""
        if self.parent is None:
            return False
        learned = (self.parent.text, self.text if self.parent.goes_on else None)
        return self.parent.private or any(text.is_own for text in learned if text)

    @property
    def texts(self) -> set[str]:
        """The SHA-256 of each text that the run needs."""
        return {text.sha256 for text in (self.text, self.old_text) if text}

    def is_owned_with(self, token: str) -> bool:
        """True when `token` is the owner's."""
        return self.owner is not None and hmac.compare_digest(self.owner.encode(), kept_of(token).encode())


def is_number(value: Any) -> bool:
    """True for what a model can say: JSON may also say NaN, and whole numbers of a thousand digits."""
    return isinstance(value, (int, float)) and abs(value) <= _LARGEST


def is_count(value: Any) -> bool:
    """True for a number of steps or characters."""
    return isinstance(value, int) and 0 <= value <= _MOST


def _check_text(text: Text) -> None:
    if not (re.fullmatch("[0-9a-f]{64}", text.sha256) and is_count(text.characters)):
        raise ValueError("its text has no SHA-256 or no length.")
    is_named = isinstance(text.name, str) and all(
        isinstance(it, (str, type(None))) for it in (text.notice, text.source)
    )
    is_made = text.how in TRANSFORMS and (text.first is None or is_count(text.first))
    if not (is_named and is_made and (text.floor is None or is_number(text.floor))):
        raise ValueError("what it says about its text makes no sense.")


def _check_parent(parent: Parent) -> None:
    if not (is_count(parent.step) and all(isinstance(it, str) for it in (parent.id, parent.name, parent.left_out))):
        raise TypeError("the run that it was forked from is none.")
    if not isinstance(parent.private, bool):
        raise TypeError("private is neither true nor false.")
    if parent.text:
        _check_text(parent.text)


def kept_of(token: str) -> str:
    """What a run keeps of its owner's token: the SHA-256, in hexadecimal. Whoever reads it cannot command the run."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def new_name() -> str:
    """A name that a person can remember. A label only: folders go by id."""
    dice = random.SystemRandom()
    return f"{dice.choice(_ADJECTIVES.split())}-{dice.choice(_NAMES.split())}"
