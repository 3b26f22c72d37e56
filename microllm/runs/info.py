"""The content of `run.json`: the settings of a run, its state, its owner and its origin."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import re
from dataclasses import dataclass
from typing import Any

from ..config import PRESETS, REFERENCE_NAMES, ModelConfig, TrainConfig, problems, threads_problem
from ..data import edits
from ..data.builtin import TRANSFORMS
from ..data.decode import ENCODINGS
from ..data.edits import MAX_TIMES, Edit
from ..data.texts import Text
from ..tokenizer import MAX_CHARACTERS

ACTIVE = ("waiting", "training", "paused")
ENDED = ("stopped", "failed", "finished")
STATES = (*ACTIVE, "interrupted", *ENDED)

_PARTS = {
    **dict.fromkeys(("id", "name", "state", "message", "preset", "torch"), str),
    **dict.fromkeys(("model", "train", "text", "references"), dict),
    "created": (int, float),
    "threads": int,
}
_MAX_COUNT = 10**9  # of steps or characters
_MAX_FLOAT32 = 3.4028234663852886e38
_KEY = re.compile("[a-z0-9][a-z0-9-]{0,39}")
_VERSION = re.compile("[A-Za-z0-9.+_-]{1,60}")
_MAX_TIME = 1e11  # seconds since 1970: the year 5138
_ADJECTIVES = """
    amiable brave bright candid civil clever eager easy fond gentle glad grave happy keen kind lively merry modest
    noble patient plain polite proud quick quiet rapid sober steady warm wise
"""
_NAMES = """
    bennet bingley brandon charlotte collins crawford darcy dashwood elinor elliot emma fanny harriet highbury jane
    kitty knightley lizzy longbourn lucas lydia marianne mary meryton norland pemberley rosings tilney weston wickham
