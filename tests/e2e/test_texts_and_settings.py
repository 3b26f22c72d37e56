"""What a person may bring along, choose wrongly, or write into a field."""

import re
from urllib.parse import quote

import pytest
from driving import (
    OWN,
    PATIENCE,
    WORDS_TWICE,
    alerts,
    at,
    button,
    choose,
    fill,
    press,
    press_start,
    run_id,
    settle,
    slide,
    start,
    step,
    thumb,
    until,
    visit,
    wait_for_more_steps,
)
from playwright.sync_api import expect

from microllm.builtin import drawing_room

pytestmark = pytest.mark.timeout(240)
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(500)
EVIL = "<script>alert(1)</script> ![x](http://example.invalid/x.png) $$x$$ <img src=//example.invalid/y> "


def upload(page, name: str, data: bytes) -> None:
    files = at(page, "upload").locator("input[type=file]")
    files.set_input_files({"name": name, "mimeType": "text/plain", "buffer": data})


def test_a_text_is_uploaded_and_learned_and_bad_ones_are_refused_without_loss(page, server):
    visit(page, f"{server.url}/train")
    choose(page, "text", OWN)
    panel = at(page, "panel")
    expect(button(page, "start")).to_be_disabled()

    upload(page, "mine.txt", drawing_room(4_000).encode())
    expect(panel).to_contain_text("4,000 characters", timeout=PATIENCE * 1000)
    for name, data, word in (
        ("empty.txt", b"", "empty"),
        ("picture.txt", PNG, "PNG"),
        ("tiny.txt", b"to be or", "8 characters"),
    ):
        upload(page, name, data)
        until(page, lambda name=name, word=word: name in alerts(page) and word in alerts(page), f"{name} refused")
        expect(panel).to_contain_text("4,000 characters")
        expect(button(page, "start")).to_be_enabled()
    run = start(page)
    assert server.run(run)["text"]["name"] == "mine.txt"
    assert server.run(run)["text"]["characters"] == 4_000
    wait_for_more_steps(page)
    assert not page.errors


def test_a_text_too_short_for_the_context_says_what_would_fit_and_one_click_repairs_it(page, server):
    visit(page, f"{server.url}/train")
    choose(page, "text", OWN)
    upload(page, "short.txt", drawing_room(300).encode())
    expect(button(page, "use-block_size")).to_be_visible(timeout=PATIENCE * 1000)
    assert "at most 29" in alerts(page)
    expect(button(page, "start")).to_be_disabled()
    assert not page.locator("[data-testid=stException]").count()
    press(page, "use-block_size")
    expect(button(page, "start")).to_be_enabled(timeout=PATIENCE * 1000)
    expect(thumb(page, "block_size")).to_have_value("29", timeout=PATIENCE * 1000)


def test_heads_that_cannot_share_the_width_are_explained_and_one_click_repairs_it(page, server):
    visit(page, f"{server.url}/train")
    expect(button(page, "start")).to_be_enabled()
    slide(page, "n_head", 5)
    expect(button(page, "use-n_head")).to_be_visible(timeout=PATIENCE * 1000)
    assert "5 heads" in alerts(page)
    expect(button(page, "start")).to_be_disabled()
    press(page, "use-n_head")
    expect(button(page, "start")).to_be_enabled(timeout=PATIENCE * 1000)
    expect(thumb(page, "n_head")).to_have_value("4", timeout=PATIENCE * 1000)
    assert not alerts(page)


def test_without_network_the_page_says_so_and_trains_on_a_built_in_text(fresh_server, page, tmp_path):
    nowhere = "http://127.0.0.1:9"  # a port where nobody answers
    server = fresh_server(mirror=str(tmp_path), HTTPS_PROXY=nowhere, https_proxy=nowhere, no_proxy="", NO_PROXY="")
    visit(page, f"{server.url}/train")
    until(page, lambda: "Pride and Prejudice" in alerts(page), "a notice")
    expect(button(page, "start")).to_be_enabled(timeout=PATIENCE * 1000)
    run = press_start(page)
    assert server.run(run)["text"]["name"] == "Drawing-room sentences"
    wait_for_more_steps(page)


def test_the_bars_answer_the_temperature(page, server):
    visit(page, f"{server.url}/train")
    choose(page, "text", WORDS_TWICE)
    run = start(page, max_steps=60)
    until(page, lambda: server.run(run)["state"] == "finished", "the end of the run")
    visit(page, f"{server.url}/generate?run={run}")
    fill(page, "prompt", "word ")
    bar = page.locator(".letters .bar .share").first
    expect(bar).to_be_visible(timeout=PATIENCE * 1000)

    def first_bar() -> float:
        found = re.search(r"([\d.]+) %", bar.inner_text())
        return float(found[1]) if found else -1.0

    usual = until(page, lambda: (now := first_bar()) > 0 and now, "bars")
    thumb(page, "temperature").focus()
    thumb(page, "temperature").press("Home")
    until(page, lambda: first_bar() == 100, "one bar that takes all")
    thumb(page, "temperature").press("End")
    until(page, lambda: 0 < first_bar() < usual, "flatter bars")


