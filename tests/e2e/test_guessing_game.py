"""The guessing game in a browser: one key or tap per guess, while a run trains."""

import contextlib
import re

import pytest
from driving import PATIENCE, button, press, press_start, settle, start, step, until, visit, wait_for_more_steps
from playwright.sync_api import expect

pytestmark = [pytest.mark.timeout(240), pytest.mark.alone]


FOCUS = "document.activeElement.shadowRoot?.activeElement?.tagName"


def unfold(page):
    """Open the game; its field. A click at the moment when the page is drawn again may be lost, so it is repeated."""
    for _ in range(3):
        press(page, "guess-fold-button")
        with contextlib.suppress(AssertionError):
            expect(page.locator(".guess .blank")).to_be_visible(timeout=PATIENCE * 1000 / 6)
            break
    return page.locator(".guess input")


def guesses(page) -> int:
    """How many guesses the score counts."""
    score = page.locator(".guess .score").inner_text()
    return int(score.split(" of ")[1].split(",")[0]) if score else 0


def test_the_keyboard_alone_plays_a_game_while_a_run_trains(page, server):
    start(page, server)
    wait_for_more_steps(page)  # at its first points the page is drawn again
    button(page, "guess-fold-button").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".guess .blank")).to_be_visible()
    until(page, lambda: page.evaluate(FOCUS) == "INPUT", "keys go to the game at once")
    for n, key in enumerate(["e", "Space", "Enter", "T", "."], 1):
        passage = page.locator(".guess .passage").inner_text()
        page.keyboard.press(key)
        until(page, lambda n=n: guesses(page) == n, f"guess {n} on the score")
        assert page.locator(".guess .passage").inner_text() != passage
        assert page.locator(".guess input").input_value() == ""
        expect(page.locator(".guess .bet")).to_contain_text(re.compile(r"step \d"))
        expect(page.locator(".guess .answer")).to_be_visible()
    press(page, "guess-next")
    until(page, lambda: page.evaluate(FOCUS) == "INPUT", "the keys go on to the next passage")
    wait_for_more_steps(page)
    assert guesses(page) == 5
    assert not page.errors


def test_a_tap_on_a_phone_is_a_guess_and_everything_fits(new_page, server):
    page = new_page(viewport={"width": 390, "height": 844}, has_touch=True)
    visit(page, f"{server.url}/train?run=words-twice")  # its text is made here
    field = unfold(page)
    page.locator(".guess .options button").nth(1).tap()
    until(page, lambda: guesses(page) == 1, "the guess on the score")
    expect(page.locator(".guess .bet")).to_contain_text("step 2,000")  # the run came with MicroLLM
    field.tap()
    page.keyboard.type("☃")
    expect(page.locator(".guess .notice")).to_contain_text("☃")
    page.keyboard.type("s")
    until(page, lambda: guesses(page) == 2, "the guess on the score")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
    for target in page.locator(".guess button, .guess input").all():
        box = target.bounding_box()
        assert box["width"] >= 40
        assert box["height"] >= 40
        assert 0 <= box["x"] <= 390 - box["width"]
    assert not page.errors


def test_a_guess_is_answered_within_half_a_second_while_a_run_trains(page, server):
    start(page, server, preset="quick")
    unfold(page)
    until(page, lambda: (step(page) or 0) > 30, "a run on its way")
    times = []
    for n in range(1, 16):
        times.append(
            page.evaluate(
                """(n) => new Promise((resolve) => {
                    const root = [...document.querySelectorAll('*')].find(e => e.shadowRoot?.querySelector('.guess'))
                    const began = performance.now()
                    root.shadowRoot.querySelectorAll('.options button')[n % 5].click()
                    const look = () => root.shadowRoot.querySelector('.score').textContent.includes(` of ${n},`)
                        || performance.now() - began > 10000
                        ? resolve(performance.now() - began) : requestAnimationFrame(look)
                    look()
                })""",
                n,
            )
        )
        page.wait_for_timeout(400)
    print("milliseconds from click to answer:", [round(t) for t in sorted(times)])
    assert sorted(times)[len(times) // 2] < 500
    assert guesses(page) == 15


def test_a_reload_keeps_the_passage_and_the_score(page, server):
    visit(page, f"{server.url}/learn?run=words-twice&lesson=guess")  # its text is made here
    for n in (1, 2):
        page.locator(".guess .options button").nth(n).click()
        until(page, lambda n=n: guesses(page) == n, f"guess {n} on the score")
    passage = page.locator(".guess .passage").inner_text()
    page.reload()
    until(page, lambda: guesses(page) == 2, "the score")
    assert page.locator(".guess .passage").inner_text() == passage
    page.locator(".guess .options button").first.click()
    until(page, lambda: guesses(page) == 3, "another guess")
    assert not page.errors


def test_ticks_and_a_new_run_leave_the_game_as_it_is(page, server):
    visit(page, f"{server.url}/train?run=words-twice")  # its text is made here
    field = unfold(page)
    field.press("e")
    until(page, lambda: guesses(page) == 1, "the guess on the score")
    passage = page.locator(".guess .passage").inner_text()
    page.evaluate("document.querySelector('.st-key-guess-fold').marked = true")
    press_start(page)
    wait_for_more_steps(page)
    settle(page)
    assert page.locator(".guess .passage").inner_text() == passage
    assert guesses(page) == 1
    assert page.evaluate("document.querySelector('.st-key-guess-fold').marked")