"""


FORMAT = 5
"""The version of run.json. It increases when older runs must be read differently, or older versions cannot read newer
runs. Format 1 has no `format` in run.json and other names for some weights (see weights._FORMER_NAMES); before format 3
no head was silenced, before format 4 no run belonged to an experiment, before format 5 each was called repeatable."""


class NewerFormat(ValueError):
    """A run that was written by a newer version of MicroLLM."""


@dataclass(frozen=True)
class Parent:
    """The run that a fork started from, and the step whose weights it took.

    `goes_on` is True if the fork continues from that step on the same text, and `has_memory` if it also took over the
    state of the optimizers. `text` is the text that the weights learned before that of the fork, and `left_out` are the
    characters of the fork's text that they do not know. `private` is True if the parent is private (see RunInfo).
    `silenced` are the heads that only the fork silenced, as in ModelConfig, and `losses` then the validation loss of
    these weights with them and without.
    """

    id: str
    name: str
    step: int
    goes_on: bool
    has_memory: bool = False
    text: Text | None = None
    left_out: str = ""
    private: bool = False
    silenced: str = ""
    losses: tuple[float, float] | None = None


@dataclass(frozen=True)
class ExperimentEntry:
    """The experiment (see microllm/experiments) to which a run belongs, and what the person predicted, both by key.

    The keys may be unknown here: another version may have other experiments.
    """

    name: str
    prediction: str


@dataclass(frozen=True)
class Twin:
    """The run of which this one is a twin, and the one thing that is different (see twin.py).

    `edit` is what was changed in the text before training; None if the text is the same and the seed is another.
    """

    id: str
    name: str
    edit: Edit | None = None


@dataclass(frozen=True)
class RunInfo:
    """The content of `run.json`.

    `message` is a sentence about the state. `references` are losses to beat, `full_val_loss` is the validation loss on
    all held-out text when the run has finished, and `guess` is the final validation loss that a person expected; all
    losses are in nats per character. `owner` is the hash of the owner's key (see `hash_key`): only the owner can
    control the run in the app, and a run without an owner can only be watched. `parent` is set for a fork,
    `experiment` for a run that was started as part of one, and `twin` for the twin of another run. `is_repeatable` is
    False once several processes trained it, or it continued in another determinism context (see checkpoint.py): nothing
    then repeats its losses exactly.
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
    experiment: ExperimentEntry | None = None
    twin: Twin | None = None
    is_repeatable: bool = True
    format: int = FORMAT

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RunInfo:
        """The inverse of `asdict`, and the only check of what a `run.json` may contain.

        Raises NewerFormat, and KeyError, TypeError or ValueError for a part that is missing or not valid.
        """
        if isinstance(written := data.get("format", 1), int) and written > FORMAT:
            raise NewerFormat(f"it was written by a newer MicroLLM (format {written}; this one reads up to {FORMAT})")
        data = data | {"format": FORMAT}
        for name, kind in _PARTS.items():
            if not isinstance(data[name], kind):
                raise TypeError(f"{name} is {type(data[name]).__name__}")
        if not isinstance(data.get("owner"), (str, type(None))):
            raise TypeError(f"owner is {type(data['owner']).__name__}")
        if not isinstance(data.get("is_repeatable", True), bool):
            raise TypeError("is_repeatable must be true or false")
        parts = {"model": ModelConfig(**data["model"]), "train": TrainConfig(**data["train"])}
        if (parent := data.get("parent")) is not None:
            learned, losses = parent["text"], parent.get("losses")
            learned = {"text": learned and Text(**learned), "losses": losses and tuple(losses)}
            parts["parent"] = Parent(**parent | learned)
        if (experiment := data.get("experiment")) is not None:
            parts["experiment"] = ExperimentEntry(**experiment)
        if (twin := data.get("twin")) is not None:
            edit = twin.get("edit")
            parts["twin"] = Twin(**twin | {"edit": edit and Edit(**edit | {"words": tuple(edit["words"])})})
        info = cls(**data | parts | {"text": Text(**data["text"])})
        _check_text(info.text)
        if info.parent:
            _check_parent(info.parent)
        if info.twin:
            _check_twin(info.twin)
        if found := problems(info.model, info.train, info.text.characters):  # a file can be edited
            raise ValueError(" ".join(found.values()))
        if info.parent and not {*info.parent.silenced.split()} <= {*info.model.silenced.split()}:
            raise ValueError("heads that it silenced as a fork are not silent in it.")
        _check_values(info)
        _check_unicode(data)
        return info

    @property
    def old_text(self) -> Text | None:
        """The text that the weights learned before this one; None unless the run is a fork on another text."""
        return self.parent and self.parent.text

    @property
    def edit(self) -> Edit | None:
        """What was changed in the text before training; None if nothing was."""
        return self.twin and self.twin.edit

    @property
    def is_private(self) -> bool:
        """True if it learned a person's own text or words, even before a fork: the app hides it from others."""
        return self.text.is_own or self.edit is not None or self.has_private_parent

    @property
    def has_private_parent(self) -> bool:
        """True if the run that it was forked from, or of which it is a twin, is private."""
        if self.parent is None:
            return self.twin is not None and self.text.is_own
        learned = (self.parent.text, self.text if self.parent.goes_on else None)
        return self.parent.private or any(text.is_own for text in learned if text)

    @property
    def texts(self) -> set[str]:
        """The SHA-256 of each text that the run needs."""
        return {text.sha256 for text in (self.text, self.old_text) if text}

    def is_owned_with(self, owner_key: str) -> bool:
        """True if `owner_key` is the owner's key."""
        return self.owner is not None and hmac.compare_digest(self.owner.encode(), hash_key(owner_key).encode())


def is_number(value: Any) -> bool:
    """True for a finite float32. JSON files may also contain NaN, and integers of a thousand digits."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _MAX_FLOAT32


def is_count(value: Any) -> bool:
    """True for a valid number of steps or characters."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_COUNT


