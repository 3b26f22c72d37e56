"""An experiment in a browser: a prediction, what there is to see, and back to the result, which is in view."""

import pytest
from driving import at, press, settle, visit
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(240)
NAME = "a-head-is-born"


def test_a_question_stays_at_its_place_when_its_card_opens(page, server):
    visit(page, f"{server.url}/experiments")
    question = at(page, f"question-{NAME}").locator("button p").first
    before = question.bounding_box()
    press(page, f"question-{NAME}")
    expect(at(page, f"prediction-{NAME}")).to_be_visible()
    settle(page)
    after = question.bounding_box()
    assert abs(after["x"] - before["x"]) <= 2 and abs(after["y"] - before["y"]) <= 2


def test_a_person_predicts_looks_and_comes_back_to_the_result(page, server):
    page.set_viewport_size({"width": 390, "height": 844})
    visit(page, f"{server.url}/experiments")
    press(page, f"question-{NAME}")
    expect(at(page, f"run-{NAME}").locator("button")).to_be_disabled()
    at(page, f"prediction-{NAME}").get_by_role("radiogroup").locator("label").first.click()
    press(page, f"run-{NAME}")
    expect(at(page, "attention-shown").locator("[aria-checked=true]")).to_have_text("Over training")
    press(page, "experiment-result")
    expect(at(page, "findings")).to_be_visible()
    settle(page)
    expect(at(page, "findings")).to_be_in_viewport()
    page.reload()
    expect(at(page, "findings")).to_be_visible()  # the browser has kept the prediction
    expect(at(page, f"prediction-{NAME}")).to_have_count(0)
    expect(page.locator("[data-testid=stAlert]")).to_have_count(0)
    assert not page.errors
