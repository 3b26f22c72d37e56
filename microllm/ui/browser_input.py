"""Check what a browser sends before anything uses it: never trust the browser.

Anyone who can open a page can also speak Streamlit's websocket protocol, and send a path to a select box or a list to a
slider. Streamlit checks numbers against their bounds and ignores clicks on disabled buttons, but it accepts a choice
that was never offered. All input passes through one of these four functions, which `guard` wraps:

- `AppSession.handle_backmsg` gets each message. Message types that our pages do not need are dropped: for example,
  `clear_cache` would close everybody's windows and stop everybody's runs. So are messages with longer lists than a
  browser sends: Streamlit works through them in its event loop, where everybody waits. A connection that sends far more
  messages than a browser can is closed.
- `SessionState.set_widgets_from_proto` gets the values of widgets before any callback or script does.
- `SessionState.register_widget` gets a value whose widget was not yet known when it arrived, as after a restart.
- `MemoryUploadedFileManager.add_file` gets each uploaded file. Beyond MAX_UPLOADED_BYTES, a window loses its oldest;
  beyond MAX_ALL_UPLOADED_BYTES, the window with most does.

A value that the widget did not offer is dropped, so that the widget keeps its previous one. What a component or a chart
sends is JSON; `components.reported` and `number` check it against what was shown.
"""

from __future__ import annotations

import math
import time
from typing import Any
from weakref import WeakKeyDictionary

from starlette.websockets import WebSocketDisconnect
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.state.common import WidgetMetadata, is_element_id, unpack_widget_state_value
from streamlit.runtime.state.session_state import Serialized, SessionState

from ..storage import parsed

MAX_UPLOADED_BYTES = 520_000_000
"""Bytes of uploaded files that a window may hold in memory. Beyond that the oldest are dropped."""

MAX_ALL_UPLOADED_BYTES = 4 * MAX_UPLOADED_BYTES
"""Bytes of uploaded files of all windows together. Texts and runs are stored when a file arrives, so few need more."""

_ACCEPTED_MESSAGES = frozenset({"rerun_script", "stop_script", "app_heartbeat", "file_urls_request"})

_MAX_FILES, _MAX_HASHES, _MAX_WIDGETS, _MAX_ID_CHARACTERS = 100, 10_000, 1_000, 200
_MAX_JSON_CHARACTERS = 2_000_000  # from all components of a window; parsing it holds everybody up for half a second

_FLOOD_MESSAGES, _FLOOD_SECONDS = 1_000, 3.0
_messages: WeakKeyDictionary[AppSession, tuple[float, float]] = WeakKeyDictionary()  # since when, and their weight

_NUMBERS = frozenset({"double_value", "int_value"})  # a number input may send either type


def guard() -> None:
    """From now on, accept only input that our pages offered."""
    if getattr(AppSession.handle_backmsg, "is_guarded", False):  # app.py was run again
        return
    handle, set_widgets, register = (
        AppSession.handle_backmsg,
        SessionState.set_widgets_from_proto,
        SessionState.register_widget,
    )

    def handle_needed(session, message) -> None:
        if is_flood(session, weight(message)):
            raise WebSocketDisconnect(1008)  # Streamlit then ends the connection
        if is_needed(message):
            handle(session, message)

    def set_offered(state, sent) -> None:
        known = ((widget, state.get_widget_metadata(widget.id)) for widget in sent.widgets)
        kept = [
            widget
            for widget, metadata in known
            if (is_offered(metadata, widget) if metadata else is_element_id(widget.id))
        ]
        if len(kept) < len(sent.widgets):
            sent = type(sent)(widgets=kept)
        set_widgets(state, sent)

    def register_offered(state, metadata, user_key):
        values = state._new_widget_state.states
        sent = values.get(metadata.id)
        if isinstance(sent, Serialized) and not is_offered(metadata, sent.value):
            del values[metadata.id]
        return register(state, metadata, user_key)

    add_file = MemoryUploadedFileManager.add_file

    def add_within_limits(manager, session_id, file) -> None:
        while over := _window_over_limit(manager, session_id, len(file.data)):
            manager.remove_file(over, next(iter(manager.file_storage[over])))
        add_file(manager, session_id, file)

    MemoryUploadedFileManager.add_file = add_within_limits
    handle_needed.is_guarded = True
    AppSession.handle_backmsg = handle_needed
    SessionState.set_widgets_from_proto = set_offered
    SessionState.register_widget = register_offered


def _window_over_limit(manager: MemoryUploadedFileManager, window: str, coming: int) -> str | None:
    """The window whose oldest file has to go before `window` gets a file of so many bytes; None if there is room."""
    held = {one: sum(len(file.data) for file in files.values()) for one, files in manager.file_storage.items() if files}
    if held.get(window, 0) and held[window] + coming > MAX_UPLOADED_BYTES:
        return window
    if held and sum(held.values()) + coming > MAX_ALL_UPLOADED_BYTES:
        return max(held, key=held.get)
    return None


def is_flood(session: AppSession, weight: float) -> bool:
    """True if this message of a window is one of far too many in a short time. Counts it with its `weight`."""
    now = time.monotonic()
    began, count = _messages.get(session, (now, 0.0))
    if now - began > _FLOOD_SECONDS:
        began, count = now, 0.0
    _messages[session] = began, count + weight
    return count >= _FLOOD_MESSAGES


def weight(message: BackMsg) -> float:
    """How many small messages take as long as this one."""
    asked = message.rerun_script
    return (
        1
        + len(message.file_urls_request.file_names)
        + len(asked.widget_states.widgets) / 25
        + len(asked.cached_message_hashes) / 100
        + message.ByteSize() / 200_000  # a large text in a box comes again with every message
    )


def is_needed(message: BackMsg) -> bool:
    """True for a message of a type and a size that our pages send."""
    asked, widgets = message.rerun_script, message.rerun_script.widget_states.widgets
    return (
        message.WhichOneof("type") in _ACCEPTED_MESSAGES
        and len(message.file_urls_request.file_names) <= _MAX_FILES
        and len(asked.cached_message_hashes) <= _MAX_HASHES
        and len(asked.fragment_id) <= _MAX_ID_CHARACTERS
        and asked.fragment_id.isprintable()
        and len(widgets) <= _MAX_WIDGETS
        and sum(len(one.json_value) + len(one.json_trigger_value) for one in widgets) <= _MAX_JSON_CHARACTERS
    )


def is_offered(metadata: WidgetMetadata, sent: WidgetState) -> bool:
    """True when the widget could have sent this value: the right type and, for a choice, one of the options.

    All our choices require an option, so "nothing chosen" is not accepted either.
    """
    kind = sent.WhichOneof("value")
    kinds = _NUMBERS if metadata.value_type in _NUMBERS else {metadata.value_type}
    if kind and kind not in kinds:
        return False
    try:
        if kind in ("json_value", "json_trigger_value") and not isinstance(parsed(getattr(sent, kind)), (dict, list)):
            return False
        value = metadata.deserializer(unpack_widget_state_value(sent))
    except Exception:  # a deserializer may raise anything for a value that its widget cannot send
        return False
    options = getattr(getattr(metadata.deserializer, "__self__", None), "options", None)
    return options is None or value in options


def number(value: Any, low: float, high: float) -> float | None:
    """`value` if it is a number from `low` to `high`, else None."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number and math.isfinite(value) and low <= value <= high else None
