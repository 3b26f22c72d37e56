"""The attention page in a browser: the highlighted sentence, the grid of heads, the heatmap that stays."""

import re

import pytest
from driving import (
    Losing,
    at,
    contrast,
    fill,
    finished_run,
    press,
    settle,
    start,
    until,
    visit,
    wait_for_more_steps,
)
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(240)

WIDE, PHONE = {"width": 1280, "height": 1000}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def finished(shared_server):
    """The id of a finished run with 3 layers of 4 heads."""
    return finished_run(shared_server.home, n_embd=32, n_head=4, n_layer=3, block_size=24, max_steps=30)


def look(page, server, run: str) -> None:
    """Open the attention page of a run, and wait until all is drawn."""
    visit(page, f"{server.url}/attention?run={run}")
    expect(letters(page).first).to_be_visible()
    expect(tiles(page).first).to_be_visible()
    settle(page)


def letters(page):
    return at(page, "attention-text").locator("[role=option]")


def tiles(page):
    return at(page, "attention-heads").locator("[role=radio]")


def tile(page, layer: int, head: int):
    return at(page, "attention-heads").get_by_role("radio", name=f"layer {layer}, head {head}", exact=True)


def words(page) -> str:
    return at(page, "attention-text").locator(".words").inner_text()


def announced(page) -> str:
    return at(page, "attention-text").locator(".status").text_content()


def glows(page) -> list[str]:
    """The background of each character."""
    return letters(page).evaluate_all("spans => spans.map(span => getComputedStyle(span).backgroundColor)")


def shares(page) -> list[tuple[int, int]]:
    """(place, percent) of the characters that the words name."""
    return [(int(k), int(share)) for k, share in re.findall(r"\((\d+)\): (\d+)\s%", words(page))]


def test_pointing_at_a_character_highlights_what_it_attends_to_and_a_click_pins_it(page, server, finished):
    look(page, server, finished)
    fill(page, "sentence", "the the the end")
    expect(letters(page)).to_have_count(15)
    assert "".join(letters(page).all_text_contents()) == "the␠the␠the␠end"
    widths = letters(page).evaluate_all("spans => spans.map(span => span.getBoundingClientRect().width)")
    assert max(widths) - min(widths) < 0.1  # the sign of a space is as wide as a letter, on a machine without one too
    assert words(page).startswith("“d” (15) ")  # nothing is pointed at: the last one

    letters(page).nth(5).hover()
    assert words(page).startswith("“h” (6) ")
    seen = glows(page)
    assert len(set(seen[6:])) == 1  # the future is not highlighted
    assert len(set(seen[:6])) > 1
    tops = shares(page)
    assert tops == sorted(tops, key=lambda top: -top[1])

    letters(page).nth(5).click()
    letters(page).nth(10).hover()
    page.mouse.move(5, 5)
    assert words(page).startswith("“h” (6) ")
    expect(letters(page).nth(5)).to_have_attribute("aria-selected", "true")

    letters(page).nth(5).click()
    letters(page).nth(10).hover()
    assert words(page).startswith("“e” (11) ")
    letters(page).nth(10).click()
    page.keyboard.press("Escape")
    page.mouse.move(5, 5)
    assert words(page).startswith("“d” (15) ")
    assert not page.errors


def test_only_the_beginning_of_a_pasted_sentence_that_is_too_long_is_used(page, server, finished):
    look(page, server, finished)
    fill(page, "sentence", "the end " * 40)
    expect(letters(page)).to_have_count(128)
    expect(page.get_by_text(re.compile("128 of 320"))).to_be_visible()
    assert not page.errors