@pytest.fixture
def watched(page, server):
    """A window that notes every request to another host, every dialog and every picture from elsewhere."""
    page.strangers = []
    page.on("request", lambda it: it.url.startswith((server.url, "data:", "blob:")) or page.strangers.append(it.url))
    page.on("websocket", lambda it: f":{server.port}/" in it.url or page.strangers.append(it.url))
    page.on("dialog", lambda it: (page.strangers.append(f"dialog: {it.message}"), it.dismiss()))
    return page


def test_whatever_a_person_writes_is_shown_as_it_is_written(watched, server):
    page = watched
    visit(page, f"{server.url}/train")
    choose(page, "text", OWN)
    fill(page, "pasted", EVIL * 30)
    expect(button(page, "start")).to_be_enabled(timeout=PATIENCE * 1000)
    run = start(page)
    wait_for_more_steps(page)
    sample = at(page, "sample-live").locator("code")
    expect(sample.first).to_be_visible(timeout=PATIENCE * 1000)

    visit(page, f"{server.url}/attention?run={run}")
    fill(page, "sentence", EVIL + "☕")
    letters = at(page, "attention-text").locator("[role=option]")
    written = EVIL.replace(" ", "␠")
    until(page, lambda: "".join(letters.all_text_contents()) == written, "the sentence, character by character")
    expect(page.locator("[data-testid=stText]").filter(has_text="☕")).to_be_visible()

    visit(page, f"{server.url}/generate?run={run}")
    fill(page, "prompt", EVIL + "☕")
    press(page, "generate")
    text = at(page, "writing-live").locator("code")
    until(page, lambda: text.count() and text.first.inner_text().startswith(EVIL), "the prompt as it was written")
    expect(button(page, "download")).to_be_visible(timeout=PATIENCE * 1000)
    assert not page.strangers
    assert not page.locator("img[src*=example]").count()
    assert not page.errors


@pytest.mark.parametrize("address", ["train", "attention"])
def test_a_link_cannot_smuggle_in_a_picture(watched, server, address):
    visit(watched, f"{server.url}/{address}?run={quote('![x](http://example.invalid/x.png)')}")
    until(watched, lambda: alerts(watched), "a notice about the link")
    watched.wait_for_timeout(500)
    assert "![x](http://example.invalid/x.png)" in alerts(watched)
    assert not watched.strangers


def test_a_files_name_is_shown_as_it_is(watched, server):
    page, name = watched, "my *first* $x$ and $y$ :red[text] ![x](http:example.invalid).txt"
    visit(page, f"{server.url}/train")
    choose(page, "text", OWN)
    upload(page, name, drawing_room(4_000).encode())
    expect(at(page, "panel")).to_contain_text("4,000 characters", timeout=PATIENCE * 1000)
    settle(page)
    captions = "\n".join(page.locator("[data-testid=stCaptionContainer], [data-testid=stText]").all_inner_texts())
    assert captions.count(name) == captions.count("first")
    upload(page, name, b"")
    until(page, lambda: "empty" in alerts(page), "a refusal")
    assert name in alerts(page)
    assert not page.strangers


PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
OVERLAPS = """
() => {
    const fields = 'input:not([type=file]):not([type=range]):not([type=checkbox]), textarea';
    const kinds = `button, a[href], [role=radio], [data-testid=stSlider], ${fields}`;
    const shown = [...document.querySelectorAll(kinds)].filter(one => {
        const box = one.getBoundingClientRect();
        return box.width > 1 && box.height > 1 && getComputedStyle(one).visibility === 'visible'
            && !one.closest('[data-testid=stElementToolbar], header, details:not([open]) > :not(summary)');
    });
    const region = one => one.closest('[data-testid=stBottom]') ? 'strip' : 'page';
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
    visit(page, f"{server.url}/train")
    run = start(page)
    for address in ("train", "attention", "generate"):
        visit(page, f"{server.url}/{address}?run={run}")
        until(page, lambda: step(page) is not None, "a step in the strip")
        picture = {"train": "svg.marks", "attention": ".main-svg", "generate": "[role=listbox]"}[address]
        expect(page.locator(picture).first).to_be_visible(timeout=PATIENCE * 1000)
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
        assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 390
        assert page.evaluate(OVERLAPS) == []
        strip = at(page, "strip").bounding_box()
        assert strip["y"] + strip["height"] <= 844 + 1
        for box in (one.bounding_box() for one in at(page, "strip").locator("button:visible").all()):
            assert 0 <= box["x"] <= box["x"] + box["width"] <= 390
            assert 0 <= box["y"] <= box["y"] + box["height"] <= 844
    assert run_id(page) == run
