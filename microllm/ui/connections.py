"""Limits of what a connection may cost before any page is asked.

Streamlit sends downloads, and receives uploads and messages, through Starlette and uvicorn, which trust the other side
more than a public page can. `limit` changes four things for all connections:

- No body is compressed: the server would go on with that for seconds after the other side has left.
- A large body is sent piece by piece, each after the one before was taken: otherwise a slow reader holds a copy of
  everything. A request for a part of a download is refused, because that would be another copy.
- An upload is one file and nothing else: other fields would stay in memory. So many are received at once.
- A websocket with far more control frames or fragments than a browser sends is closed.
"""

from __future__ import annotations

import time
from weakref import WeakKeyDictionary

from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipResponder, IdentityResponder
from starlette.requests import Request
from starlette.responses import Response
from streamlit.web.server.starlette import starlette_app_utils
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

PIECE_BYTES = 2**18
"""The most that is given to a connection at once."""

MAX_UPLOADS = 16
"""Uploads that are received at once, each up to the size that Streamlit allows."""

_READ_BYTES = 2**12  # a flood is noticed before more than this is parsed
_FLOOD_FRAMES, _FLOOD_SECONDS = 3_000, 3.0
_frames: WeakKeyDictionary[WebSocketsSansIOProtocol, tuple[float, int]] = WeakKeyDictionary()  # since when, how many
_uploads: set[Request] = set()


def limit() -> None:
    """From now on, all connections have these limits."""
    if getattr(Response.__call__, "is_limited", False):  # app.py was run again
        return
    send_whole, receive, form = Response.__call__, WebSocketsSansIOProtocol.data_received, Request.form

    async def send_in_pieces(response, scope, receive, send) -> None:
        async def send_message(message) -> None:
            body = message.get("body", b"")
            last = max(0, len(body) - 1) // PIECE_BYTES * PIECE_BYTES
            for start in range(0, last, PIECE_BYTES):
                await send(message | {"body": body[start : start + PIECE_BYTES], "more_body": True})
            await send(message | {"body": body[last:]} if last else message)

        await send_whole(response, scope, receive, send_message)

    async def form_of_one_file(request):
        if len(_uploads) >= MAX_UPLOADS:
            raise HTTPException(status_code=503, detail="Too many files are being uploaded. Try again in a minute.")
        _uploads.add(request)
        try:
            return await form(request, max_files=1, max_fields=0)
        finally:
            _uploads.discard(request)

    def receive_within_limits(connection, data) -> None:
        for start in range(0, len(data), _READ_BYTES):
            if connection.transport.is_closing():
                return
            receive(connection, data[start : start + _READ_BYTES])

    def refuse_range(range_header, total_size):
        raise ValueError("a part of a download is not available")

    send_in_pieces.is_limited = True
    Response.__call__ = send_in_pieces
    GZipResponder.apply_compression = IdentityResponder.apply_compression
    starlette_app_utils.parse_range_header = refuse_range
    Request.form = form_of_one_file
    WebSocketsSansIOProtocol.data_received = receive_within_limits
    for handler in ("handle_ping", "handle_pong", "handle_cont"):
        setattr(WebSocketsSansIOProtocol, handler, _counted(getattr(WebSocketsSansIOProtocol, handler)))


def _counted(handle):
    """A handler of frames that closes a connection with far too many of them."""

    def handle_or_close(connection, *event) -> None:
        now = time.monotonic()
        began, count = _frames.get(connection, (now, 0))
        if now - began > _FLOOD_SECONDS:
            began, count = now, 0
        _frames[connection] = began, count + 1
        if count >= _FLOOD_FRAMES:
            connection.transport.abort()
        else:
            handle(connection, *event)

    return handle_or_close
