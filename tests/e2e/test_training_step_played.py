"""A training step in a browser: played, walked through with keys, and taken again."""

import re

import pytest
from driving import at, contrast, finished_run, settle, until, visit
from playwright.sync_api import expect
from test_one_window import in_view

pytestmark = pytest.mark.timeout(240)

MODE = 3  # of the page Inside


def open_step(page, server, run_id: str):
    visit(page, f"{server.url}/inside?run={run_id}&step=0")
    at(page, "inside-mode").locator("button").nth(MODE).click()
    step = at(page, "training-step")
    expect(step.locator(".parts li").first).to_be_visible()
    return step


def stage(step, number: int) -> None:
    expect(step.locator(".stages button").nth(number - 1)).to_have_attribute("aria-current", "true")


def shown(locator) -> bool:
    return locator.evaluate("one => getComputedStyle(one).opacity") == "1"


def test_a_step_is_played_walked_through_and_taken_again(new_page, server):
    run = finished_run(server.home, n_layer=2, block_size=24, initialization="torch")
    page = new_page(viewport={"width": 1280, "height": 800})
    step = open_step(page, server, run)
    numbers, guesses = step.locator("dl dd"), step.locator(".tiles b")
    stage(step, 1)
    in_view(
        page,
        play=step.locator(".play"),
        targets=step.locator(".targets span").last,
        parts=step.locator(".parts li").last,
        curve=step.locator("figcaption"),
    )

    step.locator(".speed").select_option("2")
    step.locator(".window").focus()
    page.keyboard.press("Space")
    stage(step, 2)  # by itself
    page.keyboard.press("Space")
    until(page, lambda: shown(guesses.last), "the guesses")
    assert contrast(guesses) >= 4.5
    for key, number in (("Right", 3), ("Left", 2), ("Right", 3), ("Right", 4), ("Right", 5)):
        page.keyboard.press(f"Arrow{key}")
        stage(step, number)
    until(page, lambda: shown(step.locator(".moved small").first), "the update")
    before, after = map(float, re.findall(r"\d\.\d{3}", numbers.first.inner_text())[:2])
    assert after < before
    assert f"{before:.3f}" in step.locator(".sentence").inner_text()
    for taken in (2, 3):
        step.locator(".take").click()
        expect(step.locator("circle")).to_have_count(taken + 1)
    stage(step, 5)
    assert float(numbers.first.locator("b").first.inner_text()) != before
    step.locator(".again").click()
    stage(step, 1)
    expect(step.locator("circle")).to_have_count(2)
    settle(page)

    phone = new_page(viewport={"width": 390, "height": 844}, has_touch=True, reduced_motion="reduce")
    step = open_step(phone, server, run)
    expect(step.locator(".play")).to_be_hidden()
    step.locator(".next").click()
    assert shown(step.locator(".tiles b").last)  # at once
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    assert not page.errors and not phone.errors
