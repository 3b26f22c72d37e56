"""What a connection may cost before any page is asked: bodies, uploads and frames without a bound."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from streamlit.web.server.starlette import starlette_app_utils

from microllm.ui import connections

BODY = bytes(range(256)) * 4_096 + b"the rest"


@pytest.fixture(autouse=True)
def limited():
    connections.limit()


def play(coroutine: Coroutine) -> Any:
    """What a coroutine returns. It runs in a thread of its own: in that of the tests, Playwright's loop may run."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def answer(app, **headers: str) -> list[dict]:
    """The messages with which an app answers a GET."""
    sent = []

    async def send(message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "headers": [(k.encode(), v.encode()) for k, v in headers.items()]}
    play(app(scope, None, send))
    return sent


@pytest.mark.parametrize("size", [0, 1, 2**18 - 1, 2**18, 2**18 + 1, 2**19, len(BODY)])
def test_a_download_is_sent_piece_by_piece_and_arrives_whole(size):
    start, *pieces = answer(Response(BODY[:size]))
    assert b"".join(piece["body"] for piece in pieces) == BODY[:size]
    assert max(len(piece["body"]) for piece in pieces) <= connections.PIECE_BYTES
    assert [piece.get("more_body", False) for piece in pieces] == [True] * (len(pieces) - 1) + [False]
    assert dict(start["headers"])[b"content-length"] == str(size).encode()


def test_no_download_is_compressed():
    start, *pieces = answer(GZipMiddleware(Response(bytes(10**6))), **{"accept-encoding": "gzip"})
    assert b"content-encoding" not in dict(start["headers"])
    assert sum(len(piece["body"]) for piece in pieces) == 10**6


def test_a_part_of_a_download_is_not_available():
    with pytest.raises(ValueError):
        starlette_app_utils.parse_range_header("bytes=1-", 10)


def upload(*parts: str, end: bool = True) -> Request:
    """A request with these parts of a form: "file" or "field"."""
    body = b""
    for part in parts:
        name = f'name="{part}"; filename="a.txt"' if part == "file" else f'name="{part}"'
        body += f"--edge\r\nContent-Disposition: form-data; {name}\r\n\r\nwords\r\n".encode()
    messages = [{"type": "http.request", "body": body + b"--edge--\r\n" * end, "more_body": not end}]

    async def receive() -> dict:
        return messages.pop() if messages else await asyncio.Event().wait()

    headers = [(b"content-type", b"multipart/form-data; boundary=edge")]
    return Request({"type": "http", "method": "PUT", "headers": headers, "app": None}, receive)


def test_an_upload_is_one_file_and_nothing_else():
    async def read(*parts: str) -> list[bytes]:
        return [await file.read() for file in (await upload(*parts).form()).values()]

    assert play(read("file")) == [b"words"]
    for parts in [("file", "field"), ("field",), ("file", "file")]:
        with pytest.raises(HTTPException):
            play(read(*parts))


def test_so_many_uploads_are_received_at_once():
    async def many() -> None:
        slow = [asyncio.create_task(upload("file", end=False).form()) for _ in range(connections.MAX_UPLOADS)]
        await asyncio.sleep(0.05)
        with pytest.raises(HTTPException) as refused:
            await upload("file").form()
        assert refused.value.status_code == 503
        slow.pop().cancel()
        await asyncio.sleep(0.05)
        assert await upload("file").form()
        for one in slow:
            one.cancel()

    play(many())
