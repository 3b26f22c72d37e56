"""The main path: choose, start, watch, change a setting, look inside, generate, stop."""

import re

import pytest
from driving import (
    CHART,
    alerts,
    at,
    button,
    curve,
    press,
    press_start,
    run_id,
    settle,
    slide,
    start,
    step,
    thumb,
    unfold,
    until,
    visit,
    wait_for_more_steps,
    wait_until_it_stands_still,
)
from playwright.sync_api import expect

pytestmark = [pytest.mark.timeout(240), pytest.mark.alone]


def test_a_person_sets_the_sliders_starts_steers_and_stops_a_run(page, server):
    visit(page, f"{server.url}/train")
    chosen = {"block_size": 24, "n_embd": 32, "n_head": 2, "n_layer": 2}
    for name, value in chosen.items():
        slide(page, f"knob-{name}", value)
    unfold(page, "knob-max_steps")
    field = at(page, "knob-max_steps").locator("input")
    field.fill("100000")
    field.press("Enter")
    settle(page)
    until(page, lambda: re.search(r"\d\s(min|h)", at(page, "cost").inner_text()), "what so many steps cost")
    run = press_start(page)
    assert server.run(run)["model"] | chosen == server.run(run)["model"]
    assert server.run(run)["train"]["max_steps"] == 100_000

    seen = wait_for_more_steps(page)
    wait_for_more_steps(page, seen)

    press(page, "bar-pause")
    paused = wait_until_it_stands_still(page, server)
    page.wait_for_timeout(1_200)  # two ticks
    assert step(page) == paused
    press(page, "bar-step")
    until(page, lambda: step(page) == paused + 1, "one step more")
    page.wait_for_timeout(1_200)
    assert step(page) == paused + 1
    assert server.lines(run)[-1]["step"] == paused + 1

    press(page, "bar-pause")
    wait_for_more_steps(page, paused + 1)

    press(page, "live-menu")
    rate = at(page, "live-learning_rate").locator("input")
    rate.fill("0.0523")
    press(page, "live-apply")
    event = until(page, lambda: server.lines(run, "events"), "an event")[-1]
    assert event["learning_rate"] == 0.0523
    assert event["step"] > paused + 1
    # the quick preset's learning rate falls linearly, and a change scales all of it
    rates = {}

    def has_taken_effect() -> bool:
        rates.update((line["step"], line["learning_rate"]) for line in server.lines(run))
        return max(rates) > event["step"]

    until(page, has_taken_effect, "steps with the new rate")
    assert max(rate for at, rate in rates.items() if at < event["step"] - 1) <= 0.02
    assert rates[event["step"]] > 0.04

    page.keyboard.press("Escape")
    press(page, "bar-stop")
    expect(button(page, "bar-start")).to_be_visible()
    until(page, lambda: server.run(run)["state"] == "stopped", "the end of the run")
    assert run_id(page) == run
    assert step(page) == server.lines(run)[-1]["step"]
    assert not page.errors


WATCH = """
async (marked, seconds) => {
    let changes = 0, frames = 0, remounts = 0, opacity = 1, dirty = false;
    const observer = new MutationObserver(found => {
        dirty = dirty || found.some(one => one.attributeName === 'd' || one.type === 'childList');
    });
    observer.observe(marked, {subtree: true, childList: true, attributes: true, attributeFilter: ['d']});
    const above = node => node.parentElement ?? node.getRootNode().host;
    const began = performance.now();
    let last = -1000;
    await new Promise(done => {
        const look = now => {
            frames += 1;
            if (!marked.isConnected) remounts += 1;
            let seen = marked.querySelector('.smoothed[d*=L]') ? 1 : 0;
            for (let one = marked; one; one = above(one)) seen *= Number(getComputedStyle(one).opacity);
            opacity = Math.min(opacity, seen);
            if (dirty && performance.now() - last > 150) { changes += 1; last = performance.now(); }
            dirty = false;
            performance.now() - began < 1000 * seconds ? requestAnimationFrame(look) : done();
        };
        requestAnimationFrame(look);
    });
    observer.disconnect();
    return {changes: changes / seconds, frames: frames / seconds, remounts, opacity};
}
"""


def test_the_curve_moves_twice_a_second_and_never_flickers(page, server):
    start(page, server)
    wait_for_more_steps(page)
    looks = []
    for _ in range(4):  # a busy machine may be late, but nothing may ever flicker
        looks.append(page.locator(CHART).evaluate(WATCH, 5))
        assert looks[-1]["remounts"] == 0, looks
        assert looks[-1]["opacity"] >= 0.9, looks
        if looks[-1]["changes"] >= 2:
            break
    assert looks[-1]["changes"] >= 2, looks
    assert looks[-1]["frames"] > 5, looks


