"""What the benchmarks share: their flags, a clock of wall and CPU time, a table, and the same numbers as JSON."""

from __future__ import annotations

import argparse
import ast
import contextlib
import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from microllm import Corpus
from microllm.data.texts import choose, load_corpus


def parser(doc: str) -> argparse.ArgumentParser:
    """A parser that knows `--json FILE`; the first line of `doc` is its description."""
    made = argparse.ArgumentParser(description=doc.partition("\n")[0])
    made.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to this file too")
    return made


def save(path: Path | None, numbers: dict[str, Any]) -> None:
    """Write `numbers`, and on what machine they were measured, to `path` (None: nowhere)."""
    if path:
        machine = {"processor": processor(), "cores": os.cpu_count()}
        about = machine | {"torch": torch.__version__, "when": time.strftime("%Y-%m-%d %H:%M")}
        path.write_text(json.dumps({"about": about} | numbers, indent=1))


def processor() -> str:
    """The name of this machine's processor."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line for line in lines if line.startswith("model name")).partition(":")[2].strip()
    return platform.processor() or platform.machine()


def settings(words: Sequence[str]) -> dict[str, Any]:
    """Settings from words like `n_layer=4` or `position=rotary`."""
    given = {}
    for word in words:
        name, _, value = word.partition("=")
        try:
            given[name] = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            given[name] = value
    return given


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table whose first column is words and whose others are numbers."""
    cells = [list(map(str, row)) for row in [head, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    for row in cells:
        first, *others = (
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join([first, *others]).rstrip())


@dataclass
class Clock:
    """Wall and CPU seconds of the blocks that it times, in total and one by one."""

    wall: float = 0.0
    cpu: float = 0.0
    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)

    def __enter__(self) -> Clock:
        self._began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        wall, cpu = time.perf_counter() - self._began[0], time.process_time() - self._began[1]
        self.wall, self.cpu = self.wall + wall, self.cpu + cpu
        self.walls.append(wall)
        self.cpus.append(cpu)


def corpus(source: str = "book") -> Corpus:
    """A text by its name on the command line; the book by default."""
    return load_corpus(choose(source).sha256)
