"""Windows that close, connections that break, servers that restart, strangers with a link."""

import pytest
from driving import (
    CHART,
    GRACE,
    Server,
    alerts,
    at,
    button,
    curve,
    press,
    press_start,
    run_id,
    settle,
    shared_link,
    start,
    step,
    stored_keys,
    until,
    visit,
    wait_for_more_steps,
)
from filelock import FileLock, Timeout
from playwright.sync_api import expect

pytestmark = pytest.mark.timeout(240)


# ---- 37. ten clicks on Start


def test_ten_clicks_on_start_are_one_run(page, server):
    visit(page, f"{server.url}/train")
    expect(button(page, "start")).to_be_enabled()
    before = {path.name for path in (server.home / "runs").glob("*")}
    page.evaluate("""async () => {
        for (let i = 0; i < 10; i++) {  // slowly enough that each is a click of its own for the server
            document.querySelector('.st-key-start button').click();
            await new Promise(go => setTimeout(go, 100));
        }
    }""")
    until(page, lambda: run_id(page), "a run in the address")
    until(page, lambda: (step(page) or 0) > 5, "its first steps")
    page.wait_for_timeout(1_500)
    after = {path.parent.name for path in (server.home / "runs").glob("*/run.json")}
    assert after - before == {run_id(page)}
    expect(button(page, "bar-stop")).to_be_visible()
    assert not page.errors


# ---- 38. a reload, a lost connection, a closed window


def has_the_whole_curve(page, server, run) -> bool:
    """True when the curve begins at step 1 (left edge of the log axis) and all validation checks are drawn."""
    val_losses = [line["step"] for line in server.lines(run) if "val_loss" in line and line["step"] > 0]
    drawn = curve(page)
    return drawn["left"] == drawn["edge"] and drawn["val_losses"] >= len(val_losses) > 0


def test_a_reload_comes_back_to_the_run_on_every_page_and_it_trains_on(page, server):
    run = start(page, server)
    name = server.run(run)["name"]
    before = wait_for_more_steps(page)
    for address in ("train", "attention", "generate"):
        page.locator(f"header a[href*='/{address}'], [data-testid=stTopNavLink][href*='/{address}']").first.click()
        until(page, lambda address=address: f"/{address}" in page.url, "the page")
        until(page, lambda: run_id(page) == run, "the run in the address")
        settle(page)
        page.reload(wait_until="commit")
        expect(at(page, "run-bar")).to_contain_text(name)
        assert run_id(page) == run
        before = wait_for_more_steps(page, before)
        page.wait_for_timeout(1000 * GRACE + 500)
        before = wait_for_more_steps(page, before)
        if address == "train":
            expect(page.locator(CHART)).to_be_visible()
            until(page, lambda: has_the_whole_curve(page, server, run), "the whole curve")
    assert server.run(run)["state"] == "training"
    assert not page.errors


def is_being_trained(server, run) -> bool:
    """True while some thread anywhere is the run's writer."""
    try:
        with FileLock(server.home / "runs" / run / "lock", timeout=0):
            return False
    except Timeout:
        return True


def test_a_lost_connection_does_not_stop_the_run(page, server):
    run = start(page, server)
    before = wait_for_more_steps(page)
    page.evaluate("streamlitDebug.disconnectWebsocket()")
    until(page, lambda: step(page) > before, "more steps")
    settle(page)
    page.wait_for_timeout(1000 * GRACE + 1_500)
    assert server.run(run)["state"] == "training"
    wait_for_more_steps(page)


def test_a_closed_window_stops_its_run_after_the_grace_time(page, new_page, server):
    run = start(page, server)
    assert is_being_trained(server, run)
    watcher, context = new_page(), page.context
    page.close()
    until(watcher, lambda: server.run(run)["state"] == "stopped", "the end of the run")
    until(watcher, lambda: not is_being_trained(server, run), "the end of its thread")
    last = server.lines(run)[-1]["step"]
    assert (server.home / "runs" / run / "snapshots" / f"step-{last}.safetensors").is_file()
    visit(watcher, f"{server.url}/train?run={run}")
    until(watcher, lambda: step(watcher) == last, "the last step in the strip")
    assert not at(watcher, "bar-go-on").count()
    again = context.new_page()
    visit(again, server.url)  # the bare address: this browser finds its run, and another one nothing
    until(again, lambda: run_id(again) == run, "the run in the address")
    expect(button(again, "bar-go-on")).to_be_enabled()
    visit(watcher, server.url)
    settle(watcher)
    assert run_id(watcher) is None


# ---- 39. the server restarted


def test_after_a_restart_the_run_is_shown_as_interrupted_and_one_click_resumes_it(page, mirror, tmp_path):
    server = Server(tmp_path / "home", mirror, MICROLLM_CHECKPOINT="0.2").wait_until_it_answers()
    try:
        run = start(page, server, preset="article")
        for end, state_on_disk in (("Ctrl-C", "interrupted"), ("kill", "training")):
            wait_for_more_steps(page, 30)
            link = page.evaluate("location.pathname + location.search") if end == "Ctrl-C" else "/attention"
            page.goto("about:blank")
            if end == "kill":
                server.kill()
            else:
                assert server.end() == 0
            assert server.run(run)["state"] == state_on_disk
            reached = server.lines(run)[-1]["step"]

            # the browser keeps the key for this address, port included
            server = Server(server.home, mirror, server.port, MICROLLM_CHECKPOINT="0.2").wait_until_it_answers()
            visit(page, server.url + link)
            expect(at(page, "run-bar")).to_contain_text("interrupted")
            assert len(server.lines(run)) > 0.5 * reached
            press(page, "bar-go-on")
            expect(button(page, "bar-stop")).to_be_visible()
            until(page, lambda reached=reached: (step(page) or 0) > reached + 5, "steps beyond those before the end")
        press(page, "bar-stop")
        settle(page)
        until(page, lambda: server.run(run)["state"] == "stopped", "the end")
        steps = [line["step"] for line in server.lines(run)]
        assert steps == list(range(len(steps)))  # no gap, no zig-zag
        assert not page.errors
    finally:
        server.end()


# ---- 41. nobody stops another one's run


def test_a_stranger_with_the_link_watches_and_cannot_stop_the_run(page, new_page, server):
    run = start(page, server)
    link = shared_link(page)
    assert link.startswith(f"{server.url}/train?")
    key = stored_keys(page)[run]
    assert key not in link and key not in page.url and key not in page.content()

    stranger = new_page()
    visit(stranger, link)
    assert run_id(stranger) == run
    expect(at(stranger, "run-bar")).to_contain_text("watching")
    wait_for_more_steps(stranger)
    for command in ("pause", "step", "stop"):
        assert not at(stranger, f"bar-{command}").count()
    assert not alerts(stranger).count("key")
    own = press_start(stranger)
    assert own != run
    wait_for_more_steps(stranger)
    press(stranger, "bar-stop")
    until(stranger, lambda: server.run(own)["state"] == "stopped", "the end of the stranger's run")
    assert server.run(run)["state"] == "training"

    page.reload(wait_until="commit")
    expect(button(page, "bar-stop")).to_be_visible()
    wait_for_more_steps(page)
    press(page, "bar-stop")
    until(page, lambda: server.run(run)["state"] == "stopped", "the end of the owner's run")
    assert not page.errors and not stranger.errors
