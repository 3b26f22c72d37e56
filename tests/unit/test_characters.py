"""The map of characters: the plane, its alignment and the neighbors, against slow and explicit computations."""

import math

import pytest
import torch

from microllm.insight.characters import KINDS, character_map, kind, nearest, turn, turned


def vectors(count: int, width: int, seed: int = 1) -> torch.Tensor:
    """Random vectors that differ more along some axes than along others."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=generator) * torch.linspace(3, 0.5, width)


def covariance(rows: list[list[float]]) -> torch.Tensor:
    """The covariance (C, C) of vectors, number by number."""
    count, width = len(rows), len(rows[0])
    means = [sum(row[j] for row in rows) / count for j in range(width)]
    entries = [
        [sum((row[i] - means[i]) * (row[j] - means[j]) for row in rows) / count for j in range(width)]
        for i in range(width)
    ]
    return torch.tensor(entries, dtype=torch.float64)


def angle(degrees: float, *, mirrored: bool = False) -> torch.Tensor:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return torch.tensor([[c, -s], [s, c]]) @ torch.tensor([[1.0, 0.0], [0.0, -1.0 if mirrored else 1.0]])


def test_the_axes_are_the_eigenvectors_of_the_covariance_and_the_shares_its_eigenvalues():
    embeddings = vectors(30, 6)
    found = character_map(embeddings)
    values, axes = torch.linalg.eigh(covariance(embeddings.tolist()))
    centered = embeddings.double() - embeddings.double().mean(dim=0)
    for i in (0, 1):
        expected = centered @ axes[:, -1 - i]
        sign = 1 if torch.dot(expected, found.points[:, i].double()) > 0 else -1
        torch.testing.assert_close(found.points[:, i].double(), sign * expected, atol=1e-5, rtol=1e-5)
        assert found.shares[i].item() == pytest.approx(values[-1 - i].item() / values.sum().item(), rel=1e-5)


def test_on_each_axis_the_character_that_is_furthest_out_is_on_the_positive_side():
    for seed in range(20):
        points = character_map(vectors(9, 5, seed)).points
        for axis in (0, 1):
            assert max(points[:, axis].tolist(), key=abs) > 0


@pytest.mark.parametrize("rotation", [angle(0), angle(40), angle(180), angle(-100, mirrored=True)], ids=str)
def test_a_rotation_or_reflection_of_the_reference_is_undone_and_no_distance_changes(rotation):
    embeddings = vectors(25, 8)
    reference = character_map(embeddings).points @ rotation
    found = character_map(embeddings, reference)
    torch.testing.assert_close(found.points, reference, atol=1e-4, rtol=1e-4)
    alone = character_map(embeddings)
    again = turned(alone, turn(alone.points, reference))
    torch.testing.assert_close(again.points, found.points)
    torch.testing.assert_close(again.shares, found.shares)
    assert found.shares.sum().item() == pytest.approx(character_map(embeddings).shares.sum().item(), rel=1e-5)


def test_no_angle_of_many_brings_the_points_nearer_to_the_reference():
    points, reference = character_map(vectors(12, 4, 3)).points, character_map(vectors(12, 4, 4)).points
    best = (points @ turn(points, reference).float() - reference).square().sum().item()
    tried = [
        (points @ angle(degrees, mirrored=mirrored) - reference).square().sum().item()
        for degrees in range(0, 360, 2)
        for mirrored in (False, True)
    ]
    assert best <= min(tried) + 1e-4
    assert best >= min(tried) * 0.99


def test_neighbors_are_those_with_the_largest_cosine_that_explicit_loops_find():
    embeddings = vectors(14, 5)
    ids, cosines = nearest(embeddings)
    rows = embeddings.tolist()
    for i, row in enumerate(rows):
        found = []
        for j, other in enumerate(rows):
            if j != i:
                dot = sum(a * b for a, b in zip(row, other, strict=True))
                found.append((dot / math.hypot(*row) / math.hypot(*other), j))
        found.sort(reverse=True)
        assert ids[i].tolist() == [j for _, j in found[:5]]
        assert cosines[i].tolist() == pytest.approx([cosine for cosine, _ in found[:5]], abs=1e-5)


def test_a_vector_of_zeros_has_no_neighbors_and_is_nobodys():
    embeddings = vectors(4, 3)
    embeddings[2] = 0
    ids, cosines = nearest(embeddings)
    assert ids[2].tolist() == [-1] * 5 and cosines[2].tolist() == [0] * 5
    for i in (0, 1, 3):
        assert sorted(ids[i].tolist()) == [-1, -1, -1, *sorted({0, 1, 3} - {i})]


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_characters_and_vectors_that_are_all_alike_have_a_map_of_finite_numbers(count):
    for embeddings in (vectors(count, 4), torch.zeros(count, 4), torch.ones(count, 4)):
        found = character_map(embeddings, torch.ones(count, 2))
        assert found.points.shape == (count, 2) and found.points.isfinite().all()
        assert 0 <= found.shares.sum() <= 1 + 1e-6
    assert character_map(torch.ones(count, 4)).points.abs().max() < 1e-6


@pytest.mark.parametrize(
    ("characters", "expected"),
    [
        ("aeiouéàœüαώяї", "vowel"),
        ("bcyzñçβжй", "consonant"),
        ("AZÉΩЖǅ", "capital"),
        ("0٣²", "digit"),
        (".,“—$+|^", "punctuation"),
        (" \n\t\u200d\xa0", "space"),
        ("שع月ꙮա", "other"),
    ],
)
def test_a_character_is_of_the_kind_that_its_unicode_category_says(characters, expected):
    assert {kind(character) for character in characters} == {expected}
    assert expected in KINDS
