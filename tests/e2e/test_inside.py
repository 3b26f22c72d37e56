"""The page Inside in a browser: the walk by keys, an open part, the value under the pointer, the logit lens."""

import re
from pathlib import Path

import pytest
from driving import at, fill, finished_run, visit
from playwright.sync_api import expect
from test_one_window import in_view

import microllm.environment
from microllm.insight.stages import HEAD_STAGES, STOPS
from microllm.insight.trace import trace
from microllm.runs.run import Run
from microllm.tokenizer import known_ids
from microllm.ui import components
from microllm.ui.words import percent

pytestmark = pytest.mark.timeout(240)

TEXT = "the the the end"
ROW, COLUMN = 9, 6


def pattern(home, run_id: str):
    """The attention weights of the newest snapshot of a run on TEXT."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MICROLLM_HOME", str(home))
        microllm.environment.home.cache_clear()
        run = Run.open(run_id)
        found = trace(run.model_at(run.list_snapshots()[-1]), known_ids(run.tokenizer, TEXT)).pattern
    microllm.environment.home.cache_clear()
    return found


def test_one_prediction_is_followed_by_keys_and_every_part_opens_with_its_numbers(new_page, server):
    run = finished_run(server.home, n_layer=2, n_head=4, block_size=24, max_steps=30)
    page = new_page(viewport={"width": 1280, "height": 800})
    visit(page, f"{server.url}/inside?run={run}")
    parts = at(page, "inside-parts")
    value, guess, stop = (parts.locator(name) for name in (".value", ".guess", ".stop"))
    fill(page, "sentence", TEXT)
    letters = parts.locator(".line.text [role=gridcell]")
    expect(letters).to_have_count(len(TEXT))
    in_view(
        page,
        next=parts.locator(".next"),
        first=parts.locator(".line").first,
        last=parts.locator(".line").last,
        matrix=parts.locator(".matrix canvas"),
        value=value,
        origin=parts.locator(".origin"),
        source=parts.locator("pre"),
    )

    parts.locator(".next").focus()
    for number in range(2, len(STOPS) + 1):
        page.keyboard.press("ArrowRight" if number % 2 else "n")
        expect(stop).to_have_text(re.compile(rf"^{number}\b"))
    page.keyboard.press("n")  # there is no further one
    of_the_choice = re.compile(r"“(.)”: (\d+)\s%")  # a part of an earlier stop names places instead: “(9)”
    expect(value).to_have_text(of_the_choice)
    choice = of_the_choice.search(value.inner_text()).groups()
    assert re.findall(r"“(.)” (\d+)\s%", guess.inner_text())[0] == choice
    assert parts.locator(".line.lens").last.locator("[role=gridcell]").last.inner_text() == choice[0]
    page.keyboard.press("ArrowLeft")
    expect(stop).to_have_text(re.compile(rf"^{len(STOPS) - 1}\b"))
    expect(value).to_contain_text(f"“{choice[0]}”:")  # the largest logit has the largest probability
    pixels = parts.locator("pre").evaluate("listing => [listing.scrollTop, listing.firstChild.offsetHeight]")
    assert pixels[0] and not pixels[0] % pixels[1]  # the source begins with a whole line

    parts.locator(".head").nth(2).click()
    expect(parts.locator(".where")).to_contain_text("3")  # layer 1, head 3
    expect(parts.locator(".tabs .step")).to_have_count(len(HEAD_STAGES))
    frame = parts.locator(".matrix .walked").bounding_box()
    # the frame is around the last row
    cell = frame["width"] / len(TEXT), frame["height"]
    top = frame["y"] - (len(TEXT) - 1) * cell[1]
    page.mouse.move(frame["x"] + (COLUMN + 0.5) * cell[0], top + (ROW + 0.5) * cell[1])
    expect(value).to_contain_text(f"({ROW + 1})")
    expect(value).to_contain_text(f"({COLUMN + 1})")
    share = pattern(server.home, run)[0, 2, ROW, COLUMN].item()
    assert abs(int(re.search(r"(\d+)\s%", value.inner_text())[1]) - 100 * share) <= 0.51
    page.mouse.move(frame["x"] + (ROW + 0.5) * cell[0], top + (COLUMN + 0.5) * cell[1])
    expect(value).to_contain_text("hidden")  # in the future

    letters.nth(6).click()
    expect(letters.nth(6)).to_have_attribute("aria-selected", "true")
    expect(guess).to_have_text(re.compile(r"\b7\)"))
    script = (Path(components.__file__).parent / "glow.js").read_text()
    shares = [0, 1e-9, 0.0001, 0.0049, 0.005, 0.0051, 0.014, 0.0151, 0.29, 0.5551, 0.994, 0.9951, 1]
    assert page.evaluate(f"shares => {{ {script}\nreturn shares.map(inPercent) }}", shares) == list(
        map(percent, shares)
    )
    assert not page.errors
