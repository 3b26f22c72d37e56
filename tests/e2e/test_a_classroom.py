"""Three people on one server: everybody is served, nobody loses anything. benchmarks/classroom.py takes thirty."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from driving import start, step, until, wait_for_more_steps

from benchmarks.classroom import Curves, attend, is_whole, shares

pytestmark = [pytest.mark.timeout(240), pytest.mark.alone]

VISITORS, SECONDS, PAUSE = 3, 20.0, 1.2
SLACK = 5.0  # seconds, for a machine that has other things to do


def test_everybody_is_served_and_nobody_loses_anything(fresh_server, page):
    server = fresh_server()
    own = start(page, server)
    wait_for_more_steps(page)
    curves = Curves(server.home)
    curves.start()
    end = time.time() + SECONDS

    async def come() -> list[dict]:
        return await asyncio.gather(*(attend(server.url, which, end, PAUSE) for which in range(VISITORS)))

    with ThreadPoolExecutor(1) as elsewhere:  # Playwright has a loop of its own in this thread
        told = elsewhere.submit(lambda: asyncio.run(come())).result()
    assert [one["problems"] for one in told] == [[]] * VISITORS
    runs = [run for one in told for _, run in one["runs"]]
    assert len(set(runs)) == len(runs) >= VISITORS
    until(
        page, lambda: all(server.run(run)["state"] not in ("waiting", "training", "paused") for run in runs), "the ends"
    )
    assert all(is_whole(server.home / "runs" / run) for run in runs)
    curves.is_over.set()
    pressed = sorted(start for one in told for start, _ in one["runs"])
    for start_of_it, (waited, share) in zip(pressed, shares(told, curves.fifth), strict=True):
        if start_of_it + share + SLACK < end:  # who leaves earlier has no share
            assert waited < share + SLACK
    waits = sorted(wait for one in told for wait in one["waits"])
    assert waits[int(0.95 * len(waits))] < 5, waits

    before = step(page)  # and the one who was there first still has a run that trains
    wait_for_more_steps(page, before)
    assert server.run(own)["state"] == "training"
    assert not page.errors
