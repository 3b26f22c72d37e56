"""One walk through all that a person does, with a finger on a phone. (The other tests use a mouse on a wide screen.)"""

import csv
import re
from io import StringIO

import pytest
from driving import (
    CHART,
    PATIENCE,
    at,
    button,
    choose_preset,
    close_sidebar,
    fill,
    press,
    press_start,
    run_id,
    settle,
    shared_link,
    step,
    unfold,
    until,
    visit,
    wait_until_it_stands_still,
)
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.timeout(300)

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
MAX_STEPS = 500  # more than are made before Pause is pressed, and few enough to see the end


def point_at(page: Page, place) -> None:
    """Scroll there and tap it."""
    place.scroll_into_view_if_needed()
    place.tap()


def nothing_sticks_out(page: Page) -> None:
    width = page.viewport_size["width"]
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= width


def test_all_of_it(new_page, server):
    page = new_page(**PHONE)
    run = train_and_watch(page, server)
    name = server.run(run)["name"]
    look_at_attention(page)
    write_and_read(page, server)
    others_may_watch(page, new_page(**PHONE), name)
    what_comes_next(page, server, run)
    assert not page.errors


def train_and_watch(page: Page, server) -> str:
    """A guess on the plot, a start, the curve, what it wrote on its way, a pause; the run."""
    visit(page, f"{server.url}/train")
    choose_preset(page, "quick")
    unfold(page, "knob-max_steps")
    fill(page, "knob-max_steps", MAX_STEPS)
    close_sidebar(page)
    chart = page.locator(CHART)
    box = chart.bounding_box()
    page.touchscreen.tap(box["x"] + 0.6 * box["width"], box["y"] + 0.6 * box["height"])
    page.locator(".tip button").tap()
    guess = until(page, lambda: re.search(r"\d\.\d+", at(page, "guess-menu").inner_text()), "a guess")[0]
    run = press_start(page)
    assert server.run(run)["guess"] == pytest.approx(float(guess))
    until(page, lambda: (step(page) or 0) > 16, "more steps than the first line to beat takes")
    press(page, "bar-pause")
    reached = wait_until_it_stands_still(page, server)
    expect(at(page, "sample-live")).to_contain_text("%")
    expect(at(page, "milestones")).to_be_visible()
    press(page, "bar-step")
    until(page, lambda: step(page) == reached + 1, "one step")
    nothing_sticks_out(page)
    return run


def look_at_attention(page: Page) -> None:
    """A sentence of one's own, a character, another head."""
    point_at(page, page.get_by_role("link", name="See what it attends to"))
    fill(page, "sentence", "the the end")
    close_sidebar(page)
    letters = at(page, "attention-text").locator("[role=option]")
    until(page, lambda: letters.count() == 11, "the sentence")
    point_at(page, letters.nth(6))
    words = at(page, "attention-text").locator(".words")
    expect(words).to_contain_text("(7)")
    before = words.inner_text()
    point_at(page, at(page, "attention-heads").locator("[role=radio]").last)
    until(page, lambda: words.inner_text() != before, "what another head looks at")
    nothing_sticks_out(page)


def write_and_read(page: Page, server) -> None:
    """A text, the choices at one of its places, another choice; then a held-out passage."""
    visit(page, f"{server.url}/generate{page.evaluate('location.search')}")
    press(page, "generate")
    characters, bars = page.locator(".letters [role=option]"), page.locator(".letters .bar:visible")
    expect(button(page, "download")).to_be_enabled()
    settle(page)
    text = page.locator(".letters code").first
    before = text.inner_text()
    point_at(page, characters.nth(12))
    chosen = bars.filter(has_text="✓")
    until(page, lambda: chosen.count() == 1, "the bars of that place")
    point_at(page, bars.filter(has_not_text="✓").first)
    until(page, lambda: text.inner_text() != before, "another text")
    written = text.inner_text()
    point_at(page, at(page, "view").locator("button").nth(1))
    expect(at(page, "reading-live")).to_contain_text("At step")
    until(page, lambda: text.inner_text() != written, "the passage in the place of the text")
    point_at(page, characters.nth(20))
    until(page, lambda: "after" in page.locator(".letters h4").inner_text(), "what it expected there")
    nothing_sticks_out(page)


def others_may_watch(page: Page, other: Page, name: str) -> None:
    """The link of Share shows the same run, without its buttons."""
    link = shared_link(page)
    assert "key=" not in link
    visit(other, link)
    expect(at(other, "run-bar")).to_contain_text(name)
    settle(other)
    assert button(other, "bar-pause").count() == 0
    assert not other.errors
    page.keyboard.press("Escape")


def what_comes_next(page: Page, server, run: str) -> None:
    """The end: what became of the guess, a walk back in time, what can be taken along, and a next run in one click."""
    visit(page, f"{server.url}/train{page.evaluate('location.search')}")
    press(page, "bar-pause")
    expect(page.get_by_text(re.compile("You guessed"))).to_be_visible(timeout=2 * PATIENCE * 1000)
    track = at(page, "timeline").locator(".track")
    box = track.bounding_box()
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + box["height"] / 2)
    expect(track).to_have_attribute("aria-valuetext", re.compile(r"step \d"))
    point_at(page, at(page, "timeline").get_by_role("button", name="Back to the end"))
    expect(track).to_have_attribute("aria-valuetext", "The end")
    press(page, "take-away-button")
    expect(button(page, "take-curves")).to_be_visible()
    with page.expect_download() as download:
        button(page, "take-curves").click()
    assert len(list(csv.DictReader(StringIO(download.value.path().read_text())))) == MAX_STEPS + 1
    expect(at(page, "take-away").locator("[data-testid=stCode]")).to_contain_text("python -m microllm train")
    nothing_sticks_out(page)
    following = at(page, "next-steps").locator("button:visible").first
    following.scroll_into_view_if_needed()
    following.click()
    until(page, lambda: server.run(run_id(page) or run)["state"] == "training", "a next run, or more of this one")
    press(page, "bar-stop")
