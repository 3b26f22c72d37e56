"""Links, two windows, a closed window, and runs that are trained by another process."""

import shutil
import signal

import pytest
from driving import (
    PATIENCE,
    at,
    button,
    command_line_training,
    curve,
    finished_run,
    link_of,
    press,
    run_id,
    start,
    step,
    stored_keys,
    until,
    visit,
    wait_for_more_steps,
)
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(240)
PAGES = ("train", "attention", "generate")


def test_a_link_is_the_first_thing_a_fresh_server_is_asked_for(fresh_server, page):
    server = fresh_server()
    run = finished_run(server.home, max_steps=80)

    addresses = []
    page.on("framenavigated", lambda frame: addresses.append(frame.url))
    visit(page, f"{server.url}/attention?run={run}")
    expect(at(page, "run-bar")).to_contain_text(server.run(run)["name"])
    assert run_id(page) == run
    assert "/attention" in page.url
    assert len(addresses) > 1 and all(f"run={run}" in address for address in addresses)  # so a reload loses nothing
    assert step(page) == 80
    for other in PAGES:
        assert page.locator(f"a[href*='/{other}']").count()
    expect(at(page, "attention-one").locator(".xtick text").first).to_be_visible()
    assert not page.errors


def test_a_run_that_is_trained_next_door_is_shown_live_and_who_opens_its_link_owns_it(page, server):
    training = command_line_training(server.home, max_steps=1_000_000)
    try:
        link = link_of(training)
        page.goto("about:blank")
        visit(page, server.url + link)
        until(page, lambda: "key=" not in page.url, "the key out of the address")
        run, key = run_id(page), link.partition("key=")[2]
        assert stored_keys(page) == {run: key}
        assert key not in page.content()
        for _ in range(3):  # more than the entries that a fresh server makes
            page.go_back()
            assert "key=" not in page.url
        visit(page, f"{server.url}/train?run={run}")
        until(page, lambda: step(page) is not None, "a step in the run bar")
        wait_for_more_steps(page, wait_for_more_steps(page))
        drawn = curve(page)["path"]
        until(page, lambda: curve(page)["path"] != drawn, "a longer curve")
    finally:
        training.send_signal(signal.SIGINT)
        assert training.wait(PATIENCE) == 0
    last = server.lines(run)[-1]["step"]
    until(page, lambda: step(page) == last, "the last step in the run bar")
    until(page, lambda: "stopped" in at(page, "run-bar").inner_text(), "its end in the run bar")
    expect(button(page, "bar-go-on")).to_be_enabled()


@pytest.mark.parametrize("address", ["train", "attention", "generate"])
def test_a_run_that_another_window_deletes_is_named_wherever_one_clicks_next(address, page, server):
    run = finished_run(server.home, max_steps=40)
    visit(page, f"{server.url}/{address}?run={run}")
    if address == "generate":
        press(page, "generate")
        expect(button(page, "download")).to_be_enabled()
    target = {
        "train": at(page, "timeline").locator(".track"),
        "attention": at(page, "attention-heads").locator("[role=radio]").nth(1),
        "generate": page.locator(".letters [role=option]").nth(20),
    }[address]
    expect(target).to_be_visible()
    shutil.rmtree(server.home / "runs" / run)
    target.click()
    expect(page.locator("[data-testid=stAlert]", has_text=run).first).to_be_visible()
    assert not page.locator("[data-testid=stException]").count()
    assert not page.errors


def test_the_menu_of_the_run_bar_leads_to_an_earlier_run(page, server):
    run = finished_run(server.home, max_steps=40)
    start(page, server)
    body = page.locator("[data-testid=stPopoverBody]")
    for size in ({"width": 390, "height": 844}, {"width": 1280, "height": 800}):
        page.set_viewport_size(size)
        for _ in range(2):  # also while all of it ticks it unfolds upwards, where there is room
            # Streamlit's answer to the closing also closes a menu opened since: the second tick comes after it
            wait_for_more_steps(page, wait_for_more_steps(page))
            press(page, "runs-menu")
            expect(at(page, f"open-{run}")).to_be_visible()
            menu, name = body.bounding_box(), button(page, "runs-menu").bounding_box()
            assert menu["y"] >= 0 and menu["height"] > 300
            assert menu["y"] + menu["height"] <= name["y"]
            page.keyboard.press("Escape")
            expect(body).to_have_count(0)
    press(page, "bar-stop")
    visit(page, f"{server.url}/generate")
    press(page, "runs-menu")
    press(page, f"open-{run}")
    until(page, lambda: run_id(page) == run, "the run in the address")
    expect(at(page, "run-bar")).to_contain_text(server.run(run)["name"])
    expect(button(page, "generate")).to_be_visible()
