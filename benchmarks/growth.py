"""What grows with the size of the model, of the text and of the history.

    python -m benchmarks.growth --html growth.html    step time and memory against each knob, beside the app's estimates
    python -m benchmarks.growth --text                files of 200 MB through the command line
    python -m benchmarks.growth --history             a tick of the live plot, on 1,000 and on 100,000 rows

Reads the memory of processes from /proc, so it needs Linux. It measures the CPU, even if there is a GPU.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from microllm.config import configs_from
from microllm.corpus import Corpus
from microllm.cost import measure_speed, memory_bytes, thread_count
from microllm.data.builtin import drawing_room
from microllm.data.files import MAX_TEXT_BYTES
from microllm.runs.history import AXES, History
from microllm.train import Trainer

from .report import parser, save

if TYPE_CHECKING:  # plotting is imported where it is used: child processes should only hold what training needs
    import pandas
    import plotly.graph_objects as go

ROOT = Path(__file__).parents[1]
BASE = {"n_embd": 64, "n_layer": 3, "block_size": 32, "batch_size": 32}
"""The base shape; one setting at a time is varied over most of its slider."""

VALUES = {
    "n_embd": (16, 32, 64, 128, 256, 384),
    "n_layer": (1, 2, 3, 6, 12),
    "block_size": (8, 16, 32, 64, 128, 256),
    "batch_size": (4, 16, 32, 64, 128, 256, 512),
}
_STEPS = 20

KINDS = {  # line end, quotation mark, last words: Python strings then take 1, 2 and 4 bytes per character
    "ASCII": ("\n", '"', "The end."),
    "curly quotes": ("\n", "”", "The end.”"),
    "curly quotes, CRLF, one emoji at the end": ("\r\n", "”", "The end 😀"),
}


def memory(field: str, pid: int | str = "self") -> int:
    """`VmRSS`, the memory of a process now, or `VmHWM`, its peak; in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+) kB", status)[1]) * 1024


def cpu_seconds(pid: int) -> float:
    """The CPU time of a process, which depends less than wall time on other load."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ---- the model


def measure(point: tuple[str, int]) -> dict[str, Any]:
    """Train some steps with one setting at one value, in a process of its own, whose peak memory is measured."""
    knob, value = point
    model, train = configs_from(BASE | {knob: value, "max_steps": _STEPS, "eval_interval": 10_000})
    corpus = Corpus(drawing_room(200_000))
    smallest = {"block_size": 8, "n_embd": 8, "n_head": 1, "n_layer": 1, "batch_size": 1, "max_steps": 2}
    list(Trainer(*configs_from(smallest), corpus))  # what torch imports and keeps does not belong to the model
    torch.set_num_threads(thread_count(model, train, corpus.vocab_size))
    before = memory("VmRSS")
    seconds = [progress.seconds for progress in Trainer(model, train, corpus)]
    peak = memory("VmHWM")
    speed = measure_speed()  # measured here, under the same load as the steps
    return {
        "knob": knob,
        "value": value,
        "step_seconds": min(after - before for before, after in pairwise(seconds)),  # other load only adds
        "estimated_step_seconds": speed.seconds_per_step(model, train, corpus.vocab_size),
        "peak_bytes": peak,
        "training_bytes": peak - before,
        "estimated_training_bytes": memory_bytes(model, train, corpus.vocab_size),
    }


def of_the_model() -> list[dict[str, Any]]:
    """Print a table for each setting. Returns all rows."""
    print(f"Around {', '.join(f'{knob} {value}' for knob, value in BASE.items())}. “training” is the rise of the peak.")
    rows = []
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as children:
        for knob, values in VALUES.items():
            print(f"\n{knob:>10}   step: ms  estimate  ratio   peak: MB  training  estimate  ratio")
            for row in children.imap(measure, [(knob, value) for value in values]):
                rows.append(row)
                ms, guessed_ms = 1e3 * row["step_seconds"], 1e3 * row["estimated_step_seconds"]
                mb, guessed_mb = row["training_bytes"] / 1e6, row["estimated_training_bytes"] / 1e6
                print(
                    f"{row['value']:10}   {ms:8.2f}  {guessed_ms:8.2f}  {guessed_ms / ms:5.2f}"
                    f"   {row['peak_bytes'] / 1e6:8.0f}  {mb:8.1f}  {guessed_mb:8.1f}  {guessed_mb / mb:5.2f}",
                    flush=True,
                )
    return rows


def drawn(rows: list[dict[str, Any]]) -> go.Figure:
    """Small multiples: step time above, memory below, a column for each knob; dashed is what the app expects."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    from microllm.plots import PALETTE

    figure = make_subplots(rows=2, cols=len(VALUES), shared_yaxes=True, vertical_spacing=0.12)
    for column, knob in enumerate(VALUES, start=1):
        mine = [row for row in rows if row["knob"] == knob]
        x = [row["value"] for row in mine]
        for line, (field, unit) in enumerate([("step_seconds", 1e-3), ("training_bytes", 1e6)], start=1):
            for name, key, dash in (("measured", field, None), ("estimated", f"estimated_{field}", "dash")):
                style = {"color": PALETTE["light"]["training" if dash is None else "reference"], "dash": dash}
                y = [row[key] / unit for row in mine]
                trace = go.Scatter(x=x, y=y, name=name, line=style, showlegend=(line, column) == (1, 1))
                figure.add_trace(trace, row=line, col=column)
            figure.update_xaxes(title=knob, type="log", tickvals=x, row=line, col=column)
    figure.update_yaxes(type="log")
    figure.update_yaxes(title="time of a step, ms", row=1, col=1)
    figure.update_yaxes(title="memory of training, MB", row=2, col=1)
    shape = ", ".join(f"{knob} {value}" for knob, value in BASE.items())
    return figure.update_layout(template="simple_white", height=720, title=f"One knob at a time, around {shape}")


