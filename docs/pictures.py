"""Takes the pictures of the README from the real app: a run as a short film, and each page.

    python -m docs.pictures

It trains `quick` on the book, which takes a minute or two, so it needs the network, or MICROLLM_MIRROR.
"""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from benchmarks.server import browse, idle, serve, start

_FOLDER = Path(__file__).parent
_SIZE = {"width": 1280, "height": 800}
_FILM_SIZE = (960, 600)
_FRAME_SECONDS = 0.5
_LAST_FRAME_SECONDS = 3.0
_SHOWN_SECONDS = 0.15  # of a frame in the film


def main() -> int:
    """Take all pictures."""
    with serve() as served, browse() as browser:
        page = browser.new_page(viewport=_SIZE)
        _film(page, served.address)
        _take(page, f"{served.address}/learn", "learn", wait=8.0)
        _take(page, f"{served.address}/attention?run=pride-quick", "attention")
        _take(page, f"{served.address}/inside?run=pride-quick", "inside")
        _open(page, f"{served.address}/generate?run=pride-quick")
        page.wait_for_timeout(2000)
        page.locator(".st-key-generate button:visible").click()
        page.locator(".letters [role=option]").nth(399).wait_for()
        page.locator(".letters [role=option]").nth(46).click()
        _save(page, "generate")
        _take(page, f"{served.address}/experiments", "experiments")
    return 0


def _film(page: Page, address: str) -> None:
    """The page Train from Start to the end of the run."""
    _open(page, f"{address}/train?text=book&preset=quick")
    page.get_by_text("to learn").first.wait_for()
    frames = [page.screenshot()]
    start(page)
    page.locator(".st-key-bar-stop button:visible").wait_for()
    ended = page.locator(".st-key-bar-start button:visible")
    while not ended.count():
        time.sleep(_FRAME_SECONDS)
        frames.append(page.screenshot())
    _save(page, "train")
    images = [Image.open(io.BytesIO(frame)).resize(_FILM_SIZE, Image.Resampling.LANCZOS) for frame in _fewer(frames)]
    times = [round(1000 * _SHOWN_SECONDS)] * (len(images) - 1) + [round(1000 * _LAST_FRAME_SECONDS)]
    path = _FOLDER / "run.webp"
    images[0].save(path, save_all=True, append_images=images[1:], duration=times, loop=0, quality=55, method=6)
    print(f"{path.name}: {len(images)} frames, {path.stat().st_size:,} bytes")


def _fewer(frames: list[bytes], most: int = 48) -> list[bytes]:
    """At most `most` of the frames: closely spaced at first, where most happens, then further and further apart."""
    places = sorted({round((len(frames) - 1) * (i / (most - 1)) ** 2) for i in range(most)})
    return [frames[place] for place in places]


def _take(page: Page, address: str, name: str, wait: float = 3.0) -> None:
    _open(page, address)
    page.wait_for_timeout(1000 * wait)
    _save(page, name)


def _open(page: Page, address: str) -> None:
    page.goto(address)
    page.locator(".st-key-run-bar").wait_for()
    idle(page)


def _save(page: Page, name: str) -> None:
    page.mouse.move(640, 4)
    page.wait_for_timeout(800)
    page.screenshot(path=_FOLDER / f"{name}.png")


if __name__ == "__main__":
    sys.exit(main())
