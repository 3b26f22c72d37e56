"""The generate page in a browser: streaming, choosing another character, reading; by mouse, by key and by finger."""

import re

import pytest
from driving import (
    at,
    button,
    finished_run,
    mount,
    press,
    press_start,
    settle,
    start,
    step,
    thumb,
    until,
    visit,
    wait_for_more_steps,
)
from playwright.sync_api import expect

from microllm.data.builtin import drawing_room
from microllm.ui.components import letters

pytestmark = pytest.mark.timeout(240)

PROMPT = "It is a truth"


def text(page) -> str:
    """The first sample, prompt included."""
    return page.locator(".letters code").first.inner_text()


def characters(page):
    """The characters that can be pointed at."""
    return page.locator(".letters [role=option]")


def bars(page):
    """The bars that are shown."""
    return page.locator(".letters .bar:visible")


def title(page) -> str:
    """The title of the bars, which names their place."""
    return page.locator(".letters h4").inner_text()


def open_with_a_model(page, server) -> None:
    """The generate page of a finished run."""
    text = f"{PROMPT}. {drawing_room(20_000)}"
    run = finished_run(server.home, own_text=text, block_size=64, max_steps=20)
    visit(page, f"{server.url}/generate?run={run}")
    expect(button(page, "generate")).to_be_visible()
    expect(bars(page).first).to_be_visible()
    settle(page)


def write(page) -> str:
    """Press Generate and wait for the whole text."""
    press(page, "generate")
    until(page, lambda: len(text(page)) == len(PROMPT) + 400, "a whole text")
    expect(button(page, "download")).to_be_enabled()
    return text(page)


def test_a_bar_writes_by_hand_until_generate_takes_over(page, server):
    open_with_a_model(page, server)
    assert text(page) == PROMPT
    for n in (1, 2, 3):
        bars(page).nth(1).click()
        until(page, lambda n=n: len(text(page)) == len(PROMPT) + n, "one more character in the prompt")
        settle(page)
    by_hand = text(page)
    assert page.get_by_label("Prompt").input_value() == by_hand
    press(page, "generate")
    until(page, lambda: len(text(page)) == len(by_hand) + 400, "a whole text")
    assert text(page).startswith(by_hand)
    assert not page.errors


def test_a_click_on_a_character_shows_its_bars_and_another_one_continues_from_there(page, server):
    open_with_a_model(page, server)
    before = write(page)
    characters(page).nth(30).click()
    until(page, lambda: bars(page).filter(has_text="✓").count() == 1 and "After “…" in title(page), "its bars")
    written = bars(page).filter(has_text="✓")
    expect(written).to_have_attribute("aria-disabled", "true")
    other = bars(page).locator("visible=true").filter(has_not_text="✓").nth(1)
    other.click()
    until(page, lambda: text(page) != before and len(text(page)) == len(before), "another text of the same length")
    assert text(page)[: len(PROMPT) + 30] == before[: len(PROMPT) + 30]
    assert text(page)[len(PROMPT) + 30] != before[len(PROMPT) + 30]
    assert not page.errors


def test_the_keyboard_alone_can_choose_another_character(page, server):
    open_with_a_model(page, server)
    before = write(page)
    page.locator(".letters code").focus()
    page.keyboard.press("Home")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(characters(page).nth(5)).to_have_attribute("aria-selected", "true")
    until(page, lambda: title(page) == shown_after(before[: len(PROMPT) + 5]), "the bars of that place")
    settle(page)
    page.keyboard.press("Tab")  # to the choice between alternatives and why
    page.keyboard.press("Tab")
    if "✓" in bars(page).first.inner_text():
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    until(page, lambda: text(page) != before and len(text(page)) == len(before), "another text")
    assert text(page)[: len(PROMPT) + 5] == before[: len(PROMPT) + 5]
    assert page.evaluate(FOCUSED) == "bar written"  # the focus stays where it was


def test_one_click_tells_why_a_character_is_there_beside_the_text(page, server):
    page.set_viewport_size({"width": 1280, "height": 800})
    open_with_a_model(page, server)
    write(page)
    characters(page).nth(30).click()
    until(page, lambda: bars(page).filter(has_text="✓").count() == 1, "its bars")
    tabs, table = page.locator(".letters .tabs button"), page.locator(".letters .counts tbody tr")
    tabs.nth(1).click()
    until(page, lambda: table.count() == 6, "a row for each table and the model")
    assert bars(page).count() == 0
    for part in (page.locator(".letters code"), page.locator(".letters .counts"), page.locator(".letters .layers")):
        expect(part).to_be_in_viewport()
    before = title(page)
    characters(page).nth(31).click()
    until(page, lambda: title(page) != before, "another character's")
    tabs.nth(1).press("ArrowLeft")
    until(page, lambda: bars(page).count() > 0, "the bars again")
    tabs.nth(0).press("ArrowRight")
    until(page, lambda: table.count() == 6, "why again")
    choice = "it => it.state.choice.isOpen"
    until(page, lambda: not page.locator(".letters").evaluate(choice), "the server's word on it")
    at(page, "view").locator("button").nth(1).click()  # it stays open for a text that is read
    until(page, lambda: characters(page).count() > 100 and not table.count(), "a passage, and no character chosen")
    characters(page).nth(12).click()
    until(page, lambda: table.count() == 6, "why, in a text that is read")
    assert not page.errors


FOCUSED = """() => {
    let one = document.activeElement;
    while (one?.shadowRoot?.activeElement) one = one.shadowRoot.activeElement;
    return one?.className;
}"""


