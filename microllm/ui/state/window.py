"""What one browser window keeps alive."""

from __future__ import annotations

import math
import secrets

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from ...jobs.generation import Generation
from ...jobs.training import TrainingJob
from .. import presence
from ..server import Background


class Window:
    """What one browser window keeps alive: the runs it opened, and what is written for it (in the background)."""

    def __init__(self) -> None:
        self.id = secrets.token_hex(8)
        self.generations: dict[str, Generation] = {}
        self.readers: dict = {}
        self.packages: dict[str, Background] = {}
        self.ordered = -math.inf  # when the last order was carried out
        self._held: dict[str, TrainingJob] = {}
        self._session = get_script_run_ctx().session_id
        presence.window_opened(self.id)

    def hold(self, job: TrainingJob) -> None:
        """Keep a run alive until this window closes."""
        if self._held.get(job.run.id) is not job:
            self._held[job.run.id] = job
            job.attach_window(self.id)

    def holds(self, run_id: str) -> bool:
        """True for a run that this window has opened while it trained."""
        return run_id in self._held

    def close(self) -> None:
        """Let everything go: the window was closed, reloaded, or lost its connection."""
        presence.window_closed(self.id)
        for job in self._held.values():
            job.detach_window(self.id)
        for writing in self.generations.values():
            writing.stop()
        for reader in self.readers.values():
            reader.stop()
        if st.runtime.exists():  # what it could download, a packed run for one, Streamlit would keep for minutes
            downloads = st.runtime.get_instance().media_file_mgr
            downloads.clear_session_refs(self._session)
            downloads.remove_orphaned_files()


@st.cache_resource(scope="session", on_release=Window.close, show_spinner=False)
def window() -> Window:
    """The browser window that this script runs for."""
    return Window()
