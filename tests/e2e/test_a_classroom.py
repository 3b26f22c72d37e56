"""Three people on one server: everybody is served, nobody loses anything. benchmarks/classroom.py takes thirty."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from driving import start, step, until, visit, wait_for_more_steps

from benchmarks.classroom import attend, is_whole

pytestmark = pytest.mark.timeout(240)

VISITORS = 3


def test_everybody_is_served_and_nobody_loses_anything(fresh_server, page):
    server = fresh_server()
    visit(page, f"{server.url}/train")
    own = start(page)
    wait_for_more_steps(page)
    end = time.time() + 10 + 5 * (VISITORS + 1)

    async def come() -> list[dict]:
        return await asyncio.gather(*(attend(server.url, which, end, 3.0) for which in range(VISITORS)))

    with ThreadPoolExecutor(1) as elsewhere:  # Playwright has a loop of its own in this thread
        told = elsewhere.submit(lambda: asyncio.run(come())).result()
    assert [one["problems"] for one in told] == [[]] * VISITORS
    runs = [run for one in told for _, run in one["runs"]]
    assert len(set(runs)) == len(runs) >= VISITORS
    until(
        page, lambda: all(server.run(run)["state"] not in ("waiting", "training", "paused") for run in runs), "the ends"
    )
    assert all(is_whole(server.home / "runs" / run) for run in runs)
    waits = sorted(wait for one in told for wait in one["waits"])
    assert waits[int(0.95 * len(waits))] < 5, waits

    before = step(page)  # and the one who was there first still has a run that trains
    wait_for_more_steps(page, before)
    assert server.run(own)["state"] == "training"
    assert not page.errors
