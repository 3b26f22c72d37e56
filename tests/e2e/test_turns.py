"""More runs than slots: turns in a real browser, and what a window shows while its run waits."""

import math
import re
import threading
import time

import pytest
from driving import at, press, run_id, start, step, until, visit
from playwright.sync_api import expect

pytestmark = [pytest.mark.timeout(240), pytest.mark.alone]
TURN = 3.0  # seconds, see Slots
LATE = 3.0  # seconds: the page is a tick old, and a turn ends only after a step or a validation check
OBSERVED = 13.0  # seconds: four turns, and a bit


def wait_in_sentence(page) -> int | None:
    """N of "your turn in N s" in the run bar; None when the run does not wait."""
    found = re.search(r"your turn in (\d+)\ss", at(page, "run-bar").inner_text())
    return found and int(found[1])


class Watch(threading.Thread):
    """Records the turns of the runs: [run, when its turn began, when it last logged in it], by the system's clock."""

    def __init__(self, server, runs) -> None:
        super().__init__(daemon=True)
        self.turns: list[list] = []
        self._files = [server.home / "runs" / run / "metrics.jsonl" for run in runs]
        self._over = threading.Event()

    def run(self) -> None:
        written = [file.stat().st_mtime for file in self._files]
        while not self._over.wait(0.02):
            before, written = written, [file.stat().st_mtime for file in self._files]
            news = [i for i, (old, new) in enumerate(zip(before, written, strict=True)) if new > old]
            for i in sorted(news, key=written.__getitem__):
                if self.turns and self.turns[-1][0] == i:
                    self.turns[-1][2] = written[i]
                else:
                    self.turns.append([i, written[i], written[i]])

    def end(self) -> None:
        """Stop watching."""
        self._over.set()
        self.join()


def test_two_runs_share_one_slot_fairly_and_each_run_bar_says_when_its_turn_comes(new_page, fresh_server):
    server = fresh_server(MICROLLM_SLOTS="1")
    pages = [new_page(viewport={"width": 900, "height": 700}) for _ in range(2)]
    runs = [start(page, server) for page in pages]
    assert len(set(runs)) == 2
    pages[0].wait_for_timeout(2_000)  # in the first turn of the second

    watch, looks = Watch(server, runs), []
    watch.start()
    began = time.time()
    while time.time() < began + OBSERVED:
        looks += [(time.time(), run, wait_in_sentence(page)) for run, page in enumerate(pages)]
        pages[0].wait_for_timeout(50)
    watch.end()

    order = [run for run, _, _ in watch.turns]
    ends = [end for _, _, end in watch.turns]
    lengths = [(run, after - before) for run, before, after in zip(order[1:-1], ends, ends[1:-1], strict=False)]
    print("turns", [f"{run}: {seconds:.1f} s" for run, seconds in lengths])
    assert len(order) >= 4
    assert set(order) == {0, 1}
    assert all(seconds == pytest.approx(TURN, abs=1.5) for _, seconds in lengths[1:])  # after a first one

    errors = []  # a run bar that is a tick late still shows the turn that has just begun
    for now, run, said in looks:
        begins = [begin for other, begin, _ in watch.turns[1:] if other == run]
        if said is not None and began + LATE < now < began + OBSERVED - said - LATE:
            errors.append(min((now + said - begin for begin in begins), key=abs, default=math.inf))
    print(f"{len(errors)} sentences, wrong by {min(errors):.1f} to {max(errors):.1f} s")
    assert len(errors) > 20
    assert max(map(abs, errors)) < LATE
    assert not any(page.errors for page in pages)


def test_a_run_that_waits_for_its_first_turn_says_so_and_offers_the_game(new_page, fresh_server):
    server = fresh_server(MICROLLM_SLOTS="1")
    first, second = new_page(), new_page()
    visit(first, f"{server.url}/train?n_embd=192&n_layer=6&block_size=128")  # slow to start
    visit(second, f"{server.url}/train")
    assert not second.locator(".guess").count()
    press(first, "start")
    run = until(first, lambda: run_id(first), "its run")
    until(first, lambda: server.run(run)["state"] == "training", "its turn")
    press(second, "start")
    expect(at(second, "run-bar")).to_contain_text(re.compile(r"your turn in [1-5]\ss"))
    expect(second.locator(".guess .blank")).to_be_visible()
    second.locator(".guess input").press("e")
    expect(second.locator(".guess .score")).to_contain_text("of 1")
    until(second, lambda: step(second) is not None, "its turn")
    expect(second.locator(".guess .score")).to_contain_text("of 1")  # the game goes on while it trains
    assert not second.errors
