"""A newcomer comes through the front door and follows the path."""

import pytest
from driving import at, button, fill, press, settle, until, visit
from playwright.sync_api import expect

from microllm.ui.state.path import CARDS

pytestmark = pytest.mark.timeout(120)


def progress(page) -> str:
    return at(page, "learn-row").inner_text()


def test_a_newcomer_sees_the_film_follows_the_steps_and_finds_what_is_done_again(new_page, server):
    page = new_page(viewport={"width": 1280, "height": 800})
    visit(page, server.url)
    sample = page.locator(".film .sample span")
    noise = sample.inner_text()
    until(page, lambda: sample.inner_text() != noise, "another sample")
    press(page, "front-path")
    press(page, "path-passage")
    until(page, lambda: f"1 of {len(CARDS)}" in progress(page), "the first tick")

    press(page, "path-next-card")
    fill(page, "path-sentence", "the cat")
    expect(page.locator(".tokens .id")).to_have_count(len("the cat"))
    until(page, lambda: f"2 of {len(CARDS)}" in progress(page), "the second tick")

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
    until(page, lambda: f"3 of {len(CARDS)}" in progress(page), "the third tick")

    page.reload()
    expect(at(page, "learn-row")).to_contain_text(f"3 of {len(CARDS)}")
    settle(page)
    assert "lesson=head" in page.url
    expect(button(page, "path-go")).to_be_visible()  # the card that was open
    assert not page.errors
