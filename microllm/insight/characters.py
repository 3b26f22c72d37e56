"""The map of characters: the token embeddings in two dimensions, their neighbors, and the kinds of characters."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import torch
from torch.nn import functional

KINDS = {
    "vowel": "lower-case vowel",
    "consonant": "lower-case consonant",
    "capital": "capital letter",
    "digit": "digit",
    "punctuation": "punctuation or symbol",
    "space": "space or invisible",
    "other": "other",
}
"""The kinds of characters, with the words for a legend."""

_VOWELS = frozenset("aeiouæœøαεηιουωаеёиоуыэюяіїє")
_SHORT_I = "й"  # a consonant, which Unicode decomposes into a vowel and an accent
_SCRIPTS = ("LATIN ", "GREEK ", "CYRILLIC ")  # those whose vowels are in _VOWELS


@dataclass(frozen=True)
class CharacterMap:
    """The positions of V characters in a plane."""

    points: torch.Tensor
    """(V, 2), around the origin, in the units of the embeddings."""
    shares: torch.Tensor
    """(2,): the share of the embeddings' total variance along each axis."""


def character_map(embeddings: torch.Tensor, reference: torch.Tensor | None = None) -> CharacterMap:
    """The vectors (V, C) in the plane in which they differ most: principal component analysis (Pearson 1901).

    Every character counts the same, however rare it is. (Weighted by frequency, the space and a few letters would
    determine the plane, and it would need the text, which a server may lack.) Without a `reference` the axes are the
    first two components. The sign of a component is arbitrary: it is chosen so that the character furthest out is on
    the positive side. With the points (V, 2) of another moment as the reference, the plane is rotated to fit them (see
    `turn`).
    """
    centered = (embeddings - embeddings.mean(dim=0)).double()
    _, _, components = torch.linalg.svd(centered, full_matrices=False)
    points = centered @ functional.pad(components, (0, 0, 0, 2))[:2].T  # with one character there is one component
    furthest = points.gather(0, points.abs().argmax(dim=0, keepdim=True))
    points = points * torch.where(furthest < 0, -1.0, 1.0)
    if reference is not None:
        points = points @ turn(points, reference.double())
    variance = centered.square().sum().clamp(min=torch.finfo(centered.dtype).tiny)
    return CharacterMap(points.float(), (points.square().sum(dim=0) / variance).float())


def turned(found: CharacterMap, rotation: torch.Tensor) -> CharacterMap:
    """The same plane with other axes: `found` after a `rotation` (2, 2) from `turn`."""
    points = found.points @ rotation.to(found.points)
    lengths = found.points.square().sum().clamp(min=torch.finfo(points.dtype).tiny)
    return CharacterMap(points, points.square().sum(dim=0) / lengths * found.shares.sum())


def turn(points: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """The rotation or reflection R (2, 2) for which points @ R is nearest to the reference; both are (V, 2).

    The orthogonal Procrustes problem: R = U Vᵀ for the singular vectors of pointsᵀ @ reference (Schönemann 1966).
    """
    u, _, v = torch.linalg.svd(points.double().T @ reference.double())
    return u @ v


def nearest(embeddings: torch.Tensor, count: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """(ids, cosines), both (V, count): for each of the vectors (V, C) those at the smallest angle, nearest first.

    The cosines use all C numbers, not only the plane that a map shows. A vector of zeros has no angle, so it is never a
    neighbor. Where there are fewer than `count` neighbors, the id is -1 and the cosine 0.
    """
    directions = functional.normalize(embeddings, dim=1)
    cosines = (directions @ directions.T).clamp(-1, 1)
    has_none = ~embeddings.any(dim=1)
    cosines.fill_diagonal_(-torch.inf)
    cosines[has_none] = cosines[:, has_none] = -torch.inf
    cosines = functional.pad(cosines, (0, count), value=-torch.inf)
    best = cosines.topk(count, dim=1)
    is_one = best.values > -torch.inf
    return best.indices.where(is_one, -1), best.values.where(is_one, 0.0)


def kind(character: str) -> str:
    """The kind of a character, a key of KINDS, by its Unicode category.

    Vowels are recognized in the Latin, Greek and Cyrillic scripts, with any accents; y is a consonant. Letters of
    scripts without capitals, and lower-case letters of other scripts, are of the kind "other".
    """
    category = unicodedata.category(character)
    if category in ("Lu", "Lt"):
        return "capital"
    if category == "Ll":
        if not unicodedata.name(character, "").startswith(_SCRIPTS):
            return "other"
        is_vowel = unicodedata.normalize("NFD", character)[0] in _VOWELS and character != _SHORT_I
        return "vowel" if is_vowel else "consonant"
    return {"N": "digit", "P": "punctuation", "S": "punctuation", "Z": "space", "C": "space"}.get(category[0], "other")
