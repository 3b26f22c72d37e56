"""The path: what a newcomer does, card by card, along the article's six steps; and what counts as done.

The front door needs it before torch is imported, so this module must not import torch.

How to add a card: one entry in CARDS here, and its code and, if it is done on the page Learn itself, its body in
parts/path_cards.py. One that is done on another page has a `page`, and a rule in `done_elsewhere`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

STEPS = ("Text", "Tokens", "Batches", "Model", "Training", "Result")
"""The six steps of the article."""


@dataclass(frozen=True)
class Card:
    """One thing to learn by doing it."""

    step: str
    """One of STEPS."""
    title: str
    text: str
    """What it is about, in two sentences."""
    task: str
    """What to do, in one sentence."""
    done: str
    """The sentence shown once it is done."""
    page: str | None = None
    """The page on which it is done; None for Learn itself."""
    controls: tuple[str, ...] = ()
    """The keys of the controls of that page to use: they get an outline."""
    prepare: Mapping[str, str] = field(default_factory=dict)
    """What to choose on that page on the way there: values of widgets by key."""


CARDS = {
    "text": Card(
        "Text",
        "Start with a text",
        "A language model learns from text alone, such as a novel. The first 90 % is for training, and the last 10 % "
        "is held out to test what was learned.",
        "Look at another passage, or choose another text.",
        "You have looked at another passage or text.",
    ),
    "tokens": Card(
        "Tokens",
        "Turn characters into numbers",
        "Each different character gets an id: its place in the vocabulary of the text. The model sees only these ids, "
        "and they turn back into exactly the same characters.",
        "Type a sentence of your own.",
        "You have turned a sentence of your own into ids.",
    ),
    "batch": Card(
        "Batches",
        "Draw a batch",
        "The model trains on random windows of the text, many at once. The target of each character is the one after "
        "it, so the targets are the same window, one character later.",
        "Draw another batch. Then point at a character in it, to see what the model has to predict from what.",
        "You have drawn a batch and seen what the model has to predict from what.",
    ),
    "model": Card(
        "Model",
        "Choose the size of the model",
        "The model is a Transformer: an embedding of each character, layers of attention and feed-forward networks, "
        "and a score for each possible next character. Four numbers set its size.",
        "Move a slider, and see which parts grow.",
        "You have changed the size of the model.",
    ),
    "step": Card(
        "Training",
        "Take one training step",
        "The loss says how wrong the predictions are. One step, here of an early model, changes every weight to "
        "lower it.",
        "Play the five stages of a step, then take it.",
        "You have taken a training step.",
    ),
    "train": Card(
        "Training",
        "Train it",
        "Each step predicts a batch, measures the loss, and changes every weight a little so that the loss falls. "
        "A few hundred steps, which take seconds, are enough to see words appear.",
        "Press Start, and wait until the loss on held-out text has been measured.",
        "You have started a run, and its loss on held-out text has been measured.",
        page="train",
        controls=("start", "bar-start"),
    ),
    "generate": Card(
        "Result",
        "Let it write",
        "The model gives each possible next character a probability; one is drawn and appended, and the model predicts "
        "again. Point at a character to see the alternatives, and choose any of them instead.",
        "Press Generate.",
        "You have let the model write.",
        page="generate",
        controls=("generate",),
        prepare={"view": "Write"},
    ),
    "guess": Card(
        "Result",
        "Guess against it",
        "The loss measures how surprised the model is by the next character of text that it has not seen. How well do "
        "you predict the same text, and how well does the model, before and after training?",
        "Guess five characters.",
        "You have guessed five characters.",
    ),
    "head": Card(
        "Result",
        "Find a head",
        "Each attention head looks for something different in earlier characters. What it attends to is measured, and "
        "the menu above the pictures sorts all heads by it.",
        "Find a head that attends to the character two back, and choose it.",
        "You have found a head that attends to the character two back.",
        page="attention",
        controls=("attention-heads", "heads-order"),
    ),
    "inside": Card(
        "Result",
        "Look inside",
        "Between your sentence and the next character there are only matrices of numbers. The page Inside shows each "
        "of them, with its formula and the code that computes it.",
        "Click any part of the picture, or the button →.",
        "You have opened a part of the model.",
        page="inside",
        controls=("inside-parts",),
        prepare={"inside-mode": "Parts"},
    ),
    "knockout": Card(
        "Result",
        "Switch a head off",
        "What is a part of the model good for? Switch it off, and see how the loss and what the model writes change.",
        "Switch off a head or a feed-forward network in the map.",
        "You have switched off a part of the model.",
        page="inside",
        controls=("knockout-map",),
        prepare={"inside-mode": "Knock-out"},
    ),
}
"""All cards by id, in the order of the path. Browsers keep the ids."""

SENTENCE_LENGTH = 128
"""The maximum length of the sentence on the card "tokens"."""

DRAWN = ("text", "batch")
"""The cards on which something is drawn at random, from the number of the draw."""

_MAX_DIGITS = 7
_MAX_WRITTEN = 4_000  # characters

GUESSES = 5
"""How many guesses finish the card "guess"."""


def read_done(told: Any) -> set[str]:
    """The ids of finished cards, from what a browser sent, which may be anything."""
    return {card for card in told if isinstance(card, str) and card in CARDS} if isinstance(told, list) else set()


def written(sentence: str | None, draws: Mapping[str, int]) -> str:
    """What a person made on the cards, for the browser to keep: the sentence of the card "tokens", and the draws."""
    return urlencode({"sentence": (sentence or "")[:SENTENCE_LENGTH]} | dict(draws))


def read_written(told: Any) -> tuple[str, dict[str, int]]:
    """(the sentence, the draws) of what a browser sent, which may be anything."""
    if not isinstance(told, str) or len(told) > _MAX_WRITTEN:
        return "", {}
    values = dict(parse_qsl(told))
    sentence = values.get("sentence", "")[:SENTENCE_LENGTH].encode("utf-8", "replace").decode("utf-8")
    draws = {card: values.get(card, "") for card in DRAWN}
    return sentence, {card: int(n) for card, n in draws.items() if n.isdecimal() and len(n) < _MAX_DIGITS}


def first_open(done: Collection[str]) -> str | None:
    """The first card that is not done; None if all are."""
    return next((card for card in CARDS if card not in done), None)


def card_before(card: str) -> str | None:
    """The card before this one; None before the first."""
    order = list(CARDS)
    place = order.index(card)
    return order[place - 1] if place else None


def card_after(card: str, done: Collection[str]) -> str | None:
    """The card after this one or, after the last, another one that is not done; None if there is none."""
    order = list(CARDS)
    rest = order[order.index(card) + 1 :] or [other for other in order[:-1] if other not in done]
    return next(iter(rest), None)


@dataclass(frozen=True)
class Facts:
    """What a window shows and has done that finishes cards on pages other than Learn."""

    owns_run: bool = False
    """True if the displayed run is this person's own."""
    checks: int = 0
    """How often its validation loss was measured after step 0."""
    generations: int = 0
    """How many texts the window has generated."""
    is_right_head: bool = False
    """True if the chosen attention head is one that the card "head" asks for."""
    stage: str = "characters"
    """The open part on the page Inside."""
    without: tuple[str, ...] = ()
    """The parts that are switched off."""


def done_elsewhere(facts: Facts) -> set[str]:
    """The cards of other pages that are done."""
    rules = {
        "train": facts.owns_run and facts.checks > 0,
        "generate": facts.generations > 0,
        "head": facts.is_right_head,
        "inside": facts.stage != Facts.stage,
        "knockout": bool(facts.without),
    }
    return {card for card, is_done in rules.items() if is_done}