def test_attention_is_computed_again_while_the_model_trains(page, server):
    run = start(page, server)
    visit(page, f"{server.url}/attention?run={run}")
    labels = at(page, "attention-one").locator(".xtick text")
    expect(labels.first).to_be_visible()
    sentence = "It␠is␠a␠truth␠universally␠ack"  # for a moment a new heatmap and the one before are both there
    until(page, lambda: "".join(labels.all_text_contents()) == sentence, "the sentence on the axis")

    def named() -> int:
        found = re.search(r"step ([\d,]+)", at(page, "attention-live").inner_text())
        return int(found[1].replace(",", "")) if found else -1

    first = until(page, lambda: named() >= 0 and named(), "a step")
    until(page, lambda: named() > first, "a later step")
    latest = named()
    until(page, lambda: server.lines(run)[-1]["step"] >= latest, "that step in the metrics")

    def heatmap() -> str:
        return at(page, "attention-one").locator(".heatmaplayer image").first.evaluate("image => image.outerHTML")

    picture = heatmap()
    until(page, lambda: heatmap() != picture, "another heatmap")
    assert not alerts(page)
    assert not page.errors


def test_text_streams_in_while_the_model_trains_and_can_be_stopped_and_kept(page, server):
    # a model so large that writing 2,000 characters takes the fastest machine several ticks
    visit(page, f"{server.url}/train?preset=quick&n_layer=8&n_embd=192&max_steps=200000")
    run = press_start(page)
    visit(page, f"{server.url}/generate?run={run}")
    thumb(page, "length").focus()
    thumb(page, "length").press("End")
    assert thumb(page, "length").input_value() == "2000"
    text = at(page, "writing-live").locator("code")

    until(page, lambda: step(page) is not None, "a step in the run bar")
    press(page, "generate")
    expect(button(page, "stop-writing")).to_be_enabled()
    looks = []  # (characters, step), until both have grown twice while it writes

    def grows() -> bool:
        if text.count():
            looks.append((len(text.first.inner_text()), step(page)))
        return len({length for length, _ in looks}) >= 3 and len({at for _, at in looks}) >= 3

    until(page, grows, "text and steps at the same time")
    assert looks == sorted(looks)
    assert looks[-1][0] < 2_000
    press(page, "stop-writing")
    expect(button(page, "download")).to_be_enabled()
    wait_for_more_steps(page)  # the text is drawn after the buttons
    kept = text.first.inner_text()
    assert kept.startswith("It is a truth")
    assert len(kept) < 2_000
    wait_for_more_steps(page)
    assert text.first.inner_text() == kept

    with page.expect_download() as download:
        press(page, "download")
    assert download.value.path().read_text("utf-8") == kept


def test_the_plot_zooms_to_a_range_keeps_it_while_the_curve_grows_and_leaves_the_wheel_to_the_page(page, server):
    start(page, server, max_steps=6_000)
    at(page, "axis").locator("button").nth(1).click()  # even steps
    until(page, lambda: (now := curve(page))["labels"][0] == "0" and now["right"] > 80, "a curve with some width")
    whole, box = curve(page)["labels"], page.locator(CHART).bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.wheel(0, 300)
    scrolled = "document.querySelector('[data-testid=stMain]').scrollTop"
    until(page, lambda: page.evaluate(scrolled) > 0, "the page scrolls")
    assert curve(page)["labels"] == whole
    page.evaluate("document.querySelector('[data-testid=stMain]').scrollTo(0, 0)")
    reset = page.locator(".reset")
    expect(reset).to_be_hidden()

    page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.6 * box["height"], steps=4)
    page.mouse.up()
    zoomed = curve(page)["labels"]
    assert zoomed != whole
    path = curve(page)["path"]
    for _ in range(3):
        until(page, lambda old=path: curve(page)["path"] != old, "new data")
        path = curve(page)["path"]
    assert curve(page)["labels"] == zoomed
    reset.click()
    assert curve(page)["labels"] == whole
    expect(reset).to_be_hidden()


def test_what_was_typed_last_counts_when_start_is_pressed_at_once(page, server):
    visit(page, f"{server.url}/train")
    unfold(page, "knob-max_steps")
    settle(page)
    at(page, "knob-max_steps").locator("input").fill("54321")  # only the click on Start leaves the field
    run = press_start(page)
    assert server.run(run)["train"]["max_steps"] == 54_321


def test_the_prompt_that_was_typed_last_counts_when_generate_is_pressed_at_once(page, server):
    run = start(page, server)
    visit(page, f"{server.url}/generate?run={run}")
    at(page, "prompt").locator("textarea").fill("Lady ")
    press(page, "generate")
    text = at(page, "writing-live").locator("code")
    until(page, lambda: len(text.first.inner_text()) > 14, "a text")
    assert text.first.inner_text().startswith("Lady ")
