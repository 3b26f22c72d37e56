"""Knock-out in a browser: the map by mouse and keys, the badge on other pages, and a phone."""

import pytest
from driving import at, button, close_sidebar, contrast, finished_run, press, settle, until, visit, within_reach
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def finished(shared_server):
    """The id of a finished run with 2 layers of 3 heads."""
    return finished_run(shared_server.home, n_embd=24, n_head=3, n_layer=2, block_size=16, max_steps=30)


def cells(page):
    return at(page, "knockout-map").locator("button")


def cell(page, layer: int, head: int):
    return at(page, "knockout-map").get_by_role("button", name=f"Layer {layer}, head {head}:")


def visit_knock_out(page, server, run_id: str) -> None:
    """Open the page Inside, and choose the knock-outs."""
    visit(page, f"{server.url}/inside?run={run_id}")
    at(page, "inside-mode").locator("button").nth(1).click()
    settle(page)


def is_out(locator) -> None:
    expect(locator).to_have_attribute("aria-pressed", "true")


def test_a_part_is_knocked_out_by_click_or_key_on_all_pages_until_it_is_restored(page, server, finished):
    visit_knock_out(page, server, finished)
    expect(cells(page)).to_have_count(8)
    until(page, lambda: all(text.strip() for text in cells(page).all_inner_texts()), "what each part costs")
    cell(page, 1, 2).click()
    is_out(cell(page, 1, 2))
    expect(button(page, "restore")).to_be_visible()
    marks = at(page, "knockout-effect").locator("mark")
    expect(marks).to_have_count(2)
    assert marks.nth(0).inner_text() != marks.nth(1).inner_text()

    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    is_out(cell(page, 2, 2))
    is_out(cell(page, 1, 2))
    assert contrast(at(page, "knockout-map").locator("button span")) >= 4.5

    settle(page)
    passage = at(page, "knockout-effect").locator(".text [role=option]")
    expect(passage.nth(5)).to_be_visible()
    until(page, lambda: contrast(passage) >= 4.5, "the passage of both parts, no longer pale")
    note = at(page, "knockout-effect").locator(".note")
    passage.nth(5).hover()
    expect(note).to_contain_text(passage.nth(5).inner_text())
    before = note.inner_text()
    passage.nth(0).focus()
    page.mouse.move(5, 5)
    page.keyboard.press("End")
    expect(note).not_to_have_text(before)

    page.locator("a[href*=attention]:visible").first.click()
    expect(at(page, "attention-heads")).to_be_visible()
    expect(button(page, "restore")).to_be_visible()
    press(page, "restore")
    expect(at(page, "restore")).to_have_count(0)
    assert not page.errors


def test_on_a_phone_the_map_is_in_the_sidebar_and_nothing_is_wider_than_the_screen(new_page, server, finished):
    page = new_page(viewport={"width": 390, "height": 844}, has_touch=True)
    visit_knock_out(page, server, finished)
    within_reach(page, at(page, "knockout-map"))  # opens the sidebar
    cells(page).nth(1).tap()
    is_out(cells(page).nth(1))
    close_sidebar(page)
    expect(at(page, "knockout-effect").locator("mark").first).to_be_visible()
    character = at(page, "knockout-effect").locator(".text [role=option]").nth(4)
    character.tap()
    expect(at(page, "knockout-effect").locator(".note")).to_contain_text("nats")
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert not page.errors
