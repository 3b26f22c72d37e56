"""Whether an open page stays light and quick while a model trains.

    python -m benchmarks.soak --minutes 10

Every ten seconds it notes the memory of the server and of the page's process, the JavaScript heap after a garbage
collection, the DOM nodes, the data received, and whether the loss chart is still the same node. In between it clicks
as a person would and measures the time to each answer. The slopes leave out the first fifth, in which caches fill.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from itertools import cycle
from typing import Any

from playwright.sync_api import Browser, CDPSession, Page

from .clicks import CLICKS, click
from .report import parser, save, table
from .server import browse, idle, open_page, serve, start

_LOOK_SECONDS = 10.0
_LOOKS_PER_TOUR = 12  # a tour goes through all pages and back
_CHART = ".st-key-loss-live [data-testid=stVegaLiteChart]"
_TOUR = ("to Attention", "to Generate", "Generate: generate", "to Train")
_STAY = ("Train: pause", "Train: resume", "Train: preset Article", "Train: preset Quick")
_MEMORY = {"server": "server, MB", "renderer": "page, MB", "heap": "heap, MB", "nodes": "DOM nodes"}


class Watch:
    """Observes one page and its server from outside."""

    def __init__(self, browser: Browser, page: Page, server: int) -> None:
        self.page, self._server, self.remounts = page, server, 0
        self._browser: CDPSession = browser.new_browser_cdp_session()
        self._cdp: CDPSession = page.context.new_cdp_session(page)
        self._received = 0
        for domain in ("HeapProfiler", "Performance", "Network"):
            self._cdp.send(f"{domain}.enable")
        self._cdp.on("Network.webSocketFrameReceived", self._receive)
        self._began = self._last = time.monotonic()
        self.mark()

    def mark(self) -> None:
        """Remember the chart node that is on the page now, so that a remount is noticed."""
        # a locator: a selector returns a handle, which would keep the old chart in memory
        self.page.locator(f"{_CHART} svg, {_CHART} canvas").first.wait_for()
        self.page.evaluate("(css) => { document.querySelector(css).marked = true }", _CHART)

    def look(self) -> dict[str, float]:
        """Measure once."""
        now = time.monotonic()
        received, self._received = self._received, 0
        if not self.page.evaluate("(css) => document.querySelector(css)?.marked === true", _CHART):
            self.remounts += 1
            print(f"the loss chart was mounted again before minute {(now - self._began) / 60:.1f}")
            self.mark()
        self._cdp.send("HeapProfiler.collectGarbage")
        metrics = {it["name"]: it["value"] for it in self._cdp.send("Performance.getMetrics")["metrics"]}
        seen = {
            "minute": (now - self._began) / 60,
            "server": resident(self._server),
            "renderer": resident(self._renderer()),
            "heap": metrics["JSHeapUsedSize"] / 1e6,
            "nodes": metrics["Nodes"],
            "listeners": metrics["JSEventListeners"],
            "received": received / 1e3 / (now - self._last),
        }
        self._last = now
        return seen

    def _renderer(self) -> int:
        """The id of the process that draws the page: the renderer with the most CPU time."""
        processes = self._browser.send("SystemInfo.getProcessInfo")["processInfo"]
        return max((it for it in processes if it["type"] == "renderer"), key=lambda it: it["cpuTime"])["id"]

    def _receive(self, event: dict[str, Any]) -> None:
        response = event["response"]
        size = len(response["payloadData"])
        self._received += size * 3 // 4 if response["opcode"] == 2 else size  # binary frames arrive as base64


def resident(process: int) -> float:
    """Memory that a process holds in RAM, MB."""
    return int(subprocess.run(["ps", "-o", "rss=", "-p", str(process)], capture_output=True, check=True).stdout) / 1e3


def move_a_slider(page: Page, key: str) -> float:
    """Milliseconds from an arrow key on the slider of n_embd to the new cost of the model beside it."""
    before = page.locator(".st-key-cost").inner_text()
    handle = page.locator(".st-key-knob-n_embd input[type=range]")
    handle.focus()
    began = time.perf_counter()
    handle.press(key)
    page.wait_for_function(
        "before => document.querySelector('.st-key-cost')?.innerText !== before", arg=before, polling="raf"
    )
    return 1e3 * (time.perf_counter() - began)


def slope(looks: list[dict[str, float]], name: str) -> float:
    """How much `name` grows per minute: a linear fit without the first fifth."""
    settled = looks[len(looks) // 5 :]
    return statistics.linear_regression([it["minute"] for it in settled], [it[name] for it in settled]).slope


def soak(minutes: float) -> tuple[list[dict[str, float]], dict[str, list[float]], int]:
    """(looks, click times in milliseconds by what was clicked, remounts of the loss chart)."""
    clicks = {name: (css, condition) for name, css, condition in CLICKS}
    looks: list[dict[str, float]] = []
    times: dict[str, list[float]] = {}
    arrows, stays = cycle(("ArrowRight", "ArrowLeft")), cycle(_STAY)

    def do(page: Page, name: str) -> None:
        took = move_a_slider(page, next(arrows)) if name == "Train: slider" else click(page, *clicks[name])
        times.setdefault(name, []).append(took)
        page.wait_for_timeout(700)  # a person looks at the answer

    with serve() as (address, _, server, _), browse() as browser:
        page = open_page(browser, address)
        page.locator(".st-key-more-button button").click()
        page.locator(".st-key-knob-max_steps input").fill("1000000")  # so that it outlasts the benchmark
        page.keyboard.press("Enter")
        idle(page)
        start(page)
        page.wait_for_timeout(3_000)
        watch = Watch(browser, page, server)
        end = time.monotonic() + 60 * minutes
        while time.monotonic() < end:
            next_look = time.monotonic() + _LOOK_SECONDS
            for name in ("Train: slider", next(stays)):
                do(page, name)
            if len(looks) % _LOOKS_PER_TOUR == 3:
                for name in _TOUR:
                    do(page, name)
                idle(page)
                watch.mark()  # a new chart after a visit to other pages is not a remount
            idle(page)
            page.wait_for_timeout(max(0.0, 1e3 * (next_look - time.monotonic())))
            looks.append(watch.look())
            print(f"{looks[-1]['minute']:5.1f} min", *(f"{looks[-1][name]:9.1f}" for name in _MEMORY), flush=True)
        remounts = watch.remounts
    return looks, times, remounts


def main() -> None:
    """Print the numbers at regular moments, the slopes, and the clicks."""
    flags = parser(__doc__)
    flags.add_argument("--minutes", type=float, default=10.0)
    options = flags.parse_args()
    print("          ", *(f"{words:>9}" for words in _MEMORY.values()))
    looks, times, remounts = soak(options.minutes)
    print()
    shown = looks[:: max(1, len(looks) // 5)]
    if shown[-1] is not looks[-1]:
        shown.append(looks[-1])
    rows = [
        [words, *(f"{it[name]:.1f}" for it in shown), f"{slope(looks, name):+.2f}"] for name, words in _MEMORY.items()
    ]
    rows.append(["received, KB/s", *(f"{it['received']:.1f}" for it in shown), f"{slope(looks, 'received'):+.2f}"])
    table(["", *(f"{it['minute']:.1f} min" for it in shown), "per minute"], rows)
    print(f"\nremounts of the loss chart: {remounts}")
    every = sorted(t for row in times.values() for t in row)
    print(
        f"{len(every)} clicks: median {statistics.median(every):.0f} ms, 95 % within "
        f"{every[int(0.95 * len(every)) - 1]:.0f} ms, {sum(t <= 500 for t in every)} within 500 ms"
    )
    for name, row in times.items():
        print(f"  {name:24} {len(row):4} times, median {statistics.median(row):6.0f} ms, slowest {max(row):6.0f} ms")
    slopes = {name: slope(looks, name) for name in _MEMORY}
    save(options.json, {"looks": looks, "a minute": slopes, "remounts": remounts, "clicks, milliseconds": times})


if __name__ == "__main__":
    main()
