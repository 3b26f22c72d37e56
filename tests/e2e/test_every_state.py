"""Every state at two widths: nothing complains or sticks out, all text is legible, and axe finds nothing on a phone.

States that only the run bar shows (paused, waiting, failed) are checked on one page.

With MICROLLM_PICTURES=FOLDER each state is also photographed, light and dark.
"""

import json
import os
import shutil
from pathlib import Path

import pytest
from axe import faults
from driving import (
    Server,
    at,
    finished_run,
    press,
    press_start,
    run_id,
    settle,
    start,
    step,
    tracebacks,
    until,
    visit,
)

pytestmark = pytest.mark.timeout(300)
PAGES = ("train", "attention", "generate", "inside")
WIDTHS = ((1280, 800), (390, 844))
STATES = ("no run", "training", "paused", "waiting", "finished", "failed", "past")

# Text that is smaller than 12 pixels, also in our own components and in figures.
_SMALL = """() => {
    const found = []
    const walk = (root) => {
        const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT)
        while (texts.nextNode()) {
            const text = texts.currentNode, parent = text.parentElement
            if (!parent || !text.data.trim() || ['STYLE', 'SCRIPT', 'TITLE'].includes(parent.tagName)) continue
            const style = getComputedStyle(parent), box = parent.getBoundingClientRect()
            const isShown = style.visibility === 'visible' && style.opacity > 0 && box.width > 1 && box.height > 1
            if (isShown && parseFloat(style.fontSize) < 12) found.push(style.fontSize + ": " + text.data.slice(0, 40))
        }
        for (const element of root.querySelectorAll('*')) if (element.shadowRoot) walk(element.shadowRoot)
    }
    walk(document.body)
    return found
}"""


@pytest.fixture(scope="module")
def crowded(browser, mirror, tmp_path_factory):
    """A server with one place to train in, whose home has a run that finished and one that failed."""
    server = Server(tmp_path_factory.mktemp("states") / "home", mirror, MICROLLM_SLOTS="1").wait_until_it_answers()
    server.finished = finished_run(server.home, max_steps=80)
    server.failed = server.finished[::-1]
    folder = server.home / "runs" / server.failed
    shutil.copytree(server.home / "runs" / server.finished, folder)
    ended = {
        "id": server.failed,
        "state": "failed",
        "message": "Training broke off: [x](y) <b>",
        "full_val_loss": None,
    }
    (folder / "run.json").write_text(json.dumps(server.run(server.finished) | ended))
    yield server
    assert server.end() == 0, server.log
    assert not (ours := tracebacks(server.log)), ours


def go_into(state, server, page, new_page) -> str:
    """Bring a window into a state; what its links say from then on."""
    if state == "no run":
        visit(page, f"{server.url}/train")
        return ""
    if state in ("finished", "failed"):
        return f"?run={getattr(server, state)}"
    if state == "past":
        return f"?run={server.finished}&step=16"
    start(page, server)
    until(page, lambda: (step(page) or 0) > 20, "a run on its way")
    if state == "paused":
        press(page, "bar-pause")
        until(page, lambda: server.run(run_id(page))["state"] == "paused", "a pause")
    if state == "waiting":
        other = new_page()
        visit(other, f"{server.url}/train")
        press_start(other)
    return page.evaluate("location.search")


def photograph(page, name: str) -> None:
    """Keep pictures, where the environment names a folder."""
    if folder := os.environ.get("MICROLLM_PICTURES"):
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            visit(page, page.url)
            page.wait_for_timeout(700)
            page.screenshot(path=Path(folder) / f"{name}-{scheme}.png")
        page.emulate_media(color_scheme="light")


@pytest.mark.parametrize("state", STATES)
def test_every_page_is_in_order(state, crowded, new_page):
    page = new_page(viewport={"width": 1280, "height": 800})
    link = go_into(state, crowded, page, new_page)
    pages = PAGES if state in ("no run", "training", "past") else PAGES[:1]
    for address in (*pages, "learn") if state == "no run" else pages:
        visit(page, f"{crowded.url}/{address}{link}")
        if state == "waiting" and address == "train":  # turns change every few seconds
            until(page, lambda: "your turn in" in at(page, "run-bar").inner_text(), "a wait")
        for width, height in WIDTHS:
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_timeout(250)  # for the new layout
            settle(page)
            where = f"{address}, {state}, {width} pixels"
            assert page.evaluate("document.scrollingElement.scrollWidth") <= width, where
            assert not (small := page.evaluate(_SMALL)), (where, small)
            photograph(page, f"{state}-{address}-{width}".replace(" ", "-"))
        assert not (found := faults(page, f"{address}, {state}")), "\n".join(found)
        assert "exception" not in page.locator("[data-testid=stMain]").inner_text().lower()
        assert not page.locator("[data-testid=stException]").count()
    assert not page.errors
