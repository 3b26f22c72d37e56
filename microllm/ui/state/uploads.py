"""The files that a window has uploaded: of each field the newest is in memory, and none when the window has gone."""

from __future__ import annotations

import contextlib
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx


class Uploads:
    """What one window holds. Streamlit itself lets a file go only with the session, minutes after its window."""

    def __init__(self) -> None:
        context = get_script_run_ctx()
        self._manager, self._session = context.uploaded_file_mgr, context.session_id
        self._held: dict[str, Any] = {}

    def hold(self, field: str, file: Any) -> None:
        """Hold the value of this field instead of the one before, and let go of files that came before it.

        One that has come since, and is about to be the value, stays.
        """
        before = self._held.get(field)
        self._held[field] = file
        if before is not None and before is not file:
            before.close()
        if before is None or before.file_id != file.file_id:
            held = {one.file_id for one in self._held.values()}
            for file_id in self._uploaded():
                if file_id == file.file_id:
                    break
                if file_id not in held:
                    self._manager.remove_file(self._session, file_id)

    def _uploaded(self) -> list[str]:
        """The ids of all files of this window, the oldest first."""
        return list(getattr(self._manager, "file_storage", {}).get(self._session, ()))

    def close(self) -> None:
        """Let all go: the window has gone. (A script that still reads one finds nothing, see `content`.)"""
        self._manager.remove_session_files(self._session)
        for file in list(self._held.values()):
            file.close()


@st.cache_resource(scope="session", on_release=Uploads.close, show_spinner=False)
def _uploads() -> Uploads:
    return Uploads()


def uploaded(field: str) -> Any | None:
    """The file in the field with this key; None where there is none, or it is in memory no more."""
    file = st.session_state.get(field)
    if not hasattr(file, "getvalue"):  # Streamlit has a value for a file that it has let go
        return None
    _uploads().hold(field, file)
    return file


def content(file: Any) -> bytes | None:
    """What is in a file; None when the window went meanwhile."""
    with contextlib.suppress(ValueError):
        return file.getvalue()
    return None
