"""Texts that a person uploads, settings that do not fit, and what is typed into fields."""

import re

import pytest
from driving import (
    CHART,
    OWN,
    alerts,
    at,
    button,
    choose,
    contrast,
    fill,
    finished_run,
    press,
    press_start,
    run_id,
    slide,
    start,
    step,
    thumb,
    until,
    upload,
    visit,
    wait_for_more_steps,
)
from playwright.sync_api import expect

from microllm.data.builtin import drawing_room

pytestmark = pytest.mark.timeout(240)
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(500)


def test_a_text_is_uploaded_and_learned_and_bad_ones_are_refused_without_loss(page, server):
    visit(page, f"{server.url}/train")
    choose(page, "text", OWN)
    panel = page.locator("[data-testid=stSidebar]")
    expect(button(page, "start")).to_be_disabled()

    upload(page, "mine.txt", drawing_room(4_000).encode())
    expect(panel).to_contain_text("4,000")
    for name, data, word in (
        ("empty.txt", b"", "empty"),
        ("picture.txt", PNG, "PNG"),
        ("tiny.txt", b"to be or", "8 characters"),
    ):
        upload(page, name, data)
        until(page, lambda name=name, word=word: name in alerts(page) and word in alerts(page), f"{name} refused")
        expect(panel).to_contain_text("4,000")
        expect(button(page, "start")).to_be_enabled()
    run = press_start(page)
    assert server.run(run)["text"]["name"] == "mine.txt"
    assert server.run(run)["text"]["characters"] == 4_000
    wait_for_more_steps(page)
    assert not page.errors


def test_a_text_too_short_for_the_context_says_what_would_fit_and_one_click_repairs_it(page, server):
    visit(page, f"{server.url}/train")
    choose(page, "text", OWN)
    upload(page, "short.txt", drawing_room(300).encode())
    expect(button(page, "use-block_size")).to_be_visible()
    assert "29" in alerts(page)
    expect(button(page, "start")).to_be_disabled()
    assert not page.locator("[data-testid=stException]").count()
    press(page, "use-block_size")
    expect(button(page, "start")).to_be_enabled()
    expect(thumb(page, "knob-block_size")).to_have_attribute("aria-valuetext", "29")


def test_heads_that_cannot_share_the_width_are_explained_and_one_click_repairs_it(page, server):
    visit(page, f"{server.url}/train")
    expect(button(page, "start")).to_be_enabled()
    slide(page, "knob-n_head", 5)
    expect(button(page, "use-n_head")).to_be_visible()
    assert "n_head" in alerts(page)
    expect(button(page, "start")).to_be_disabled()
    press(page, "bar-start")  # this button is always there, and so is its answer
    expect(at(page, "run-bar")).to_contain_text("n_head")
    press(page, "use-n_head")
    expect(button(page, "start")).to_be_enabled()
    expect(thumb(page, "knob-n_head")).to_have_attribute("aria-valuetext", "4")
    until(page, lambda: not alerts(page), "no more alerts")


def test_the_bars_answer_the_temperature(page, server):
    run = finished_run(server.home, max_steps=60)
    visit(page, f"{server.url}/generate?run={run}")
    fill(page, "prompt", "word ")
    bar = page.locator(".letters .bar .share").first
    expect(bar).to_be_visible()

    def first_bar() -> float:
        found = re.search(r"(\d+)\s%", bar.inner_text())
        return float(found[1]) if found else -1.0

    usual = until(page, lambda: (now := first_bar()) > 0 and now, "bars")
    thumb(page, "temperature").focus()
    thumb(page, "temperature").press("Home")
    until(page, lambda: first_bar() == 100, "one bar that takes all")
    thumb(page, "temperature").press("End")
    until(page, lambda: 0 < first_bar() < usual, "flatter bars")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_small_print_numbers_of_axes_and_the_main_button_are_readable(scheme, new_page, server):
    page = new_page(color_scheme=scheme)
    visit(page, f"{server.url}/train?run=words-twice")  # its text is made here
    expect(button(page, "start")).to_be_enabled()
    for what in (
        ".st-key-start button p",
        "[data-testid=stCaptionContainer] p",
        f"{CHART} .tick",
        f"{CHART} .title",
    ):
        expect(page.locator(what).first).to_be_visible()
        assert contrast(page.locator(what).first) >= 4.5, what


PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
OVERLAPS = """
() => {
    const fields = 'input:not([type=file]):not([type=range]):not([type=checkbox]), textarea';
    const kinds = `button, a[href], [role=radio], [data-testid=stSlider], ${fields}`;
    const shown = [...document.querySelectorAll(kinds)].filter(one => {
        const box = one.getBoundingClientRect();
        return box.width > 1 && box.height > 1 && getComputedStyle(one).visibility === 'visible'
            && !one.closest('[data-testid=stElementToolbar], header');
    });
    const region = one => one.closest('[data-testid=stBottom]') ? 'run bar' : 'page';
    const name = one => (one.closest('[class*=st-key-]')?.className.match(/st-key-\\S+/) || [one.tagName])[0];
    const found = [];
    shown.forEach((a, i) => shown.slice(i + 1).forEach(b => {
        if (a.contains(b) || b.contains(a) || region(a) !== region(b)) return;
        const p = a.getBoundingClientRect(), q = b.getBoundingClientRect();
        const width = Math.min(p.right, q.right) - Math.max(p.left, q.left);
        const height = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
        const shared = a.closest('[data-testid=stElementContainer]');
        if (shared && shared === b.closest('[data-testid=stElementContainer]')) return;  // one widget's own parts
        if (width > 1 && height > 1) found.push(name(a) + ' and ' + name(b));
    }));
    return found;
}
"""


def test_on_a_phone_nothing_overlaps_and_nothing_sticks_out(new_page, server):
    page = new_page(**PHONE)
    run = start(page, server)
    for address in ("train", "attention", "generate"):
        visit(page, f"{server.url}/{address}?run={run}")
        until(page, lambda: step(page) is not None, "a step in the run bar")
        picture = {"train": CHART, "attention": ".main-svg", "generate": ".letters code"}[address]
        expect(page.locator(picture).first).to_be_visible()
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
        assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390
        assert page.evaluate(OVERLAPS) == []
        bar = at(page, "run-bar").bounding_box()
        assert bar["y"] + bar["height"] <= 844 + 1
        assert at(page, "bar-row").bounding_box()["height"] <= 64  # one row
        for box in (one.bounding_box() for one in at(page, "run-bar").locator("button:visible").all()):
            assert 0 <= box["x"] <= box["x"] + box["width"] <= 390
            assert 0 <= box["y"] <= box["y"] + box["height"] <= 844
    assert run_id(page) == run
