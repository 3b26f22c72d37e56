"""The timeline in the run bar: keys, clicks and drags choose the moment that all pages show."""

import math
import re

import pytest
from driving import (
    CHART,
    Losing,
    at,
    fill,
    finished_run,
    mount,
    press,
    run_id,
    settle,
    start,
    step,
    unfold,
    until,
    visit,
)
from playwright.sync_api import Page, expect

from microllm.ui.components import timeline

pytestmark = pytest.mark.timeout(180)

SIZES = {"wide": {"width": 1280, "height": 1000}, "phone": {"width": 390, "height": 844}}


def track(page: Page):
    return at(page, "timeline").locator(".track")


def back(page: Page):
    """The button that leads back to the newest moment."""
    return at(page, "timeline").locator(".back")


def step_in_the_link(page: Page) -> int | None:
    found = re.search(r"[?&]step=(\d+)", page.evaluate("location.href"))
    return found and int(found[1])


def shows(page: Page, step: int | None) -> None:
    """Expect the timeline to show the snapshot of this step; None is the newest moment."""
    if step is None:
        expect(back(page)).to_be_disabled()
    else:
        expect(back(page)).to_be_enabled()
        expect(track(page)).to_have_attribute("aria-valuenow", str(step))


@pytest.fixture(scope="module")
def its_id(shared_server) -> str:
    """A finished run of 128 steps."""
    return finished_run(shared_server.home, preset="article", max_steps=128)


@pytest.fixture(params=SIZES)
def finished(request, its_id, new_page, server):
    """A page that shows that run."""
    page = new_page(viewport=SIZES[request.param])
    visit(page, f"{server.url}/train?run={its_id}")
    shows(page, None)
    return page


def test_the_arrow_keys_walk_through_the_snapshots_and_escape_comes_back(finished):
    page = finished
    track(page).focus()
    page.keyboard.press("Home")
    shows(page, 0)
    until(page, lambda: step_in_the_link(page) == 0, "step 0 in the link")
    page.keyboard.press("ArrowRight")
    shows(page, 8)
    expect(at(page, "sample-live")).to_contain_text(re.compile(r"step 8\b", re.IGNORECASE))
    page.keyboard.press("Escape")
    shows(page, None)
    until(page, lambda: step_in_the_link(page) is None, "no step in the link")
    expect(at(page, "sample-live")).to_contain_text(re.compile(r"step 128\b", re.IGNORECASE))
    assert not page.errors


def test_a_click_chooses_the_nearest_snapshot_and_the_badge_leads_back(finished):
    page = finished
    box = track(page).bounding_box()
    page.mouse.click(box["x"] + 0.72 * box["width"], box["y"] + box["height"] / 2)
    shows(page, 32)  # ln 33 / ln 129 is 0.72
    until(page, lambda: step_in_the_link(page) == 32, "step 32 in the link")
    back(page).click()
    shows(page, None)
    assert not page.errors


def test_a_choice_that_gets_lost_on_its_way_is_sent_once_more(its_id, new_page, server):
    page = new_page()
    losing = Losing(page)
    visit(page, f"{server.url}/train?run={its_id}")
    shows(page, None)
    losing.now = True
    track(page).focus()
    page.keyboard.press("Home")
    until(page, lambda: step_in_the_link(page) == 0, "step 0 in the link")
    assert len(losing.lost) == 1
    shows(page, 0)
    assert not page.errors


def test_a_drag_moves_through_time_and_stays_where_it_is_let_go(finished):
    page = finished
    box = track(page).bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] - 1, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.46 * box["width"], middle, steps=12)
    page.mouse.up()
    shows(page, 8)  # ln 9 / ln 129 is 0.45
    until(page, lambda: step_in_the_link(page) == 8, "step 8 in the link")
    page.wait_for_timeout(2_500)  # longer than it waits for the server to confirm
    shows(page, 8)


def test_the_moment_goes_along_to_other_pages_and_survives_a_reload(finished, server):
    page = finished
    track(page).focus()
    page.keyboard.press("Home")
    until(page, lambda: step_in_the_link(page) == 0, "step 0 in the link")
    if page.viewport_size["width"] > 400:
        page.get_by_role("link", name="Attention").first.click()
    else:
        page.locator("[data-testid=stMain] a[href*=attention]").click()
    expect(page.get_by_text(re.compile("step 0", re.IGNORECASE)).first).to_be_visible()
    shows(page, 0)
    until(page, lambda: step_in_the_link(page) == 0, "step 0 in the link of the other page")
    page.reload()
    settle(page)
    shows(page, 0)
    assert not page.errors


