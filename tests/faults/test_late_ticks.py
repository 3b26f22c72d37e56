"""A tick that was on its way while a script switched to another page does not take the window back."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData, ScriptRequests

from benchmarks.visitor import Visitor, _state
from microllm.ui import late_ticks


class Window(Visitor):
    """A window that remembers which page each run of a script was for."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.pages_run: list[str] = []

    async def _take(self, message) -> None:
        if message.WhichOneof("type") == "new_session":
            self.pages_run.append(message.new_session.page_script_hash)
        await super()._take(message)


@pytest.mark.parametrize("milliseconds", [1, 10, 30])
@pytest.mark.parametrize("part", ["bar-row", "attention-text"])
def test_a_button_leads_to_another_page_whenever_a_tick_comes(server, part, milliseconds):
    async def visit() -> None:
        async with Window(server.url) as window:
            await window.open("attention", until="knock-out-head")
            await window.press("knock-out-head", lambda: "see-knockout" in window.shown)
            button = window.shown["see-knockout"]
            fragment = window.shown[part].fragment
            window._stop_timers()
            window.pages_run.clear()
            await window._ask(button.fragment, [_state(button, True)])
            await asyncio.sleep(milliseconds / 1000)
            page, window._page = window._page, window._pages["attention"]
            await window._ask(fragment, is_timer=True)
            window._page = page
            async with asyncio.timeout(20):
                while "knockout-map" not in window.shown:
                    await asyncio.sleep(0.02)
            await asyncio.sleep(0.3)
            switched = window.pages_run.index(window._pages["inside"])
            assert set(window.pages_run[switched:]) == {window._pages["inside"]}
            assert not window.problems

    with ThreadPoolExecutor(1) as threads:
        threads.submit(lambda: asyncio.run(visit())).result()


def test_a_switch_that_waits_is_not_changed_by_a_tick_for_the_page_before():
    late_ticks.guard()
    requests = ScriptRequests()
    requests.request_rerun(RerunData(page_script_hash="learn", query_string="run=1"))
    requests.request_rerun(RerunData(page_script_hash="train", fragment_id="bar", is_auto_rerun=True))
    asked = requests.on_scriptrunner_ready().rerun_data
    assert (asked.page_script_hash, asked.query_string, asked.fragment_id_queue) == ("learn", "run=1", [])
