"""Forks on the page, with other settings and with another text."""

import re

import pytest
from driving import (
    CHART,
    DRAWING_ROOM,
    at,
    button,
    choose,
    press,
    run_id,
    settle,
    start,
    until,
    wait_for_more_steps,
)
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(240)


def fork(page) -> str:
    """Start the fork of the open form; the new run."""
    before = run_id(page)
    press(page, "fork-start")
    return until(page, lambda: run_id(page) != before and run_id(page), "the fork on show")


def is_finished(page, server) -> None:
    until(page, lambda: server.run(run_id(page))["state"] == "finished", "the end of the run")


def test_a_fork_that_trains_on_another_text_shows_what_it_forgets(page, server):
    parent = start(page, server, max_steps=60, text="words-twice")
    is_finished(page, server)
    expect(at(page, "fork")).to_be_visible()
    press(page, "fork")
    at(page, "fork-start").scroll_into_view_if_needed()
    choose(page, f"fork-text-{parent}", 1 + DRAWING_ROOM)  # after the text of the parent
    expect(page.get_by_text(re.compile(r"[\d,]+ of its [\d,]+ characters"))).to_be_visible()
    child = fork(page)
    is_finished(page, server)
    origin = server.run(child)["parent"]
    assert (origin["id"], origin["step"], origin["goes_on"]) == (parent, 60, False)
    assert "A" in origin["left_out"]

    losses = page.get_by_text(re.compile(r"[\d.]+ → [\d.]+.* [\d.]+ → [\d.]+"))
    expect(losses).to_be_visible()
    new, newest, old, oldest = map(float, re.findall(r"\d+\.\d+", losses.inner_text()))
    assert newest < new
    assert oldest > old
    dashed = page.locator(f"{CHART} .old.curve")
    expect(dashed).to_have_attribute("d", re.compile(r"M.+L.+L"))

    press(page, "parent")
    until(page, lambda: run_id(page) == parent, "the parent on show")
    assert not page.errors


def test_a_run_that_trains_is_forked_from_now_with_another_rate_on_a_phone(new_page, server):
    page = new_page(viewport={"width": 390, "height": 844})
    parent = start(page, server)
    wait_for_more_steps(page, 10)
    press(page, "fork")
    rate = page.locator("[class*=st-key-fork-learning_rate] input")
    expect(rate).to_have_value("0.001")
    rate.fill("0.0025")
    rate.press("Enter")
    settle(page)
    child = fork(page)
    until(page, lambda: server.run(parent)["state"] == "stopped", "the end of the parent")
    origin = server.run(child)["parent"]
    assert server.run(child)["train"]["learning_rate"] == 0.0025
    assert origin["has_memory"]
    before = [row for row in server.lines(parent) if row["step"] < origin["step"]]
    assert server.lines(child)[: len(before)] == before
    wait_for_more_steps(page, origin["step"] + 5)
    expect(button(page, "bar-stop")).to_be_visible()
    assert not page.errors
