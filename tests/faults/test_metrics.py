"""The log of a run: every line counts once, whatever happened while it was written."""

import json
import os
import threading
import time
import tracemalloc

import making
import pytest
from making import new_run
from patience import patience

from microllm.runs import history
from microllm.runs import lines as runs_lines
from microllm.runs import summary as summaries
from microllm.runs.history import History
from microllm.runs.lines import MAX_EVENTS_BYTES, MAX_LINE_BYTES
from microllm.runs.run import Run
from microllm.runs.summary import Summary, summary
from microllm.train import Progress


@pytest.fixture
def run():
    return new_run()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "metrics.jsonl"


def progress(step: int = 0, train_loss: float = 2.5, **more) -> Progress:
    return Progress(step, step / 10, train_loss, 1e-3, 100.0, **more)


def lines(path) -> list[dict]:
    return [json.loads(line, parse_constant=pytest.fail) for line in path.read_text().splitlines()]


def line(step: int, train_loss: float | None = 2.0, **more) -> str:
    row = {"step": step, "seconds": step / 10, "train_loss": train_loss, "learning_rate": 1e-3, **more}
    return json.dumps(row) + "\n"


def append(path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


# ---- 12. thirty-two threads log


def test_what_thirty_two_threads_log_is_there_line_by_line(run):
    def log(which: int) -> None:
        barrier.wait(patience())
        for step in range(200):
            writer.log(progress(200 * which + step))

    barrier = threading.Barrier(32)
    with run.writing() as writer:
        threads = [threading.Thread(target=log, args=(which,)) for which in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(patience())
    assert sorted(row["step"] for row in lines(run.folder / "metrics.jsonl")) == list(range(6_400))


# ---- 13. NaN and infinity


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_no_number_is_logged_as_null_and_flagged(bad, run):
    with run.writing() as writer:
        writer.log(progress(3, bad, val_loss=bad))
        (row,) = lines(run.folder / "metrics.jsonl")  # at once: it is news
    assert row["train_loss"] is None and row["val_loss"] is None
    assert row["not_finite"] == ["train_loss", "val_loss"]
    assert (row["step"], row["learning_rate"]) == (3, 1e-3)


def test_a_loss_that_is_no_number_leaves_a_gap_and_no_trace_in_the_mean(path):
    append(path, line(0, 3.0) + line(1, None, not_finite=["train_loss"]) + line(2, 3.0))
    assert History(path).read().rows["smoothed"] == [3.0, None, 3.0]


# ---- 14. torn lines, and other damage


def test_a_last_line_that_is_not_whole_is_left_for_the_next_time(path):
    torn = line(1, 2.0)
    append(path, line(0) + torn[:20])
    history = History(path).read()
    assert history.rows["step"] == [0]
    append(path, torn[20:])
    assert history.read().rows["step"] == [0, 1]


@pytest.mark.parametrize("garbage", [line(1)[:20] + line(2), "\0\0\0\n", "\n", "é\n"])
def test_a_garbage_line_is_skipped(garbage, path):
    append(path, line(0) + garbage + line(3))
    assert History(path).read().rows["step"] == [0, 3]


def test_a_torn_line_among_thousands_costs_only_itself(path):
    lines = [line(step) for step in range(3_000)]
    lines[1_500] = lines[1_500][:20] + "\n"
    append(path, "".join(lines))
    assert History(path).read().rows["step"] == [step for step in range(3_000) if step != 1_500]


def test_bytes_that_are_no_text_are_skipped(path):
    path.write_bytes(line(0).encode() + b'{"step": \xff\xfe}\n' + line(1).encode())
    assert History(path).read().rows["step"] == [0, 1]


@pytest.mark.parametrize(
    "odd",
    ["null", "7", '"text"', "[]", "{}", '{"step": -1}', '{"step": 1.5}', '{"step": true}', f'{{"step": {10**30}}}']
    + ['{"step": 1}', '{"step": 1, "seconds": null}', "[" * 100_000]
    + [
        f'{{"step": 1, "seconds": 1.0, "val_loss": {loss}}}'
        for loss in ('"3"', "[3]", "{}", "true", "NaN", "Infinity", "1e400", str(10**400))
    ],
)
def test_a_line_of_json_that_is_no_row_is_skipped(odd, path):
    append(path, line(0) + odd + "\n" + line(2))
    history = History(path).read()
    assert history.points()["step"] == [0, 2]


def test_after_a_torn_line_writing_goes_on_with_a_whole_one(run):
    with run.writing() as writer:
        writer.log(progress(0))
    append(run.folder / "metrics.jsonl", '{"step": 1, "tra')
    with run.writing() as writer:
        writer.log(progress(1))
    assert [row["step"] for row in lines(run.folder / "metrics.jsonl")] == [0, 1]


# ---- 15. resumed from before the last logged step


def test_what_was_logged_after_the_checkpoint_is_made_again_without_a_zig_zag(run, monkeypatch):
    monkeypatch.setenv("MICROLLM_CHECKPOINT", "0")
    making.train(run)
    whole = lines(run.folder / "metrics.jsonl")
    newest = max(run.list_checkpoints())
    (run.folder / "checkpoints" / f"step-{newest}" / "manifest.json").unlink()
    earlier = run.load_checkpoint()[0].step
    run.update(state="interrupted")
    assert earlier < newest == whole[-1]["step"]
    making.train(run)
    again = lines(run.folder / "metrics.jsonl")
    assert [row["step"] for row in again] == list(range(21))
    assert [row["train_loss"] for row in again] == [row["train_loss"] for row in whole]
    assert [row["seconds"] for row in again] == sorted(row["seconds"] for row in again)


# ---- 47. limits before parsing


def with_names(step: int, names: int) -> str:
    return line(step, **{f"n{i}": 1 for i in range(names)})


def test_a_line_that_is_too_long_is_never_parsed(path, monkeypatch):
    parsed, lengths = runs_lines.parsed, []

    def parse(text):
        lengths.append(len(text))
        return parsed(text)

    monkeypatch.setattr(runs_lines, "parsed", parse)
    append(path, line(0) + with_names(1, 300_000) + line(2) + with_names(3, 3_000) + line(4))
    assert History(path).read().rows["step"] == [0, 2, 4]
    assert max(lengths) < MAX_LINE_BYTES


def test_a_line_of_the_longest_length_counts_and_one_byte_more_does_not(path):
    for step, length in ((1, MAX_LINE_BYTES), (2, MAX_LINE_BYTES + 1)):
        bare = len(line(step, x="")) - 1
        append(path, line(step, x="x" * (length - bare)))
    assert History(path).read().rows["step"] == [1]


def test_a_long_line_in_pieces_is_skipped_to_its_end(path, monkeypatch):
    monkeypatch.setattr(history, "BLOCK_BYTES", 300)
    long = json.dumps({"step": 1, "seconds": 1, "x": "}\\n" * 1_000})
    curve = History(path)
    for part in (line(0) + long[:1_000], long[1_000:], " " * 700, "\n" + line(2)):
        append(path, part)
        curve.read()
    assert curve.rows["step"] == [0, 2]
    assert History(path).read().rows == curve.rows


def test_unknown_names_are_read_past_and_none_is_kept(path):
    append(path, "".join(with_names(step, 100) for step in range(50)))
    curve = History(path).read()
    assert curve.rows["step"] == list(range(50))
    assert curve.last.keys() == curve.rows.keys() == set(runs_lines.COLUMNS)


def test_a_large_file_is_read_in_bounded_memory(path):
    with path.open("w") as file:
        file.write(line(0))
        for _ in range(60):
            file.write("x" * 500_000 + "\n")
        file.write("y" * 10_000_000 + "\n" + line(1))
    tracemalloc.start()
    assert History(path).read().rows["step"] == [0, 1]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 2**20 < path.stat().st_size


def test_the_summary_of_a_file_full_of_validation_losses_is_made_in_a_fraction_of_the_time_to_read_it(path):
    append(path, "".join(line(step, val_loss=9 - step / 1e4, old_val_loss=0.5) for step in range(30_000)))
    began = time.perf_counter()
    whole = History(path).read()
    read = time.perf_counter()
    assert (summary(path).step, summary(path).best) == (whole.last["step"], whole.best)
    assert time.perf_counter() - read < (read - began) / 5


@pytest.mark.parametrize("loss", ["null", '"low"', "1.5.2", "NaN", "1e", "[1]"])
def test_the_summary_takes_no_loss_that_is_no_number(loss, path):
    append(path, line(0, val_loss=3.0) + f'{{"step": 1, "seconds": 1, "val_loss": {loss}}}\n')
    assert summary(path).best == 3.0


def test_steps_that_do_not_go_up_or_go_beyond_the_longest_run_are_no_rows(path):
    append(path, "".join(line(step) for step in (0, 3, 3, 1, 4, 10**6 + 1, 10**15, 5)))
    assert History(path).read().rows["step"] == [0, 3, 4, 5]


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.mkdir(),
        os.mkfifo,
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to("x"),
    ],
    ids=["a folder", "a pipe", "an endless device", "a link to nothing"],
)
def test_what_is_no_file_has_no_rows_and_no_changes_and_nobody_waits_for_it(make, tmp_path):
    for name in ("metrics.jsonl", "events.jsonl"):
        make(tmp_path / name)
    curve = History(tmp_path / "metrics.jsonl")
    assert (len(curve.read()), curve.changes(), summary(curve.path)) == (0, [], Summary())


