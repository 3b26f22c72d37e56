"""axe finds nothing of ours in anything that a person can open, light and dark. (Other states: test_every_state.py.)"""

import pytest
from axe import faults
from driving import at, button, finished_run, press, press_start, settle, until, visit
from playwright.sync_api import expect

from microllm.ui.state.path import CARDS

pytestmark = pytest.mark.timeout(300)
SHIPPED = "run=words-twice"  # its text is made here


@pytest.fixture
def page(new_page):
    page = new_page(viewport={"width": 1280, "height": 800})
    yield page
    assert not page.errors


def choose(page, key: str, number: int) -> None:
    """Choose an option, by its number, of a control whose options are side by side."""
    at(page, key).locator("button").nth(number).click()
    settle(page)


def open_menu(page, key: str) -> None:
    press(page, key)
    expect(page.locator("[data-testid=stPopoverBody]")).to_be_visible()
    page.mouse.move(0, 0)  # its tooltip goes
    expect(page.locator("[data-testid=stTooltipContent]")).to_have_count(0)
    settle(page)


def close_menu(page) -> None:
    page.keyboard.press("Escape")
    expect(page.locator("[data-testid=stPopoverBody]")).to_have_count(0)


def test_learn(page, server):
    visit(page, f"{server.url}/learn?{SHIPPED}")
    found = faults(page, "film")
    for number, section in enumerate(("twins", "glossary"), 2):
        page.locator("[class*=st-key-learn-] button").nth(number).click()
        settle(page)
        found += faults(page, section)
    visit(page, f"{server.url}/learn?{SHIPPED}&lesson={next(iter(CARDS))}")
    for card in CARDS:
        press(page, f"path-card-{card}")
        expect(at(page, "path-title")).to_contain_text(CARDS[card].title)
        settle(page)
        found += faults(page, f"card {card}")
    assert not found, "\n".join(found)


def test_train_before_while_and_after_a_run(page, server):
    finished_run(server.home)  # for the menu
    visit(page, f"{server.url}/train?{SHIPPED}")
    until(page, lambda: "ms" in at(page, "cost").inner_text(), "how fast the server is")
    found = faults(page, "before")
    for fold in ("more", "fork", "guess-fold", "take-away"):
        press(page, f"{fold}-button")
        expect(at(page, fold).locator("button")).not_to_have_count(1)
    settle(page)
    found += faults(page, "before, with everything open")
    for menu in ("runs-menu", "share", "text-change", "guess-menu"):
        open_menu(page, menu)
        if menu == "runs-menu":
            press(page, "runs-manage-button")
            expect(at(page, "import")).to_be_visible()
        found += faults(page, menu)
        close_menu(page)
    visit(page, f"{server.url}/train?max_steps=400&text=words-twice&first=20000")
    press_start(page)
    found += faults(page, "while")
    open_menu(page, "live-menu")
    found += faults(page, "live-menu")
    close_menu(page)
    press(page, "bar-stop")
    expect(button(page, "bar-start")).to_be_visible()
    found += faults(page, "after")
    assert not found, "\n".join(found)


def test_attention(page, server):
    run = finished_run(server.home, n_layer=2)
    visit(page, f"{server.url}/attention?run={run}")
    found = faults(page, "map")
    for number, shown in enumerate(("play", "over training"), 1):
        choose(page, "attention-shown", number)
        found += faults(page, shown)
    assert not found, "\n".join(found)


def test_generate(page, server):
    visit(page, f"{server.url}/generate?{SHIPPED}")
    found = faults(page, "nothing written yet")
    press(page, "generate")
    expect(button(page, "download")).to_be_enabled()
    settle(page)
    found += faults(page, "written")
    page.locator(".letters [role=option]").nth(20).click()
    page.locator(".letters .tabs [role=radio]").nth(1).click()
    expect(page.locator(".letters.asking")).to_be_visible()
    settle(page)
    found += faults(page, "why")
    choose(page, "view", 1)
    expect(at(page, "reading-live")).to_contain_text("At step")
    found += faults(page, "read")
    assert not found, "\n".join(found)


def test_inside(page, server):
    run = finished_run(server.home, n_layer=2)
    visit(page, f"{server.url}/inside?run={run}")
    found = []
    for number, mode in enumerate(("parts", "knock-out", "characters", "training step")):
        choose(page, "inside-mode", number)
        page.wait_for_timeout(500)  # what is measured in the background
        settle(page)
        found += faults(page, mode)
    assert not found, "\n".join(found)


def test_experiments_also_on_a_phone(page, server):
    visit(page, f"{server.url}/experiments")
    page.locator("[class*=st-key-question-] button").first.click()
    expect(page.locator("[class*=st-key-prediction-]")).to_be_visible()
    settle(page)
    found = faults(page, "a card")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(250)  # for the new layout
    found += faults(page, "a card on a phone")
    assert not found, "\n".join(found)


# The element with the keyboard focus: whether it was met before, and what the header or the run bar hides of it.
FOCUS = """() => {
    let one = document.activeElement
    while (one.shadowRoot?.activeElement) one = one.shadowRoot.activeElement
    if (one === document.body) return null
    const met = (window.met ??= new Set()), isNew = !met.has(one)
    met.add(one)
    const isBetween = document.activeElement.closest("[data-testid=stMainBlockContainer]")
    const [top, bottom] = ["stHeader", "stBottom"].map((id) => document.querySelector(`[data-testid=${id}]`))
    const box = one.getBoundingClientRect()
    const free = [top.getBoundingClientRect().bottom, bottom.getBoundingClientRect().top]
    const fits = box.height < free[1] - free[0]
    const isHidden = isBetween && fits && (box.top < free[0] || box.bottom > free[1])
    return { name: (one.ariaLabel ?? one.innerText ?? one.tagName).slice(0, 40), isNew, isHidden }
}"""


def test_the_tab_key_goes_through_a_page_and_nothing_that_it_reaches_is_under_the_header_or_the_run_bar(page, server):
    for address in (f"learn?{SHIPPED}&term=loss", f"train?{SHIPPED}"):
        visit(page, f"{server.url}/{address}")
        for key in ("Tab", "Shift+Tab"):
            page.evaluate("window.met = null")
            reached = []
            while True:
                page.keyboard.press(key)
                if (focus := page.evaluate(FOCUS)) is None:
                    break
                assert focus["isNew"] and not focus["isHidden"], (address, key, focus)
                reached.append(focus["name"])
            assert len(reached) > 30, reached