# ---- the text


def write_text(path: Path, kind: str, size: int = MAX_TEXT_BYTES) -> None:
    """Write a file of exactly `size` bytes: sentences in random order."""
    line_end, mark, end = KINDS[kind]
    sentences = drawing_room(1_000_000).replace('"', mark).splitlines()
    rng, left = random.Random(0), size - len(end.encode())
    with path.open("wb") as file:
        while left:
            rng.shuffle(sentences)
            block = f"{line_end.join(sentences)}{line_end}".encode()
            block = block if len(block) < left else b"." * left
            left -= file.write(block)
        file.write(end.encode())


def of_the_text() -> list[dict[str, Any]]:
    """Print one row per kind of file: peak memory, seconds to the first step, seconds from Ctrl-C to the end."""
    print(f"{MAX_TEXT_BYTES / 1e6:g} MB on the command line")
    print("   peak: MB   first step after s   of processor time   ends after Ctrl-C in s")
    rows = []
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            write_text(path := Path(folder, "big.txt"), kind)
            row = {"kind": kind} | _trained(path, Path(folder, "home"))
        rows.append(row)
        print(
            f"{row['peak_bytes'] / 1e6:11.0f}   {row['seconds_to_first_step']:18.1f}"
            f"   {row['cpu_seconds_to_first_step']:17.1f}   {row['seconds_to_stop']:22.2f}   {kind}",
            flush=True,
        )
    return rows


