"""Generated texts with a known entropy, and ways to modify a text on purpose.

Nobody knows the best possible loss on a novel. These texts are generated with known probabilities, so their entropy,
the loss that no model can beat on average, can be computed. Entropies are in nats per character, like the loss.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from string import ascii_lowercase
from typing import NamedTuple


def _first_characters(pieces: Iterator[str], length: int) -> str:
    if length < 0:
        raise ValueError(f"A text cannot have {length} characters; ask for 0 or more.")
    taken, count = [], 0
    while count < length:
        taken.append(next(pieces))
        count += len(taken[-1])
    return "".join(taken)[:length]


def _any_of(words: str) -> dict[str, int]:
    """Equally likely alternatives, separated by bars."""
    return dict.fromkeys(words.split("|"), 1)


# A probabilistic context-free grammar: each rule has alternatives with weights; {braces} refer to another rule.
# ".", "?" and "!" only occur at the end of a sentence (hence "Mr", not "Mr."), so that a text can be split into
# sentences. Each sentence has one derivation only, so its probability is the product of those of its choices.
DRAWING_ROOM: dict[str, dict[str, int]] = {
    "sentence": {
        "{clause}{turn}.{gap}": 12,
        '"{remark}," {said} {person}.{gap}': 5,
        '{person} asked, "{question}?"{gap}': 2,
        '{person} cried, "{outcry}!"{gap}': 1,
    },
    "gap": {" ": 4, "\n": 1},
    # Verbs and pronouns agree with the subject.
    "clause": {
        "{gentleman} {he_did}": 8,
        "{lady} {she_did}": 8,
        "{lady} and {gentleman} {they_did}": 2,
        "{gentleman}, who {did}, {he_did}": 1,
        "{lady}, who {did}, {she_did}": 1,
    },
    "turn": {"": 5, ", {but} {clause}": 1},
    "he_did": {
        "{did}": 6,
        "{lost} his {his}{where}": 3,
        "was {mood}": 2,
        "was {mood}, for he {did}": 1,
        "{held} that he {did}": 1,
        "{held} that {clause}": 1,
    },
    "she_did": {
        "{did}": 6,
        "{lost} her {her}{where}": 3,
        "was {mood}": 2,
        "was {mood}, for she {did}": 1,
        "{held} that she {did}": 1,
        "{held} that {clause}": 1,
    },
    "they_did": {"{did}": 6, "{lost} their {kin}s{where}": 3, "were {mood}": 2, "{held} that they {did}": 1},
    "did": {"{met} {person}{where}": 4, "{sent} {person} {thing}": 2, "{lost} {thing}{where}": 2, "{fled}{where}": 2},
    # Direct speech.
    "remark": {
        "My {kin} is {mood}": 2,
        "My {kin}s are {mood}": 2,
        "{person} has {thing}": 2,
        "{lady} and {gentleman} have {thing}": 1,
        "I {lost} {thing}{where}": 1,
        "It is too {damp} for {thing}": 1,
        "We dine at {hour}": 1,
    },
    "question": {"Is {person} {mood}": 2, "Are your {kin}s {mood}": 1, "Who {met} {person}{where}": 2},
    "outcry": {"What {mood} {kin}s": 1, "How {mood} {person} is": 1, "How {mood} you are": 1, "Not {thing}": 1},
    # People and places. Families are named after villages.
    "person": {"{gentleman}": 1, "{lady}": 1},
    "gentleman": {"Mr {village}": 4, "Major {village}": 1},
    "lady": {"Miss {village}": 3, "Mrs {village}": 2, "Lady {village}": 1},
    "village": {"{stem}{ending}": 1},
    "stem": _any_of("Ash|Bram|Cob|Dun|Fen|Gos|Hex|Ix|Kel|Lud|Mug|Ott|Pin|Quar|Rud|Sed|Tif|Ump|Wim|Yar"),
    "ending": _any_of("bury|by|combe|den|ford|gate|ham|ley|mere|nor|pole|ridge|sea|ton|well|wick"),
    "where": {"": 4, " at {village}": 2, " at {event}": 2, " on {day}": 1, " at {hour}": 1},
    # Words.
    "event": _any_of("tea|cards|church|whist|supper|a ball|the play|the fair"),
    "day": _any_of("Monday|Tuesday|Friday|Sunday"),
    "hour": _any_of("two|three|four|five|six|seven|eight|nine|ten"),
    "but": _any_of("and|but|so|for|yet"),
    "met": _any_of("met|saw|praised|teased|scorned|pitied|amused|thanked|blamed|feared|dodged|adored|kissed|bored"),
    "sent": _any_of("sent|gave|lent|sold|owed|left|denied|read"),
    "lost": _any_of("lost|hid|broke|found|liked|forgot|dropped|mended|sat on|wept over|painted|hated"),
    "fled": _any_of("fled|wept|danced|dined|sang|slept|fainted|blushed|sighed|laughed|called|bowed|sneezed|arrived"),
    "held": _any_of("held|wrote|swore|hoped|knew|denied"),
    "said": _any_of("said|sighed|replied|sobbed"),
    "mood": _any_of("cross|glad|ill|late|proud|shy|vexed|calm|rude|droll|dull|faint|kind|pale|grave|vain|smug|coy"),
    "kin": _any_of("aunt|uncle|cousin|niece|nephew|sister|brother"),
    "his": _any_of("hat|cane|horse|gig|wig|watch|temper|pipe"),
    "her": _any_of("fan|bonnet|shawl|muff|harp|lace|veil|parasol"),
    "thing": _any_of("a note|a rose|a pug|a ring|an ode|a pie|a goose|an egg|a secret|a parrot|an heir|a carriage"),
    "damp": _any_of("damp|wet|hot|cold|late|foggy"),
}


class _Alternative(NamedTuple):
    parts: tuple[str, ...]  # literal text, and {rules} to expand
    p: float
    nats: float  # -ln p


def _compiled(alternatives: dict[str, int]) -> list[_Alternative]:
    total = sum(alternatives.values())
    parts = [tuple(filter(None, re.split(r"(\{\w+\})", template))) for template in alternatives]
    return [_Alternative(p, w / total, math.log(total / w)) for p, w in zip(parts, alternatives.values(), strict=True)]


# Rules keep their braces, to tell the rule {his} from the word "his".
_GRAMMAR = {f"{{{rule}}}": _compiled(alternatives) for rule, alternatives in DRAWING_ROOM.items()}
_CUMULATIVE = {f"{{{rule}}}": list(accumulate(alternatives.values())) for rule, alternatives in DRAWING_ROOM.items()}
_SENTENCE_END = re.compile(r'[.?!]"?[ \n]')


def _sentences(rng: random.Random) -> Iterator[tuple[str, float]]:
    """An endless stream of sentences, each with the -ln p of its choices."""
    while True:
        written, nats, todo = [], 0.0, ["{sentence}"]
        while todo:
            part = todo.pop()
            if part in _GRAMMAR:
                (alternative,) = rng.choices(_GRAMMAR[part], cum_weights=_CUMULATIVE[part])
                nats += alternative.nats
                todo.extend(reversed(alternative.parts))
            else:
                written.append(part)
        yield "".join(written), nats


def _derivations(todo: tuple[str, ...], text: str) -> list[float]:
    """The -ln p of every derivation of exactly `text` from `todo` (in this grammar one or none)."""
    if not todo:
        return [] if text else [0.0]
    first, rest = todo[0], todo[1:]
    if first in _GRAMMAR:
        return [a.nats + nats for a in _GRAMMAR[first] for nats in _derivations(a.parts + rest, text)]
    return _derivations(rest, text[len(first) :]) if text.startswith(first) else []


def drawing_room(length: int, seed: int = 0) -> str:
    """Exactly `length` characters of drawing-room sentences; the last sentence may be incomplete.

    The same seed gives the same text; a shorter text is the beginning of a longer one. Raises ValueError for a negative
    length.
    """
    return _first_characters((sentence for sentence, _ in _sentences(random.Random(seed))), length)


def drawing_room_nats(text: str) -> tuple[float, int]:
    """(nats, characters): the exact -ln p of the complete sentences in `text`, and their length.

    nats / characters is comparable to a model's loss on the same text. Sentences are independent and have one
    derivation each, so the -ln p of the choices equals the sum of -ln p(character | all before it), which a loss adds
    up. A model with other probabilities q has a higher loss on average, by the Kullback-Leibler divergence of q from p
    (Gibbs' inequality; Cover and Thomas 2006, theorem 2.6.3); on a short text it may be lower by chance.

    What comes before the first and after the last sentence end is not scored. Raises ValueError if a sentence does not
    follow the grammar, or if there is no complete sentence.
    """
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    if len(ends) < 2:
        raise ValueError(f"These {len(text)} characters contain no complete sentence: give a longer text.")
    total = 0.0
    for start, end in pairwise(ends):
        derivations = _derivations(("{sentence}",), text[start:end])
        if not derivations:
            raise ValueError(f"Not a drawing-room sentence, at character {start}: {text[start:end]!r}")
        total += derivations[0]
    return total, ends[-1] - ends[0]


@cache
def drawing_room_entropy() -> float:
    """The entropy rate in nats per character: the expected nats of a sentence divided by its expected length.

    The expected nats of a rule are the mean over its alternatives of -ln p plus the expected nats of the rules inside;
    the expected length is computed likewise (Soule 1974, "Entropies of probabilistic grammars", after Grenander 1967;
    Chi 1999, "Statistical properties of probabilistic context-free grammars", on when they are finite). The equations
    are linear and solved by iteration: n rounds cover all derivations up to n rules deep. That converges quickly, as a
    clause contains another clause with a probability of only one in fifteen.
    """
    nats, characters = dict.fromkeys(_GRAMMAR, 0.0), dict.fromkeys(_GRAMMAR, 0.0)
    for _ in range(100):
        for rule, alternatives in _GRAMMAR.items():
            nats[rule] = sum(a.p * (a.nats + sum(nats.get(part, 0) for part in a.parts)) for a in alternatives)
            characters[rule] = sum(a.p * sum(characters.get(p, len(p)) for p in a.parts) for a in alternatives)
    return nats["{sentence}"] / characters["{sentence}"]


WORD_LENGTHS = range(4, 11)


def _word_pairs(rng: random.Random) -> Iterator[str]:
    while True:
        word = "".join(rng.choices(ascii_lowercase, k=rng.choice(WORD_LENGTHS)))
        yield f"{word} {word} "


def words_twice(length: int, seed: int = 0) -> str:
    """Exactly `length` characters of random words, each said twice: "qwopz qwopz heltu heltu ...".

    A word has 4 to 10 letters from a to z; all lengths and letters are equally likely. There are no line breaks, which
    would show where a pair ends: the model has to find that out. Seed, shorter texts and errors: as in `drawing_room`.
    """
    return _first_characters(_word_pairs(random.Random(seed)), length)


def words_twice_entropy() -> float:
    """The entropy rate in nats per character, for a reader who knows the rule and which of the two words comes next.

    A pair costs ln 7 for the length of its word and ln 26 for each of its letters, 7 on average. The second word costs
    nothing. A pair has 2 * (7 + 1) characters.
    """
    letters = sum(WORD_LENGTHS) / len(WORD_LENGTHS)
    return (math.log(len(WORD_LENGTHS)) + letters * math.log(len(ascii_lowercase))) / (2 * (letters + 1))


# ---------------------------------------------------------------- the texts to choose from


def _drawing_room_floor(held_out: str) -> float:
    try:
        nats, characters = drawing_room_nats(held_out)
    except ValueError:  # too short to hold a whole sentence
        return drawing_room_entropy()
    return nats / characters


@dataclass(frozen=True)
class BuiltinText:
    """A text that is generated here, for any length and seed."""

    name: str
    purpose: str  # a sentence for the user who chooses
    make: Callable[[int, int], str]  # (length in characters, seed) -> text
    floor: Callable[[str], float]  # held-out text -> the best possible loss on it, in nats per character
    length: int = 300_000  # characters, by default


BUILTIN_TEXTS: dict[str, BuiltinText] = {
    "drawing-room": BuiltinText(
        "Drawing-room sentences",
        "Visits, quarrels and aunts, generated by a grammar, so the best possible loss is known exactly.",
        drawing_room,
        _drawing_room_floor,
    ),
    "words-twice": BuiltinText(
        "Words said twice",
        "Random words, each said twice: only a model that looks back and copies can do well.",
        words_twice,
        lambda held_out: words_twice_entropy(),
    ),
}


def _shuffle_words(text: str, rng: random.Random) -> str:
    words = re.findall(r"\S+", text)
    rng.shuffle(words)
    supply = iter(words)
    return re.sub(r"\S+", lambda _: next(supply), text)


@dataclass(frozen=True)
class Transform:
    """A way to modify a text; `apply` gets its own random number generator."""

    label: str
    apply: Callable[[str, random.Random], str]


TRANSFORMS: dict[str, Transform] = {
    "none": Transform("unchanged", lambda text, rng: text),
    "reversed": Transform("reversed", lambda text, rng: text[::-1]),
    "words": Transform("words shuffled", _shuffle_words),  # spaces and line breaks stay
    "letters": Transform(
        "letters shuffled", lambda text, rng: "".join(rng.sample(text, len(text)))
    ),  # spaces are shuffled too
}


def transform(text: str, how: str = "none", first: int | None = None, seed: int = 0) -> str:
    """The first `first` characters of `text` (None: all), modified by `TRANSFORMS[how]`.

    The result has the same characters in another order; the same seed gives the same order. Raises ValueError for a
    `how` that is not in TRANSFORMS and for a `first` below 1.
    """
    if how not in TRANSFORMS:
        raise ValueError(f"There is no transformation {how!r}: choose one of {', '.join(TRANSFORMS)}.")
    if first is not None and first < 1:
        raise ValueError(f"first is {first}: it must be at least 1 character.")
    return TRANSFORMS[how].apply(text[:first], random.Random(seed))
