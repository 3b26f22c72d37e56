"""What is pinned to the loss plot, and the curve of the timeline."""

import json
import math
from itertools import combinations, pairwise, product
from pathlib import Path

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from microllm.plots.labels import spread

from microllm.config import REFERENCE_NAMES
from microllm.plots import OLD_TEXT, Mark, loss_data, loss_spec, passed_references, timeline_data
from microllm.runs.history import AXES, History

REFERENCES = {"uniform": 4.5, "table_1": 3.1, "table_2": 2.5, "table_3": 1.9, "table_5": 1.5, "floor": 0.9}


@pytest.fixture
def history(tmp_path):
    """200 steps of a second each, the loss of step t being 4 / (1 + t / 50)."""
    path = tmp_path / "metrics.jsonl"
    rows = ({"step": t, "seconds": float(t), "train_loss": 4 / (1 + t / 50)} for t in range(201))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return History(path).read()


@given(st.lists(st.floats(0.5, 6.0), max_size=12))
def test_a_line_counts_as_passed_at_the_first_validation_check_below_it(losses):
    val_losses = [(10 * (i + 1), loss) for i, loss in enumerate(losses)]
    first = {}
    for key, line in REFERENCES.items():
        below = [step for step, loss in val_losses if loss < line]
        if below and key != "floor":
            first[key] = below[0]
    marks = passed_references(val_losses, REFERENCES)
    assert [mark.step for mark in marks] == sorted(set(first.values()))
    for mark in marks:
        named = {key for key, name in REFERENCE_NAMES.items() if name in mark.note.removeprefix("beat ").split(", ")}
        assert named == {key for key, step in first.items() if step == mark.step}
        assert mark.loss == dict(val_losses)[mark.step]


def test_an_untrained_model_has_passed_nothing():
    assert passed_references([(0, 4.4)], REFERENCES) == []


@pytest.mark.parametrize(("axis", "places"), [("log", [1, 80, 400]), ("step", [0, 80, 400]), ("seconds", [0, 80, 400])])
def test_marks_are_at_their_steps_on_every_axis(history, axis, places):
    marks = [Mark("moment", 0, "here"), Mark("passed", 80, "a line", 1.5), Mark("guess", 400, "your guess", 1.2)]
    frame = loss_data(history, {}, axis, marks)
    pinned = frame[frame["kind"].notna()]
    assert list(pinned["kind"]) == ["moment", "passed", "guess"]
    assert list(pinned["x"]) == pytest.approx(places)
    assert list(pinned["loss"])[1:] == pytest.approx([1.5, 1.2])
    assert pinned[["raw", "val", "reference"]].isna().all(axis=None)


def test_the_timeline_has_the_logarithm_of_the_step(history):
    data = timeline_data(history, [0, 8, 64, 200])
    assert data["last"] == 200
    expected = [1_000 * math.log(1 + step) / math.log(201) for step in data["snapshots"]]
    assert data["places"] == pytest.approx(expected, abs=0.5)
    assert (min(data["x"]), max(data["x"])) == (0, 1_000)
    assert data["x"] == sorted(set(data["x"])) and len(data["x"]) <= 251


def test_the_timeline_falls_with_the_loss(history):
    y = timeline_data(history, [])["y"]
    assert (y[0], y[-1]) == (0, 255)
    assert y == sorted(y)


def test_the_timeline_of_a_run_without_steps_is_empty(tmp_path):
    data = timeline_data(History(tmp_path / "none"), [])
    assert data == {"x": [], "y": [], "snapshots": [], "places": [], "last": 1}


# ---- 68. labels that do not know of each other


LABEL = 14  # pixels that a label is high
STEPS = 1_000
LOSSES = st.floats(0, 8, allow_subnormal=False)
CHANGES = st.lists(st.tuples(st.integers(1, STEPS), st.text("mi漢", min_size=3, max_size=40)), max_size=12)


def places_of_lines(frame, which, dy: str, height: float) -> list[tuple[float, float]]:
    """(pixel, pixel where its label begins) of lines or guesses, from the top, as Vega draws them at this height."""
    values = frame["reference"].fillna(frame["loss"]).to_numpy()
    low, high = numpy.nanmin(values), numpy.nanmax(values)
    share = (high - values) / (high - low) if high > low else values * 0 + 0.5
    lines = (20 + share * (height - 40))[which]
    return sorted(zip(lines, lines + frame[dy].to_numpy()[which], strict=True), key=lambda place: place[1])


def boxes_of_changes(frame, dy: str, axis: str, width: float) -> list[tuple[float, float, float]]:
    """(left, right, top) of the label of each live change that has one."""
    x = frame["x"]
    if axis == "log":
        share = numpy.log(x) / math.log(STEPS)
    else:
        low, high = (0, STEPS) if axis == "step" else (x.min(), x.max())
        share = (x - low) / (high - low) if high > low else x * 0 + 0.5
    boxes = []
    for at, note, top in zip(share * width, frame["note"], frame[dy], strict=True):
        wide = min(160, sum(11 if character == "漢" else 6 for character in note or ""))
        if not math.isnan(top):
            boxes.append((at - 4 - wide, at - 4, top) if at > width / 2 else (at + 4, at + 4 + wide, top))
    return boxes


