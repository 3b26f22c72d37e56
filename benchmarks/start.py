"""How fast the app starts: the import, the first paint of a fresh server, and the first step after a click on Start.

    python -m benchmarks.start

Each round uses a fresh server and a fresh browser window, after those of an app of three lines. To measure with the
book already downloaded, as on every visit but the first, set MICROLLM_MIRROR to a folder with pg1342.txt.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from playwright.sync_api import Browser, Page

from .report import parser, save
from .server import ROOT, browse, idle, serve, start

# Milestones: a name and the condition on the page. The first is that of the three-line app, all others are of ours.
# Plots are in a shadow root. The address names a run only once the visitor has started one.
_FILM = """[...document.querySelectorAll('.st-key-film *')].map(node => node.shadowRoot?.querySelector('.film'))
    .find(Boolean)?"""
_CURVE = """[...document.querySelectorAll('.st-key-loss-live *')]
    .some(node => node.shadowRoot?.querySelector('.smoothed[d*=L]'))"""
_OWN = "location.search.includes('run=')"
MILESTONES = {
    "three lines": "document.querySelector('[data-testid=stMain] h1')",
    "title": "document.querySelector('[data-testid=stMain] h3')",
    "film curve": f"{_FILM}.querySelector('.smoothed[d*=L]')",
    "film sample": f"{_FILM}.querySelector('.sample span').textContent",
    "whole page": "document.querySelector('.st-key-run-bar')",
    "step": f"{_OWN} && /\\d \\/ [\\d,]+/.test(document.querySelector('.st-key-run-bar')?.innerText)",
    "curve": f"{_OWN} && /training/.test(document.querySelector('.st-key-run-bar')?.innerText) && {_CURVE}",
}
FIRST_PAINT = ("title", "film curve", "film sample", "whole page")

# Checked once per frame; what holds in one frame is on the screen in the next.
_WATCH = """
    window.painted = {};
    window.holds = %s;
    const look = () => {
        for (const [name, holds] of Object.entries(window.holds))
            if (!(name in painted) && holds())
                painted[name] = null, requestAnimationFrame(() => painted[name] = Date.now());
        requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
""" % ("{" + ", ".join(f"'{name}': () => {condition}" for name, condition in MILESTONES.items()) + "}")


IMPORTS = {"torch": "import torch", "microllm": "import microllm", "all names": "from microllm import *"}


def import_seconds(statement: str) -> float:
    """The time of `python -c STATEMENT`, from the start of the program to its end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], cwd=ROOT, check=True)
    return time.perf_counter() - began


def painted(page: Page, name: str) -> float:
    """When the milestone was painted: seconds since the epoch."""
    return page.wait_for_function("name => painted[name]", arg=name, timeout=120_000).json_value() / 1000


def visit(browser: Browser, address: str) -> tuple[Page, float]:
    """A new window that is opening a server that nobody has visited, and when it began."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.add_init_script(_WATCH)
    began = time.time()
    page.goto(address, wait_until="commit")
    return page, began


def three_lines(browser: Browser) -> float:
    """Seconds from the address to the first paint of a bare Streamlit app (bare.py), on a fresh server."""
    with serve(script="benchmarks/bare.py") as (address, *_):
        page, began = visit(browser, address)
        seconds = painted(page, "three lines") - began
        page.context.close()
    return seconds


def one_server(browser: Browser, wait: float) -> dict[str, float]:
    """Seconds from the address to each part of the first page, and from a click on Start to the run.

    "to three lines" is the time to the film of the front door, divided by that of the bare app measured just before.
    """
    row = {"three lines": three_lines(browser)}
    with serve() as (address, *_):
        page, began = visit(browser, address)
        row |= {name: painted(page, name) - began for name in FIRST_PAINT}
        row["to three lines"] = max(row["film curve"], row["film sample"]) / row["three lines"]
        idle(page)
        page.locator(".st-key-front-train button").click()
        page.locator(".st-key-start button:enabled:visible").wait_for()
        page.wait_for_timeout(1000 * wait)  # a person reads the page
        page.evaluate("""() => addEventListener('click', () => {
            for (const name of ['step', 'curve']) delete painted[name];
            painted.click ??= Date.now();
        }, {capture: true})""")
        start(page)
        clicked = painted(page, "click")
        row |= {f"click to {name}": painted(page, name) - clicked for name in ("step", "curve")}
        row["click to either"] = min(row["click to step"], row["click to curve"])
        page.context.close()
    return row


def table(rows: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """The median and the worst of each column."""
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return {name: {"median": statistics.median(times), "worst": max(times)} for name, times in columns.items()}


def main() -> None:
    """Print what was measured, in seconds; with `--json FILE`, write it there too."""
    flags = parser(__doc__)
    flags.add_argument("--imports", type=int, default=7, help="runs of each import, by turns")
    flags.add_argument("--servers", type=int, default=5, help="fresh servers")
    flags.add_argument("--wait", type=float, default=5.0, help="seconds between the first page and the click on Start")
    options = flags.parse_args()

    measured: dict = {}
    if options.imports:
        rounds = [{name: import_seconds(code) for name, code in IMPORTS.items()} for _ in range(options.imports)]
        imports = table(rounds)
        for name in ("microllm", "all names"):
            imports[name]["less torch"] = imports[name]["median"] - imports["torch"]["median"]
            imports[name]["of torch"] = imports[name]["median"] / imports["torch"]["median"]
        measured["imports"], measured["all_imports"] = imports, rounds
    if options.servers:
        with browse() as browser:
            rows = [one_server(browser, options.wait) for _ in range(options.servers)]
        measured["servers"], measured["all_servers"] = table(rows), rows
    for part in ("imports", "servers"):
        for name, numbers in measured.get(part, {}).items():
            print(f"{name:16}", "  ".join(f"{key} {value:6.2f}" for key, value in numbers.items()))
    save(options.json, measured)


if __name__ == "__main__":
    main()