def _trained(path: Path, home: Path) -> dict[str, float]:
    """Train 20 steps of the default preset, then end the validation over all held-out text by Ctrl-C."""
    command = [sys.executable, "-m", "microllm", "train", "--text", str(path), "--max_steps", "20"]
    began, first_step, told_to_stop, peak = time.monotonic(), None, None, 0
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"MICROLLM_HOME": str(home)}, stdout=subprocess.DEVNULL
    )
    while process.poll() is None:
        with contextlib.suppress(OSError, TypeError):  # it ends at this moment
            peak = max(peak, memory("VmHWM", process.pid))
        logged = "".join(metrics.read_text() for metrics in home.glob("runs/*/metrics.jsonl"))
        if first_step is None and logged:
            first_step, cpu = time.monotonic(), cpu_seconds(process.pid)
        if told_to_stop is None and '"step": 20,' in logged:
            time.sleep(2)
            process.send_signal(signal.SIGINT)
            told_to_stop = time.monotonic()
        time.sleep(0.02)
    if process.returncode or first_step is None or told_to_stop is None:
        raise SystemExit(f"The command line ended with exit code {process.returncode}, before it was told to.")
    return {
        "peak_bytes": peak,
        "seconds_to_first_step": first_step - began,
        "cpu_seconds_to_first_step": cpu,
        "seconds_to_stop": time.monotonic() - told_to_stop,
    }


# ---- the history


def _lines(steps: range, checks_every: int) -> Iterator[str]:
    rng = random.Random(steps.start)
    for step in steps:
        row = {"step": step, "seconds": step * 0.0123456789, "train_loss": 2 + rng.random(), "learning_rate": 1e-3}
        row["tokens_per_second"] = 80_000 + rng.random()
        if step % checks_every == 0:
            row["val_loss"] = 2 + rng.random()
        yield json.dumps(row) + "\n"


def of_the_history(ticks: int = 101, rows_a_tick: int = 5) -> list[dict[str, Any]]:
    """Print one row per length and axis: the first read, a tick with new rows, and the bytes sent to the browser."""
    from microllm.plots import loss_data

    print("       rows checks     axis   first read: ms   tick: ms   points     kB     (CPU time, median of the ticks)")
    measured = []
    for checks_every in (200, 1):
        for rows in (1_000, 100_000):
            for axis in AXES:
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder, "metrics.jsonl")
                    path.write_text("".join(_lines(range(rows), checks_every)))
                    began = time.process_time()
                    history = History(path).read()
                    first_read, times = time.process_time() - began, []
                    for step in range(rows, rows + ticks * rows_a_tick, rows_a_tick):
                        with path.open("a") as file:
                            file.writelines(_lines(range(step, step + rows_a_tick), checks_every))
                        began = time.process_time()
                        frame = loss_data(history.read(), {"uniform": 4.5, "table_1": 3.1}, axis)
                        sent = _arrow(frame)
                        history.steps_per_second()
                        times.append(time.process_time() - began)
                row = {
                    "rows": rows,
                    "val_losses": len(history.val_losses),
                    "axis": axis,
                    "first_read_seconds": first_read,
                    "tick_seconds": statistics.median(times),
                    "points": len(frame),
                    "sent_bytes": sent,
                }
                measured.append(row)
                print(
                    f"{rows:11,} {row['val_losses']:6}  {axis:>7}   {1e3 * first_read:14.0f}"
                    f"   {1e3 * row['tick_seconds']:8.2f}   {row['points']:6}  {sent / 1e3:5.1f}",
                    flush=True,
                )
    return measured


def _arrow(frame: pandas.DataFrame) -> int:
    """The bytes of a table as Streamlit sends it to the browser."""
    import pyarrow

    table, sink = pyarrow.Table.from_pandas(frame), pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().size


def main() -> None:
    """Print the tables that were asked for."""
    flags = parser(__doc__)
    what = flags.add_mutually_exclusive_group()
    what.add_argument("--text", action="store_true", help="measure files of 200 MB instead of models")
    what.add_argument("--history", action="store_true", help="measure the live plot instead of models")
    flags.add_argument("--html", type=Path, metavar="FILE", help="draw step time and memory of the models")
    options = flags.parse_args()
    if options.html and (options.text or options.history):
        flags.error("--html draws models only")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    rows = of_the_text() if options.text else of_the_history() if options.history else of_the_model()
    save(options.json, {"growth": rows})
    if options.html:
        drawn(rows).write_html(options.html)


if __name__ == "__main__":
    main()
