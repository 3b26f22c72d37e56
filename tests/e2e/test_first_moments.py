"""The first seconds: of a new server, and of a run."""

import re
import time

import pytest
from driving import CHART, DRAWING_ROOM, at, button, choose, press, settle, step, until, visit
from playwright.sync_api import expect

pytestmark = [pytest.mark.timeout(240), pytest.mark.alone]


# The film is in a shadow root.
_SHOWN_BEFORE_TORCH = """() => {
    const films = [...document.querySelectorAll('.st-key-film *')].map(node => node.shadowRoot?.querySelector('.film'))
    const film = films.find(Boolean)
    const isWhole = document.querySelector('.st-key-run-bar')
    return !isWhole && film?.querySelector('.smoothed[d*=L]') && film.querySelector('.sample span').textContent
}"""


def test_a_fresh_server_plays_the_film_of_the_front_door_before_the_page_is_whole(fresh_server, page):
    server, complaints = fresh_server(), []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(server.url, wait_until="commit")
    noise = page.wait_for_function(_SHOWN_BEFORE_TORCH).json_value()
    film = page.locator(".film")
    before, top = film.element_handle(), film.bounding_box()["y"]

    expect(at(page, "run-bar")).to_be_visible()
    settle(page)
    assert "/learn" in page.evaluate("location.pathname") and not page.evaluate("location.search")
    assert before.evaluate("node => node.isConnected")  # it plays on
    assert film.bounding_box()["y"] == pytest.approx(top, abs=1)
    expect(film.locator(".controls button")).to_have_attribute("aria-label", re.compile("Replay"))
    assert film.locator(".sample span").inner_text() != noise
    assert not complaints and not page.errors


# The plot is in a shadow root.
_SHOWN_BEFORE_START = """() => {
    const plots = [...document.querySelectorAll('.st-key-loss-live *')].map(node => node.shadowRoot).filter(Boolean)
    const sample = document.querySelector('.st-key-sample-live [data-testid=stText]')
    const start = document.querySelector('.st-key-start button')
    return plots.some(plot => plot.querySelector('.smoothed[d*=L]')) && sample?.innerText && start?.disabled
}"""


def test_a_fresh_server_shows_a_curve_and_a_sample_before_a_run_can_be_started(fresh_server, page):
    server = fresh_server()
    page.goto(f"{server.url}/train", wait_until="commit")
    sample = page.wait_for_function(_SHOWN_BEFORE_START)
    assert sample.json_value()
    plot = page.locator(CHART)
    before, top = plot.element_handle(), plot.bounding_box()["y"]

    expect(button(page, "start")).to_be_enabled()
    settle(page)
    assert before.evaluate("node => node.isConnected")  # it was completed, not drawn again
    assert plot.bounding_box()["y"] == pytest.approx(top, abs=1)
    assert "run=" not in page.evaluate("location.search")
    until(page, lambda: "ms" in at(page, "cost").inner_text(), "how fast the server is")  # all is done
    assert not page.errors


def test_a_fresh_server_paints_the_frame_while_torch_is_still_being_imported(fresh_server, page):
    server = fresh_server()
    began = time.monotonic()
    page.goto(f"{server.url}/generate", wait_until="commit")
    expect(page.get_by_text("PyTorch")).to_be_visible()
    assert time.monotonic() - began < 10  # 1.5 s on a quiet machine
    for other in ("train", "attention", "generate"):
        assert page.locator(f"a[href*='/{other}']").count()
    expect(page.locator("h3")).to_be_visible()
    heading = page.locator("h3").inner_text()
    assert not at(page, "run-bar").count()

    expect(at(page, "run-bar")).to_be_visible()
    settle(page)
    assert page.locator("h3").inner_text() == heading
    assert not page.get_by_text("PyTorch").count()
    assert not page.errors


def test_the_first_point_is_on_the_plot_soon_after_a_click_on_start(page, server):
    visit(page, f"{server.url}/train")
    choose(page, "text", DRAWING_ROOM)
    expect(page.locator(CHART)).to_be_visible()
    until(page, lambda: "ms" in at(page, "cost").inner_text(), "how fast the server is")
    began = time.monotonic()
    press(page, "start")
    until(page, lambda: step(page) is not None, "a step in the run bar")
    seen = time.monotonic() - began
    until(page, lambda: page.locator(f"{CHART} .smoothed[d*=L]").count(), "a line")
    drawn = time.monotonic() - began
    assert seen < 4 and drawn < 5, (seen, drawn)  # 0.7 s and 0.9 s on a quiet machine
    press(page, "bar-stop")
    expect(button(page, "bar-start")).to_be_visible()
