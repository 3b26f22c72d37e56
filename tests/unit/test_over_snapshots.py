"""Values of all snapshots of a run, and what is sent to the browser to play them."""

import base64
import itertools
import math
import threading
import time

import numpy
import pytest
import torch
from making import new_run, train, wait_until

from microllm.insight.characters import character_map
from microllm.jobs.background import running
from microllm.jobs.snapshots import OverSnapshots
from microllm.model import MicroLLM
from microllm.plots import play
from microllm.plots.attention import packed
from microllm.plots.characters import beside, held_still, map_data, on_the_map, placed
from microllm.plots.play import play_data, snapshot_notes


@pytest.fixture
def run():
    run = new_run(max_steps=20)
    assert train(run) == "finished"
    return run


def all_of(values: OverSnapshots, steps: list[int]) -> dict:
    wait_until(lambda: values.want(steps) and values.is_complete(steps))
    return values.want(steps)


def test_the_value_of_each_snapshot_is_computed_once_from_its_own_weights(run):
    measured = []

    def measure(model: MicroLLM, rest) -> torch.Tensor:
        measured.append(model)
        return model.token_embedding.weight.clone()

    values, steps = OverSnapshots(run, measure), run.list_snapshots()
    assert list(all_of(values, steps)) == list(all_of(values, steps)) == steps
    assert len(measured) == len(steps) > 3
    for step in steps:
        torch.testing.assert_close(values.values[step], run.model_at(step).token_embedding.weight)
    wait_until(lambda: not running("snapshots"))


def test_a_snapshot_that_cannot_be_read_is_left_out_and_not_tried_again(run):
    steps = run.list_snapshots()
    (run.folder / "snapshots" / f"step-{steps[1]}.safetensors").write_bytes(b"nothing")
    values = OverSnapshots(run, lambda model, rest: 1)
    assert list(all_of(values, steps)) == [steps[0], *steps[2:]]
    assert values.unreadable == {steps[1]}
    wait_until(lambda: not running("snapshots"))
    values.want(steps)
    assert not running("snapshots")


def test_only_one_value_is_computed_at_a_time_and_none_after_a_stop(run):
    at_once, most, gate = [], [], threading.Event()

    def measure(model: MicroLLM, rest) -> None:
        at_once.append(1)
        most.append(len(at_once))
        gate.wait(10)
        at_once.pop()

    both, steps = [OverSnapshots(run, measure) for _ in range(2)], run.list_snapshots()
    for values in both:
        values.want(steps)
    wait_until(lambda: most)
    for values in both:
        values.stop()
    gate.set()
    wait_until(lambda: not running("snapshots"))
    assert max(most) == 1
    assert len(most) <= 2  # what was in progress, at most one of each


def test_a_step_that_has_no_snapshot_any_more_is_forgotten(run):
    values, steps = OverSnapshots(run, lambda model, rest: 1), run.list_snapshots()
    all_of(values, steps[1:])
    (run.folder / "snapshots" / f"step-{steps[1]}.safetensors").unlink()
    values.want(steps[:1])
    wait_until(lambda: not running("snapshots"))
    assert values.values.keys() == {steps[0], *steps[2:]}


# ---- playing


def test_each_snapshot_is_noted_with_its_validation_loss_or_that_of_the_last_check(run):
    history = run.history.read()
    losses = dict(history.val_losses)
    notes = dict(zip([0, 10, 12, 20], snapshot_notes(history, [0, 10, 12, 20]), strict=True))
    for step in (0, 10, 20):
        assert f"{losses[step]:.3f}" in notes[step] and str(step) in notes[step]
    assert f"{losses[10]:.3f}" in notes[12] and "12" in notes[12]


def test_a_film_has_the_maps_of_all_snapshots_while_they_fit_and_else_the_first_the_last_and_some_between(
    run, monkeypatch
):
    steps = [0, *(2**i for i in range(3, 15))]
    maps = {step: packed(torch.rand(9, 9, generator=torch.Generator().manual_seed(step)).tril()) for step in steps}
    film = play_data(maps, "abc␠e\ng h", run.history, causal=True, name="a head")
    assert film["steps"] == steps and film["left_out"] == 0
    assert film["shares"] == [maps[step] for step in steps]
    assert film["text"][5] == "⏎" and len(film["notes"]) == len(steps)

    monkeypatch.setattr(play, "MAX_BYTES", 5 * len(maps[0]) + 3)
    film = play_data(maps, "abc␠e\ng h", run.history, causal=True, name="a head")
    assert len(film["steps"]) == 5 and film["left_out"] == len(steps) - 5
    assert film["steps"][0] == 0 and film["steps"][-1] == steps[-1]
    assert sum(map(len, film["shares"])) <= play.MAX_BYTES


def test_even_the_longest_sentence_and_many_snapshots_stay_below_two_megabytes(run):
    pattern = torch.full((128, 128), 1 / 128)
    maps = {step: packed(pattern, causal=False) for step in range(200)}
    film = play_data(maps, "a" * 128, run.history, causal=False, name="a head")
    assert 20 < len(film["steps"]) < 200
    assert sum(map(len, film["shares"])) <= play.MAX_BYTES == 2_000_000