def _check_values(info: RunInfo) -> None:
    if info.preset not in PRESETS:
        raise ValueError(f"preset is {info.preset[:20]!r}: there is no such preset.")
    if info.state not in STATES:
        raise ValueError(f"state is {info.state[:20]!r}: there is no such state.")
    if not _VERSION.fullmatch(info.torch):
        raise ValueError(f"torch is {info.torch[:20]!r}: it must be a version.")
    if problem := threads_problem(info.threads):
        raise ValueError(problem)
    if not 0 <= info.created < _MAX_TIME:
        raise ValueError(f"created is {info.created}: it must be a time in seconds.")
    if unknown := info.references.keys() - REFERENCE_NAMES.keys():
        raise ValueError(f"there is no reference loss called {sorted(unknown)[0][:20]!r}.")
    if info.experiment and not all(
        isinstance(key, str) and _KEY.fullmatch(key) for key in (info.experiment.name, info.experiment.prediction)
    ):
        raise ValueError("the names of its experiment and its prediction are not valid.")
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
        "encoding": text.encoding in (None, *ENCODINGS),
        "how": text.how in TRANSFORMS,
        "first": text.first is None or is_count(text.first),
        "floor": text.floor is None or is_number(text.floor),
    }
    if wrong := [name for name, right in is_right.items() if not right]:
        raise ValueError(f"{wrong[0]} of its text is not valid: {str(getattr(text, wrong[0]))[:40]!r}.")


def _check_parent(parent: Parent) -> None:
    is_said = all(isinstance(value, str) for value in (parent.id, parent.name, parent.left_out, parent.silenced))
    if not (is_said and is_count(parent.step) and len(parent.left_out) <= MAX_CHARACTERS):
        raise TypeError("the description of its parent is not valid.")
    if not all(isinstance(value, bool) for value in (parent.goes_on, parent.has_memory, parent.private)):
        raise TypeError("goes_on, has_memory and private of its parent must be true or false.")
    if parent.losses is not None and not (len(parent.losses) == 2 and all(map(is_number, parent.losses))):
        raise TypeError("the losses of its parent must be two numbers.")
    if (parent.losses is None) != (not parent.silenced.split()):
        raise TypeError("the losses of its parent belong to the heads that it silenced.")
    if parent.text:
        _check_text(parent.text)


def _check_twin(twin: Twin) -> None:
    if not (isinstance(twin.id, str) and isinstance(twin.name, str) and isinstance(twin.edit, (Edit, type(None)))):
        raise TypeError("the description of its twin is not valid.")
    if (edit := twin.edit) is None:
        return
    if not (all(isinstance(words, str) for words in edit.words) and is_count(edit.times) and edit.times <= MAX_TIMES):
        raise TypeError("the words of its edit are not valid.")
    if problem := edits.problem(edit):
        raise ValueError(problem)


def _check_unicode(data: dict[str, Any]) -> None:
    """Raises ValueError for a lone surrogate: a text may contain one, but a page cannot show it."""
    parent = data.get("parent") and data["parent"] | {"left_out": ""}
    try:
        json.dumps(data | {"parent": parent}, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError("a name or sentence in it is not Unicode.") from error


def hash_key(owner_key: str) -> str:
    """The SHA-256 of an owner's key in hexadecimal: it can be stored, as it does not give control of the run."""
    return hashlib.sha256(owner_key.encode("utf-8", "surrogatepass")).hexdigest()


def new_name() -> str:
    """A name that people can remember. It is only a label: folders are named by id."""
    rng = random.SystemRandom()
    return f"{rng.choice(_ADJECTIVES.split())}-{rng.choice(_NAMES.split())}"


class RunProblem(ValueError):
    """A run that cannot be opened or used; the message is a sentence for the user."""


def missing(run_id: str) -> RunProblem:
    """The error for a run that is not here."""
    return RunProblem(f"There is no run {run_id[:40]!r} here. It may have been deleted, or the link is incomplete.")


def damaged(run_id: str, why: str) -> RunProblem:
    """The error for a run whose folder cannot be used."""
    return RunProblem(f"Run {run_id} is damaged: {why}.")
