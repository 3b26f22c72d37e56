"""What the browser keeps: settings that were chosen but not started, and the keys of the runs that were."""

import pytest
from driving import (
    OWN,
    Server,
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
    stored_keys,
    thumb,
    tracebacks,
    until,
    upload,
    visit,
)
from playwright.sync_api import expect

from microllm.data.builtin import drawing_room
from microllm.data.store import load_text

pytestmark = pytest.mark.timeout(240)
TEXT = drawing_room(3_000)


def choose_something(page) -> None:
    """48 for block_size, and a pasted text."""
    slide(page, "knob-block_size", 48)
    choose(page, "text", OWN)
    fill(page, "pasted", TEXT)
    expect(page.locator("[data-testid=stSidebar]")).to_contain_text("3,000")


def stored(page) -> str:
    return page.evaluate("localStorage.getItem('microllm-draft')") or ""


def is_there_again(page) -> None:
    settle(page)  # a window that lost its server shows the former page until it is connected again
    expect(thumb(page, "knob-block_size")).to_have_attribute("aria-valuetext", "48")
    expect(page.locator("[data-testid=stSidebar]")).to_contain_text("3,000")
    expect(button(page, "start")).to_be_enabled()


def test_settings_and_a_pasted_text_outlive_the_server(page, browser, mirror, tmp_path, monkeypatch):
    home = tmp_path / "home"
    server = Server(home, mirror).wait_until_it_answers()
    visit(page, f"{server.url}/train")
    choose_something(page)
    until(page, lambda: "sha256=" in stored(page) and "block_size=48" in stored(page), "a saved draft")
    assert TEXT[:20] not in stored(page)
    server.kill()
    expect(page.locator("[data-test-connection-state=CONNECTED]")).not_to_be_attached()
    again = Server(home, mirror, port=server.port).wait_until_it_answers()
    try:
        visit(page, f"{server.url}/train")
        is_there_again(page)
        until(page, lambda: is_started(page), "a run id in the address")
        run = run_id(page)
        assert again.run(run)["model"]["block_size"] == 48
        monkeypatch.setenv("MICROLLM_HOME", str(home))
        assert load_text_of(again, run) == TEXT
        assert not page.errors
    finally:
        assert again.end() == 0, again.log
    assert not tracebacks(again.log)


def is_started(page) -> bool:
    """Press Start. A click on the former page, which is there until the new server has drawn its own, is lost."""
    press(page, "start")
    page.wait_for_timeout(2_000)
    return run_id(page) is not None


def load_text_of(server, run: str) -> str:
    import microllm.environment

    microllm.environment.home.cache_clear()
    return load_text(server.run(run)["text"]["sha256"])


def test_a_text_that_the_server_has_lost_is_named_and_nothing_else_is_trained(page, server):
    visit(page, f"{server.url}/train")
    choose(page, "text", OWN)
    upload(page, "notes.txt", drawing_room(3_210).encode())
    until(page, lambda: "notes.txt" in stored(page), "a saved draft")
    for text in (server.home / "texts").iterdir():
        if text.stat().st_size == 3_210:
            text.unlink()
    visit(page, f"{server.url}/train")
    expect(page.get_by_text("notes.txt").first).to_be_visible()
    expect(button(page, "start")).to_be_disabled()


def test_of_two_tabs_each_finds_its_own_and_a_third_the_last(page, server):
    visit(page, f"{server.url}/train")
    slide(page, "knob-n_layer", 5)
    until(page, lambda: "n_layer=5" in stored(page), "the first draft")
    other = page.context.new_page()
    visit(other, f"{server.url}/train")
    expect(thumb(other, "knob-n_layer")).to_have_attribute("aria-valuetext", "5")
    slide(other, "knob-n_layer", 7)
    until(page, lambda: "n_layer=7" in stored(page), "the second draft")
    visit(page, f"{server.url}/train")
    expect(thumb(page, "knob-n_layer")).to_have_attribute("aria-valuetext", "5")
    third = page.context.new_page()
    visit(third, f"{server.url}/train")
    expect(thumb(third, "knob-n_layer")).to_have_attribute("aria-valuetext", "5")


def test_where_the_browser_keeps_nothing_all_works_as_ever(page, server):
    page.add_init_script(
        "for (const name of ['localStorage', 'sessionStorage'])"
        " Object.defineProperty(window, name, {get() { throw new DOMException('refused', 'SecurityError') }})"
    )
    visit(page, f"{server.url}/train")
    slide(page, "knob-n_layer", 5)
    run = press_start(page)
    assert server.run(run)["model"]["n_layer"] == 5
    expect(button(page, "bar-stop")).to_be_enabled()
    assert page.locator("[data-testid=stAlert]").count() == 1  # it says so
    page.reload(wait_until="commit")
    expect(at(page, "run-bar")).to_contain_text("watching")
    assert not page.errors


def test_who_forgets_their_runs_leaves_no_trace_in_any_tab(page, server):
    run = start(page, server)
    key, other = stored_keys(page)[run], page.context.new_page()
    visit(other, server.url)
    until(other, lambda: run_id(other) == run, "the run in the other tab")
    expect(button(other, "bar-stop")).to_be_enabled()
    press(other, "runs-menu")
    press(other, "runs-manage-button")
    at(other, "forget-sure").locator("label").click()
    press(other, "forget")
    for tab, address in ((page, "train"), (other, "learn")):
        expect(tab).to_have_url(f"{server.url}/{address}")
        settle(tab)
        assert key not in tab.evaluate("JSON.stringify([localStorage, sessionStorage])")
        visit(tab, f"{server.url}/train?run={run}")
        assert not at(tab, "bar-stop").count()
    assert not page.errors


def test_a_link_that_says_something_comes_before_what_the_browser_keeps(page, server):
    visit(page, f"{server.url}/train")
    slide(page, "knob-n_layer", 5)
    until(page, lambda: "n_layer=5" in stored(page), "a saved draft")
    other = page.context.new_page()
    visit(other, f"{server.url}/train?n_layer=7")
    expect(thumb(other, "knob-n_layer")).to_have_attribute("aria-valuetext", "7")
    slide(other, "knob-n_layer", 8)
    until(page, lambda: "n_layer=8" in stored(other), "what was changed after that")
    other.reload()
    expect(thumb(other, "knob-n_layer")).to_have_attribute("aria-valuetext", "8")


def test_the_browser_answers_once_a_page_load_and_no_click_carries_the_keys(page, server):
    keys = "k" * 40
    page.add_init_script(f"localStorage.setItem('microllm-keys', JSON.stringify([['{'0' * 16}', '{keys}']]))")
    sent = []
    page.on("websocket", lambda it: it.on("framesent", lambda data: sent.append(data)))
    for _ in range(2):
        sent.clear()
        visit(page, f"{server.url}/train")
        slide(page, "knob-n_layer", 5)
        until(page, lambda: "n_layer=5" in stored(page), "a saved draft")
        slide(page, "knob-n_layer", 6)
        assert sum(keys.encode() in data for data in sent) == 1
