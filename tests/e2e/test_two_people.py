"""Two people and one run: who may do what, and what each can download."""

import csv
import io
import json
import zipfile

import pytest
from driving import alerts, at, button, press, settle, start, step, until, visit, wait_for_more_steps
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(240)


def test_a_link_with_settings_shows_them_and_stays_for_a_reload(page, server):
    visit(page, f"{server.url}/train?preset=article&n_layer=5&n_embd=5000&text=words-twice")
    for _ in range(2):
        expect(at(page, "knob-n_layer").locator("input[type=range]")).to_have_attribute("aria-valuetext", "5")
        expect(at(page, "knob-n_embd").locator("input[type=range]")).to_have_attribute("aria-valuetext", "384")
        expect(at(page, "text").locator("input")).to_have_value("Words said twice")
        assert "5000" in alerts(page)
        page.reload(wait_until="commit")
        expect(at(page, "run-bar")).to_be_visible()
        settle(page)


def test_curves_and_folder_are_downloaded_while_it_trains(page, server, tmp_path):
    run = start(page, server)
    reached = wait_for_more_steps(page)
    press(page, "take-away-button")
    expect(button(page, "take-folder")).to_be_visible()
    for number in range(3):  # ticks in between do not remove the files
        with page.expect_download() as download:
            button(page, "take-curves").click()
        name = server.run(run)["name"]
        assert download.value.suggested_filename == f"{name}.csv"
        rows = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
        assert [int(row["step"]) for row in rows] == list(range(len(rows)))
        assert len(rows) > reached
        with page.expect_download() as download:
            button(page, "take-folder").click()
        archive = zipfile.ZipFile(download.value.path())
        assert archive.testzip() is None
        assert json.loads(archive.read(f"{run}/run.json"))["id"] == run
        wait_for_more_steps(page)
        page.wait_for_timeout(700 * number)
    command = at(page, "take-away").locator("[data-testid=stCode]").inner_text()
    assert "python -m microllm train --preset article" in command
    press(page, "bar-stop")
    until(page, lambda: server.run(run)["state"] == "stopped", "the end of the run")
    until(page, lambda: step(page), "the step at which it was stopped")
    assert not page.errors


def test_what_unfolds_fits_on_a_phone(new_page, server):
    page = new_page(viewport={"width": 390, "height": 844})
    visit(page, f"{server.url}/train?preset=article&block_size=32&sentence={'word%20' * 20}")
    press(page, "share")
    body = page.locator("[data-testid=stPopoverBody]").first
    expect(body).to_contain_text("preset=article")
    box = body.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert button(page, "share").bounding_box()["height"] >= 40
