"""Training speed in the app with one of its pages open, relative to the command line.

    python -m benchmarks.beside_the_page

Trains the same model for the same time on the command line and in the app with a browser on each page, in turn, and
compares steps per second of wall time.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from microllm import PRESETS

from .report import parser, save
from .server import ROOT, browse, open_page, serve, start

PAGES = ("train", "attention", "generate", "inside")

_WARM_UP = 20


def steps_per_second(metrics: Path, seconds: float) -> float:
    """Steps per second of wall time over `seconds`, from the moment when step 20 is logged."""
    begin = None
    while True:
        time.sleep(0.05)
        now = time.monotonic()
        lines = metrics.read_text().splitlines(keepends=True) if metrics.exists() else []
        step = json.loads([line for line in lines if line.endswith("\n")][-1])["step"] if lines else 0
        if begin is None and step >= _WARM_UP:
            begin = now, step
        if begin and now - begin[0] >= seconds:
            return (step - begin[1]) / (now - begin[0])


def on_the_command_line(preset: str, seconds: float) -> float:
    """The rate of `python -m microllm train`."""
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "microllm", "train", "--text", "drawing-room", "--preset", preset]
        training = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | {"MICROLLM_HOME": home}, stdout=subprocess.DEVNULL
        )
        try:
            while not (metrics := list(Path(home).glob("runs/*/metrics.jsonl"))):
                time.sleep(0.05)
            return steps_per_second(metrics[0], seconds)
        finally:
            training.terminate()
            training.wait()


def in_the_app(preset: str, seconds: float, open_: str) -> float:
    """The rate in a server with one of its pages open in a browser."""
    with serve() as (address, home, *_), browse() as browser:
        page = open_page(browser, address)
        page.locator(".st-key-preset button").nth(list(PRESETS).index(preset)).click()
        page.wait_for_timeout(2_000)
        run = start(page)
        page.locator(f"a[href*='{open_}'] >> visible=true").first.click()
        return steps_per_second(home / "runs" / run / "metrics.jsonl", seconds)


def main() -> None:
    """Print a table with one row per round, and the median ratio of each page."""
    flags = parser(__doc__)
    flags.add_argument("--preset", default="quick", choices=PRESETS)
    flags.add_argument("--rounds", type=int, default=5)
    flags.add_argument("--seconds", type=float, default=15.0)
    flags.add_argument("--pages", nargs="+", default=PAGES, choices=PAGES)
    options = flags.parse_args()
    print(f"{options.preset}: steps per second, {options.seconds:g} s each, and the ratio to the command line")
    print("".join(f"{name:>16}" for name in ("command line", *options.pages)))
    ratios: dict[str, list[float]] = {page: [] for page in options.pages}
    for _ in range(options.rounds):
        alone = on_the_command_line(options.preset, options.seconds)
        print(f"{alone:16.1f}", end="", flush=True)
        for page, row in ratios.items():
            beside = in_the_app(options.preset, options.seconds, page)
            row.append(beside / alone)
            print(f"{beside:10.1f} {row[-1]:5.2f}", end="", flush=True)
        print()
    print(f"{'median':>16}" + "".join(f"{statistics.median(row):16.2f}" for row in ratios.values()))
    save(options.json, {"beside the page": {"preset": options.preset, "ratios": ratios}})


if __name__ == "__main__":
    main()
