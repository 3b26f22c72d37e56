"""A twin is trained in a browser, and its result comes into view."""

import pytest
from driving import at, button, finished_run, settle, visit
from playwright.sync_api import expect

from microllm.data.builtin import drawing_room

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("is_phone", [True, False])
def test_on_a_phone_the_result_comes_into_view_and_elsewhere_the_page_stays_where_it_is(new_page, server, is_phone):
    run = finished_run(server.home, own_text=drawing_room(6_000))
    page = new_page(viewport={"width": 390, "height": 844} if is_phone else {"width": 1280, "height": 800})
    visit(page, f"{server.url}/learn?run={run}")
    at(page, "learn-watch").locator("button").nth(2).click()
    button(page, "twin-start").click()
    expect(at(page, "twin-effect")).to_be_attached()
    settle(page)
    top = at(page, "twin-result").bounding_box()["y"]
    if is_phone:
        assert 0 <= top < 844 / 4
    else:
        assert page.locator("[data-testid=stMain]").evaluate("it => it.scrollTop") == 0
    assert not page.errors
