"""How much processor time each live update of a page takes on the server while a model trains.

    python -m benchmarks.ticks

A browser opens one page after the other. The server is the app's own, with a clock around each part that updates by
itself; what Streamlit does around the part, such as sending, is not included.
"""

from __future__ import annotations

import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page
from streamlit.web import cli

from microllm.data.builtin import drawing_room
from microllm.ui.parts import live
from microllm.ui.state.view import View

from .report import parser, save, table
from .server import browse, idle, open_page, serve, start

_NOTES = "BENCHMARK_NOTES"  # the variable that names the file the server writes to


def serve_and_note() -> None:
    """Streamlit's own program, with a clock around each part that updates by itself."""
    plain, path = live.live, Path(os.environ[_NOTES])

    def noted(part: Callable[[View | None], None], every: float, *, key: str, when: bool = True) -> None:
        def timed(view: View | None) -> None:
            began = time.thread_time()
            part(view)
            with path.open("a") as notes:
                notes.write(f"{key} {1000 * (time.thread_time() - began):.2f}\n")

        plain(timed, every, key=key, when=when)

    live.live = noted
    cli.main()


def watch(page: Page, notes: Path, seconds: float) -> dict[str, list[float]]:
    """Milliseconds of each tick within `seconds`, by the key of the part."""
    idle(page)
    page.wait_for_timeout(2_000)  # the first drawing of a page is not a tick
    before = notes.stat().st_size
    page.wait_for_timeout(1000 * seconds)
    times = defaultdict(list)
    for line in notes.read_text()[before:].splitlines():
        key, milliseconds = line.split()
        times[key].append(float(milliseconds))
    return times


def look(page: Page, name: str) -> None:
    """Open another page."""
    page.locator(f"a[href*='{name}'] >> visible=true").first.click()
    idle(page)


def main() -> None:
    """Print the number of ticks, their median and their 95th percentile, in milliseconds of processor time."""
    flags = parser(__doc__)
    flags.add_argument("--seconds", type=float, default=30.0, help="for each view")
    options = flags.parse_args()
    ticks: dict[str, list[float]] = {}
    with TemporaryDirectory() as folder:
        notes = Path(folder, "notes")
        os.environ[_NOTES] = str(notes)
        program = ("-c", "from benchmarks.ticks import serve_and_note; serve_and_note()")
        with serve(streamlit=program) as (address, *_), browse() as browser:
            page = open_page(browser, address)
            page.locator(".st-key-more-button button").click()
            page.locator(".st-key-knob-max_steps input").fill("100000")  # so that it outlasts the benchmark
            page.keyboard.press("Enter")
            idle(page)
            start(page)

            def note(view: str) -> None:
                ticks.update({f"{view}: {key}": times for key, times in watch(page, notes, options.seconds).items()})

            note("Train")
            look(page, "attention")
            for length in (29, 64, 128):
                page.locator(".st-key-sentence textarea").fill(drawing_room(length))
                page.keyboard.press("Control+Enter")
                note(f"Attention, {length} characters")
            look(page, "generate")
            note("Write")
            page.locator(".st-key-view button").nth(1).click()
            note("Read")
    rows = [
        [name, len(times), f"{statistics.median(times):.0f}", f"{sorted(times)[int(0.95 * len(times))]:.0f}"]
        for name, times in ticks.items()
    ]
    table(["part that ticks", "ticks", "median, ms", "95 %, ms"], rows)
    every = [one for times in ticks.values() for one in times]
    print(f"{sum(one < 50 for one in every)} of {len(every)} below 50 ms")
    save(options.json, {"ticks, milliseconds of processor time": ticks})


if __name__ == "__main__":
    main()
