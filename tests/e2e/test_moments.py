"""Moments side by side and played one after another: the map of characters, and attention over all snapshots."""

import base64

import numpy
import pytest
from driving import at, contrast, finished_run, mount, settle, until, visit
from playwright.sync_api import Page, expect
from test_one_window import covered

from microllm.insight.characters import KINDS
from microllm.ui.components import character_map, play

pytestmark = pytest.mark.timeout(240)

STEPS = [0, 8, 64]
NOTES = [f"step {step} · validation loss 2.{step:03}" for step in STEPS]


def packed(numbers, kind) -> str:
    return base64.b64encode(numpy.array(numbers, kind).tobytes()).decode()


def letters(**changes) -> dict:
    """Four characters that stand apart in the four directions, further out from moment to moment."""
    corners = numpy.array([[-1, 0], [1, 0], [0, 1], [0, -1]])
    return {
        "characters": ["a", "b", "C", "␠"],
        "kinds": ["vowel", "consonant", "capital", "space"],
        "kind_names": KINDS,
        "sizes": [20, 20, 14, 24],
        "frequencies": ["40\u00a0%", "30\u00a0%", "10\u00a0%", "20\u00a0%"],
        "dimensions": 64,
        "steps": STEPS,
        "notes": NOTES,
        "moment": 2,
        "page": "a run",
        "isComplete": True,
        "shares": [[0, 0], [0.5, 0.25], [0.6, 0.2]],
        "extent": [[-3, 3], [-3, 3]],
        "reach": 3,
        "points": packed([corners * 32_767 * size // 3 for size in (0, 1, 3)], numpy.int16),
        "neighbors": packed([[[-1, -1]] * 4, *[[[1, 2], [0, 3], [3, 0], [2, 1]]] * 2], numpy.int16),
        "cosines": packed([[[0, 0]] * 4, *[[[127, 64]] * 4] * 2], numpy.int8),
        "nearest": 2,
    } | changes


def options(page: Page):
    return page.locator("[role=option]")


def places(page: Page) -> list[tuple[float, float]]:
    return options(page).evaluate_all("all => all.map(one => [one, one].map((one, i) => +one.getAttribute('xy'[i])))")


def note(page: Page) -> str:
    return page.locator(".player output").inner_text()


def test_the_map_of_characters_is_read_with_a_pointer_and_with_keys_and_moves_through_time(page):
    page.emulate_media(reduced_motion="reduce")
    mount(page, character_map, letters())
    a, b, capital, space = places(page)
    assert a[0] < capital[0] == space[0] < b[0] and capital[1] < a[1] == b[1] < space[1]
    assert b[0] - a[0] == pytest.approx(space[1] - capital[1], abs=1)  # one scale: distances are true
    assert "60\u00a0%" in page.locator(".title").first.text_content()

    box = page.locator("svg").bounding_box()
    page.mouse.move(box["x"] + a[0] + 5, box["y"] + a[1] + 5)
    assert page.locator("li").all_inner_texts() == ["b\n1.00", "C\n0.50"]
    assert "40\u00a0%" in page.locator(".about").inner_text()
    ends = page.locator(".lines line").evaluate_all(
        "all => all.map(one => [+one.getAttribute('x2'), +one.getAttribute('y2')])"
    )
    assert ends == [b, capital]
    page.mouse.move(1, 1)
    expect(page.locator("li")).to_have_count(0)

    assert options(page).evaluate_all("all => all.filter(one => one.tabIndex === 0).length") == 1
    options(page).first.focus()
    for key, number in (("ArrowRight", 1), ("ArrowUp", 2), ("ArrowDown", 3), ("Home", 0)):
        page.keyboard.press(key)
        assert options(page).evaluate_all("all => all.findIndex(one => one.matches(':focus'))") == number
    assert "b 1.00, C 0.50" in options(page).first.get_attribute("aria-label")
    expect(page.locator("li")).to_have_count(2)

    slider = page.locator("input")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    nearer = places(page)
    assert nearer[1][0] - nearer[0][0] == pytest.approx((b[0] - a[0]) / 3, abs=1)
    assert note(page) == NOTES[1] == slider.get_attribute("aria-valuetext")
    page.keyboard.press("Home")
    assert len({tuple(place) for place in places(page)}) == 1

    marked = options(page).first.element_handle()
    page.evaluate("() => { window.data = { ...data, notes: [...data.notes] }; draw() }")
    assert note(page) == NOTES[0]  # a tick leaves it where the user went
    page.evaluate("() => { window.data = { ...data, page: 'a run at step 8', moment: 1 }; draw() }")
    assert note(page) == NOTES[1]  # another moment of the page is shown here too
    assert marked.evaluate("node => node.isConnected")

    page.locator(".player button").click()
    until(page, lambda: note(page) == NOTES[2], "the last snapshot")
    until(page, lambda: page.locator(".player button").get_attribute("aria-label").startswith("Play"), "the end")
    assert not page.errors


def test_the_map_asks_for_the_snapshots_that_are_not_ready_until_all_are_there(page):
    mount(page, character_map, letters(isComplete=False))
    until(page, lambda: page.evaluate("told.length"), "a question")
    page.evaluate("() => { window.data = { ...data, isComplete: true }; draw(); told.length = 0 }")
    page.wait_for_timeout(700)
    assert page.evaluate("told.length") == 0
    assert not page.errors


def film() -> dict:
    """A head that looks at the first character at first, and at itself at the end."""
    first, last = numpy.zeros((4, 4)), numpy.eye(4)
    first[:, 0] = 1
    maps = [first, (first + last) / 2, last]
    lower = numpy.tril_indices(4)
    return {
        "name": "Layer 1, head 2",
        "run": "a run",
        "about": "0 1 abcd",
        "text": ["a", "␠", "c", "d"],
        "causal": True,
        "steps": STEPS,
        "notes": NOTES,
        "shares": [packed((255 * each[lower]).round(), numpy.uint8) for each in maps],
        "colors": {"light": "#009E73", "dark": "#1FC79A"},
        "isComplete": True,
    }


CELL = """
([q, k]) => {
    const canvas = document.querySelector("div").shadowRoot.querySelector("canvas")
    const { box, cell } = canvas.closest(".play").film
    const [x, y] = [box.left + (k + 0.5) * cell[0], box.top + (q + 0.5) * cell[1]]
    const color = canvas.getContext("2d").getImageData(x * devicePixelRatio, y * devicePixelRatio, 1, 1).data
    return { x, y, color: [...color] }
}
"""


def test_the_film_of_a_head_plays_through_the_snapshots_and_each_cell_can_be_read(page):
    mount(page, play, film())
    assert page.locator(".player button").get_attribute("aria-label") == "Pause"  # it plays at once
    until(page, lambda: note(page) == NOTES[2], "the last snapshot")
    green, white = [0, 0x9E, 0x73, 255], [255, 255, 255, 255]
    assert page.evaluate(CELL, [3, 3])["color"] == green and page.evaluate(CELL, [3, 0])["color"] == white
    assert page.evaluate(CELL, [0, 3])["color"][3] == 0  # nothing is drawn of the future
    page.locator("input").focus()
    page.keyboard.press("Home")
    assert page.evaluate(CELL, [3, 0])["color"] == green and NOTES[0] in page.locator("canvas").get_attribute(
        "aria-label"
    )
    cell, box = page.evaluate(CELL, [3, 1]), page.locator("canvas").bounding_box()
    page.keyboard.press("ArrowRight")
    page.mouse.move(box["x"] + page.evaluate(CELL, [3, 0])["x"], box["y"] + cell["y"])
    assert "“d” (4)" in page.locator(".words").inner_text() and "50\u00a0%" in page.locator(".words").inner_text()
    assert not page.errors

    page.emulate_media(reduced_motion="reduce")
    mount(page, play, film())
    page.wait_for_timeout(900)
    assert note(page) == NOTES[0]  # nothing moves until it is asked to
    assert not page.errors


def test_two_moments_are_in_view_together_and_the_film_comes_and_goes(new_page, server):
    run = finished_run(server.home, n_layer=3, n_head=4, max_steps=30)
    page = new_page(viewport={"width": 1280, "height": 800})
    visit(page, f"{server.url}/attention?run={run}")
    at(page, "beside").locator("input").first.click()
    page.get_by_role("option", name="Another moment").click()
    for key in ("attention-one", "attention-beside"):
        plot = at(page, key).locator(".nsewdrag")
        until(page, lambda plot=plot: plot.is_visible() and not covered(plot), f"{key} in view")
    at(page, "attention-shown").locator("button").nth(1).click()
    button = at(page, "attention-play").locator(".player button")
    until(page, lambda: button.is_visible() and not covered(button), "the film in view")
    at(page, "attention-shown").locator("button").nth(0).click()
    expect(at(page, "attention-one").locator(".nsewdrag")).to_be_visible()

    page.locator("a[href*=inside]:visible").first.click()
    at(page, "inside-mode").locator("button").nth(2).click()
    for key in ("character-map", "character-map-beside"):
        shown = at(page, key).locator("svg")
        until(page, lambda shown=shown: shown.is_visible() and not covered(shown), f"{key} in view")
        slider = at(page, key).locator("input")
        until(page, lambda slider=slider: not covered(slider), f"the slider of {key} in view")
    settle(page)
    texts = at(page, "character-map").locator("[role=option], .axes text, .legend span, p, output")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        until(page, lambda: contrast(texts) >= 4.5, f"contrast when {scheme}")
    assert not page.errors