def test_a_sentence_survives_a_reload_and_the_back_button_works(page, server, finished):
    look(page, server, finished)
    fill(page, "sentence", "the end & 1+1=2 ␠ é")
    until(page, lambda: "sentence=the+end+%26" in page.url, "the sentence in the address")
    page.reload()
    expect(at(page, "sentence").locator("textarea")).to_have_value("the end & 1+1=2 ␠ é")
    settle(page)

    fill(page, "sentence", "once more")
    until(page, lambda: "sentence=once+more" in page.url, "the new one in the address")
    page.locator("a[href*=generate]:visible").first.click()
    expect(at(page, "temperature")).to_be_visible()
    settle(page)
    for _ in range(6):
        if "/attention" in page.url and "sentence" not in page.url:
            break
        page.go_back()
        settle(page)
        page.wait_for_timeout(500)
    assert "/attention" in page.url and "sentence" not in page.url  # as it was in the beginning
    expect(at(page, "sentence").locator("textarea")).to_have_value("once more")  # what was written last is not lost
    assert not page.errors


HEATMAP = """
() => Array.from(
    document.querySelector(".st-key-attention-one .js-plotly-plot")?.calcdata?.[0][0].z ?? [],
    row => Array.from(row, value => typeof value !== "number" || isNaN(value) ? null : value)
)
"""


def test_words_colors_and_the_heatmap_show_the_same_shares(page, server, finished):
    look(page, server, finished)
    fill(page, "sentence", "the the the end")
    expect(letters(page)).to_have_count(15)
    z = until(page, lambda: len(z := page.evaluate(HEATMAP)) == 15 and z, "the heatmap of this sentence")
    for q in (1, 7, 14):
        letters(page).nth(q).hover()
        told = shares(page)
        assert told
        for k, percent in told:
            assert abs(100 * z[q][k - 1] - percent) <= 1
        assert z[q][q + 1 :] == [None] * (14 - q)
        # one hue, by the square root of the share
        ground, full = (255, 255, 255), (0, 0x9E, 0x73)
        for k, share in enumerate(z[q][: q + 1]):
            red, green, blue = map(int, re.findall(r"\d+", glows(page)[k])[:3])
            for seen, low, high in zip((red, green, blue), ground, full, strict=True):
                assert abs(seen - (low + (high - low) * share**0.5)) <= 12  # sent in steps of 1/255: half of one is 11