# ---- the map of characters


def drifting(moments: int, count: int = 12, width: int = 6) -> list[torch.Tensor]:
    """Embeddings that change a little from moment to moment, (count, width) each."""
    generator = torch.Generator().manual_seed(7)
    start = torch.randn(count, width, generator=generator) * torch.tensor([3, 2.9, 1, 1, 1, 1])
    change = torch.randn(count, width, generator=generator)
    return [start + 0.05 * i * change for i in range(moments)]


@pytest.mark.parametrize("newest_first", [True, False])
def test_between_moments_the_points_move_less_than_they_would_with_free_axes_and_one_end_keeps_its_own(newest_first):
    free = [character_map(embeddings) for embeddings in drifting(8)]
    held = held_still(free, newest_first=newest_first)
    fixed = -1 if newest_first else 0
    assert held[fixed] is free[fixed]

    def moved(maps) -> list[float]:
        return [(a.points - b.points).norm().item() for a, b in itertools.pairwise(maps)]

    assert all(after <= before + 1e-5 for after, before in zip(moved(held), moved(free), strict=True))
    assert max(moved(held)) < 2
    for one, other in zip(free, held, strict=True):  # only turned
        torch.testing.assert_close(torch.cdist(one.points, one.points), torch.cdist(other.points, other.points))


def test_a_map_beside_another_is_turned_to_fit_the_characters_that_both_have():
    maps = [character_map(embeddings) for embeddings in drifting(3)]
    quarter = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    there = dict(zip("abcdefgh", (maps[-1].points @ quarter)[:8], strict=True)) | {"z": torch.ones(2)}
    found = beside(maps, "abcdefghijkl", there)
    torch.testing.assert_close(found[-1].points, maps[-1].points @ quarter, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[0].points, maps[0].points @ quarter, atol=1e-4, rtol=1e-4)
    assert beside(maps, "uvwxyzUVWXYZ", there) is maps  # one in common says nothing about a rotation


def test_the_most_frequent_characters_are_on_the_map_and_without_counts_the_first():
    assert on_the_map(None, 5) == [0, 1, 2, 3, 4]
    assert on_the_map(None, 1_000) == list(range(300))
    counts = [i % 400 for i in range(1_000)]
    chosen = on_the_map(counts, 1_000)
    assert len(chosen) == 300 and chosen == sorted(chosen)
    assert min(counts[i] for i in chosen) >= max(counts[i] for i in set(range(1_000)) - set(chosen))


def test_the_browser_is_sent_the_points_and_the_neighbors_of_every_moment(run):
    moments = {step: placed(embeddings) for step, embeddings in zip([0, 8, 20], drifting(3), strict=True)}
    maps = [moments[step].map for step in (0, 8, 20)]
    counts = [1000, 1, 10, 100, *[5] * 8]
    data = map_data("ab c\nefghiZ!"[:12], counts, moments, maps, run.history.read())
    points = numpy.frombuffer(base64.b64decode(data["points"]), numpy.int16).reshape(3, 12, 2)
    neighbors = numpy.frombuffer(base64.b64decode(data["neighbors"]), numpy.int16).reshape(3, 12, 5)
    cosines = numpy.frombuffer(base64.b64decode(data["cosines"]), numpy.int8).reshape(3, 12, 5)
    for m, step in enumerate((0, 8, 20)):
        numpy.testing.assert_allclose(points[m] * data["reach"] / 32_767, maps[m].points.numpy(), atol=1e-3)
        numpy.testing.assert_array_equal(neighbors[m], moments[step].neighbors.numpy())
        numpy.testing.assert_allclose(cosines[m] / 127, moments[step].cosines.numpy(), atol=0.005)
    for axis, (low, high) in enumerate(data["extent"]):
        ends = (
            [float(each.points[:, axis].min()) for each in maps],
            [float(each.points[:, axis].max()) for each in maps],
        )
        assert low <= min(ends[0]) and max(ends[1]) <= high
        assert math.isfinite(low) and math.isfinite(high)
    assert data["characters"][2] == "␠" and data["characters"][4] == "⏎"
    assert [data["kinds"][i] for i in (0, 1, 2, 10, 11)] == ["vowel", "consonant", "space", "capital", "punctuation"]
    sizes = data["sizes"]
    assert sizes[0] > sizes[3] > sizes[2] > sizes[1] >= 10
    assert len(set(map_data("ab c\nefghiZ!", None, moments, maps, run.history)["sizes"])) == 1


def test_a_map_of_vectors_that_are_all_zero_can_be_sent(run):
    moments = {0: placed(torch.zeros(4, 3))}
    data = map_data("abcd", None, moments, [moments[0].map], run.history)
    assert not numpy.frombuffer(base64.b64decode(data["points"]), numpy.int16).any()
    assert (numpy.frombuffer(base64.b64decode(data["neighbors"]), numpy.int16) == -1).all()


@pytest.mark.alone
def test_the_map_of_the_most_characters_takes_less_than_a_tick(run):
    embeddings = torch.randn(300, 512, generator=torch.Generator().manual_seed(1))
    began = time.thread_time()
    placed(embeddings)
    assert time.thread_time() - began < 0.1
