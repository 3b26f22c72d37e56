"""The curve of a run, read while somebody else writes it."""

import json
import math
import time

import pytest

from microllm.plots import loss_data
from microllm.runs.history import AXES, History

STEPS = 100_000


def line(step: int, train_loss: float | None = 2.0, **more) -> str:
    row = {"step": step, "seconds": step / 10, "train_loss": train_loss, "learning_rate": 1e-3, **more}
    return json.dumps(row) + "\n"


def append(path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.jsonl"


SIZES = (1, 2, 10, 100, 127, 128, 129, 500, 999, 1_024, 5_000, 33_333, 40_000, 50_000, 60_000, 70_000, STEPS + 1)


@pytest.fixture(scope="module")
def growing(tmp_path_factory):
    """A history of 100,001 steps, validated every 500, and what was drawn of it: {axis: {rows so far: points}}."""
    path = tmp_path_factory.mktemp("long") / "metrics.jsonl"
    history, drawn, written = History(path), {axis: {} for axis in AXES}, 0
    for rows in SIZES:
        steps = range(written, rows)
        append(path, "".join(line(step, **({} if step % 500 else {"val_loss": 2.5})) for step in steps))
        history.read()
        for axis in AXES:
            drawn[axis][rows] = history.points(axis)
        written = rows
    return history, drawn


@pytest.fixture(scope="module")
def long_history(growing):
    return growing[0]


@pytest.fixture(scope="module")
def drawn(growing):
    return growing[1]


# Reading


def test_a_run_that_has_not_begun_has_no_rows(path):
    history = History(path).read()
    assert (len(history), history.last, history.val_losses, history.steps_per_second()) == (0, None, [], None)
    assert history.points() == {name: [] for name in history.rows}


def test_a_row_becomes_an_entry_of_each_column(path):
    append(path, line(0, 3.0, val_loss=3.1, tokens_per_second=50.0) + line(1, 2.5))
    history = History(path).read()
    assert history.rows["step"] == [0, 1]
    assert history.rows["val_loss"] == [3.1, None]
    assert history.rows["tokens_per_second"] == [50.0, None]
    assert history.last["train_loss"] == 2.5


def test_the_row_of_a_step_is_found_where_a_run_does_not_begin_at_zero(path):
    append(path, line(7, 3.0) + line(8, 2.5, val_loss=2.6) + line(10, 2.0))
    history = History(path).read()
    assert (history.row_of(8)["train_loss"], history.row_of(8)["val_loss"], history.row_of(10)["step"]) == (
        2.5,
        2.6,
        10,
    )
    for step in (0, 9, 11):
        with pytest.raises(KeyError):
            history.row_of(step)


def test_what_was_read_once_is_not_read_again(path):
    append(path, line(0, 3.0))
    history = History(path).read()
    path.write_text("#" * (path.stat().st_size - 1) + "\n" + line(1, 2.0))
    assert history.read().rows["train_loss"] == [3.0, 2.0]


def test_nothing_new_changes_nothing(path):
    append(path, line(0) + line(1))
    history = History(path).read()
    assert history.read().read().rows["step"] == [0, 1]


def test_bytes_that_arrive_one_by_one_make_the_same_rows(path):
    text = line(0, 3.25, val_loss=3.5) + line(1, 3.0) + "torn {\n" + line(2, None) + line(3, 2.5)
    history = History(path)
    for character in text:
        append(path, character)
        history.read()
    (whole := path.with_name("whole.jsonl")).write_text(text)
    assert history.rows == History(whole).read().rows
    assert history.rows["step"] == [0, 1, 2, 3]


def test_a_file_that_got_shorter_is_read_anew(path):
    append(path, line(0, 9.0) + line(1, 9.0) + line(2, 9.0))
    history = History(path).read()
    path.write_text(line(0, 1.0) + line(1, 1.0))
    history.read()
    assert history.rows["step"] == [0, 1]
    assert history.rows["smoothed"] == [1.0, 1.0]  # nothing is left of the old mean


@pytest.mark.parametrize("rows_after", [3, 4, 10])
def test_a_file_that_was_replaced_is_read_anew_though_it_is_no_shorter(rows_after, path):
    append(path, line(0, 9.0) + line(1, 9.0) + line(2, 9.0))
    history = History(path).read()
    (other := path.with_name("other")).write_text("".join(line(step, 1.0, val_loss=1.5) for step in range(rows_after)))
    other.replace(path)
    history.read()
    assert history.rows["train_loss"] == [1.0] * rows_after
    assert history.val_losses == [(step, 1.5) for step in range(rows_after)]


# What is made of the rows


def test_validation_checks_are_the_rows_with_a_validation_loss(path):
    append(path, line(0, val_loss=3.0) + line(1) + line(2, val_loss=2.5))
    assert History(path).read().val_losses == [(0, 3.0), (2, 2.5)]


def test_the_best_loss_is_the_lowest_of_all_validation_checks_and_of_no_training_loss(path):
    history = History(path).read()
    assert history.best is None
    for step, val_loss in enumerate([3.0, 2.5, None, 2.75]):
        append(path, line(step, 1.0, val_loss=val_loss))
    assert history.read().best == 2.5


def test_a_level_loss_is_level_when_smoothed(path):
    append(path, "".join(line(step, 2.0) for step in range(300)))
    assert History(path).read().rows["smoothed"] == pytest.approx([2.0] * 300)


def test_smoothing_takes_the_noise_and_keeps_the_fall(path):
    losses = [4 / math.sqrt(step + 1) + (0.3 if step % 2 else -0.3) for step in range(1_000)]
    append(path, "".join(line(step, loss) for step, loss in enumerate(losses)))
    smoothed = History(path).read().rows["smoothed"]
    assert smoothed[0] == losses[0]
    for step in range(300, 1_000):
        assert smoothed[step] == pytest.approx(4 / math.sqrt(step + 1), abs=0.05)


def test_speed_is_that_of_the_last_few_seconds(path):
    slow = [{"step": step, "seconds": step * 1.0} for step in range(100)]
    fast = [{"step": 99 + step, "seconds": 99 + step * 0.1} for step in range(1, 100)]
    append(path, "".join(json.dumps(row) + "\n" for row in slow + fast))
    assert History(path).read().steps_per_second() == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize("rows", [[], [0.0], [0.0, 0.0]])
def test_speed_is_unknown_before_any_time_was_spent(rows, path):
    append(path, "".join(json.dumps({"step": i, "seconds": s}) + "\n" for i, s in enumerate(rows)))
    assert History(path).read().steps_per_second() is None


def test_the_usual_step_is_not_that_after_a_pause(path):
    times = [2.0 if step % 12 == 0 else 0.1 for step in range(400)]  # a single step at a time, now and then
    rows = [{"step": step, "seconds": sum(times[:step])} for step in range(400)]
    append(path, "".join(json.dumps(row) + "\n" for row in rows[:30]))
    assert History(path).read().usual_step_seconds() is None
    append(path, "".join(json.dumps(row) + "\n" for row in rows[30:]))
    assert History(path).read().usual_step_seconds() == pytest.approx(0.1)


def test_steps_that_took_less_than_no_time_do_not_count(path):
    append(path, "".join(json.dumps({"step": step, "seconds": 100 - step}) + "\n" for step in range(100)))
    assert History(path).read().usual_step_seconds() is None


# Points to draw


@pytest.mark.parametrize("axis", AXES)
def test_a_hundred_thousand_rows_are_drawn_with_about_a_thousand_points(axis, long_history):
    points = long_history.points(axis)
    assert {len(column) for column in points.values()} == {len(points["step"])}
    assert 300 <= len(points["step"]) <= 1_200
    assert points["step"] == sorted(set(points["step"]))


@pytest.mark.parametrize("axis", AXES)
def test_a_row_is_drawn_as_it_was_logged(axis, long_history):
    points = long_history.points(axis)
    for i, step in enumerate(points["step"]):
        assert {name: column[i] for name, column in points.items()} == {
            name: column[step] for name, column in long_history.rows.items()
        }


@pytest.mark.parametrize("axis", AXES)
def test_a_short_curve_is_drawn_whole(axis, drawn):
    assert drawn[axis][100]["step"] == list(range(100))


@pytest.mark.parametrize("axis", AXES)
def test_the_first_and_the_newest_row_are_drawn(axis, drawn):
    for rows, points in drawn[axis].items():
        assert (points["step"][0], points["step"][-1]) == (0, rows - 1)


@pytest.mark.parametrize("axis", AXES)
def test_two_hundred_validation_checks_are_all_drawn(axis, long_history):
    points = long_history.points(axis)
    drawn = [step for step, loss in zip(points["step"], points["val_loss"], strict=True) if loss is not None]
    assert drawn == [step for step, _ in long_history.val_losses]


@pytest.mark.parametrize("axis", AXES)
def test_a_validation_check_at_each_step_does_not_swamp_the_drawing(axis, path):
    append(path, "".join(line(step, val_loss=2.5) for step in range(20_000)))
    assert 200 <= len(History(path).read().points(axis)["step"]) <= 1_400


def test_of_many_validation_checks_one_that_is_drawn_stays_until_they_have_doubled(path):
    history, drawn = History(path), {}
    for val_losses in range(
        1, 900
    ):  # rows between them without a validation loss, so that these are not drawn for another reason
        rows = [line(11 * val_losses + i, **({"val_loss": 2.5} if i == 5 else {})) for i in range(11)]
        append(path, "".join(rows))
        points = history.read().points("log")
        drawn[val_losses] = {s for s, loss in zip(points["step"], points["val_loss"], strict=True) if loss is not None}
    assert all(len(drawn[val_losses]) == val_losses for val_losses in range(1, 256))
    assert drawn[256] <= drawn[400] <= drawn[511] and drawn[512] <= drawn[700] <= drawn[899]
    assert len(drawn[899]) >= 128


def test_a_tick_on_a_hundred_thousand_rows_costs_about_as_much_as_on_a_thousand(path):
    def tick_seconds(rows: int) -> float:
        file = path.with_name(f"{rows}.jsonl")
        append(file, "".join(line(step, val_loss=2.5) for step in range(rows)))
        history, times = History(file).read(), []
        for step in range(rows, rows + 15):
            append(file, line(step))
            begin = time.process_time()
            loss_data(history.read(), {"uniform": 4.5}, "log")
            history.steps_per_second()
            times.append(time.process_time() - begin)
        return min(times)

    assert tick_seconds(100_000) < 10 * tick_seconds(1_000)  # it is 2; reading all rows again would be 100


def test_on_the_log_axis_a_chosen_row_stays_chosen_as_the_curve_grows(drawn):
    before: set[int] = set()
    for rows, points in drawn["log"].items():
        assert before <= set(points["step"]), rows
        before = set(points["step"][:-1])  # the newest is there only as long as it is the newest


@pytest.mark.parametrize("axis", ["step", "seconds"])
def test_on_an_even_axis_a_chosen_row_stays_chosen_until_the_curve_has_doubled(axis, drawn):
    chosen = {rows: {s for s in points["step"][:-1] if s % 500} for rows, points in drawn[axis].items()}
    assert chosen[40_000] < chosen[50_000] < chosen[60_000]
    assert {step for step in chosen[70_000] if step < 60_000} < chosen[60_000]  # every other one


def test_points_on_the_log_axis_lie_evenly_in_each_doubling(long_history):
    steps = long_history.points("log")["step"]
    for power in range(7, 16):
        inside = [step for step in steps if 2**power <= step < 2 ** (power + 1) and step % 500]
        assert 55 <= len(inside) <= 64, power
