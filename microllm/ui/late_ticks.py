"""Keep a window on its page when a tick arrives late.

A browser asks for each tick in the name of the page that it shows. When a script goes to another page
(`st.switch_page`), a tick for the page before may already be on its way. Streamlit would run it as that page: the
browser would then clear the new one, and stay blank. So a part of a page always runs as part of the page that the
window is on.
"""

from __future__ import annotations

from dataclasses import replace

from streamlit.runtime.scriptrunner.script_runner import ScriptRunner
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData, ScriptRequests, ScriptRequestType


def guard() -> None:
    """From now on, no tick changes the page."""
    if getattr(ScriptRunner._run_script, "is_guarded", False):  # app.py was run again
        return
    run, request = ScriptRunner._run_script, ScriptRequests._request_rerun_locked

    def run_on_this_page(runner: ScriptRunner, asked: RerunData) -> None:
        here = runner._pages_manager.current_page_script_hash
        if asked.fragment_id_queue and here:
            asked = replace(asked, page_script_hash=here)
        run(runner, asked)

    def keep_the_switch(requests: ScriptRequests, new: RerunData) -> bool:
        waiting = requests._rerun_data
        if requests._state == ScriptRequestType.RERUN and new.fragment_id and not waiting.fragment_id_queue:
            new = replace(
                new,
                page_script_hash=waiting.page_script_hash,
                page_name=waiting.page_name,
                query_string=waiting.query_string,
            )
        return request(requests, new)

    run_on_this_page.is_guarded = True
    ScriptRunner._run_script = run_on_this_page
    ScriptRequests._request_rerun_locked = keep_the_switch