def test_the_summary_of_a_long_file_agrees_with_its_history_and_is_read_on_from_where_it_grew(path, monkeypatch):
    assert summary(path) == Summary()
    rows = [line(step, **({} if step % 5_000 else {"val_loss": 2 + step / 1e6})) for step in range(19_000)]
    append(path, "".join(rows) + with_names(19_000, 10_000) + line(19_001, val_loss="low") + line(19_002)[:30])
    assert path.stat().st_size > 1_000_000

    def agrees() -> bool:
        read = History(path).read()
        known = summary(path)
        return (known.step, known.seconds, known.best) == (read.last["step"], read.last["seconds"], read.best)

    began = time.process_time()
    assert agrees() and summary(path).best == 2.0
    append(path, line(19_002)[30:] + line(19_003, val_loss=1.5) + line(19_004, train_loss=None, val_loss=None))
    extended, parts = summaries._extended, []
    monkeypatch.setattr(summaries, "_extended", lambda known, more: extended(known, parts.append(len(more)) or more))
    assert agrees() and summary(path).best == 1.5
    assert sum(parts) < 1_000
    path.write_text("".join(rows[:4_000]))  # it was shortened
    assert agrees() and summary(path).best == 2.0
    other = path.with_name("other")
    other.write_text("".join(rows[1:4_999]))
    other.replace(path)
    assert summary(path).step == 4_998 and summary(path).best is None
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize(
    "odd",
    ["[]", "7", "{}", '{"step": "x", "learning_rate": 0.1}', '{"step": -1}', f'{{"step": {10**30}}}', "[" * 100_000]
    + [f'{{"step": 1, "learning_rate": {rate}}}' for rate in ('"x"', "[]", "null", "-1", "NaN", "1e999", "1" * 400)]
    + [
        '{"step": 1, "max_steps": 10, "max_steps_before": []}',
        '{"step": 1, "learning_rate": 0.1, "x": "%s"}' % ("y" * 5_000),
    ],
)
def test_a_change_that_could_not_have_been_made_is_skipped(odd, tmp_path):
    good = {"step": 3, "learning_rate": 0.004}
    (tmp_path / "events.jsonl").write_text(odd + "\n" + json.dumps(good | {"unknown": "x"}) + "\n")
    assert History(tmp_path / "metrics.jsonl").changes() == [good]


def test_no_more_changes_are_written_than_are_read(run):
    with run.writing() as writer:
        (run.folder / "events.jsonl").write_bytes(b"\n" * (MAX_EVENTS_BYTES - 60))
        writer.event(1, {"learning_rate": 0.004})
        with pytest.raises(OSError, match="large"):
            writer.event(2, {"learning_rate": 0.008})
    assert run.history.changes() == [{"step": 1, "learning_rate": 0.004}]
    assert Run.open(run.id).history.changes() == run.history.changes()


def test_a_long_line_does_not_hinder_going_on(run):
    with run.writing() as writer:
        writer.log(progress(0))
    append(run.folder / "metrics.jsonl", with_names(1, 100_000) + line(2) + '{"step": 3, ' + "x" * 200_000)
    began = time.process_time()
    with run.writing() as writer:
        writer.cut(2)
        writer.log(progress(2))
    assert time.process_time() - began < 0.5
    assert [row["step"] for row in lines(run.folder / "metrics.jsonl")] == [0, 2]