def shown_after(before: str) -> str:
    """The title of the bars of the place after this text."""
    return f"After “…{before[-16:].replace(' ', '␠').replace(chr(10), '⏎')}”"


WATCH = """async (seconds) => {
    const host = [...document.querySelectorAll('*')].find(one => one.shadowRoot?.querySelector('.letters'));
    const marked = host.shadowRoot.querySelector('.letters code');
    const first = marked.querySelector('[role=option]');
    const tops = new Set();
    let remounts = 0, opacity = 1;
    const began = performance.now();
    while (performance.now() - began < 1000 * seconds) {
        await new Promise(requestAnimationFrame);
        const now = [...document.querySelectorAll('*')].find(one => one.shadowRoot?.querySelector('.letters'));
        if (now?.shadowRoot.querySelector('.letters code') !== marked) remounts += 1;
        if (marked.querySelector('[role=option]') !== first) remounts += 1;
        let seen = 1;
        for (let one = now; one; one = one.parentElement) seen *= Number(getComputedStyle(one).opacity);
        opacity = Math.min(opacity, seen);
        tops.add(Math.round(marked.getBoundingClientRect().top));
    }
    return {remounts, opacity, tops: [...tops]};
}"""


def test_a_long_text_streams_in_place_while_the_model_trains(page, server):
    run = start(page, server, preset="quick")
    visit(page, f"{server.url}/generate?run={run}")
    thumb(page, "length").focus()
    page.keyboard.press("End")
    settle(page)
    press(page, "generate")
    until(page, lambda: characters(page).count() > 0, "the first characters")
    look = page.evaluate(WATCH, 3)
    assert look["remounts"] == 0, look
    assert look["opacity"] >= 0.9, look
    assert len(look["tops"]) == 1, look
    until(page, lambda: len(text(page)) == len(PROMPT) + 2_000, "the whole text")
    before = step(page)
    wait_for_more_steps(page, before)
    assert not page.errors


def test_a_box_of_a_sample_begins_at_its_beginning_and_stays_where_it_was_scrolled_to(page):
    def show(text: str, given: str = "It is ") -> int:
        """How far the box is scrolled after the page shows this text."""
        data["samples"] = [letters.sample("", given, text, [0.0] * len(text))]
        page.evaluate("data => (window.data = data, draw())", data)
        return box.evaluate("box => box.scrollTop")

    place = {"title": "", "about": "", "note": "", "rows": []}
    data = {"kind": "writing", "samples": [], "place": place, "chosen": [0, -1], "shown": {}, "most": 6.0}
    mount(page, letters, data | {"samples": [letters.sample("", "It is ", "a", [0.0])]})
    box, long = page.locator("code"), "some words " * 400
    assert show(long[:300]) == show(long) == 0 < box.evaluate("box => box.scrollHeight - box.clientHeight - 200")
    box.evaluate("box => box.scrollTop = 150")
    assert show(long + "and more") == 150
    assert show(long[:3_000] + "X") > 150  # another choice, at a place that was out of sight
    assert show("other" + long) == 0
    box.evaluate("box => box.scrollTop = 150")
    assert show("other" + long, given="It was ") == 0


def test_reading_updates_in_place_and_keeps_what_was_pointed_at(page, server):
    run = start(page, server, preset="quick")
    visit(page, f"{server.url}/generate?run={run}")
    at(page, "view").locator("button").nth(1).click()
    until(page, lambda: characters(page).count() > 100, "a passage")
    assert page.locator(".letters code").first.evaluate("text => text.scrollTop") == 0  # it is read from its beginning
    characters(page).nth(40).click()
    page.mouse.move(1, 1)
    locked = title(page)
    assert "after …" in locked

    def shown_step() -> int | None:
        found = re.search(r"At step ([\d,]+):", at(page, "reading-live").inner_text())
        return found and int(found[1].replace(",", ""))

    first = until(page, lambda: shown_step() is not None and (shown_step() or 1), "a step")
    until(page, lambda: shown_step() > first, "a later step")
    assert title(page) == locked
    expect(characters(page).nth(40)).to_have_attribute("aria-selected", "true")
    assert not page.errors


def test_pointing_asks_the_server_for_nothing(page, server):
    open_with_a_model(page, server)
    at(page, "view").locator("button").nth(1).click()
    until(page, lambda: characters(page).count() > 100, "a passage")
    settle(page)
    titles = set()
    page.evaluate(
        "() => { window.sent = 0; const send = WebSocket.prototype.send;"
        "WebSocket.prototype.send = function (...all) { window.sent += 1; return send.apply(this, all) } }"
    )
    for n in range(20, 60, 4):
        characters(page).nth(n).hover()
        titles.add(title(page))
    assert len(titles) >= 8
    assert page.evaluate("() => window.sent") == 0


def test_on_a_phone_the_bars_scroll_into_view_and_are_large_enough(new_page, server):
    page = new_page(viewport={"width": 390, "height": 844}, has_touch=True)
    visit(page, f"{server.url}/train")
    press_start(page)
    run = re.search(r"run=([0-9a-f]{16})", page.url)[1]
    visit(page, f"{server.url}/generate?run={run}")
    write(page)
    characters(page).nth(12).tap()
    until(page, lambda: bars(page).filter(has_text="✓").count() == 1, "its bars")
    expect(bars(page).first).to_be_in_viewport()
    assert all(bar.bounding_box()["height"] >= 40 for bar in bars(page).all())
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    assert not page.errors
