"""What a link says about the next run: written from the controls, and read back without believing a word of it.

A draft is such a link that the browser keeps for its own person: it may also name a text of theirs, and their guess.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass, field, replace
from typing import Any

from ...config import PRESETS, SHORTEST_TEXT, ModelConfig, TrainConfig, configs_from, knobs, nearest_valid, problems
from ...data.builtin import BUILTIN_TEXTS, TRANSFORMS
from ...data.decode import ENCODINGS

SENTENCE_LENGTH = 128
"""Most characters of the sentence that all pages look at: beyond block_size each of them costs a window of its own."""

MOST_GUESS = 10.0
"""Nats per character: guessing blindly among 6,000 characters has 8.7."""

_LONGEST_NAME = 255  # characters of a file's name
_MOST_CHARACTERS = 10**9  # of a text; whole numbers beyond 2**53 are none in a browser


@dataclass(frozen=True)
class Link:
    """The part of a link that concerns the next run and the sentence; None is what it does not say.

    `values` are settings by name, valid together on top of `preset`. `wrong` has a sentence for each value that could
    not be taken as it was. In a draft, `text` may be "own", and then `own` is the SHA-256 and the name of that text,
    and the encoding of its file where the person chose it; `guess` is in nats per character.
    """

    preset: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    text: str | None = None
    transform: str = "none"
    first: int | None = None
    sentence: str | None = None
    wrong: tuple[str, ...] = ()
    own: tuple[str, str, str | None] | None = None
    guess: float | None = None


def written(link: Link) -> dict[str, str]:
    """The names and values of a link that says this; `read` is the inverse.

    Settings that the preset has anyway are left out.
    """
    model, train = configs_from({}, link.preset or "quick")
    usual = asdict(model) | asdict(train)
    says = {"preset": link.preset, "text": link.text, "sentence": link.sentence, "guess": link.guess}
    says |= {name: value for name, value in link.values.items() if value != usual[name]}
    if link.text is not None:
        says |= {"transform": None if link.transform == "none" else link.transform, "first": link.first}
    if link.own is not None:
        says |= dict(zip(("sha256", "name", "encoding"), link.own, strict=True))
    return {name: str(value) for name, value in says.items() if value is not None}


def read(says: Mapping[str, str], *, is_draft: bool = False) -> Link:
    """What the names and values of a link say. An unknown name is ignored, of a bad value the nearest good one taken.

    Where there is none, it counts as not said. Nothing raises: a link can be written by anybody. Only what `is_draft`
    may say what Link allows there.
    """
    wrong: list[str] = []

    def one_of(name: str, choices: Mapping[str, Any]) -> str | None:
        if (value := says.get(name)) is None or value in choices:
            return value
        wrong.append(f"{name} is {_shown(value)}: choose one of {', '.join(choices)}.")
        return None

    preset = one_of("preset", PRESETS)
    values = _settings(says, preset or "quick", wrong)
    text = one_of("text", {"book": None} | BUILTIN_TEXTS | ({"own": None} if is_draft else {}))
    transform = one_of("transform", TRANSFORMS) or "none"
    first = _first(says.get("first"), wrong)
    sentence = says.get("sentence") or None
    if sentence and len(sentence) > SENTENCE_LENGTH:
        wrong.append(f"The sentence has {len(sentence):,} characters: the first {SENTENCE_LENGTH} are taken.")
        sentence = sentence[:SENTENCE_LENGTH]
    if text is None and (transform != "none" or first is not None):
        text = "book"
    own = _own(says) if text == "own" else None
    guess = _guess(says.get("guess")) if is_draft else None
    return Link(preset, values, text, transform, first, sentence, tuple(wrong), own, guess)


def _settings(says: Mapping[str, str], preset: str, wrong: list[str]) -> dict[str, Any]:
    given = {}
    for name, knob in knobs().items():
        if name in says:
            try:
                given[name] = _parsed(knob, says[name])
            except ValueError:
                kind = "a whole number" if knob.type == "int" else "a number"
                wrong.append(f"{name} is {_shown(says[name])}: it must be {kind}.")
    found = problems(*configs_from(given, preset))
    while found:  # each round takes one value that was given, or gives it up: at most two a setting
        name, sentence = next(((n, s) for n, s in found.items() if n in given), (None, ""))
        if name is None:  # the preset's own value does not go with one that was given
            name, sentence = next(iter(found.items()))
        model, train = configs_from(given, preset)
        nearest = _nearest(name, model, train)
        if nearest is not None and problems(*configs_from(given | {name: nearest}, preset)).get(name) is None:
            given[name] = nearest
            wrong.append(f"{sentence} Taken: {nearest}.")
        elif name in given:
            del given[name]
            wrong.append(sentence)
        else:
            given.clear()
            wrong.append(f"{sentence} The settings of the link are left out.")
        found = problems(*configs_from(given, preset))
    return given


def _parsed(knob: Field, value: str) -> Any:
    if knob.type == "bool":
        return {"true": True, "false": False}.get(value.lower(), value)
    if knob.type in ("int", "float"):
        return {"int": int, "float": float}[knob.type](value)
    return value


def _nearest(name: str, model: ModelConfig, train: TrainConfig) -> Any | None:
    """A value for this setting in its range, nearest to the one given, that goes with the others. None without one."""
    meta, config = knobs()[name].metadata, model if hasattr(model, name) else train
    value = getattr(config, name)
    if meta["choices"] or value != value:  # NaN is near to nothing
        return None
    value = type(meta["low"])(max(meta["low"], min(value, meta["high"])))
    if name == "n_head" and isinstance(config, ModelConfig):
        return nearest_valid("n_head", replace(model, n_head=value))
    return value - 1 if name == "n_embd" and model.position == "rotary" and value % 2 else value


def _first(value: str | None, wrong: list[str]) -> int | None:
    if value is None:
        return None
    try:
        number = int(value)
    except ValueError:
        wrong.append(f"first is {_shown(value)}: it must be a whole number.")
        return None
    taken = max(SHORTEST_TEXT, min(number, _MOST_CHARACTERS))
    if taken != number:
        wrong.append(f"first is {_shown(value)}: it must be a whole number from {SHORTEST_TEXT} on. Taken: {taken}.")
    return taken


def _own(says: Mapping[str, str]) -> tuple[str, str, str | None] | None:
    sha256, name, encoding = says.get("sha256", ""), says.get("name", "")[:_LONGEST_NAME], says.get("encoding")
    if not (re.fullmatch("[0-9a-f]{64}", sha256) and name):
        return None
    return sha256, name, encoding if encoding in ENCODINGS else None


def _guess(value: str | None) -> float | None:
    try:
        guess = float(value or "nan")
    except ValueError:
        return None
    return guess if 0 <= guess <= MOST_GUESS else None


def _shown(value: str) -> str:
    return repr(value if len(value) <= 40 else f"{value[:40]}…")
