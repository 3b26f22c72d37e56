"""What belongs together is in view together, without scrolling, and the run bar covers none of it."""

import pytest
from driving import CHART, at, button, finished_run, press_start, settle, step, until, visit, wait_for_more_steps
from playwright.sync_api import Locator, expect

pytestmark = pytest.mark.timeout(240)

WIDE = [(1280, 800), (1440, 900)]
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
COVERED = """
element => {
    const {left, top, right, bottom} = element.getBoundingClientRect()
    const within = node => {
        for (let one = node; one; one = one.parentElement ?? one.getRootNode().host) if (one === element) return true
        return false
    }
    const onTop = (x, y) => {
        let found = document.elementFromPoint(x, y)
        for (let inner; found?.shadowRoot; found = inner) {
            inner = found.shadowRoot.elementFromPoint(x, y)
            if (!inner || inner === found) break
        }
        return found
    }
    const [x, y] = [(left + right) / 2, (top + bottom) / 2]
    const edges = [[x, top + 3], [x, bottom - 3], [left + 3, y], [right - 3, y]]
    return edges.filter(([x, y]) => x < 0 || y < 0 || x > innerWidth || y > innerHeight || !within(onTop(x, y)))
}
"""


def covered(element: Locator) -> list:
    """The middles of those edges of an element that are out of sight or under something else."""
    return element.evaluate(COVERED)


def in_view(page, **elements: Locator) -> None:
    settle(page)
    for name, element in elements.items():
        until(page, lambda element=element: element.is_visible() and not covered(element), f"{name} in view", 20)
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollTop") == 0
    assert at(page, "bar-row").bounding_box()["height"] <= 64


def test_the_front_door_shows_the_film_what_this_is_and_two_ways_to_begin(new_page, server):
    page = new_page(viewport={"width": 1280, "height": 800})
    visit(page, f"{server.url}/learn")
    for width, height in [*WIDE, (390, 844)]:
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(300)  # for the new layout
        in_view(
            page,
            sentence=page.locator(".front"),
            article=page.locator(".front a"),
            train=button(page, "front-train"),
            path=button(page, "front-path"),
            curve=page.locator(".film svg"),
            sample=page.locator(".film .sample"),
            replay=page.locator(".film .controls button"),
        )
    assert not page.errors


def parts_of_train(page) -> dict[str, Locator]:
    sliders = {name: at(page, f"knob-{name}") for name in ("block_size", "n_embd", "n_head", "n_layer")}
    return sliders | {
        "text": at(page, "text"),
        "presets": at(page, "preset"),
        "cost": at(page, "cost"),
        "start": button(page, "start"),
        "plot": page.locator(CHART),
        "first tick": page.locator(f"{CHART} .tick").first,
        "title of the axis": page.locator(f"{CHART} .title").first,
    }


@pytest.mark.parametrize("size", WIDE, ids=str)
def test_train_shows_choices_curve_and_sample_before_while_and_after_a_run(size, new_page, server):
    page = new_page(viewport={"width": size[0], "height": size[1]})
    visit(page, f"{server.url}/train?max_steps=40")
    in_view(page, **parts_of_train(page))
    press_start(page)
    page.mouse.move(0, 0)  # away from the button, whose tooltip covers what is above it
    wait_for_more_steps(page)
    sample = at(page, "sample-live").locator("[data-testid=stText]")
    in_view(page, **parts_of_train(page), sample=sample)
    expect(button(page, "bar-start")).to_be_visible()
    in_view(page, **parts_of_train(page), sample=sample)
    assert not page.errors


@pytest.mark.parametrize("size", WIDE, ids=str)
def test_attention_and_generate_show_all_that_belongs_together(size, new_page, server):
    run = finished_run(server.home, n_layer=3, n_head=4)
    page = new_page(viewport={"width": size[0], "height": size[1]})
    visit(page, f"{server.url}/attention?run={run}")
    heads = at(page, "attention-heads").locator("[role=radio]")
    in_view(
        page,
        sentence=at(page, "sentence").locator("textarea"),
        first_head=heads.first,
        last_head=heads.last,
        map=at(page, "attention-one").locator(".nsewdrag"),
    )
    visit(page, f"{server.url}/generate?run={run}")
    button(page, "generate").click()
    expect(button(page, "download")).to_be_enabled()
    in_view(
        page,
        prompt=at(page, "prompt").locator("textarea"),
        temperature=at(page, "temperature"),
        generate=button(page, "generate"),
        text=page.locator(".letters code"),
        bars=page.locator(".letters .bars"),
    )
    assert not page.errors


def lines_of(box: Locator) -> float:
    """How many lines of text a box shows."""
    return box.evaluate("box => box.clientHeight / parseFloat(getComputedStyle(box).lineHeight)")


def label_of(opener: Locator) -> str:
    """What the button that opens the sidebar says."""
    return opener.evaluate("opener => getComputedStyle(opener, '::after').content")


def test_a_phone_shows_curve_sample_and_buttons_first_and_the_choices_one_tap_away(new_page, server):
    page = new_page(**PHONE)
    sample = at(page, "sample-live").locator("[data-testid=stText]")
    visit(page, f"{server.url}/train?max_steps=2000&n_embd=many")  # with a note, which takes room
    in_view(page, plot=page.locator(CHART), sample=sample, start=button(page, "bar-start"))
    assert lines_of(sample) == pytest.approx(3, abs=0.05)
    opener = page.locator("[data-testid=stExpandSidebarButton]")
    on_train = label_of(opener)
    opener.tap()
    in_view(page, text=at(page, "text"), n_embd=at(page, "knob-n_embd"))
    button(page, "start").tap()
    until(page, lambda: not covered(page.locator(CHART)), "the curve, once Start was pressed")
    until(page, lambda: step(page), "its first steps")
    in_view(page, plot=page.locator(CHART), sample=sample, pause=button(page, "bar-pause"))

    opener.tap()
    page.locator("[data-testid=stSidebarNavLink]").nth(2).tap()
    until(page, lambda: "/attention" in page.evaluate("location.href"), "the page")
    until(page, lambda: not covered(at(page, "attention-text")), "the page without its menu")
    until(page, lambda: label_of(opener) != on_train, "word of what else is behind the button")
    opener.tap()
    in_view(page, knock_out=button(page, "knock-out-head"))
    assert not page.errors
