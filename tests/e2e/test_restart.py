"""A server that is stopped or killed loses nothing that was saved: one click goes on."""

import pytest
from driving import PATIENCE, Server, at, button, press, settle, start, step, until, visit, wait_for_more_steps
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize("end", ["Ctrl-C", "kill"])
def test_after_a_restart_the_run_is_shown_as_interrupted_and_one_click_resumes_it(end, new_page, mirror, tmp_path):
    first = Server(tmp_path / "home", mirror, MICROLLM_CHECKPOINT="0.2").wait_until_it_answers()
    page = new_page()
    visit(page, f"{first.url}/train")
    run = start(page, preset="article")
    wait_for_more_steps(page, 30)
    link = page.evaluate("location.pathname + location.search")
    page.goto("about:blank")
    if end == "kill":
        first._process.kill()
        first._process.wait()
    else:
        assert first.end() == 0
    reached = first.lines(run)[-1]["step"]
    assert first.run(run)["state"] == ("interrupted" if end == "Ctrl-C" else "training")

    second = Server(first.home, mirror).wait_until_it_answers()
    try:
        visit(page, second.url + link)
        expect(at(page, "strip")).to_contain_text("interrupted", timeout=PATIENCE * 1000)
        assert len(second.lines(run)) > 0.5 * reached
        press(page, "strip-go-on")
        expect(button(page, "strip-stop")).to_be_visible(timeout=PATIENCE * 1000)
        until(page, lambda: (step(page) or 0) > reached + 5, "steps beyond those before the restart")
        press(page, "strip-stop")
        settle(page)
        until(page, lambda: second.run(run)["state"] == "stopped", "the end")
        steps = [line["step"] for line in second.lines(run)]
        assert steps == list(range(len(steps)))  # no gap, no zig-zag
        assert not page.errors
    finally:
        second.end()
