"""What the browser tests share: a server, a person's hands, and a look into the folder where the runs are."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from making import train
from playwright.sync_api import Locator, Page, WebSocketRoute, expect

import microllm.environment
from microllm.config import PRESETS, configs_from
from microllm.data import texts
from microllm.runs import catalog
from microllm.ui.components import source

ROOT = Path(__file__).parents[1]
JOINER = "\u2060"  # a word joiner, which nobody sees, keeps Streamlit from making icons of text
PATIENCE = 60.0  # seconds, for a busy machine; nothing waits longer than it must
expect.set_options(timeout=PATIENCE * 1000)
GRACE = 5.0  # seconds that a run outlives its last window, here: a page must be loaded in less

# What Starlette prints when a window is closed while the server speaks to it; our code is not involved.
_NOT_OURS = re.compile(
    r"Exception in ASGI application\n((?!Exception in ASGI).)*?"
    r"WebSocketDisconnected: Cannot call \"send\" once a close message has been sent\.",
    re.DOTALL,
)


def tracebacks(log: str) -> str:
    """What a server has printed, if there is a traceback of our code in it."""
    ours = _NOT_OURS.sub("", log)
    return ours if "Traceback" in ours else ""


class Server:
    """The app as a program of its own, on a home of its own."""

    def __init__(self, home: Path, mirror: Path, port: int = 0, **environment: str) -> None:
        self.home = home
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        arguments = f"-m streamlit run app.py --server.port {self.port} --server.address 127.0.0.1"
        arguments += " --server.fileWatcherType none --global.e2eTest true"
        self._log = (home.parent / f"{home.name}-{self.port}.log").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, *arguments.split()],
            cwd=ROOT,
            env=environment_in(home, **{"MICROLLM_GRACE": str(GRACE), "MICROLLM_MIRROR": str(mirror)} | environment),
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def wait_until_it_answers(self) -> Server:
        """Wait for the port. That is no visit: the first page is still the first."""
        deadline = time.monotonic() + PATIENCE
        while True:
            assert self._process.poll() is None, self.log
            try:
                with urlopen(f"{self.url}/_stcore/health", timeout=1):
                    return self
            except OSError:
                assert time.monotonic() < deadline, self.log
                self._process_may_go_on(0.05)

    def _process_may_go_on(self, seconds: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def end(self) -> int:
        """Press Ctrl-C; the exit code. A server that is not gone in 25 seconds is killed and fails the test.

        It may wait 8 seconds for its pages and 12 for its background work.
        """
        self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(25)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"The server did not end within 25 seconds.\n{self.log}") from None

    @property
    def process(self) -> int:
        """The number of its process."""
        return self._process.pid

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self._process.wait()

    @property
    def log(self) -> str:
        """What the server has printed."""
        self._log.seek(0)
        return self._log.read()

    # ---- what it has written

    def run(self, run_id: str) -> dict[str, Any]:
        """What stands in `run.json`."""
        return json.loads((self.home / "runs" / run_id / "run.json").read_text("utf-8"))

    def lines(self, run_id: str, name: str = "metrics") -> list[dict[str, Any]]:
        """The whole lines of `metrics.jsonl` or `events.jsonl`."""
        path = self.home / "runs" / run_id / f"{name}.jsonl"
        whole = path.read_text("utf-8").rpartition("\n")[0] if path.exists() else ""
        return [json.loads(line) for line in whole.splitlines()]

    def steps(self, run_id: str) -> int:
        """How many lines the run has logged."""
        return len(self.lines(run_id))


def environment_in(home: Path, **environment: str) -> dict[str, str]:
    """The environment of a program that keeps everything in `home`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MICROLLM_")}
    return inherited | {"MICROLLM_HOME": str(home), "PYTHONPATH": str(ROOT)} | environment


TINY = {"block_size": 8, "n_embd": 16, "n_head": 2, "n_layer": 1}


