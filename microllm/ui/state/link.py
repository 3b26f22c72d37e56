"""The part of a link that describes the next run: written from the controls, and validated completely when read.

A saved draft is such a link that the browser keeps for one person. It may also name that person's text and guess.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, replace
from typing import Any

from ...config import (
    MIN_TEXT_CHARACTERS,
    PRESETS,
    ModelConfig,
    TrainConfig,
    configs_from,
    flat,
    knobs,
    nearest_valid,
    problems,
)
from ...data.builtin import TRANSFORMS
from ...data.decode import ENCODINGS
from ...data.published import PUBLIC_TEXTS

SENTENCE_LENGTH = 128
"""The maximum length of the sentence on all pages. Each character beyond block_size needs its own forward pass."""

MAX_GUESS_NATS = 10.0
"""The highest loss that can be guessed, in nats per character. Guessing blindly among 6,000 characters gives 8.7."""

_MAX_NAME_CHARACTERS = 255
_MAX_TEXT_CHARACTERS = 10**9  # a browser cannot represent whole numbers beyond 2**53


@dataclass(frozen=True)
class Link:
    """The part of a link that describes the next run and the sentence; None is what it leaves out.

    `values` are settings by name, valid together on top of `preset`. `wrong` has a sentence for each value that was
    changed or ignored, and `ignored` the names of what was ignored, by sentence. In a draft, `text` may be "own": then
    `own` is (SHA-256, name, encoding of its file if the person chose one). `guess` is in nats per character.
    """

    preset: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    text: str | None = None
    transform: str = "none"
    first: int | None = None
    sentence: str | None = None
    wrong: tuple[str, ...] = ()
    ignored: Mapping[str, str] = field(default_factory=dict)
    own: tuple[str, str, str | None] | None = None
    guess: float | None = None


def written(link: Link) -> dict[str, str]:
    """The query parameters of a link; `read` is the inverse. Settings that equal the preset's are left out."""
    preset = flat(*configs_from({}, link.preset or "quick"))
    values = {"preset": link.preset, "text": link.text, "sentence": link.sentence, "guess": link.guess}
    values |= {name: value for name, value in link.values.items() if value != preset[name]}
    if link.text is not None:
        values |= {"transform": None if link.transform == "none" else link.transform, "first": link.first}
    if link.own is not None:
        values |= dict(zip(("sha256", "name", "encoding"), link.own, strict=True))
    return {name: str(value) for name, value in values.items() if value is not None}


def read(given: Mapping[str, str], *, is_draft: bool = False) -> Link:
    """The link with these query parameters. Unknown names are ignored.

    A bad value is replaced by the nearest good one, or ignored if there is none. It raises nothing, because anybody can
    write a link. `own` and `guess` are read only if it `is_draft`.
    """
    wrong: dict[str, str | None] = {}  # with the name of what is ignored

    def one_of(name: str, choices: Mapping[str, Any]) -> str | None:
        if (value := given.get(name)) is None or value in choices:
            return value
        wrong[f"{name} is {_shown(value)}: choose one of {', '.join(choices)}."] = name
        return None

    preset = one_of("preset", PRESETS)
    values = _settings(given, preset or "quick", wrong)
    text = one_of("text", PUBLIC_TEXTS | ({"own": None} if is_draft else {}))
    transform = one_of("transform", TRANSFORMS) or "none"
    first = _first(given.get("first"), wrong)
    sentence = given.get("sentence") or None
    if sentence and len(sentence) > SENTENCE_LENGTH:
        wrong[f"The sentence has {len(sentence):,} characters: only the first {SENTENCE_LENGTH} are used."] = None
        sentence = sentence[:SENTENCE_LENGTH]
    if text is None and (transform != "none" or first is not None):
        text = "book"
    own = _own(given) if text == "own" else None
    guess = _guess(given.get("guess")) if is_draft else None
    ignored = {problem: name for problem, name in wrong.items() if name}
    return Link(preset, values, text, transform, first, sentence, tuple(wrong), ignored, own, guess)


def _settings(given: Mapping[str, str], preset: str, wrong: dict[str, str | None]) -> dict[str, Any]:
    values = {}
    for name, knob in knobs().items():
        if name in given:
            try:
                values[name] = _parsed(knob, given[name])
            except ValueError:
                kind = "a whole number" if knob.type == "int" else "a number"
                wrong[f"{name} is {_shown(given[name])}: it must be {kind}."] = name
    found = problems(*configs_from(values, preset))
    while found:  # each round replaces one value, or removes it: at most two rounds per setting
        name, sentence = next(((n, s) for n, s in found.items() if n in values), (None, ""))
        if name is None:  # a value of the preset does not fit the given ones
            name, sentence = next(iter(found.items()))
        nearest = _nearest(name, *configs_from(values, preset))
        if nearest is not None and problems(*configs_from(values | {name: nearest}, preset)).get(name) is None:
            values[name] = nearest
            wrong[f"{sentence} Using {nearest}."] = None
        elif name in values:
            del values[name]
            wrong[sentence] = name
        else:
            values.clear()
            wrong[f"{sentence} The settings in the link are ignored."] = None
        found = problems(*configs_from(values, preset))
    return values


def _parsed(knob: Field, value: str) -> Any:
    if knob.type == "bool":
        return {"true": True, "false": False}.get(value.lower(), value)
    if knob.type in ("int", "float"):
        return {"int": int, "float": float}[knob.type](value)
    return value


def _nearest(name: str, model: ModelConfig, train: TrainConfig) -> Any | None:
    """The valid value of this setting that is nearest to the current one and fits the others; None if there is none."""
    meta, config = knobs()[name].metadata, model if hasattr(model, name) else train
    value = getattr(config, name)
    if meta["low"] is None or value != value:  # NaN
        return None
    value = type(meta["low"])(max(meta["low"], min(value, meta["high"])))
    if name == "n_head" and isinstance(config, ModelConfig):
        return nearest_valid("n_head", replace(model, n_head=value))
    return value - 1 if name == "n_embd" and model.position == "rotary" and value % 2 else value


def _first(value: str | None, wrong: dict[str, str | None]) -> int | None:
    if value is None:
        return None
    try:
        number = int(value)
    except ValueError:
        wrong[f"first is {_shown(value)}: it must be a whole number."] = "first"
        return None
    first = max(MIN_TEXT_CHARACTERS, min(number, _MAX_TEXT_CHARACTERS))
    if first != number:
        span = f"from {MIN_TEXT_CHARACTERS} to {_MAX_TEXT_CHARACTERS:,}"
        wrong[f"first is {_shown(value)}: it must be a whole number {span}. Using {first:,}."] = None
    return first


def _own(given: Mapping[str, str]) -> tuple[str, str, str | None] | None:
    sha256, name, encoding = given.get("sha256", ""), given.get("name", ""), given.get("encoding")
    if not (re.fullmatch("[0-9a-f]{64}", sha256) and name):
        return None
    name = name[:_MAX_NAME_CHARACTERS]
    return sha256, name, encoding if encoding in ENCODINGS else None


def _guess(value: str | None) -> float | None:
    try:
        guess = float(value or "nan")
    except ValueError:
        return None
    return guess if 0 <= guess <= MAX_GUESS_NATS else None


def _shown(value: str) -> str:
    return repr(value if len(value) <= 40 else f"{value[:40]}…")
