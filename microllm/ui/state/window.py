"""What one browser window keeps alive."""

from __future__ import annotations

import math
import secrets
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from ...jobs.background import Background
from ...jobs.generation import Generation
from ...jobs.training import TrainingJob
from .. import presence

_MAX_GENERATIONS = 8


class Window:
    """What one browser window keeps alive: its training jobs, and what is generated or packed for it."""

    def __init__(self) -> None:
        self.id = secrets.token_hex(8)
        self.generations: dict[tuple, Generation] = {}  # by parts.predictor.key
        self.readers: dict = {}
        self.packages: dict[tuple[str, int | None], tuple[Any, Background]] = {}  # by run and moment: parts.take_away
        self.last_command = -math.inf  # time.monotonic() when it ended
        self._held: dict[str, TrainingJob] = {}
        self._session = get_script_run_ctx().session_id
        presence.window_opened(self.id)

    def keep(self, key: tuple, generation: Generation) -> None:
        """Remember the newest generation with each predictor, but only of the latest few: each holds a model."""
        self.generations.pop(key, None)
        while len(self.generations) >= _MAX_GENERATIONS:
            self.generations.pop(next(iter(self.generations))).stop()
        self.generations[key] = generation

    def forget_packages(self) -> None:
        """Let go of what was packed for download, and stop packing."""
        for _, work in self.packages.values():
            work.cancelled.set()
        self.packages.clear()

    def hold(self, job: TrainingJob) -> None:
        """Keep a training job alive until this window closes."""
        if self._held.get(job.run.id) is not job:
            self._held[job.run.id] = job
            job.windows.add(self.id)

    def holds(self, run_id: str) -> bool:
        """True for a run that this window has shown while it trained."""
        return run_id in self._held

    def close(self) -> None:
        """Release everything: the window was closed, reloaded, or lost its connection."""
        presence.window_closed(self.id)
        for job in self._held.values():
            job.windows.remove(self.id)
        for generation in self.generations.values():
            generation.stop()
        for reader in self.readers.values():
            reader.stop()
        self.forget_packages()
        if st.runtime.exists():  # Streamlit would keep the window's downloads, such as a packed run, for minutes
            downloads = st.runtime.get_instance().media_file_mgr
            downloads.clear_session_refs(self._session)
            downloads.remove_orphaned_files()


@st.cache_resource(scope="session", on_release=Window.close, show_spinner=False)
def window() -> Window:
    """The browser window for which this script runs."""
    return Window()