def test_while_it_trains_the_past_stands_still_and_live_snaps_back(new_page, server):
    page = new_page()
    start(page, server, preset="article")
    until(page, lambda: (step(page) or 0) > 40, "some steps")
    shows(page, None)
    marked = track(page).element_handle()
    track(page).focus()
    page.keyboard.press("Home")
    expect(at(page, "sample-live")).to_contain_text(re.compile(r"step 0\b", re.IGNORECASE))
    sample = at(page, "sample-live").locator("[data-testid=stText]")
    noise = sample.inner_text()
    reached = step(page)
    until(page, lambda: step(page) > reached, "training goes on")
    assert sample.inner_text() == noise
    reached = step(page)
    back(page).hover()
    page.mouse.down()
    until(page, lambda: step(page) > reached, "a tick while the button is down")
    page.mouse.up()
    shows(page, None)
    until(page, lambda: sample.inner_text() != noise, "a sample of now")
    assert marked.evaluate("node => node.isConnected")  # it was never mounted again
    press(page, "bar-stop")


@pytest.mark.parametrize("size", SIZES)
def test_a_click_on_the_lines_to_beat_sets_the_guess(size, new_page, server):
    page = new_page(viewport=SIZES[size])
    visit(page, f"{server.url}/train")
    box = page.locator(CHART).bounding_box()
    said = [None]

    def guess() -> float | None:
        found = re.search(r"\d\.\d+", at(page, "guess-menu").inner_text())
        return float(found[0]) if found else None

    assert guess() is None
    for height in (0.4, 0.6, 0.7):  # each lower than the one before
        page.mouse.click(box["x"] + 0.6 * box["width"], box["y"] + height * box["height"])
        said.append(until(page, lambda: guess() not in said and guess(), "another guess"))
    assert 0.5 <= said[3] < said[2] < said[1] <= 5
    press(page, "guess-menu")
    fill(page, "guess", "1.2")
    until(page, lambda: guess() == 1.2, "what is typed, whatever was clicked")
    assert not page.errors


def test_a_guess_is_compared_at_the_end_and_how_long_is_one_click(new_page, server):
    page = new_page()
    visit(page, f"{server.url}/train")
    press(page, "guess-menu")
    fill(page, "guess", "2.5")
    page.keyboard.press("Escape")
    until(page, lambda: at(page, "for-15").count(), "the speed of this server")
    press(page, "for-15")
    settle(page)
    unfold(page, "knob-max_steps")
    chosen = int(at(page, "knob-max_steps").locator("input").input_value())
    assert 0 < chosen != 2_000
    fill(page, "knob-max_steps", 20)
    press(page, "start")
    expect(page.locator("[data-testid=stCaptionContainer]", has_text="2.500")).to_be_visible()
    assert server.run(run_id(page))["guess"] == 2.5


@pytest.mark.parametrize("last", [1, 12, 400, 2_000, 1_000_000])
def test_the_labels_name_both_ends_and_the_chosen_step_and_keep_apart_at_any_width(page, last):
    moment = math.isqrt(last)
    data = {"x": [0, 1000], "y": [0, 255], "snapshots": [moment], "places": [500], "last": last}
    mount(page, timeline, data | {"moment": moment, "is_live": False})
    for width in (1280, 390, 1280):  # one after another: the labels follow the width of the window
        page.set_viewport_size({"width": width, "height": 200})
        page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        boxes = page.locator(".steps span").evaluate_all(
            """spans => spans.map(span => {
                const { left, right } = span.getBoundingClientRect()
                return [Number(span.textContent.replaceAll(",", "")), left, right]
            })"""
        )
        named = {step for step, *_ in boxes}
        assert {moment, last} <= named <= {0, moment, last, *(f * 10**i for f in (1, 5) for i in range(7))}
        assert len(named) == len(boxes) and (width < 1280 or 0 in named)
        edges = [edge for _, *box in sorted(boxes, key=lambda box: box[1]) for edge in box]
        assert edges == sorted(edges) and edges[-1] <= width
