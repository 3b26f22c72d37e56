"""How accurate the time estimate of the Train page is.

    python -m benchmarks.promise

On a fresh server, each preset in turn: a click on "15 s", "1 min" (with `--long` also "5 min"), then Start. It compares
the time shown at the click with the time from the first step to the last one, with the page open.
"""

from __future__ import annotations

import json
import re
import statistics
import time
from pathlib import Path

from playwright.sync_api import Page

from .report import parser, save
from .server import browse, idle, open_page, serve, start


def promised(page: Page) -> float:
    """The seconds in a line such as "2,000 steps of 19 ms: 41 s" or "... : 1 min 5 s"."""
    words = page.locator(".st-key-cost").inner_text()
    minutes, seconds = re.search(r" ms: (?:(\d+) min )?(\d+) s", words).groups()
    return 60 * int(minutes or 0) + int(seconds)


def taken(run: Path, timeout: float) -> float:
    """Seconds from the first step of a run to its end."""
    deadline, began = time.monotonic() + timeout, None
    while time.monotonic() < deadline:
        rows = (run / "metrics.jsonl").read_text().splitlines() if (run / "metrics.jsonl").exists() else []
        if began is None and rows:
            began = time.monotonic()
        if json.loads((run / "run.json").read_text())["state"] == "finished":
            return time.monotonic() - began
        time.sleep(0.05)
    raise TimeoutError(f"{run} did not end")


def main() -> None:
    """Print the promised and the real seconds of each run, and their ratio."""
    flags = parser(__doc__)
    flags.add_argument("--presets", nargs="+", default=("quick", "article", "long"))
    flags.add_argument("--long", action="store_true", help='also measure "5 min", with the first preset')
    options = flags.parse_args()
    runs = [(preset, seconds) for preset in options.presets for seconds in (15, 60)]
    runs += [(options.presets[0], 300)] if options.long else []
    rows = []
    print(f"{'preset':10} {'asked':>6} {'promised':>9} {'took':>7} {'took / promised':>16}")
    with serve() as (address, home, *_), browse() as browser:
        page = open_page(browser, address)
        page.locator(".st-key-for-15 button").wait_for(timeout=60_000)
        for preset, seconds in runs:
            place = ("quick", "article", "long").index(preset)
            page.locator(".st-key-preset button").nth(place).click()
            idle(page)
            page.wait_for_timeout(1_000)
            page.locator(f".st-key-for-{seconds} button").click()
            idle(page)
            page.wait_for_timeout(1_000)
            said = promised(page)
            real = taken(home / "runs" / start(page), 3 * seconds + 60)
            rows.append({"preset": preset, "asked": seconds, "promised": said, "took": real})
            print(f"{preset:10} {seconds:6} {said:9.1f} {real:7.1f} {real / said:16.2f}")
            idle(page)
    ratios = [row["took"] / row["promised"] for row in rows]
    print(f"median {statistics.median(ratios):.2f}, from {min(ratios):.2f} to {max(ratios):.2f}")
    save(options.json, {"promise": rows})


if __name__ == "__main__":
    main()
