"""A training step in a browser: played, walked through with keys, and taken again."""

import re

import pytest
from driving import at, contrast, finished_run, settle, until, visit
from playwright.sync_api import expect
from test_one_window import WIDE, in_view

pytestmark = pytest.mark.timeout(240)

MODE = 3  # of the page Inside


def open_step(page, server, run_id: str):
    visit(page, f"{server.url}/inside?run={run_id}&step=0")
    at(page, "inside-mode").locator("button").nth(MODE).click()
    return shown_step(page)


def open_card(page, server, run_id: str):
    visit(page, f"{server.url}/learn?run={run_id}&lesson=step")
    return shown_step(page)


def shown_step(page):
    """The component, once its first step is computed."""
    step = at(page, "training-step")
    expect(step.locator(".tiles b").first).to_be_attached()
    return step


def boxes(step) -> dict[str, dict]:
    """Where what belongs together is."""
    parts = ("controls", "sentence", "window", "parts", "result")
    return {name: step.locator(f".{name}").bounding_box() for name in parts}


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


@pytest.mark.parametrize("opened", [open_step, open_card])
@pytest.mark.parametrize("size", WIDE, ids=str)
def test_all_of_a_step_is_in_view_at_every_stage_and_nothing_jumps(size, opened, new_page, server):
    run = finished_run(server.home, n_layer=3, block_size=32, initialization="torch")
    page = new_page(viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce")
    step, places = opened(page, server, run), []
    for number in range(1, 6):
        step.locator(".stages button").nth(number - 1).click()
        stage(step, number)
        in_view(
            page,
            take=step.locator(".take"),
            sentence=step.locator(".sentence"),
            targets=step.locator(".targets span").last,
            bars=step.locator(".bars"),
            first_part=step.locator(".parts li").first,
            last_part=step.locator(".parts li").last,
            curve=step.locator("svg"),
            caption=step.locator("figcaption"),
        )
        places.append(boxes(step))
    step.locator(".take").click()
    expect(step.locator("circle")).to_have_count(3)
    settle(page)
    assert [*places, boxes(step)] == [places[0]] * 6
    assert not page.errors


def test_on_a_phone_the_card_reads_from_top_to_bottom(new_page, server):
    run = finished_run(server.home, n_layer=3, block_size=32, initialization="torch")
    phone = new_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    found = boxes(open_card(phone, server, run))
    tops = [box["y"] for box in found.values()]
    assert tops == sorted(tops)
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in found.values())
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    assert not phone.errors