@given(st.lists(st.floats(-100, 500), max_size=20))
def test_spread_places_keep_their_order_their_distance_and_the_bounds(wished):
    places = spread(wished, 0, 280, LABEL)
    inside = sorted(zip(wished, places, strict=True))
    assert all(0 <= place <= 280 for place in places)
    assert all(b - a >= LABEL - 1e-6 for (_, a), (_, b) in pairwise(inside))


def test_places_with_room_stay_where_they_are_wished():
    assert spread([20, 200, 100], 0, 280, LABEL) == [20, 200, 100]
    assert spread([100, 100, 280], 0, 280, LABEL) == [100, 114, 280]


@settings(max_examples=40)
@given(losses=st.lists(LOSSES, min_size=5, max_size=6), near=st.sampled_from([1, 0.001, 0]), guess=LOSSES, own=CHANGES)
def test_no_two_labels_of_lines_overlap_whatever_their_losses(losses, near, guess, own):
    references = dict(zip(REFERENCES, (2 + near * (loss - 2) for loss in losses), strict=False))
    marks = [Mark("guess", STEPS, "your guess", 2 + near * (guess - 2))]
    marks += [Mark("change", step, note) for step, note in sorted(own)]
    frame = loss_data(History(Path("none yet")), references, "log", marks, STEPS)
    is_line, is_guess = frame["reference"].notna().to_numpy(), (frame["kind"] == "guess").to_numpy()
    for dy, columns in {"dy_narrow": [is_line | is_guess], "dy": [is_line, is_guess]}.items():
        taken = numpy.nanmax([-LABEL, *frame[dy][frame["kind"] == "change"]]) + LABEL
        for which, height in product(columns, (240, 255, 315, 600)):
            placed = places_of_lines(frame, which, dy, height)
            assert all(below - above >= LABEL - 0.01 for (_, above), (_, below) in pairwise(placed))
            assert all(first <= second + 0.01 for (first, _), (second, _) in pairwise(placed))  # in the lines' order
            assert taken <= placed[0][1]  # below the labels of changes
            assert placed[-1][1] <= height - LABEL


@pytest.mark.parametrize("axis", AXES)
@settings(max_examples=40)
@given(changes=CHANGES)
def test_no_two_labels_of_live_changes_overlap(axis, changes):
    marks = [Mark("change", step, note) for step, note in sorted(changes)]
    frame = loss_data(History(Path("none yet")), {}, axis, marks, STEPS)
    for dy, width in (("dy_narrow", 200), ("dy_narrow", 340), ("dy", 480), ("dy", 900)):
        for one, other in combinations(boxes_of_changes(frame, dy, axis, width), 2):
            (left, right, top), (other_left, other_right, other_top) = one, other
            assert top != other_top or right <= other_left or other_right <= left
        if marks:
            assert not math.isnan(frame[dy].iloc[-1])  # the newest always has a label


def test_four_lines_that_coincide_have_labels_in_their_order():
    lines = {"uniform": 1.3863, "table_1": 1.3701, "table_2": 1.3702, "table_3": 1.3699, "table_5": 1.37}
    frame = loss_data(History(Path("none yet")), lines, "log", [Mark("place", 10, "", 0.85)], 10)
    frame = frame[frame["reference"].notna()]
    places = frame["dy"] - frame["reference"] / (1.3863 - 0.85) * 200
    order = ("uniform", "table_2", "table_1", "table_5", "table_3")
    assert [label.split(" · ")[0] for label in frame["label"][places.sort_values().index]] == [
        REFERENCE_NAMES[key] for key in order
    ]


def test_a_guess_beside_a_line_leaves_its_label_where_it_is_if_the_plot_is_wide():
    def labels_of_lines(*marks):
        frame = loss_data(History(Path("none yet")), REFERENCES, "log", marks, STEPS)
        return frame[frame["reference"].notna()]

    without, beside = labels_of_lines(), labels_of_lines(Mark("guess", STEPS, "your guess", 1.95))
    assert list(without["dy"]) == list(beside["dy"]) == pytest.approx([4] * 6)
    assert list(beside["dy_narrow"]) != list(beside["dy"])


# ---- a fork with another text


def test_a_fork_with_another_text_has_a_curve_for_the_old_text(tmp_path):
    rows = [{"step": i, "seconds": i, "train_loss": 3.0, "val_loss": 2.5, "old_val_loss": 2.0 + i} for i in (1, 2)]
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    frame = loss_data(History(path).read(), {}, "step")
    assert frame["old"].tolist() == [3.0, 4.0]
    spec = loss_spec("step", 10, "light", has_old_text=True)
    (curve,) = (layer for layer in spec["layer"] if layer["encoding"].get("y", {}) and "old" in str(layer["transform"]))
    assert curve["encoding"]["color"]["datum"] == OLD_TEXT
    assert curve["encoding"]["color"]["scale"]["domain"] == ["training", "validation", OLD_TEXT]


def test_other_runs_have_no_curve_for_an_old_text(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps({"step": 1, "seconds": 1, "train_loss": 3.0, "val_loss": 2.5}) + "\n")
    assert "old" not in loss_data(History(path).read(), {}, "step")
    assert OLD_TEXT not in str(loss_spec("step", 10, "light"))
