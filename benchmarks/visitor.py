"""A browser window without a browser: it talks to the server like one, but draws nothing.

Streamlit's protocol in brief: the window sends a BackMsg that asks for a run of the script, with the values of widgets
and, for a part of the page, its fragment. The server answers with ForwardMsgs: `new_session` when a run begins, `delta`
for each element, `auto_rerun` for a part to rerun every so many seconds, `page_info_changed` for the address, and
`script_finished`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import requests
import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

_PATIENCE = 60.0  # seconds


@dataclass(frozen=True)
class Shown:
    """An element on the page: what kind it is, its message, and the fragment that it belongs to ("": the page)."""

    kind: str
    message: Any
    fragment: str


class Visitor:
    """One window, open while the `async with` lasts. `shown` has every element with a key.

    `problems` are what no visitor should ever see: exceptions on the page, a script that did not compile.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.shown: dict[str, Shown] = {}
        self.query = ""
        self.problems: list[str] = []
        self.waits: list[float] = []
        """Seconds from each action to its answer."""
        self._places: list[Any] = []
        self._pages: dict[str, str] = {}
        self._page = self._name = ""
        self._values: dict[str, WidgetState] = {}
        self._timers: dict[str, asyncio.Task] = {}
        self._stale: set[str] = set()
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Visitor:
        url = self.address.replace("http", "ws", 1) + "/_stcore/stream"
        self._socket = await websockets.connect(
            url, subprotocols=["streamlit"], origin=self.address, max_size=None, open_timeout=60, ping_timeout=None
        )
        self._listener = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop_timers()
        self._listener.cancel()
        with contextlib.suppress(asyncio.CancelledError, websockets.ConnectionClosed):
            await self._listener
        await self._socket.close()

    @property
    def run(self) -> str | None:
        """The run in the address."""
        return parse_qs(self.query).get("run", [None])[0]

    # ---- what a person does

    async def open(self, page: str, until: str) -> None:
        """Go to a page by its address, and wait until the page is complete and has an element with this key."""
        self._page, self._name = self._pages.get(page, ""), page
        self._stop_timers()  # as a browser does: a late tick would ask for the previous page
        self._values.clear()  # a browser forgets the widgets of the page that it leaves
        await self._act({}, lambda: {until, "run-bar"} <= self.shown.keys())  # the first page of a server has no bar

    async def set(self, key: str, value: Any) -> None:
        """Give a widget a value, and wait until the page has run with it."""
        await self._act({key: value}, None)

    async def press(self, key: str, answered: Callable[[], bool]) -> None:
        """Press a button, and wait until its effect is visible."""
        await self._act({key: True}, answered)

    async def upload(self, key: str, name: str, data: bytes) -> None:
        """Choose a file in a field, and wait until the page has run with it."""
        self._places.clear()
        message = BackMsg()
        message.file_urls_request.file_names.append(name)
        await self._socket.send(message.SerializeToString())
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(lambda: self._places), _PATIENCE)
        (place,) = self._places
        await asyncio.to_thread(_put, self.address, place.upload_url, name, data)
        state = WidgetState(id=self.shown[key].message.id)
        file = state.file_uploader_state_value.uploaded_file_info.add(file_id=place.file_id, name=name, size=len(data))
        file.file_urls.CopyFrom(place)
        self._values[state.id] = state
        await self._act({}, None)

    async def _act(self, values: dict[str, Any], answered: Callable[[], bool] | None) -> None:
        triggers, fragment = [], ""
        for key, value in values.items():
            element = self.shown[key]
            state = _state(element, value)
            fragment = element.fragment
            if element.kind == "button":
                triggers.append(state)
            else:
                self._values[state.id] = state
        began, runs = time.perf_counter(), self._runs
        await self._ask(fragment, triggers)

        def is_answered() -> bool:  # by a run that has begun since, and is over
            return self._ended > runs and (answered is None or answered())

        try:
            async with self._changed:
                await asyncio.wait_for(self._changed.wait_for(is_answered), _PATIENCE)
        except TimeoutError:
            raise TimeoutError(
                f"{values or 'the page'}: no answer; shown are {', '.join(sorted(self.shown))}"
            ) from None
        self.waits.append(time.perf_counter() - began)

    # ---- what its browser does

    _runs = _ended = 0

    async def _ask(self, fragment: str = "", triggers: list[WidgetState] | None = None, is_timer: bool = False) -> None:
        message = BackMsg()
        asked = message.rerun_script
        asked.query_string, asked.page_script_hash = self.query, self._page
        asked.page_name = "" if self._page else self._name  # until the server has sent its pages
        asked.fragment_id, asked.is_auto_rerun = fragment, is_timer
        asked.widget_states.widgets.extend([*self._values.values(), *(triggers or [])])
        with contextlib.suppress(websockets.ConnectionClosed):
            await self._socket.send(message.SerializeToString())

    async def _listen(self) -> None:
        try:
            async for data in self._socket:
                message = ForwardMsg()
                message.ParseFromString(data)
                await self._take(message)
            self.problems.append("the server closed the connection")
        except Exception as error:
            self.problems.append(f"{type(error).__name__}: {error}")

    async def _take(self, message: ForwardMsg) -> None:
        kind = message.WhichOneof("type")
        if kind == "new_session":
            self._runs += 1
            fragments = set(message.metadata.run.fragment_ids)
            if not fragments:  # a tick of the page before may still be on its way
                self._page = message.new_session.page_script_hash
                self._stop_timers()
            self._stale = {key for key, one in self.shown.items() if not fragments or one.fragment in fragments}
        elif kind == "navigation":
            self._pages = {page.url_pathname: page.page_script_hash for page in message.navigation.app_pages}
            self._page = message.navigation.page_script_hash  # `new_session` has that of the first page
        elif kind == "page_info_changed":
            self.query = message.page_info_changed.query_string
        elif kind == "auto_rerun":
            timer = message.auto_rerun
            self._stop_timers(timer.fragment_id)
            self._timers[timer.fragment_id] = asyncio.create_task(self._tick(timer.fragment_id, timer.interval))
        elif kind == "stop_auto_rerun":
            self._stop_timers(*message.stop_auto_rerun.fragment_ids)
        elif kind == "file_urls_response":
            self._places = list(message.file_urls_response.file_urls)
            async with self._changed:
                self._changed.notify_all()
        elif kind == "delta":
            self._draw(message)
        elif kind == "script_finished":
            self._ended = self._runs
            if message.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
                for key in self._stale:  # what was not drawn again is gone, but only now
                    self.shown.pop(key, None)
            if message.script_finished == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
                self.problems.append("a script did not compile")
            async with self._changed:
                self._changed.notify_all()

    def _draw(self, message: ForwardMsg) -> None:
        delta = message.delta
        what = delta.WhichOneof("type")
        if what not in ("new_element", "add_block"):
            return
        element = getattr(delta, what)
        kind = element.WhichOneof("type")
        body = getattr(element, kind)
        if kind == "exception":
            self.problems.append(f"{body.type}: {body.message}")
        its_id = element.id if what == "add_block" else getattr(body, "id", "")
        if its_id.startswith("$$ID-"):
            key = its_id.split("-", 2)[2]
            self.shown[key] = Shown(kind, body, delta.fragment_id)
            self._stale.discard(key)

    async def _tick(self, fragment: str, interval: float) -> None:
        while True:
            await asyncio.sleep(interval)
            await self._ask(fragment, is_timer=True)

    def _stop_timers(self, *fragments: str) -> None:
        for fragment in fragments or [*self._timers]:
            if timer := self._timers.pop(fragment, None):
                timer.cancel()


def _put(address: str, place: str, name: str, data: bytes) -> None:
    with requests.Session() as browser:
        browser.get(f"{address}/_stcore/health")  # it gives the cookie that proves where the upload comes from
        token = browser.cookies.get("_streamlit_xsrf", "")
        browser.put(address + place, files={"file": (name, data)}, headers={"X-Xsrftoken": token}).raise_for_status()


def _state(element: Shown, value: Any) -> WidgetState:
    state = WidgetState(id=element.message.id)
    if element.kind == "button":
        state.trigger_value = True
    elif element.kind == "slider":  # one with a list of values sends the text of the value
        (state.string_array_value if isinstance(value, str) else state.double_array_value).data.append(value)
    elif element.kind == "number_input":
        state.double_value = value
    elif element.kind in ("selectbox", "text_input", "text_area"):
        state.string_value = value
    elif element.kind == "button_group":
        state.string_array_value.data.append(value)
    elif element.kind == "popover":
        state.bool_value = value
    else:
        raise ValueError(f"a visitor cannot operate a {element.kind}")
    return state
