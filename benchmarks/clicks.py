"""How soon a click is answered on the page while a model trains.

    python -m benchmarks.clicks

Makes a hundred clicks, in turn on everything that a person clicks during training. The browser measures the time from
each click to the frame that shows its answer.
"""

from __future__ import annotations

import statistics

from playwright.sync_api import Page

from .report import parser, save
from .server import browse, idle, open_page, serve, start

# name, CSS of what is clicked, and a condition that holds on the page once the answer is there
CLICKS = [
    ("Train: pause", ".st-key-bar-pause button", "shows('.st-key-bar-pause', 'play_arrow')"),
    ("Train: resume", ".st-key-bar-pause button", "shows('.st-key-bar-pause', 'pause')"),
    ("Train: preset Article", ".st-key-preset button >> nth=1", "value('.st-key-knob-block_size') === '8'"),
    ("Train: preset Quick", ".st-key-preset button >> nth=0", "value('.st-key-knob-n_embd') === '64'"),
    ("to Attention", "a[href*='attention'] >> visible=true", "exists('.st-key-sentence textarea')"),
    ("Attention: layer 2", "[role=radio][aria-label^='layer 2, head 1']", "text('layer 2, head 1')"),
    ("Attention: head 3", "[role=radio][aria-label^='layer 2, head 3']", "text('layer 2, head 3')"),
    ("to Generate", "a[href*='generate'] >> visible=true", "exists('.st-key-generate button')"),
    ("Generate: generate", ".st-key-generate button", "exists('.st-key-stop-writing button:enabled')"),
    ("to Train", "a[href*='train'] >> visible=true", "exists('.st-key-start button')"),
]

_MEASURE = """([element, condition]) => new Promise(resolve => {
    const exists = css => document.querySelector(css) !== null;
    const shows = (css, icon) => [...document.querySelectorAll(`${css} [data-testid=stIconMaterial]`)]
        .some(one => one.innerText.trim() === icon);
    const text = words => document.querySelector('[data-testid=stMain]').innerText.toLowerCase().includes(words);
    const value = css => document.querySelector(`${css} input[type=range]`)?.getAttribute('aria-valuetext');
    const holds = new Function('exists', 'shows', 'text', 'value', 'return ' + condition);
    const began = performance.now();
    element.click();
    const look = () => holds(exists, shows, text, value) || performance.now() - began > 10000
        ? resolve(performance.now() - began) : requestAnimationFrame(look);
    requestAnimationFrame(look);
})"""


def click(page: Page, css: str, condition: str) -> float:
    """Milliseconds from the click to the answer."""
    element = page.locator(css).first
    element.wait_for(state="visible", timeout=60_000)
    handle = element.element_handle()
    try:
        return page.evaluate(_MEASURE, [handle, condition])
    finally:
        handle.dispose()  # otherwise the browser keeps the element, and the page around it, forever


def main() -> None:
    """Print the median and the 95th percentile of each kind of click, and of all."""
    flags = parser(__doc__)
    flags.add_argument("--rounds", type=int, default=10, help="of ten clicks each")
    options = flags.parse_args()
    times: dict[str, list[float]] = {name: [] for name, _, _ in CLICKS}
    with serve() as (address, *_), browse() as browser:
        page = open_page(browser, address)
        page.locator(".st-key-more-button button").click()
        page.locator(".st-key-knob-max_steps input").fill("100000")  # so that it outlasts the clicks
        page.keyboard.press("Enter")
        idle(page)
        page.locator(".st-key-more-button button").click()  # as it is at first
        idle(page)
        start(page)
        page.wait_for_timeout(3_000)
        for _ in range(options.rounds):
            for name, css, condition in CLICKS:
                times[name].append(click(page, css, condition))
                page.wait_for_timeout(700)  # a person looks at the answer
            idle(page)
    times["all"] = [t for row in times.values() for t in row]
    print(f"{'click':24} {'median':>8} {'95 %':>8}   milliseconds, click to answer")
    for name, row in times.items():
        print(f"{name:24} {statistics.median(row):8.0f} {sorted(row)[int(0.95 * len(row)) - 1]:8.0f}")
    print(f"{sum(t <= 500 for t in times['all'])} of {len(times['all'])} within 500 ms")
    save(options.json, {"clicks, milliseconds": times})


if __name__ == "__main__":
    main()
