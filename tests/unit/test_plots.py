"""What is pinned to the loss plot, and the curve of the timeline."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microllm.config import REFERENCE_NAMES
from microllm.plots import Mark, OtherRun, loss_data, passed_references, timeline_data
from microllm.runs.history import History

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
    pinned = loss_data(history, {}, axis, marks)["marks"]
    assert [mark["kind"] for mark in pinned] == ["moment", "passed", "guess"]
    assert [mark["x"] for mark in pinned] == pytest.approx(places)
    assert [mark["loss"] for mark in pinned] == [None, 1.5, 1.2]


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


# ---- a fork with another text


def test_a_fork_with_another_text_has_a_curve_for_the_old_text_and_other_runs_have_none(tmp_path):
    rows = [{"step": i, "seconds": i, "train_loss": 3.0, "val_loss": 2.5, "old_val_loss": 2.0 + i} for i in (1, 2)]
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert loss_data(History(path).read(), {}, "step")["old"] == {"x": [1, 2], "loss": [3.0, 4.0]}
    path.write_text(json.dumps({"step": 1, "seconds": 1, "train_loss": 3.0, "val_loss": 2.5}) + "\n")
    assert loss_data(History(path).read(), {}, "step")["old"] is None


def test_the_plot_has_room_for_the_longest_of_its_runs(history, tmp_path):
    other = OtherRun("a" * 16, "quiet-jane", "", history)
    assert loss_data(History(tmp_path / "none"), {}, "step", max_steps=50, others=[other])["domain"] == [0, 200]
    assert loss_data(history, {}, "log", max_steps=900, others=[other])["domain"] == [1, 900]


def test_what_is_sent_is_json_also_when_the_loss_is_no_number(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps({"step": i, "seconds": i, "train_loss": None}) + "\n" for i in range(9)))
    data = loss_data(History(path).read(), REFERENCES, "log", peak_rate=0.02)
    assert json.loads(json.dumps(data, allow_nan=False)) == data


@pytest.mark.parametrize("axis", ["log", "step", "seconds"])
def test_where_the_model_was_changed_by_hand_the_validation_loss_jumps(tmp_path, axis):
    checks = {10: 3.0, 20: 2.0, 30: 1.8}
    rows = [{"step": t, "seconds": float(t), "train_loss": 2.0} for t in range(41)]
    rows = [row | ({"val_loss": checks[row["step"]]} if row["step"] in checks else {}) for row in rows]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    history = History(tmp_path / "metrics.jsonl").read()
    plain = loss_data(history, {}, axis)["validation"]
    data = loss_data(history, {}, axis, jump=(24, 1.5, 2.5))["validation"]
    at = data["loss"].index(1.5)
    assert data["loss"][at : at + 2] == [1.5, 2.5] and data["x"][at] == data["x"][at + 1]
    assert data["x"] == sorted(data["x"]) and at == 2
    for name in ("x", "loss"):
        assert data[name][:at] + data[name][at + 2 :] == plain[name]
