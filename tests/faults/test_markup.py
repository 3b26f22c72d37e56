"""Markup, formulas, icons and links in whatever a person writes: shown as they are, and nothing leaves the machine."""

import json
import re
from urllib.parse import urlencode

import pytest
from driving import (
    JOINER,
    OWN,
    alerts,
    at,
    button,
    choose,
    fill,
    finished_run,
    press,
    press_start,
    settle,
    until,
    upload,
    visit,
    wait_for_more_steps,
)
from playwright.sync_api import expect

from microllm.data.builtin import drawing_room

pytestmark = pytest.mark.timeout(240)


# ---- 27. <script>, pictures, $$, :material/bug:, in text, name, prompt, label and link


EVIL = (
    "<script>alert(1)</script> ![x](http://example.invalid/x.png) $$x$$ :material/bug: :red[x] "
    "<img src=//example.invalid/y> "
)
PIECES = ("![x](http://example.invalid/x.png)", "<img src=//example.invalid/y>", "$$x$$ :material/bug: :red[x]")


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
    expect(button(page, "start")).to_be_enabled()
    run = press_start(page)
    wait_for_more_steps(page)
    sample = at(page, "sample-live").locator("[data-testid=stText]")
    expect(sample.first).to_be_visible()

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
    expect(button(page, "download")).to_be_enabled()
    assert not page.strangers
    assert not page.locator("img[src*=example]").count()
    assert not page.errors


@pytest.mark.parametrize("address", ["train", "attention", "generate"])
def test_whatever_a_link_says_is_shown_as_it_is_written(watched, server, address):
    names = ("run", "preset", "text", "transform", "first", "n_embd", "learning_rate", "optimizer", "causal")
    for i in range(len(PIECES)):  # each piece comes under each of some names
        says = {name: PIECES[(place + i) % len(PIECES)] for place, name in enumerate(names)}
        visit(watched, f"{server.url}/{address}?{urlencode(says | {'sentence': EVIL, EVIL: EVIL})}")
        until(watched, lambda: alerts(watched), "a notice about the link")
        for name, value in says.items():
            assert f"{value!r}" in alerts(watched), name
        assert sum(alerts(watched).count(piece) for piece in PIECES) == len(names)
    assert not watched.strangers
    assert not watched.locator("img[src*=example], .katex").count()


def test_a_step_and_a_key_in_a_link_are_shown_as_they_are_written(watched, server):
    run = finished_run(server.home, max_steps=10)
    for piece in PIECES:
        visit(watched, f"{server.url}/train?{urlencode({'run': run, 'step': piece, 'key': piece})}")
        until(watched, lambda piece=piece: piece in alerts(watched), "a notice about the link")
        assert "key" in alerts(watched)
    assert not watched.strangers


def test_a_files_name_is_shown_as_it_is(watched, server):
    page, name = watched, "my *first* $x$ and $y$ :red[text] ![x](http:example.invalid).txt"
    visit(page, f"{server.url}/train")
    choose(page, "text", OWN)
    upload(page, name, drawing_room(4_000).encode())
    expect(page.locator("[data-testid=stSidebar]")).to_contain_text("4,000 characters")
    settle(page)
    captions = "\n".join(page.locator("[data-testid=stCaptionContainer], [data-testid=stText]").all_inner_texts())
    captions = captions.replace(JOINER, "")
    assert captions.count(name) == captions.count("first")
    upload(page, name, b"")
    until(page, lambda: "empty" in alerts(page), "a refusal")
    assert name in alerts(page)
    assert not page.strangers


def as_read(locator) -> str:
    """What a person reads there."""
    return locator.inner_text().replace(JOINER, "")


def test_a_runs_name_is_shown_as_it_is_on_every_page(watched, server):
    page, name = (
        watched,
        (
            "![x](http://example.invalid/z.png) $$x$$ :material/bug: :tea: <b>&amp;</b> :red[no] "
            "http://example.invalid www.example.invalid a@example.invalid"
        ),
    )
    run = finished_run(server.home, max_steps=40)
    path = server.home / "runs" / run / "run.json"
    parent = {"id": run, "name": name, "step": 0, "goes_on": True, "text": None}
    path.write_text(json.dumps(server.run(run) | {"name": name, "message": name, "parent": parent}))
    for address in ("train", "attention", "generate"):
        visit(page, f"{server.url}/{address}?run={run}")
        menu = at(page, "runs-menu")
        until(page, lambda menu=menu: name in as_read(menu), "the name in the strip")
        press(page, "runs-menu")
        entry = at(page, f"open-{run}").locator("button").first
        until(page, lambda entry=entry: entry.count() and name in as_read(entry), "the name in the menu")
        page.keyboard.press("Escape")
        if address == "train":
            press(page, "take-away-button")
            until(page, lambda: name in as_read(at(page, "take-away")), "what it begins with")
        assert not page.locator("img[src*=example], a[href*=example]").count()
        assert not page.locator(".katex").count()
    assert not page.strangers
    assert not page.errors


# ---- 20. fifty files at once


def test_of_many_files_none_is_taken_but_one(page, server):
    visit(page, f"{server.url}/train")
    choose(page, "text", OWN)
    field = at(page, "upload").locator("input[type=file]")
    assert field.get_attribute("multiple") is None
    for number in range(50):  # as fast as they can be chosen
        upload(page, f"{number}.txt", drawing_room(4_000 + number).encode())
    expect(page.locator("[data-testid=stSidebar]")).to_contain_text(re.compile(r"4,0\d\d characters"))
    page.wait_for_timeout(2_000)  # others of them may still be on their way
    settle(page)
    upload(page, "the last one.txt", drawing_room(5_000).encode())  # and then one in peace
    expect(page.locator("[data-testid=stSidebar]")).to_contain_text("5,000 characters")
    expect(button(page, "start")).to_be_enabled()
