"""The lines of metrics.jsonl and events.jsonl: how they are read, and which are valid. They may come from anybody."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..config import LIVE, ModelConfig, TrainConfig, knobs, problems
from ..storage import open_file, parsed

MAX_LINE_BYTES = 4096
"""The maximum bytes of a line in metrics.jsonl or events.jsonl. Longer lines are skipped without being parsed."""

MAX_METRICS_BYTES = 300 * 2**20
"""The maximum bytes of a metrics.jsonl that are read: more than a row for each of 1,000,000 steps takes."""

MAX_EVENTS_BYTES = 2**18
"""The maximum bytes of an events.jsonl: thousands of live changes. A larger one is not read."""

BLOCK_BYTES = 2**20
"""How much is read at once."""

LINES_PER_PARSE = 100
"""How many lines are parsed at once."""

COLUMNS = (
    "step",
    "seconds",
    "train_loss",
    "smoothed",
    "val_loss",
    "old_val_loss",
    "learning_rate",
    "tokens_per_second",
)
"""What a row of metrics.jsonl may have."""

_LAST_STEP = knobs()["max_steps"].metadata["high"]
_MAX_NUMBER = 2**53  # larger integers are not exact in JSON
_NUMBERS = {int, float, type(None)}


def rows_in(lines: list[bytes]) -> Iterator[Any]:
    """The parsed lines, without those that are too long or not valid JSON, such as one that a crash truncated."""
    for start in range(0, len(lines), LINES_PER_PARSE):
        some = [line for line in lines[start : start + LINES_PER_PARSE] if len(line) <= MAX_LINE_BYTES]
        rows = []
        with contextlib.suppress(ValueError):
            rows = parsed(b"[" + b",".join(some) + b"]")  # parsing many lines as one takes half the time
        if len(rows) == len(some):
            yield from rows
            continue
        for line in some:
            with contextlib.suppress(ValueError):
                yield parsed(line)


def whole_lines(path: Path) -> Iterator[bytes]:
    """The complete lines of a file, with their line ends, without those above MAX_LINE_BYTES. Raises OSError."""
    with open_file(path) as file:
        is_inside = False  # a line that is too long
        while line := file.readline(MAX_LINE_BYTES + 1):
            has_end = line.endswith(b"\n")
            if has_end and not is_inside:
                yield line
            is_inside = not has_end


def is_row(row: Any) -> bool:
    """True for a valid row: a step, and numbers or None."""
    if not isinstance(row, dict) or type(row.get("step")) is not int or not 0 <= row["step"] <= _LAST_STEP:
        return False
    seconds, *rest = [row.get(name) for name in COLUMNS[1:]]
    numbers = [seconds, *filter(None, rest)]
    return (
        {*map(type, rest)} <= _NUMBERS
        and seconds is not None
        and all(-_MAX_NUMBER < number < _MAX_NUMBER for number in numbers)
    )


def change_in(row: Any) -> dict[str, Any] | None:
    """The step and the settings in a line of events.jsonl; None if it is not a valid change."""
    if not isinstance(row, dict) or type(row.get("step")) is not int or not 0 <= row["step"] <= _LAST_STEP:
        return None
    found = {name: row[name] for name in (*LIVE, "max_steps", "max_steps_before") if name in row}
    after = {name: value for name, value in found.items() if name != "max_steps_before"}
    before = {"max_steps": found["max_steps_before"]} if "max_steps_before" in found else {}
    if any(problems(ModelConfig(), replace(TrainConfig(), **changes)) for changes in (after, before)):
        return None
    return {"step": row["step"]} | found
