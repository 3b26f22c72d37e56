"""The record: counting tables against explicit loops, compression, and how a row sums up its seeds."""

import math
import zlib
from collections import Counter

import pytest
import torch

from benchmarks.counting import BackOffTable, compressed_loss
from benchmarks.record import GOALS, HEAD, Result, row
from benchmarks.report import settings

V, N = 5, 4
IDS = torch.randint(V, (300,), generator=torch.Generator().manual_seed(1)) // 2  # some never occur


def by_loops(context: list[int], answer: int) -> float:
    """Witten-Bell smoothing, from a list of all that followed each context."""
    ids, p = IDS.tolist(), 1 / V
    for k in range(min(N, len(context) + 1)):
        wanted = context[len(context) - k :]
        followed = Counter(ids[i + k] for i in range(len(ids) - k) if ids[i : i + k] == wanted)
        if followed:
            p = (followed[answer] + len(followed) * p) / (followed.total() + len(followed))
    return p


@pytest.mark.parametrize("length", [0, 1, 2, 3, 6])
def test_a_table_predicts_what_explicit_loops_find_and_its_probabilities_sum_to_one(length):
    table = BackOffTable(IDS, V, N)
    contexts = torch.randint(V, (40, length), generator=torch.Generator().manual_seed(2))
    p = torch.stack([table.probabilities(contexts, torch.full((40,), answer)) for answer in range(V)], dim=-1)
    torch.testing.assert_close(p.sum(-1), torch.ones(40, dtype=torch.float64))
    expected = [[by_loops(context, answer) for answer in range(V)] for context in contexts.tolist()]
    torch.testing.assert_close(p, torch.tensor(expected, dtype=torch.float64))


def test_the_loss_is_the_mean_over_all_places_or_the_last_ones():
    table = BackOffTable(IDS, V, N)
    windows = torch.randint(V, (6, 5), generator=torch.Generator().manual_seed(3))
    x, y = windows[:, :-1], windows[:, 1:]
    nats = [
        [-math.log(by_loops(row[: t + 1].tolist(), answer[t].item())) for t in range(4)]
        for row, answer in zip(x, y, strict=True)
    ]
    assert table.loss(x, y) == pytest.approx(sum(map(sum, nats)) / 24)
    assert table.loss(x, y, last_only=True) == pytest.approx(sum(row[-1] for row in nats) / 6)


def test_sequences_that_do_not_fit_into_an_integer_are_refused():
    with pytest.raises(ValueError, match="63 bits"):
        BackOffTable(IDS, 300, 8)


def test_a_text_that_was_seen_adds_little_to_a_compressed_file():
    known = "It was the best of times. " * 3 + "Nothing else was."
    fresh, seen = (
        compressed_loss(zlib.compress, known, "Ünrelated: 8 47 zq"),
        compressed_loss(zlib.compress, known, known),
    )
    assert seen < 0.5 < fresh


def test_a_row_has_medians_of_its_seeds_and_nothing_for_a_goal_that_was_not_reached():
    runs = [Result(seed, [(1.0, 1.9), (2.0 * seed, 1.6)], {8: 1.5 + seed}, 1_234) for seed in (1, 2, 3)]
    found = dict(zip(HEAD, row("mine", runs), strict=True))
    assert found == {
        "": "mine",
        "validation loss (seeds)": "1.600 (1.600 to 1.600)",
        "from 8 characters": "3.500",
        "from 32 characters": "",
        "CPU s to 1.7775": "4.0",
        **{f"CPU s to {goal}": "" for goal in GOALS[1:]},
        "CPU s in all": "4.0",
        "parameters or sequences": "1,234",
    }


def test_settings_are_read_as_numbers_where_they_are_numbers():
    assert settings(["n_layer=4", "learning_rate=1e-3", "position=rotary", "causal=False"]) == {
        "n_layer": 4,
        "learning_rate": 1e-3,
        "position": "rotary",
        "causal": False,
    }
