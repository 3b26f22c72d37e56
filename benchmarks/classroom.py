"""Thirty people on one server: whether everybody is served and nobody loses a run.

    python -m benchmarks.classroom --visitors 30 --minutes 4

The visitors speak Streamlit's protocol (visitor.py) in a process of their own. Each opens the train page, starts a run
of a small model, and then acts every five seconds: opens attention, generates text, pauses, resumes, moves a slider.
One real browser does the same and is timed. All traffic stays on 127.0.0.1.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import multiprocessing
import os
import random
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty
from typing import Any

from microllm.environment import default_slots
from microllm.jobs.slots import Slots

from .clicks import CLICKS, click
from .report import parser, save, table
from .server import browse, open_page, serve, start
from .soak import resident
from .visitor import Visitor

_FIRST_POINTS = 5
_GRACE = 5.0
_FORGOTTEN = 150.0  # seconds: Streamlit keeps a window that has gone for two minutes, in case it comes back
_LAST_START = 60.0  # seconds before the end
_WIDTHS = ("24", "32", "48")


async def attend(address: str, which: int, end: float, pause: float) -> dict[str, Any]:
    """One visitor from arrival until `end` (wall-clock time). Returns what happened."""
    rng = random.Random(which)
    told: dict[str, Any] = {"visitor": which, "runs": []}
    async with Visitor(address) as visitor:

        async def wait() -> None:
            await asyncio.sleep(max(0.0, min(rng.uniform(0.6, 1.4) * pause, end - time.time())))

        def shows(key: str, word: str = "") -> Callable[[], bool]:
            return lambda: key in visitor.shown and word in str(visitor.shown[key].message)

        def can_press(key: str) -> bool:
            return key in visitor.shown and not visitor.shown[key].message.disabled

        async def walk() -> None:
            await visitor.open("train", until="start")
            await wait()
            await visitor.set("text", "Drawing-room sentences")
            await visitor.set("knob-block_size", "16")
            await visitor.set("knob-n_embd", _WIDTHS[which % 3])
            await wait()
            acts = (
                begin,
                lambda: visitor.open("attention", until="sentence"),
                lambda: visitor.set("sentence", f"She was {which} years old"),
                lambda: visitor.open("generate", until="generate"),
                lambda: visitor.press("generate", lambda: can_press("stop-writing") or can_press("download")),
                lambda: visitor.open("train", until="start"),
                lambda: turn("/pause:", "/play_arrow:"),
                lambda: turn("/play_arrow:", "/pause:"),
                lambda: visitor.set("knob-n_layer", float(rng.randint(1, 6))),
            )
            while time.time() < end:
                for act in acts:
                    if time.time() < end:
                        await act()
                        await wait()

        async def begin() -> None:
            is_late = told["runs"] and time.time() > end - _LAST_START
            if "bar-stop" in visitor.shown or is_late:  # its run still trains, or another would not get a turn
                return
            before, pressed = visitor.run, time.time()
            await visitor.press("start", lambda: visitor.run != before and "bar-stop" in visitor.shown)
            told["runs"].append((pressed, visitor.run))

        async def turn(face: str, then: str) -> None:
            # only if the icon of the button matches: a run that is not paused cannot be resumed
            if shows("bar-pause", face)() and "timeline" in visitor.shown:
                over = shows("bar-start")  # a run may end at any moment
                await visitor.press("bar-pause", lambda: shows("bar-pause", then)() or over())

        try:
            await walk()
        except Exception as error:
            visitor.problems.append(f"{type(error).__name__}: {error}")
        return told | {"waits": visitor.waits, "problems": visitor.problems}


def _visit(address: str, visitors: int, arrive: float, end: float, pause: float, out: Any) -> None:
    async def all_of_them() -> list[dict[str, Any]]:
        async def come(which: int) -> dict[str, Any]:
            await asyncio.sleep(arrive * which / visitors)
            return await attend(address, which, end, pause)

        return await asyncio.gather(*map(come, range(visitors)))

    out.put(asyncio.run(all_of_them()))


class Curves(threading.Thread):
    """Watches the folders of runs and notes when the curve of each has its first five points."""

    def __init__(self, home: Path) -> None:
        super().__init__(daemon=True)
        self._runs, self.is_over = home / "runs", threading.Event()
        self.fifth: dict[str, float] = {}

    def run(self) -> None:
        while not self.is_over.wait(0.1):
            for path in self._runs.glob("*/metrics.jsonl"):
                if path.parent.name not in self.fifth and path.read_bytes().count(b"\n") >= _FIRST_POINTS:
                    self.fifth[path.parent.name] = time.time()


def shares(told: list[dict[str, Any]], fifth: dict[str, float]) -> list[tuple[float, float]]:
    """(seconds from Start to the fifth point, seconds of its fair share) of each run that was started.

    The fair share is what is left of the first turns of all runs that were started before it, plus its own.
    """
    found, first = [], Slots().first
    places = [0.0] * default_slots()  # when each is free for another first turn
    for pressed, run in sorted(one for it in told for one in it["runs"]):
        end = max(pressed, heapq.heappop(places)) + first
        heapq.heappush(places, end)
        found.append((fifth.get(run, float("inf")) - pressed, end - pressed))
    return found


def hold_class(visitors: int, minutes: float, pause: float = 5.0, arrive: float = 10.0) -> dict[str, Any]:
    """What was observed: visitors, waits, what the browser measured, shares, memory, the server's log, the runs."""
    os.environ |= {"MICROLLM_GRACE": str(_GRACE), "no_proxy": "127.0.0.1"}
    seconds: list[float] = []
    with serve(log=True) as served, browse() as browser:
        page = open_page(browser, served.address)  # a server that has served somebody is as warm as it gets
        start(page)
        page.wait_for_timeout(3_000)
        for _, css, condition in CLICKS:
            click(page, css, condition)
        page.close()
        time.sleep(_GRACE + 5)
        memory = {"before": resident(served.process)}
        curves = Curves(served.home)
        curves.start()
        page = open_page(browser, served.address)
        own = start(page)
        page.wait_for_timeout(3_000)
        begin = time.time()
        end = begin + 60 * minutes
        out: Any = multiprocessing.get_context("spawn").Queue()
        crowd = multiprocessing.get_context("spawn").Process(
            target=_visit, args=(served.address, visitors, arrive, end, pause, out)
        )
        crowd.start()
        while time.time() < end - 2 * pause:
            for _, css, condition in CLICKS:
                if time.time() > end - 2 * pause:
                    break
                seconds.append(click(page, css, condition) / 1e3)
                memory["most"] = max(memory.get("most", 0.0), resident(served.process))
                page.wait_for_timeout(1e3 * pause / 2)
        page.close()
        told = []
        while crowd.is_alive() and not told:
            try:
                told = out.get(timeout=5)
            except Empty:
                continue
        crowd.join()
        curves.is_over.set()
        memory["as they leave"] = resident(served.process)
        time.sleep(_FORGOTTEN)
        memory["after"] = resident(served.process)
        lost = [run for one in told for _, run in one["runs"] if not is_whole(served.home / "runs" / run)]
        log = served.log()
    return {
        "told": told,
        "own": own,
        "browser": seconds,
        "shares": shares(told, curves.fifth),
        "memory": memory,
        "tracebacks": log.count("Traceback"),
        "log": log,
        "lost": lost,
    }