def test_the_sentence_can_be_explored_with_the_keyboard_and_a_screen_reader(page, server, finished):
    look(page, server, finished)
    fill(page, "sentence", "the the the end")
    expect(letters(page)).to_have_count(15)
    assert letters(page).evaluate_all("spans => spans.filter(span => span.tabIndex === 0).length") == 1
    expect(letters(page).nth(3)).to_have_attribute("aria-label", "space, 4 of 15")

    letters(page).nth(14).focus()
    page.keyboard.press("ArrowLeft")
    expect(letters(page).nth(13)).to_be_focused()
    assert words(page).startswith("“n” (14) ")
    assert announced(page) == words(page)
    page.keyboard.press("Home")
    assert words(page).startswith("“t” (1) ") and "%" not in words(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.keyboard.press("End")
    assert words(page).startswith("“h” (2) ")  # pinned
    page.keyboard.press("Escape")
    assert words(page).startswith("“d” (15) ")
    assert letters(page).evaluate_all("spans => spans.filter(span => span.tabIndex === 0).length") == 1


def test_a_head_is_chosen_by_click_or_keys_and_the_whole_page_follows(page, server, finished):
    look(page, server, finished)
    expect(tiles(page)).to_have_count(12)
    expect(tile(page, 1, 1)).to_have_attribute("aria-checked", "true")
    before = glows(page)

    tile(page, 2, 3).click()
    expect(at(page, "attention-live").get_by_text("Layer 2, head 3, step")).to_be_visible()
    expect(tile(page, 2, 3)).to_have_attribute("aria-checked", "true")
    until(page, lambda: glows(page) != before, "the sentence with the shares of another head")

    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    expect(tile(page, 3, 4)).to_be_focused()
    expect(tile(page, 2, 3)).to_have_attribute("aria-checked", "true")
    page.keyboard.press("ArrowRight")  # the edge
    expect(tile(page, 3, 4)).to_be_focused()
    page.keyboard.press("Enter")
    expect(at(page, "attention-live").get_by_text("Layer 3, head 4, step")).to_be_visible()
    note = at(page, "attention-heads").locator(".note")
    expect(note).to_contain_text("Layer 3, head 4")
    tile(page, 1, 2).hover()
    expect(note).to_contain_text("Layer 1, head 2")

    page.locator("a[href*=generate]:visible").first.click()
    expect(at(page, "temperature")).to_be_visible()
    page.locator("a[href*=attention]:visible").first.click()
    expect(tile(page, 3, 4)).to_have_attribute("aria-checked", "true")
    assert not page.errors


HEIGHTS = """
canvases => canvases.map(canvas => {
    const { width, height } = canvas, pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data
    let filled = 0
    for (let i = 3; i < pixels.length; i += 4) filled += pixels[i] > 128
    return filled / height
})
"""


def bars(page):
    return at(page, "attention-heads").locator("canvas.bars")


def test_below_each_picture_are_bars_of_what_its_head_learned_about_distance_and_a_click_on_them_chooses_it(
    page, server, finished
):
    look(page, server, finished)
    expect(bars(page)).to_have_count(12)
    column = bars(page).first.bounding_box()["width"] / 16  # of one of the nearest 16 distances
    # each head begins with a distance of its own: over a third of its attention, and the rest spread over all
    for filled in bars(page).evaluate_all(HEIGHTS):
        assert 0.2 * column < filled < 1.1 * column
    expect(at(page, "attention-measured").locator("[data-testid=stVegaLiteChart]").first).to_be_visible()
    bars(page).nth(6).click()
    expect(tile(page, 2, 3)).to_have_attribute("aria-checked", "true")
    assert not page.errors


def test_the_heads_can_be_sorted_and_a_click_or_a_key_over_the_training_goes_to_a_snapshot(page, server, finished):
    look(page, server, finished)
    chips = at(page, "attention-heads").locator(".label")
    until(page, lambda: any(chips.all_text_contents()), "labels: some heads begin with a distance of their own")
    at(page, "heads-order").locator("input").click()
    settle(page)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    until(page, lambda: all("%" in text for text in chips.all_text_contents()), "their scores")
    by_place = chips.evaluate_all(
        "all => all.map(one => [one.style.gridArea.split('/').map(Number), one.textContent]).sort("
        "([a], [b]) => a[0] - b[0] || a[1] - b[1]).map(([_, text]) => text)"
    )
    scores = [float(re.search(r"(\d+)\s%", text)[1]) for text in by_place]
    assert scores == sorted(scores, reverse=True) and len(scores) == 12
    layer, head = map(int, by_place[1].split("\u2002")[0].split("."))
    tiles(page).nth(0).click()  # the first head, wherever it stands now
    expect(tile(page, 1, 1)).to_have_attribute("aria-checked", "true")
    best = map(int, by_place[0].split("\u2002")[0].split("."))
    tile(page, *best).focus()
    page.keyboard.press("ArrowRight")
    expect(tile(page, layer, head)).to_be_focused()

    at(page, "attention-shown").locator("button").nth(2).click()
    plot = at(page, "head-scores").locator(".box")
    expect(plot).to_be_visible()
    steps = sorted(int(file.stem[5:]) for file in (server.home / "runs" / finished / "snapshots").iterdir())
    expect(plot).to_have_attribute("aria-valuemax", str(steps[-1]))
    until(page, lambda: plot.locator(".chosen.dot").count() == len(steps), "all snapshots")
    plot.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(plot).to_have_attribute("aria-valuenow", str(steps[1]))
    page.keyboard.press("Enter")
    until(page, lambda: f"step={steps[1]}" in page.evaluate("location.href"), "the step in the address")
    expect(at(page, "attention-measured")).to_contain_text(f"step {steps[1]}")
    settle(page)
    dot = until(page, lambda: plot.locator(".chosen.dot").nth(2).bounding_box(), "the third snapshot")
    page.mouse.click(dot["x"] + 1, dot["y"] + 40)
    until(page, lambda: f"step={steps[2]}" in page.evaluate("location.href"), "the step of a click")
    assert plot.locator("svg").evaluate("svg => getComputedStyle(svg).touchAction") == "pan-y"  # a swipe scrolls
    assert contrast(plot.locator("text")) >= 4.5 and contrast(chips) >= 4.5
    assert not page.errors


def test_a_lost_choice_of_a_head_is_sent_once_more(page, server, finished):
    losing = Losing(page)
    look(page, server, finished)
    losing.now = True
    tile(page, 2, 3).click()
    expect(at(page, "attention-live").get_by_text("Layer 2, head 3, step")).to_be_visible()
    assert len(losing.lost) == 1
    expect(tile(page, 2, 3)).to_have_attribute("aria-checked", "true")
    assert not page.errors


def test_the_pictures_are_sharp_on_a_fine_screen_and_large_enough_for_a_finger(new_page, server, finished):
    page = new_page(viewport=PHONE, device_scale_factor=2, has_touch=True, is_mobile=True)
    look(page, server, finished)
    for canvas in tiles(page).evaluate_all(
        "all => all.map(one => ({width: one.width, height: one.height, shown: one.getBoundingClientRect().width}))"
    ):
        assert canvas["shown"] >= 40
        assert canvas["width"] == canvas["height"] == round(2 * canvas["shown"])
    for letter in letters(page).evaluate_all("all => all.map(one => one.getClientRects()[0].height)"):
        assert letter >= 40
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    letters(page).nth(6).tap()
    assert " (7) " in words(page)
    expect(letters(page).nth(6)).to_have_attribute("aria-selected", "true")
    letters(page).nth(6).tap()
    expect(letters(page).nth(6)).to_have_attribute("aria-selected", "false")
    tile(page, 3, 2).tap()
    expect(tile(page, 3, 2)).to_have_attribute("aria-checked", "true")
    assert not page.errors


PIXEL = """
canvas => {
    const n = canvas.width, pen = canvas.getContext("2d")
    const at = (x, y) => [...pen.getImageData(Math.floor(x * n), Math.floor(y * n), 1, 1).data].slice(0, 3)
    return { beyond: at(0.9, 0.1), corner: at(0.001, 0.001) }
}
"""


def test_light_and_dark_change_the_colors_without_the_server(new_page, server, finished):
    page = new_page(color_scheme="light")
    look(page, server, finished)
    light = tile(page, 1, 1).evaluate(PIXEL)
    assert light["corner"] == [0, 0x9E, 0x73]  # the first character attends to itself alone
    last = "spans => getComputedStyle(spans.at(-1)).color"
    page.emulate_media(color_scheme="dark")
    until(page, lambda: tile(page, 1, 1).evaluate(PIXEL)["corner"] == [0x1F, 0xC7, 0x9A], "the hue of the dark")
    assert sum(tile(page, 1, 1).evaluate(PIXEL)["beyond"]) < sum(light["beyond"])
    letters(page).nth(0).hover()
    assert "rgb(31, 199, 154)" in glows(page)[0]
    assert letters(page).evaluate_all(last) != "rgb(0, 0, 0)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_character_is_readable_on_every_color(new_page, server, finished, scheme):
    page = new_page(color_scheme=scheme)
    look(page, server, finished)
    for q in range(0, 29, 4):
        letters(page).nth(min(q, letters(page).count() - 1)).hover()
        assert contrast(letters(page)) >= 4.5
    assert contrast(at(page, "attention-text").locator(".legend b")) >= 4.5


REPAINT = """
box => {
    const spans = [...box.querySelectorAll("[role=option]")]
    const times = spans.map(span => {
        const began = performance.now()
        span.dispatchEvent(new PointerEvent("pointermove", { bubbles: true, pointerType: "mouse" }))
        box.getBoundingClientRect()  // lay it out now
        return performance.now() - began
    }).sort((a, b) => a - b)
    return { count: spans.length, median: times[times.length >> 1], worst: times.at(-1) }
}
"""


@pytest.mark.alone
def test_pointing_repaints_128_characters_within_a_frame(page, server, finished):
    look(page, server, finished)
    fill(page, "sentence", ("the end of it all " * 8)[:127] + "d")
    expect(letters(page)).to_have_count(128)
    times = [at(page, "attention-text").locator(".text").evaluate(REPAINT) for _ in range(5)]
    print(times)
    assert min(time["median"] for time in times) < 16


MARK = """
() => {
    const mark = { remounts: 0, moved: 0, opacity: 1, drawn: 0, titles: 0, going: true }
    const first = name => document.querySelector(name)
    const titles = new Set()
    const plot = () => first(".st-key-attention-one .js-plotly-plot")
    const deep = node => node && [...node.querySelectorAll("*")].find(one => one.shadowRoot)?.shadowRoot
    const letter = () => deep(first(".st-key-attention-text"))?.querySelector("[role=option]")
    const picture = () => deep(first(".st-key-attention-heads"))?.querySelector("canvas")
    const marked = [letter(), picture()]
    let chart = plot()
    const places = () => [letter(), picture()].map(one => one?.getBoundingClientRect().top)
    const top = places()
    const look = () => {
        if (letter() !== marked[0] || picture() !== marked[1]) mark.remounts += 1
        if (places().some((place, i) => place !== top[i])) mark.moved += 1
        for (const part of [marked[0].getRootNode().host, marked[1].getRootNode().host]) {
            let seen = 1
            for (let one = part; one; one = one.parentElement) seen *= Number(getComputedStyle(one).opacity)
            mark.opacity = Math.min(mark.opacity, seen)
        }
        if (plot() && plot() !== chart) { mark.drawn += 1; chart = plot() }
        titles.add(first(".st-key-attention-live").textContent.match(/head \\d+, step [\\d,]+/)?.[0])
        mark.titles = titles.size
        if (mark.going) requestAnimationFrame(look)
    }
    requestAnimationFrame(look)
    window.mark = mark
}
"""


def test_while_it_trains_the_sentence_and_the_heads_update_in_place_and_the_heatmap_stays(page, server):
    run = start(page, server, position="relative")
    look(page, server, run)
    wait_for_more_steps(page)

    def named(part: str) -> int:
        found = re.search(r"head \d, step ([\d,]+)", at(page, part).inner_text())
        return int(found[1].replace(",", "")) if found else -1

    letters(page).nth(9).click()
    page.mouse.move(5, 5)
    page.evaluate(MARK)
    painted = tile(page, 2, 2).evaluate("canvas => canvas.toDataURL()")
    painted_bars = bars(page).first.evaluate("canvas => canvas.toDataURL()")
    first, drawn = named("attention-measured"), named("attention-live")
    until(page, lambda: tile(page, 2, 2).evaluate("canvas => canvas.toDataURL()") != painted, "another picture")
    until(page, lambda: bars(page).first.evaluate("canvas => canvas.toDataURL()") != painted_bars, "other bars")
    until(page, lambda: named("attention-measured") > first + 50, "a later step")
    assert words(page).startswith("“r” (10) ")  # still pinned
    mark = page.evaluate("() => { mark.going = false; return mark }")
    assert mark["remounts"] == 0, mark
    assert mark["moved"] == 0, mark
    assert mark["opacity"] >= 0.9, mark
    assert mark["drawn"] <= mark["titles"], mark  # not without another step in its title (the first was on its way)

    until(page, lambda: named("attention-measured") >= 1.5 * drawn, "half as many steps more")
    until(page, lambda: named("attention-live") >= 1.5 * drawn, "a new heatmap")
    still = named("attention-live")
    press(page, "attention-refresh")
    until(page, lambda: named("attention-live") > still, "the heatmap of now")
    assert not page.errors