def finished_run(home: Path, preset: str = "quick", own_text: str | None = None, **settings: Any) -> str:
    """The id of a tiny run of 30 steps, trained in `home` by this process: a new one spends seconds importing torch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MICROLLM_HOME", str(home))
        patch.setenv("MICROLLM_RUNS_DIR", "")
        microllm.environment.home.cache_clear()
        text = texts.prepare(own_text, "made") if own_text else texts.choose("words-twice", first=20_000)
        run = catalog.create(*configs_from(TINY | {"max_steps": 30} | settings, preset), text, preset=preset, threads=1)
        assert train(run) == "finished"
    microllm.environment.home.cache_clear()
    return run.id


def command_line_training(home: Path, **settings: Any) -> subprocess.Popen:
    """`python -m microllm train`, on its way; its first line names the run."""
    flags = [
        part
        for name, value in ({"text": "words-twice", "first": 20_000} | TINY | settings).items()
        for part in (f"--{name}", str(value))
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "microllm", "train", *flags],
        cwd=ROOT,
        env=environment_in(home),
        stdout=subprocess.PIPE,
        text=True,
    )


def link_of(training: subprocess.Popen) -> str:
    """The link that a training on the command line prints in its first lines. It has the owner's key."""
    return next(found[1] for line in training.stdout if (found := re.search(r"open (/train\?run=\S+&key=\S+)", line)))


# ---- waiting