def is_whole(folder: Path) -> bool:
    """True for a run without missing steps, and with a checkpoint to continue from."""
    rows = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()) if folder.is_dir() else []
    steps = [row["step"] for row in rows]
    return bool(steps) and steps == list(range(len(steps))) and any(folder.glob("checkpoints/step-*"))


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[max(0, int(share * len(values)) - 1)]


def main() -> None:
    """Print what went wrong, how long people waited, whether the turns were fair, and the memory."""
    flags = parser(__doc__)
    flags.add_argument("--visitors", type=int, default=30)
    flags.add_argument("--minutes", type=float, default=4.0)
    options = flags.parse_args()
    seen = hold_class(options.visitors, options.minutes)
    problems = [problem for one in seen["told"] for problem in one["problems"]]
    runs = sum(len(one["runs"]) for one in seen["told"])
    print(
        f"{len(seen['told'])} visitors, {runs} runs, {len(seen['lost'])} lost; "
        f"{len(problems)} problems on their pages, {seen['tracebacks']} tracebacks in the server's log"
    )
    for problem in problems[:5]:
        print("  ", problem)
    rows = []
    for who, waits in (
        ("visitors", [wait for one in seen["told"] for wait in one["waits"]]),
        ("the browser", seen["browser"]),
    ):
        within = sum(wait < 1 for wait in waits) / len(waits)
        rows.append(
            [
                who,
                len(waits),
                f"{statistics.median(waits):.2f}",
                f"{_percentile(waits, 0.95):.2f}",
                f"{within:.1%}",
            ]
        )
    table(["", "actions", "median s", "95 % s", "within 1 s"], rows)
    late = [waited - share for waited, share in seen["shares"] if waited > share]
    print(
        f"first five points: {len(seen['shares']) - len(late)} of {len(seen['shares'])} within their share, "
        f"the others at most {max(late, default=0.0):.1f} s after it; "
        f"the slowest after {max(waited for waited, _ in seen['shares']):.0f} s"
    )
    memory = seen["memory"]
    print(
        "memory of the server, MB: "
        + ", ".join(f"{name} {value:.0f}" for name, value in memory.items())
        + f" ({memory['after'] / memory['before'] - 1:+.0%})"
    )
    save(options.json, {name: value for name, value in seen.items() if name != "log"})


if __name__ == "__main__":
    main()
