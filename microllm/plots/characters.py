"""The map of characters at all snapshots of a run, for the component that draws it."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import torch

from ..insight.characters import KINDS, CharacterMap, character_map, kind, nearest, turn, turned
from ..runs.history import History
from ..tokenizer import visible_alone
from .packing import in_base64
from .play import snapshot_notes

MAX_CHARACTERS = 300
"""The most characters on a map: more could not be told apart."""

_FEWEST_COMMON = 3
_SMALLEST, _LARGEST = 12, 25  # pixels of a character's height: the rarest and the most frequent one
# where an axis may end, times a power of ten
_EDGES = (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9, 10)


@dataclass(frozen=True)
class Placed:
    """The characters on a map at one snapshot."""

    map: CharacterMap
    neighbors: torch.Tensor
    """(V, 5): the ids of the nearest characters on the map, by the angle in all dimensions."""
    cosines: torch.Tensor
    """(V, 5)."""


def placed(embeddings: torch.Tensor) -> Placed:
    """The map of these embeddings (V, C), with the nearest neighbors of each."""
    return Placed(character_map(embeddings), *nearest(embeddings))


def on_the_map(counts: list[int] | None, vocab_size: int) -> list[int]:
    """The ids of the characters to draw: the most frequent, or the first of the vocabulary if no counts are known."""
    ids = range(vocab_size)
    if counts is not None:
        ids = sorted(ids, key=lambda i: -counts[i])
    return sorted(ids[:MAX_CHARACTERS])


def held_still(maps: list[CharacterMap], *, newest_first: bool) -> list[CharacterMap]:
    """Maps of one run in the order of time, each rotated to fit its neighbor, so that the picture does not jump.

    The newest map keeps its components as axes, and the earlier ones are rotated. While a run trains it is the other
    way round (not `newest_first`), so that a new snapshot does not move what is already drawn.
    """
    maps, order = [*maps], range(len(maps))
    for fixed, other in itertools.pairwise(order[::-1] if newest_first else order):
        maps[other] = turned(maps[other], turn(maps[other].points, maps[fixed].points))
    return maps


def beside(maps: list[CharacterMap], characters: str, places: dict[str, torch.Tensor]) -> list[CharacterMap]:
    """Maps of one run, all rotated alike, so that the last fits another map of the same `characters`.

    `places` has the position (2,) of each character on the other map. With fewer than three in common, nothing is
    rotated.
    """
    common = [i for i, character in enumerate(characters) if character in places]
    if len(common) < _FEWEST_COMMON:
        return maps
    rotation = turn(maps[-1].points[common], torch.stack([places[characters[i]] for i in common]))
    return [turned(each, rotation) for each in maps]


def map_data(
    characters: str,
    counts: list[int] | None,
    moments: dict[int, Placed],
    maps: list[CharacterMap],
    history: History,
) -> dict[str, Any]:
    """What the component draws: `characters` at some `moments` (by step), placed by `maps`, in the same order.

    `counts` are those of the characters in the text, if known.

    Points are 16-bit integers of 1/32,767 of `reach`, cosines bytes of 1/127.
    """
    steps = sorted(moments)
    points = torch.stack([each.points for each in maps])  # (moments, V, 2)
    reach = max(points.abs().max().item(), 1e-6)
    return {
        "characters": [visible_alone(character) for character in characters],
        "kinds": [kind(character) for character in characters],
        "kind_names": KINDS,
        "sizes": _sizes(counts, len(characters)),
        "steps": steps,
        "notes": snapshot_notes(history, steps),
        "shares": [each.shares.tolist() for each in maps],
        "extent": [[_edge(end(points[..., axis]).item()) for end in (torch.amin, torch.amax)] for axis in (0, 1)],
        "reach": reach,
        "points": in_base64((points * (32_767 / reach)).round(), torch.int16),
        "neighbors": in_base64(torch.stack([moments[step].neighbors for step in steps]), torch.int16),
        "cosines": in_base64((127 * torch.stack([moments[step].cosines for step in steps])).round(), torch.int8),
        "nearest": moments[steps[0]].neighbors.shape[1],
    }


def _edge(value: float) -> float:
    """The end of an axis, a round number at or beyond `value`: it stays the same while points move a little."""
    size = max(abs(value), 1e-6)
    power = 10 ** math.floor(math.log10(size))
    return math.copysign(power * next(edge for edge in _EDGES if edge * power >= size), value)


def _sizes(counts: list[int] | None, number: int) -> list[int]:
    """The height of each character in pixels: by the logarithm of its count, or all alike without counts."""
    if counts is None:
        return [(_SMALLEST + _LARGEST) // 2] * number
    logs = [math.log(max(count, 1)) for count in counts]
    low, high = min(logs), max(logs)
    return [round(_SMALLEST + (_LARGEST - _SMALLEST) * (log - low) / ((high - low) or 1)) for log in logs]
