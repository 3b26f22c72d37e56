"""A server of the app and a browser that looks at it, for the benchmarks of the page."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import requests
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[1]
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


class Served(NamedTuple):
    """A server: its address, its MICROLLM_HOME, its process id, and what it has printed, if that is kept."""

    address: str
    home: Path
    process: int
    log: Callable[[], str] = str


@contextlib.contextmanager
def serve(
    log: bool = False, streamlit: Sequence[str] = ("-m", "streamlit"), script: str = "app.py"
) -> Iterator[Served]:
    """A fresh server of `script` with an empty home; it is ended with Ctrl-C. With `log`, what it prints is kept.

    `streamlit` is the program for Python to run; one other than Streamlit's gets the same arguments.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as home:
        flags = [f"--server.port={port}", "--server.address=127.0.0.1", "--global.e2eTest=true"]
        command = [sys.executable, *streamlit, "run", script, *flags]
        environment = os.environ | {"MICROLLM_HOME": home}
        printed = Path(home, "server.log")
        with printed.open("w") as file:
            output = {"stdout": file, "stderr": file} if log else {"stdout": subprocess.DEVNULL}
            server = subprocess.Popen(command, cwd=ROOT, env=environment, **output)
        try:
            address = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 60
            while True:
                with contextlib.suppress(requests.ConnectionError):
                    if requests.get(f"{address}/_stcore/health", timeout=1).ok:
                        break
                if time.monotonic() > deadline:
                    raise TimeoutError("the server did not start within a minute")
                time.sleep(0.1)
            yield Served(address, Path(home), server.pid, printed.read_text)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(20)


@contextlib.contextmanager
def browse() -> Iterator[Browser]:
    """The machine's own Chromium."""
    names = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        raise SystemExit("No browser found: install Chromium, for example with apt-get install chromium.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()


def open_page(browser: Browser, address: str, text: str = "Drawing-room sentences") -> Page:
    """The train page with a text that needs no network, ready for a click on Start."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(f"{address}/train")
    page.locator(".st-key-text input").click(timeout=60_000)
    page.get_by_role("option", name=text).click()
    idle(page)
    return page


def idle(page: Page) -> None:
    """Wait until the app is connected and no script runs."""
    page.locator("[data-testid=stApp][data-test-connection-state=CONNECTED]").wait_for()
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()


def start(page: Page) -> str:
    """Click Start. Returns the id of the new run."""
    before = page.url
    page.locator(".st-key-start button:visible").click()
    page.wait_for_function("before => location.href !== before && location.search.includes('run=')", arg=before)
    return page.url.partition("run=")[2][:16]
