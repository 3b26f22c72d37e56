"""How soon the picture of another moment of training appears, on Attention and Inside.

    python -m benchmarks.moments

On the run that comes with MicroLLM, with nothing else running: a key is pressed on the timeline, as many times as asked
for on each page. The browser measures the time from the key to the frame that shows another picture.
"""

from __future__ import annotations

import random
import statistics

from playwright.sync_api import Page

from .report import parser, save
from .server import browse, idle, serve

# page, and the component whose picture is awaited
PICTURES = {"Attention": ("attention", ".st-key-attention-one"), "Inside": ("inside", ".st-key-inside-parts")}

_MEASURE = """async ([css, key]) => {
    const drawn = root => root.innerHTML + [...root.querySelectorAll("canvas")].map(one => one.toDataURL()).join()
    const picture = () => [...document.querySelectorAll(`${css}, ${css} *`)]
        .map(one => one.matches(css) ? drawn(one) : one.shadowRoot ? drawn(one.shadowRoot) : "").join()
    const before = picture()
    const track = [...document.querySelectorAll(".st-key-timeline *")]
        .map(one => one.shadowRoot?.querySelector(".track")).find(Boolean)
    const step = track.ariaValueNow
    const began = performance.now()
    track.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, composed: true }))
    if (track.ariaValueNow === step) return null // the end and the last snapshot are the same moment
    while (picture() === before && performance.now() - began < 10_000) await new Promise(requestAnimationFrame)
    return performance.now() - began
}"""


def times(page: Page, css: str, number: int) -> list[float]:
    """Milliseconds from a key to the picture of another moment, `number` times: neighbors, and from end to end."""
    keys, found = random.Random(0), []
    while len(found) < number:
        key = keys.choices(("ArrowLeft", "ArrowRight", "Home", "End"), (4, 4, 1, 1))[0]
        if (milliseconds := page.evaluate(_MEASURE, [css, key])) is not None:
            found.append(milliseconds)
        page.wait_for_timeout(500)  # a person looks at it
        idle(page)
    return found


def main() -> None:
    """Print the median, the 95th percentile and how many were within 500 ms, for each page."""
    flags = parser(__doc__)
    flags.add_argument("--number", type=int, default=50, help="moments on each page")
    options = flags.parse_args()
    measured = {}
    with serve() as (address, *_), browse() as browser:
        for name, (path, css) in PICTURES.items():
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(f"{address}/{path}")
            page.locator(css).first.wait_for()
            idle(page)
            page.wait_for_timeout(3_000)
            measured[name] = times(page, css, options.number)
            page.context.close()
    for name, found in measured.items():
        within = sum(time <= 500 for time in found)
        median, most = statistics.median(found), sorted(found)[int(0.95 * len(found)) - 1]
        print(f"{name:10} median {median:4.0f} ms, 95 % within {most:4.0f} ms, {within} of {len(found)} within 500 ms")
    save(options.json, {"another moment, milliseconds": measured})


if __name__ == "__main__":
    main()
