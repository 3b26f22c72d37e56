"""Check what a browser sends before anything uses it: the browser is not ours.

Whoever can open a page can also speak Streamlit's websocket protocol, and put a path into a select box or a list into a
slider. Streamlit checks numbers against their bounds and refuses clicks on what is disabled, but it hands on a choice
that was never offered. Everything that comes in passes one of these three places, and `guard` narrows them:

- `AppSession.handle_backmsg` gets each message. Kinds that our pages do not need are dropped: `clear_cache`, for one,
  would close everybody's windows and stop everybody's runs.
- `SessionState.set_widgets_from_proto` gets the values of widgets before any callback or script sees them.
- `SessionState.register_widget` meets a value whose widget was not known when it came, as after a restart.

A value that its widget did not offer is dropped there, so the widget keeps the one it had. What a component or a chart
reports is JSON; `components.reported` and `number` check it against what was shown.
"""

from __future__ import annotations

import math
from typing import Any

from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.runtime.app_session import AppSession
from streamlit.runtime.state.common import WidgetMetadata, is_element_id, unpack_widget_state_value
from streamlit.runtime.state.session_state import Serialized, SessionState

from ..storage import parsed

_MESSAGES = frozenset({"rerun_script", "stop_script", "app_heartbeat", "file_urls_request"})

_NUMBERS = frozenset({"double_value", "int_value"})  # a number input sends either, whatever it is registered as


def guard() -> None:
    """Let only what was offered reach this server's sessions, from now on."""
    if getattr(AppSession.handle_backmsg, "is_guarded", False):  # app.py was loaded again
        return
    handle, set_widgets, register = (
        AppSession.handle_backmsg,
        SessionState.set_widgets_from_proto,
        SessionState.register_widget,
    )

    def handle_needed(session, message) -> None:
        if message.WhichOneof("type") in _MESSAGES:
            handle(session, message)

    def set_offered(state, sent) -> None:
        known = ((one, state.get_widget_metadata(one.id)) for one in sent.widgets)
        kept = [one for one, metadata in known if (is_offered(metadata, one) if metadata else is_element_id(one.id))]
        if len(kept) < len(sent.widgets):
            sent = type(sent)(widgets=kept)
        set_widgets(state, sent)

    def register_offered(state, metadata, user_key):
        values = state._new_widget_state.states
        sent = values.get(metadata.id)
        if isinstance(sent, Serialized) and not is_offered(metadata, sent.value):
            del values[metadata.id]
        return register(state, metadata, user_key)

    handle_needed.is_guarded = True
    AppSession.handle_backmsg = handle_needed
    SessionState.set_widgets_from_proto = set_offered
    SessionState.register_widget = register_offered


def is_offered(metadata: WidgetMetadata, sent: WidgetState) -> bool:
    """True when a widget could have sent this value: one of its kind, and of a choice one of the options.

    All our choices require an option, so none at all is not one.
    """
    kind = sent.WhichOneof("value")
    kinds = _NUMBERS if metadata.value_type in _NUMBERS else {metadata.value_type}
    if kind and kind not in kinds:
        return False
    try:
        if kind in ("json_value", "json_trigger_value") and not isinstance(parsed(getattr(sent, kind)), (dict, list)):
            return False
        value = metadata.deserializer(unpack_widget_state_value(sent))
    except Exception:  # whatever a deserializer says to what its widget cannot send
        return False
    options = getattr(getattr(metadata.deserializer, "__self__", None), "options", None)
    return options is None or value in options


def number(value: Any, low: float, high: float) -> float | None:
    """`value` where it is a number from `low` to `high`, else None."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number and math.isfinite(value) and low <= value <= high else None
