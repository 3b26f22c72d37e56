"""What stands in a run's `run.json`: what was asked, how it ended, whose it is and where it comes from."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import re
from dataclasses import dataclass
from typing import Any

from ..config import PRESETS, ModelConfig, TrainConfig, problems
from ..corpus import REFERENCE_NAMES
from ..data.builtin import TRANSFORMS
from ..data.texts import Text
from ..tokenizer import MAX_CHARACTERS

ACTIVE = ("waiting", "training", "paused")
STATES = (*ACTIVE, "stopped", "interrupted", "failed", "finished")

_PARTS = {
    **dict.fromkeys(("id", "name", "state", "message", "preset", "torch"), str),
    **dict.fromkeys(("model", "train", "text", "references"), dict),
    "created": (int, float),
    "threads": int,
}
_MOST = 10**9  # steps or characters
_MOST_THREADS = 256
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


FORMAT = 2
"""Grows when a run of an older program has to be read differently. 1: no `format` in run.json, and weights under former
names (see weights._FORMER_NAMES)."""


class NewerFormat(ValueError):
    """A run that a newer program wrote."""


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
    loss to be; losses are nats a character. `owner` is what is kept of the key of the one who may command the run in
    the app (see `hash_key`); a run without one everybody may watch there and nobody command.
    `parent` is what it was forked from, if it was. `format` is explained at FORMAT.
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
    format: int = FORMAT

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RunInfo:
        """The inverse of `asdict`, and the one rule of what may stand in a `run.json`, whoever writes it.

        Raises NewerFormat, and KeyError, TypeError, ValueError for a part that is missing or makes no sense.
        """
        if isinstance(written := data.get("format", 1), int) and written > FORMAT:
            raise NewerFormat(f"it was written by a newer MicroLLM (format {written}; this one reads up to {FORMAT})")
        data = data | {"format": FORMAT}
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
        if found := problems(info.model, info.train, info.text.characters):  # a file can be edited
            raise ValueError(" ".join(found.values()))
        _check_values(info)
        _check_unicode(data)
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

    def is_owned_with(self, owner_key: str) -> bool:
        """True when `owner_key` is the owner's."""
        return self.owner is not None and hmac.compare_digest(self.owner.encode(), hash_key(owner_key).encode())


def is_number(value: Any) -> bool:
    """True for what a model can say: JSON may also say NaN, and whole numbers of a thousand digits."""
    return isinstance(value, (int, float)) and abs(value) <= _LARGEST


def is_count(value: Any) -> bool:
    """True for a number of steps or characters."""
    return isinstance(value, int) and 0 <= value <= _MOST


def _check_values(info: RunInfo) -> None:
    if info.preset not in PRESETS:
        raise ValueError(f"preset is {info.preset[:20]!r}: there is no such preset.")
    if info.state not in STATES:
        raise ValueError(f"state is {info.state[:20]!r}: there is no such state.")
    if not 1 <= info.threads <= _MOST_THREADS:
        raise ValueError(f"threads is {info.threads}: it must be a whole number from 1 to {_MOST_THREADS}.")
    if not 0 <= info.created < _FAR_FUTURE:
        raise ValueError(f"created is {info.created}: that is no time.")
    if unknown := info.references.keys() - REFERENCE_NAMES.keys():
        raise ValueError(f"there is no reference {sorted(unknown)[0][:20]!r}.")
    losses = info.references | {"full_val_loss": info.full_val_loss, "guess": info.guess}
    for name, loss in losses.items():
        if not (is_number(loss) or (loss is None and name not in info.references)):
            raise ValueError(f"{name} is {str(loss)[:20]}: it must be a finite number.")


def _check_text(text: Text) -> None:
    is_right = {
        "sha256": re.fullmatch("[0-9a-f]{64}", text.sha256),
        "characters": is_count(text.characters),
        "name": isinstance(text.name, str),
        "notice": isinstance(text.notice, (str, type(None))),
        "source": isinstance(text.source, (str, type(None))),
        "encoding": isinstance(text.encoding, (str, type(None))),
        "how": text.how in TRANSFORMS,
        "first": text.first is None or is_count(text.first),
        "floor": text.floor is None or is_number(text.floor),
    }
    if wrong := [name for name, right in is_right.items() if not right]:
        raise ValueError(f"{wrong[0]} of its text is {str(getattr(text, wrong[0]))[:40]!r}, which makes no sense.")


def _check_parent(parent: Parent) -> None:
    is_said = all(isinstance(it, str) for it in (parent.id, parent.name, parent.left_out))
    if not (is_said and is_count(parent.step) and len(parent.left_out) <= MAX_CHARACTERS):
        raise TypeError("the run that it was forked from makes no sense.")
    if not all(isinstance(it, bool) for it in (parent.goes_on, parent.has_memory, parent.private)):
        raise TypeError("goes_on, has_memory and private of a fork are true or false.")
    if parent.text:
        _check_text(parent.text)


def _check_unicode(data: dict[str, Any]) -> None:
    """Raises ValueError for half of a surrogate pair: a text may have it for a character, but no page can show it."""
    parent = data.get("parent") and data["parent"] | {"left_out": ""}
    try:
        json.dumps(data | {"parent": parent}, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError("a name or sentence in it is not Unicode.") from error


def hash_key(owner_key: str) -> str:
    """What a run keeps of its owner's key: the SHA-256, in hexadecimal. Whoever reads it cannot command the run."""
    return hashlib.sha256(owner_key.encode("utf-8", "surrogatepass")).hexdigest()


def new_name() -> str:
    """A name that a person can remember. A label only: folders go by id."""
    rng = random.SystemRandom()
    return f"{rng.choice(_ADJECTIVES.split())}-{rng.choice(_NAMES.split())}"


class RunProblem(ValueError):
    """A run that cannot be opened; the sentence says why."""
