"""The way of somebody who wants to know what a head is for: found, dated, switched off, explained, trained on without.

On a run of the gallery whose text needs no download, so its heads are those that every visitor meets.
"""

import json

import pytest
from driving import at, button, choose, press, run_id, settle, until, visit
from playwright.sync_api import expect

from microllm.runs import gallery

pytestmark = pytest.mark.timeout(240)
RUN, MOMENT = "words-twice", 64
SCORES = json.loads((gallery.FOLDER / RUN / gallery.HEAD_SCORES).read_text("utf-8"))

FIRST = "all => all.findIndex(one => one.style.gridArea.startsWith('2 / 2'))"  # row and column of the grid


def previous(step: int) -> tuple[list[list[float]], float]:
    """(the attention of all heads on the previous character, by layer; that of chance) at a snapshot."""
    scores = next(row["scores"] for row in SCORES if row["step"] == step)
    return next((score["shares"], score["chance"]) for score in scores if score["name"] == "previous_token")


def test_a_head_is_found_dated_switched_off_explained_and_trained_on_without(page, server):
    shares, _ = previous(MOMENT)
    layer, head = max(((i, j) for i in range(2) for j in range(4)), key=lambda place: shares[place[0]][place[1]])

    # found: the first picture when the heads are in the order of their attention on the previous character
    visit(page, f"{server.url}/attention?run={RUN}&step={MOMENT}")
    choose(page, "heads-order", 1)
    heads = at(page, "attention-heads").locator("[role=radio]")
    first = until(page, lambda: 1 + heads.evaluate_all(FIRST), "the pictures of the heads") - 1
    assert divmod(first, 4) == (layer, head)
    heads.nth(first).click()
    expect(heads.nth(first)).to_have_attribute("aria-checked", "true")
    measured = at(page, "attention-measured")
    expect(measured).to_contain_text(f"{round(100 * shares[layer][head])}\u00a0%")

    # dated: the step from which on its share is clear
    steps = [row["step"] for row in SCORES if row["step"] <= MOMENT]
    clear = [step for step in steps if (found := previous(step))[0][layer][head] >= max(2 * found[1], found[1] + 0.1)]
    born = next(step for step in steps if all(later in clear for later in steps if later >= step))
    expect(measured).to_contain_text(f"step {born}")

    # switched off, and explained: what it was worth
    press(page, "knock-out-head")
    expect(button(page, "restore")).to_be_visible()
    page.locator("a[href*=inside]:visible").first.click()
    at(page, "inside-mode").locator("button").nth(1).click()
    settle(page)
    cell = at(page, "knockout-map").get_by_role("button", name=f"Layer {layer + 1}, head {head + 1}:")
    expect(cell).to_have_attribute("aria-pressed", "true")
    until(page, lambda: cell.inner_text().strip().startswith("+"), "what it is worth")
    assert float(cell.inner_text().strip()) > 0.1  # nats per character
    samples = at(page, "knockout-effect").locator("mark")
    expect(samples).to_have_count(2)

    # trained on without: the plot has the parent beside it, and the loss comes back
    press(page, "train-without")
    until(page, lambda: run_id(page) not in (None, RUN), "a fork")
    expect(at(page, "loss-live").locator("svg[role=img]").first).to_be_visible()
    fork = run_id(page)
    info = server.run(fork)
    assert info["model"]["silenced"] == f"{layer + 1}.{head + 1}" and info["parent"]["step"] == MOMENT
    before, without = info["parent"]["losses"]
    assert without - before > 0.1
    checks = until(
        page,
        lambda: [
            row["step"] for row in server.lines(fork) if row["step"] >= MOMENT and row.get("val_loss", 9.0) <= before
        ],
        "the loss to come back",
    )
    expect(at(page, "regrowth")).to_contain_text(f"{checks[0] - MOMENT} steps")
    expect(at(page, "loss-live")).to_contain_text(RUN)
    press(page, "bar-stop")
    assert not page.errors
