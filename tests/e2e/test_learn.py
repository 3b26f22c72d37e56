"""A newcomer comes through the front door and follows the path."""

import re

import pytest
from driving import at, button, fill, mount, press, settle, until, visit
from playwright.sync_api import expect

from microllm.plots import film_data
from microllm.runs import gallery
from microllm.runs.run import Run
from microllm.ui.components import film
from microllm.ui.state.path import CARDS

pytestmark = pytest.mark.timeout(120)


def progress(page) -> str:
    return at(page, "learn-row").inner_text()


def test_a_newcomer_sees_the_film_follows_the_steps_and_finds_what_is_done_again(new_page, server):
    page = new_page(viewport={"width": 1280, "height": 800})
    visit(page, server.url)
    expect(page.locator(".film button")).to_have_attribute("aria-label", re.compile("^Replay"))  # it has played
    press(page, "front-path")
    press(page, "path-passage")
    until(page, lambda: f"1 of {len(CARDS)}" in progress(page), "the first tick")

    press(page, "path-next-card")
    fill(page, "path-sentence", "the cat")
    expect(page.locator(".tokens .id")).to_have_count(len("the cat"))
    until(page, lambda: f"2 of {len(CARDS)}" in progress(page), "the second tick")

    press(page, "path-next-card")
    cells = page.locator(".batch .cell")
    cells.nth(3).hover()  # of the batch that was there
    shown = cells.all_inner_texts()
    press(page, "path-batch")
    until(page, lambda: cells.all_inner_texts() != shown, "another batch")
    settle(page)
    assert f"2 of {len(CARDS)}" in progress(page)
    cells.nth(5).hover()
    until(page, lambda: f"3 of {len(CARDS)}" in progress(page), "the third tick")
    drawn = cells.all_inner_texts()
    assert button(page, "path-next-card").bounding_box()["y"] > 60  # below the header

    press(page, "path-card-head")
    press(page, "path-go")
    heads = at(page, "attention-heads").locator("[role=radio]")
    expect(heads.first).to_be_visible()
    assert at(page, "attention-heads").first.evaluate("it => getComputedStyle(it).outlineStyle") == "solid"
    heads.nth(1).click()  # it attends two back
    until(
        page,
        lambda: at(page, "attention-heads").first.evaluate("it => getComputedStyle(it).outlineStyle") == "none",
        "done",
    )
    press(page, "path-back")
    until(page, lambda: f"4 of {len(CARDS)}" in progress(page), "the fourth tick")

    page.reload()
    expect(at(page, "learn-row")).to_contain_text(f"4 of {len(CARDS)}")
    settle(page)
    assert "lesson=head" in page.url
    expect(button(page, "path-go")).to_be_visible()  # the card that was open
    press(page, "path-card-batch")
    until(page, lambda: cells.all_inner_texts() == drawn, "the batch that was drawn")
    press(page, "path-card-tokens")
    expect(page.locator(".tokens .id")).to_have_count(len("the cat"))
    assert not page.errors


def test_on_a_phone_the_tick_and_the_way_on_stay_in_view(new_page, server):
    page = new_page(viewport={"width": 390, "height": 844}, has_touch=True)
    visit(page, f"{server.url}/learn?lesson=text")
    button(page, "path-passage").tap()
    until(page, lambda: f"1 of {len(CARDS)}" in progress(page), "the tick")
    page.locator("[data-testid=stMain]").evaluate("it => it.scrollTo(0, it.scrollHeight)")
    expect(button(page, "path-next-card")).to_be_in_viewport()
    button(page, "path-next-card").tap()
    expect(at(page, "path-sentence")).to_be_visible()

    visit(page, f"{server.url}/learn?lesson=knockout")
    button(page, "path-go").tap()
    expect(at(page, "knockout-map")).to_be_attached()
    opener = page.locator("[data-testid=stExpandSidebarButton]")  # what it asks for is in the closed sidebar
    expect(opener).to_have_css("outline-style", "solid")
    opener.tap()
    expect(at(page, "knockout-map")).to_be_in_viewport()
    assert not page.errors


def test_the_film_lasts_six_seconds_and_then_rests(new_page):
    page = new_page(color_scheme="light")  # another person's: a clock that is stopped is stopped for all their windows
    page.clock.install(time=0)
    page.clock.pause_at(1_000)  # seconds: from here on it goes as far as it is told
    folder = gallery.FOLDER / gallery.FIRST
    run = Run.open(gallery.FIRST)
    info, samples = run.read_info(), list(gallery.samples(folder).values())
    data = film_data(run.history.read(), samples, info.references, info.train.max_steps, about=run.id)
    mount(page, film, [data])
    shown = page.locator(".film output")
    first, last = data["step"][0], data["step"][-1]
    assert f"step {first:,} " in shown.inner_text()
    page.clock.run_for(3_000)
    middle = int(shown.inner_text().split()[1].replace(",", ""))
    assert middle == pytest.approx(last**0.5, rel=0.1)  # half of it, in log(step)
    page.clock.run_for(2_800)
    button = page.locator(".film button")
    assert button.get_attribute("aria-label").startswith("Pause")
    page.clock.run_for(400)
    assert button.get_attribute("aria-label").startswith("Replay")
    assert f"step {last:,} " in shown.inner_text()
    assert page.locator(".film .sample span").inner_text() == data["frames"][-1]["text"]