def until(page: Page, condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Ask again and again until the answer is true; that answer."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        page.wait_for_timeout(40)
    return answer


def settle(page: Page) -> None:
    """Wait until the script has run and is not about to run again."""
    connected = "[data-testid=stApp][data-test-connection-state=CONNECTED]"
    expect(page.locator(f"{connected}[data-test-script-state=notRunning]")).to_be_attached()


def visit(page: Page, url: str) -> None:
    """Open a page and wait for its strip, and until the server knows what the browser has stored."""
    page.goto(url, wait_until="commit")
    expect(at(page, "run-bar")).to_be_visible()
    storage = at(page, "storage-place").locator("i")
    until(page, lambda: storage.evaluate("it => it.state?.asked === null"), "the browser's answer")
    expect(page.locator("[data-testid=stMain] h3").first).to_be_visible()  # all has its place
    settle(page)


class Losing:
    """A connection that loses the first message of its window after `now` is set. Made before the page is visited."""

    def __init__(self, page: Page) -> None:
        self.now = False
        self.lost: list[str | bytes] = []
        page.route_web_socket(re.compile("_stcore/stream"), self._pass_on)

    def _pass_on(self, socket: WebSocketRoute) -> None:
        there = socket.connect_to_server()
        socket.on_message(lambda said: self.lost.append(said) if self.now and not self.lost else there.send(said))


# ---- hands and eyes


def at(page: Page, key: str) -> Locator:
    """The element or container with this key."""
    return page.locator(f".st-key-{key}")


def button(page: Page, key: str) -> Locator:
    """The button with this key. (One with a help text is in the page twice, and shown once.)"""
    return at(page, key).locator("button:visible").first


def press(page: Page, key: str) -> None:
    """Click a button."""
    within_reach(page, button(page, key)).click()


def within_reach(page: Page, element: Locator) -> Locator:
    """The element; on a phone, if it is in the sidebar, that is opened."""
    opener = page.locator("[data-testid=stExpandSidebarButton]")
    if element.evaluate("element => !!element.closest('[data-testid=stSidebar]')") and opener.is_visible():
        opener.click()
        page.wait_for_timeout(500)  # it slides in
    return element


def close_sidebar(page: Page) -> None:
    """On a phone, see the page again."""
    page.locator("[data-testid=stSidebarCollapseButton] button").click()
    page.wait_for_timeout(500)


def thumb(page: Page, key: str) -> Locator:
    """A slider's thumb, which takes the keys."""
    return at(page, key).locator("input[type=range]")


def slide(page: Page, key: str, value: float) -> None:
    """Move a slider to a value that it offers with the arrow keys."""
    handle = within_reach(page, thumb(page, key))
    handle.focus()
    presses = 0
    while (now := float(handle.get_attribute("aria-valuetext"))) != value:
        handle.press("ArrowRight" if now < value else "ArrowLeft")
        presses += 1
        assert presses < 500
    settle(page)


def fill(page: Page, key: str, value: Any) -> None:
    """Write into a field, and leave it with Enter or, where Enter is a new line, with its shortcut."""
    field = within_reach(page, at(page, key).locator("input, textarea").first)
    field.fill(str(value))
    field.press("Control+Enter")
    settle(page)


def upload(page: Page, name: str, data: bytes) -> None:
    """Choose a file as one's own text."""
    files = at(page, "upload").locator("input[type=file]")
    files.set_input_files({"name": name, "mimeType": "text/plain", "buffer": data})


def unfold(page: Page, key_within: str) -> None:
    """Open the fold More, which holds this element."""
    if not at(page, key_within).count():
        press(page, "more-button")
    expect(at(page, key_within)).to_be_visible()


BOOK, SHAKESPEARE, NAMES, DRAWING_ROOM, WORDS_TWICE, OWN = range(6)


def choose(page: Page, key: str, option: int) -> None:
    """Choose the option of this number, from the top, in a list that folds down."""
    field = within_reach(page, at(page, key).locator("input").first)
    wanted = page.locator("[role=option]").nth(option)

    def is_unfolded() -> bool:
        if not wanted.is_visible():
            field.click()
            page.wait_for_timeout(300)  # the list closes again when the page scrolls, as after a run has ended
        return wanted.is_visible()

    settle(page)
    until(page, is_unfolded, f"the options of {key}")
    wanted.click()
    settle(page)


def choose_preset(page: Page, preset: str) -> None:
    """Choose a preset, and wait until the sliders have moved to it."""
    within_reach(page, at(page, "preset").locator("button").nth(list(PRESETS).index(preset))).click()
    model = PRESETS[preset].model
    for name in ("block_size", "n_embd"):
        expect(thumb(page, f"knob-{name}")).to_have_attribute("aria-valuetext", str(getattr(model, name)))
    settle(page)


def start(page: Page, server: Server, *, preset: str = "article", max_steps: int = 200_000, **settings: Any) -> str:
    """Start a run from a link with these settings, by default one that outlives the test; the run's id."""
    link = urlencode({"preset": preset, "max_steps": max_steps} | settings)
    visit(page, f"{server.url}/train?{link}")
    return press_start(page)


def press_start(page: Page) -> str:
    """Press Start and wait for the first steps; the run's id."""
    before = run_id(page)
    press(page, "start")
    until(page, lambda: run_id(page) not in (None, before), "a run id in the address")
    expect(button(page, "bar-stop")).to_be_visible()
    until(page, lambda: step(page) is not None, "a step in the strip")
    return run_id(page)


def shared_link(page: Page) -> str:
    """What Share gives."""
    press(page, "share")
    code = page.locator("[data-testid=stPopoverBody] [data-testid=stCode]").first
    expect(code).to_contain_text("preset=")
    link = code.inner_text().strip()
    page.keyboard.press("Escape")
    return link


def run_id(page: Page) -> str | None:
    """The run in the address."""
    found = re.search(r"[?&]run=([0-9a-f]{16})\b", page.evaluate("location.href"))
    return found and found[1]


def stored_keys(page: Page) -> dict[str, str]:
    """The owner keys in the browser's storage, by run id."""
    return dict(json.loads(page.evaluate("localStorage.getItem('microllm-keys')") or "[]"))


def step(page: Page) -> int | None:
    """The step that the strip shows; None for a run that came with MicroLLM, as every window shows one at first."""
    shown = at(page, "run-bar").inner_text()
    found = None if "came with" in shown else re.search(r"([\d,]+) / [\d,]+", shown)
    return int(found[1].replace(",", "")) if found else None


def wait_for_more_steps(page: Page, than: int | None = None) -> int:
    """Wait until the strip shows a later step; that step."""
    than = step(page) if than is None else than
    return until(page, lambda: (now := step(page)) is not None and now > than and now, f"a step after {than}")


def wait_until_it_stands_still(page: Page, server: Server) -> int:
    """Wait until the run is paused and the strip says its last step; that step."""
    until(page, lambda: server.run(run_id(page))["state"] == "paused", "a pause")
    last = server.lines(run_id(page))[-1]["step"]
    until(page, lambda: step(page) == last, f"step {last} in the strip")
    return last


CHART = ".st-key-loss-live svg[role=img]"


def curve(page: Page) -> dict[str, Any]:
    """The loss plot as drawn: both ends of the curve and that of the axis (pixels), its validation checks, labels."""
    return page.locator(CHART).evaluate(
        """svg => {
            const path = svg.querySelector('.smoothed').getAttribute('d')
            const xs = [...path.matchAll(/[ML](-?[\\d.e-]+),/g)].map(match => Number(match[1]))
            return {
                path, points: xs.length, left: Math.min(...xs), right: Math.max(...xs),
                edge: Number(svg.querySelector('.grid').getAttribute('x1')) + 10,  // room for half of a mark
                val_losses: svg.querySelectorAll('.dot.validation').length,
                labels: [...svg.querySelectorAll('.tick.step')].map(text => text.textContent),
            }
        }"""
    )


def alerts(page: Page) -> str:
    """What the page complains about."""
    return "\n".join(page.locator("[data-testid=stAlert]").all_inner_texts()).replace(JOINER, "")


_CONTRAST = """
elements => {
    const probe = document.createElement('canvas').getContext('2d', {willReadFrequently: true})
    const rgb = color => {
        probe.fillStyle = color
        probe.fillRect(0, 0, 1, 1)
        return [...probe.getImageData(0, 0, 1, 1).data].slice(0, 3)
    }
    const light = parts => parts.map(part => part / 255)
        .map(part => part <= 0.04 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0)
    return Math.min(...elements.map(element => {
        const chain = []
        const above = one => one.parentElement ?? one.getRootNode().host
        for (let one = element; one; one = above(one)) chain.push(getComputedStyle(one))
        const under = rgb(chain.find(style => style.backgroundColor !== 'rgba(0, 0, 0, 0)').backgroundColor)
        const opacity = chain.reduce((share, style) => share * Number(style.opacity), 1)
        const ink = rgb(element instanceof SVGElement ? chain[0].fill : chain[0].color)
        const seen = ink.map((part, i) => opacity * part + (1 - opacity) * under[i])
        const [low, high] = [light(seen), light(under)].sort((a, b) => a - b)
        return (high + 0.05) / (low + 0.05)
    }))
}
"""


def contrast(texts: Locator) -> float:
    """The lowest contrast of these texts with what lies under them, as WCAG 2 reckons it."""
    return texts.evaluate_all(_CONTRAST)


# ---- one of our components alone, without a server

_MOUNT = """
async ([html, css, script, data]) => {
    const host = document.createElement("div")
    document.body.replaceChildren(host)
    const parentElement = host.attachShadow({ mode: "open" })
    parentElement.innerHTML = `<style>${css}</style>${html}`
    const { default: draw } = await import(URL.createObjectURL(new Blob([script], { type: "text/javascript" })))
    window.data = data
    window.told = []
    const setTriggerValue = (event, value) => {
        window.told.push(value)
        window.answer?.(value)
    }
    window.draw = () => draw({ data: window.data, parentElement, setTriggerValue })
    window.draw()
}
"""


def mount(page: Page, component: ModuleType, data: Any) -> None:
    """Draw a component with `data`. The window has `data`, `draw` and what was `told`; it may set an `answer`."""
    css, js = (source(Path(component.__file__).stem, component.SHARED, kind) for kind in ("css", "js"))
    page.set_content("<meta charset=utf-8><body style='--st-code-font: monospace'>")
    page.evaluate(_MOUNT, [component.HTML, css, js, data])
