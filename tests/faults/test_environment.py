"""A first start where hardly anything is there: no network, an empty cache, a home that cannot be written, no GPU."""

import pytest
from driving import alerts, button, press_start, until, visit, wait_for_more_steps
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(240)


# ---- 45. offline, empty cache, read-only home, no GPU


def test_without_network_the_page_says_so_and_trains_on_a_built_in_text(fresh_server, page, tmp_path):
    nowhere = "http://127.0.0.1:9"  # a port where nobody answers
    server = fresh_server(mirror=str(tmp_path), HTTPS_PROXY=nowhere, https_proxy=nowhere, no_proxy="", NO_PROXY="")
    visit(page, f"{server.url}/train")
    until(page, lambda: "Pride and Prejudice" in alerts(page), "a notice")
    expect(button(page, "start")).to_be_enabled()
    run = press_start(page)
    assert server.run(run)["text"]["name"] == "Drawing-room sentences"
    wait_for_more_steps(page)


def test_where_the_home_cannot_be_written_the_page_says_so_and_trains_all_the_same(fresh_server, page, tmp_path):
    (tmp_path / "file").write_text("in the way")
    server = fresh_server(MICROLLM_HOME=str(tmp_path / "file" / "home"), CUDA_VISIBLE_DEVICES="")
    visit(page, f"{server.url}/train")
    until(page, lambda: "MICROLLM_HOME" in alerts(page), "a notice")
    press_start(page)
    wait_for_more_steps(page)
    expect(button(page, "bar-stop")).to_be_visible()
    assert not page.errors
