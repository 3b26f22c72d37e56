"""The files that a window has uploaded. Only the newest of each field stays in memory, until the window closes."""

from __future__ import annotations

import contextlib
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx


class Uploads:
    """The files that one window holds. Streamlit itself frees them only with the session, minutes after the window."""

    def __init__(self) -> None:
        context = get_script_run_ctx()
        self._manager, self._session = context.uploaded_file_mgr, context.session_id
        self._held: dict[str, Any] = {}

    def hold(self, field: str, file: Any) -> None:
        """Hold the file of this field in place of its previous one, and free files that were uploaded earlier.

        A file that was uploaded later stays: it is about to become the value of its field.
        """
        before = self._held.get(field)
        self._held[field] = file
        if before is not None and before is not file:
            before.close()
        if before is None or before.file_id != file.file_id:
            held = {other.file_id for other in self._held.values()}
            for file_id in self._uploaded():
                if file_id == file.file_id:
                    break
                if file_id not in held:
                    self._manager.remove_file(self._session, file_id)

    def _uploaded(self) -> list[str]:
        """The ids of all files of this window, the oldest first."""
        return list(getattr(self._manager, "file_storage", {}).get(self._session, ()))

    def close(self) -> None:
        """Free all files when the window has closed. A script that still reads one gets None from `content`."""
        self._manager.remove_session_files(self._session)
        for file in list(self._held.values()):
            file.close()


@st.cache_resource(scope="session", on_release=Uploads.close, show_spinner=False)
def _uploads() -> Uploads:
    return Uploads()


def uploaded(field: str) -> Any | None:
    """The file in the field with this key. None if there is none, or if it is no longer in memory."""
    file = st.session_state.get(field)
    if not hasattr(file, "getvalue"):  # Streamlit has a placeholder for a file that it has freed
        return None
    _uploads().hold(field, file)
    return file


def content(file: Any) -> bytes | None:
    """The bytes of a file; None if the window has closed meanwhile."""
    with contextlib.suppress(ValueError):
        return file.getvalue()
    return None
