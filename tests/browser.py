"""A real browser and a real server."""

import os
import shutil
from pathlib import Path

import pytest
from driving import PATIENCE, Server, tracebacks
from playwright.sync_api import sync_playwright

from microllm.data.builtin import drawing_room
from microllm.data.published import PUBLISHED_TEXTS
from microllm.ui.state.view import SENTENCE

# The headless shell opens windows without a frame, at two thirds of the work.
_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
VIEWPORT = {"width": 1280, "height": 1000}
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="session")
def browser():
    """The Chromium of this machine. Without one the tests are skipped, but not where CI promises one."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        message = f"No browser here: none of {', '.join(_NAMES)}."
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def mirror(tmp_path_factory) -> Path:
    """A folder with a "book": Gutenberg's markers, and between them the usual beginning and sentences nobody wrote."""
    folder = tmp_path_factory.mktemp("mirror")
    marker = "*** {} OF THE PROJECT GUTENBERG EBOOK PRIDE AND PREJUDICE ***"
    book = "\n".join([marker.format("START"), f"{SENTENCE}. {drawing_room(150_000)}", marker.format("END"), ""])
    (folder / PUBLISHED_TEXTS["book"].file).write_text(book, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def shared_server(browser, mirror, tmp_path_factory):
    """A server for all tests that can share one."""
    server = Server(tmp_path_factory.mktemp("server") / "home", mirror).wait_until_it_answers()
    yield server
    assert server.end() == 0, server.log


@pytest.fixture
def server(shared_server):
    """The server that most tests visit. No test may make it stumble."""
    before = len(shared_server.log)
    yield shared_server
    assert not (ours := tracebacks(shared_server.log[before:])), ours


@pytest.fixture
def fresh_server(browser, mirror, tmp_path):
    """Make a server that nobody has visited: `fresh_server()`, or with other settings of its environment."""
    servers = []

    def make(**environment: str) -> Server:
        folder = Path(environment.pop("mirror", mirror))
        servers.append(Server(tmp_path / "home", folder, **environment))
        return servers[-1].wait_until_it_answers()

    yield make
    for server in servers:
        assert server.end() == 0, server.log
        assert not (ours := tracebacks(server.log)), ours


@pytest.fixture(scope="session")
def usual_context(browser):
    """One browser profile for the first usual window of every test: it keeps the scripts of the page compiled."""
    return browser.new_context(viewport=VIEWPORT)


@pytest.fixture
def new_page(browser, usual_context, request):
    """Open windows, each of another person; when a test fails, keep pictures of them."""
    contexts = []

    def make(**options):
        is_usual = not options and usual_context not in contexts
        context = usual_context if is_usual else browser.new_context(**{"viewport": VIEWPORT} | options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        return page

    yield make
    has_failed = getattr(request.node, "has_failed", False)
    for number, context in enumerate(contexts):
        for page in context.pages:
            if has_failed:
                path = Path(request.getfixturevalue("tmp_path")) / f"window-{number}.png"
                page.screenshot(path=path, full_page=True)
                print(f"\nThe window at the failure ({page.url}): {path}")
        _forget(context) if context is usual_context else context.close()


def _forget(context) -> None:
    """Close the windows of a context and clear what its pages have stored, but not the cache of scripts."""
    for page in context.pages:
        scheme, _, host = page.url.partition("://")
        if scheme == "http":
            devtools = context.new_cdp_session(page)
            origin = f"http://{host.partition('/')[0]}"
            devtools.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"})
        page.close()
    context.clear_cookies()


@pytest.fixture
def page(new_page):
    """One window."""
    return new_page()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Tell the fixtures whether the test has failed."""
    report = yield
    if report.when == "call":
        item.has_failed = report.failed
    return report
