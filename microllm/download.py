"""Find, fetch, clean and keep texts."""

from __future__ import annotations

import codecs
import contextlib
import functools
import hashlib
import math
import os
import queue
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import filelock
import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.exceptions import NewConnectionError

from microllm import boilerplate
from microllm.decoding import TextProblem, as_utf8
from microllm.home import texts_dir, write_atomically

BOOK = "Pride and Prejudice"
SOURCES = (
    "https://www.gutenberg.org/cache/epub/1342/pg1342.txt",
    "https://www.gutenberg.org/files/1342/1342-0.txt",
    "https://gutenberg.pglaf.org/1/3/4/1342/1342-0.txt",
)
BOOK_FILE = "pg1342.txt"
BOOK_BYTES = 772_448  # of today's edition: the share done is guessed from it where a server names no length
MIN_BOOK_CHARACTERS = 100_000
MAX_BOOK_BYTES = 20_000_000
MAX_TEXT_BYTES = 200_000_000
STANDARD_INPUT = "standard input"


# Reading. It is done to bytes, before they become a string: one emoji makes a string of 200 MB take 800, so there
# should be one such string and no copies of it.


def _plain(data: bytes) -> bytes:
    """The text without a leading byte-order mark, each line end one LF."""
    return data.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def clean_gutenberg(text: str) -> str:
    """What stands between Project Gutenberg's two markers, stripped, with LF line ends; nothing else is removed.

    Raises TextProblem where a marker is missing, as in a book that broke off.
    """
    books, is_whole = boilerplate.books(_plain(text.encode("utf-8", "surrogatepass")))
    if not (books and is_whole):
        raise TextProblem("Project Gutenberg's START or END line is missing")
    return books[0].decode("utf-8", "surrogatepass").strip()


_BINARY_STARTS = (
    (b"\x89PNG\r\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF-", "a PDF document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"PK\x03\x04", "a ZIP archive, or a Word or EPUB file"),
)
_CONTROLS = re.compile(rb"[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f]")  # less what the log of a terminal holds: \b to \r, escape


def refuse_too_large(size: int, name: str) -> None:
    """Raises TextProblem for a text of more than MAX_TEXT_BYTES, which is called by this `name`."""
    if size > MAX_TEXT_BYTES:
        raise TextProblem(f"{name} is {math.ceil(size / 1e6)} MB; at most {MAX_TEXT_BYTES / 1e6:g} MB can be read.")


def _refuse_binary(data: bytes, name: str) -> None:
    sample = data[:1_000_000]
    if b"\0" in data or len(_CONTROLS.findall(sample)) > 0.05 * len(sample):
        raise TextProblem(f"{name} looks binary (control characters): choose a plain text file, saved as UTF-8.")


def decode_text(data: bytes, name: str, encoding: str | None = None) -> tuple[str, str | None]:
    """The text in a file called `name`, and a notice for the person where something was assumed or left out.

    How it is read with and without an `encoding`, decoding.as_utf8 says. Line ends become LF, a leading byte-order mark
    goes, and of files of Project Gutenberg the books stay. Raises TextProblem for an empty, binary or too large file,
    and for bytes that do not fit the encoding.
    """
    refuse_too_large(len(data), name)
    for start, kind in _BINARY_STARTS:
        if data.startswith(start):
            raise TextProblem(f"{name} looks binary ({kind}): choose a plain text file.")
    data, notice = as_utf8(data, name, encoding)
    _refuse_binary(data, name)
    data = _plain(data)
    notices = [notice] if notice else []
    books, is_whole = boilerplate.books(data)
    if books is None:
        text = data.decode("utf-8")
    else:
        characters = boilerplate.characters(data)
        data = b"\n\n".join(books)
        text = data.decode("utf-8").strip()  # also of the spaces that only Unicode knows
        where = "outside Project Gutenberg's START and END lines"
        notices.append(f"{characters - len(text):,} characters of {name} stand {where} and were left out.")
        if not is_whole:
            notices.append("A START or END line is missing: a book may have broken off.")
    if not text:
        raise TextProblem(" ".join([f"{name} is empty: choose a file with some text in it.", *notices]))
    if line := boilerplate.mention(data):
        notices.append(
            f"The text still names Project Gutenberg ({line}): delete its licence if it should not be learned."
        )
    return text, " ".join(notices) or None


def read_text_file(path: str | os.PathLike[str], encoding: str | None = None) -> tuple[str, str | None]:
    """The text of a local file and perhaps a notice, as `decode_text` gives them. Raises TextProblem."""
    path = Path(path)
    try:
        if path.is_dir():
            raise TextProblem(f"{path} is a folder: name a text file in it.")
        if not path.is_file():
            raise TextProblem(f"There is no file {path}: check its name and folder.")
        refuse_too_large(path.stat().st_size, path.name)
        data = path.read_bytes()
    except OSError as error:
        raise TextProblem(f"{path} cannot be read: {error.strerror or error}.") from error
    return decode_text(data, path.name, encoding)


def read_standard_input() -> bytes:
    """What standard input has to give, to its end. Raises TextProblem where it is closed or gives too much."""
    try:
        data = sys.stdin.buffer.read(MAX_TEXT_BYTES + 1)
    except (AttributeError, ValueError, OSError) as error:
        raise TextProblem("Standard input is closed: send a text to it, or name a file.") from error
    refuse_too_large(len(data), STANDARD_INPUT)
    return data


# Keeping


def keep_text(text: str) -> str:
    """Keep a text for the runs that learn it; its SHA-256 is its name. Raises OSError on a full or read-only disk."""
    data = text.encode("utf-8", "surrogatepass")
    sha256 = hashlib.sha256(data).hexdigest()
    path = texts_dir() / f"{sha256}.txt"
    if not (path.is_file() and _sha256_of(path) == sha256):  # a damaged copy is healed
        write_atomically(path, data)
    return sha256


def forget_text(sha256: str) -> None:
    """Remove a kept text that no run learns any more."""
    (texts_dir() / f"{sha256}.txt").unlink(missing_ok=True)


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_text(sha256: str) -> str:
    """The very text that `keep_text` kept. Raises TextProblem where it is gone, damaged, or the name is no SHA-256."""
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise TextProblem(f"{sha256!r} names no kept text: 64 hexadecimal digits would.")
    try:
        data = (texts_dir() / f"{sha256}.txt").read_bytes()
    except OSError as error:
        raise TextProblem(f"The text {sha256[:8]}… is not kept here: choose the text again.") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise TextProblem(f"The kept text {sha256[:8]}… is damaged (its SHA-256 differs): choose the text again.")
    return data.decode("utf-8", "surrogatepass")


# Fetching the book


class _Line(HTTPAdapter):
    """Connections that another thread can cut, whatever they wait for: handshake, headers or body.

    The timeouts of `requests` are per read, so a server that sends a byte now and then would hold us for ever.
    """

    def __init__(self) -> None:
        self._is_cut = False
        self._sockets: list[socket.socket] = []
        retry = urllib3.Retry(
            connect=2,
            status=1,
            read=0,
            other=0,
            status_forcelist=(500, 502, 503, 504),
            backoff_factor=0.1,
            respect_retry_after_header=False,  # it may ask for an hour
            raise_on_status=False,
        )
        super().__init__(max_retries=retry)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> urllib3.HTTPConnectionPool:
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = functools.partial(self._connection, type(pool).ConnectionCls)
        return pool

    def _connection(self, kind: type[urllib3.connection.HTTPConnection], **settings: Any) -> Any:
        connection = kind(**settings)
        connect = connection._new_conn

        def connect_and_remember() -> socket.socket:
            if self._is_cut:
                raise TextProblem("no answer in time")
            sock = connect()
            self._sockets.append(sock.dup())  # a twin, since TLS wraps the socket and leaves it empty
            if self._is_cut:  # in the meantime
                self.cut()
            return sock

        connection._new_conn = connect_and_remember
        return connection

    def cut(self) -> None:
        """End all that is under way: every read returns, and nothing new is begun."""
        self._is_cut = True
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


def _download(url: str, line: _Line, seconds: float, report: Callable[[float], None]) -> bytes:
    """The decoded body at `url`; `report` gets the share done, in 0..0.99."""

    def close_if_redirect(response: requests.Response, **_: Any) -> None:
        if response.is_redirect:  # requests would read its body to the end, and unpack it
            response.close()

    with requests.Session() as session:
        session.mount("http://", line)
        session.mount("https://", line)
        session.hooks["response"].append(close_if_redirect)
        session.max_redirects = 5
        with session.get(url, stream=True, timeout=seconds) as response:
            response.raise_for_status()
            if "html" in response.headers.get("Content-Type", "").lower():
                raise TextProblem("a web page instead of the book")
            body = bytearray()
            for chunk in response.iter_content(16_384):
                body += chunk
                if len(body) > MAX_BOOK_BYTES:
                    raise TextProblem("far more than a book")
                read, left = response.raw.tell(), response.raw.length_remaining
                report(min(0.99, len(body) / BOOK_BYTES if left is None else read / max(1, read + left)))
            return bytes(body)


def _checked_book(data: bytes) -> str:
    if _plain(data).lstrip().startswith(b"<"):
        raise TextProblem("a web page instead of the book")
    book = clean_gutenberg(data.decode("utf-8"))
    if len(book) < MIN_BOOK_CHARACTERS:
        raise TextProblem("only a part of the book")
    return book


def _reason(error: Exception) -> str:
    """Why a source gave no book, in a few words for the person."""
    match error:
        case TextProblem():
            return str(error)
        case requests.HTTPError():
            return f"error {error.response.status_code}"
        case requests.TooManyRedirects():
            return "a redirect loop"
        case requests.Timeout():
            return "no answer in time"
        case requests.ConnectionError() if isinstance(getattr(error.args[0], "reason", None), NewConnectionError):
            return "no network"
        case FileNotFoundError() | NotADirectoryError():
            return "no such file"
        case _:
            return f"a broken answer ({type(error).__name__})"


def _ask(source: str, seconds: float, progress: Callable[[float], None]) -> str:
    """The cleaned book from an address or a file. Raises TextProblem, after `seconds` at the latest.

    A thread of its own does the work, since the look-up of a name takes no time limit. It talks through a queue, so
    that `progress` is called in the thread of the caller, as Streamlit needs it.
    """
    deadline = time.monotonic() + seconds
    events: queue.SimpleQueue[float | str | TextProblem] = queue.SimpleQueue()
    line = _Line()

    def work() -> None:
        try:
            is_url = source.lower().startswith(("http://", "https://"))
            data = _download(source, line, seconds, events.put) if is_url else Path(source).read_bytes()
            events.put(_checked_book(data))
        except Exception as error:
            events.put(TextProblem(_reason(error)))

    threading.Thread(target=work, name=f"fetch {source}", daemon=True).start()
    try:
        while (left := deadline - time.monotonic()) > 0:
            event = events.get(timeout=left)
            if isinstance(event, TextProblem):
                raise event
            if isinstance(event, str):
                return event
            progress(event)
    except queue.Empty:
        pass
    finally:
        line.cut()
    raise TextProblem("no answer in time")


def _kept_book() -> str | None:
    try:
        book = (texts_dir() / BOOK_FILE).read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return book if len(book) >= MIN_BOOK_CHARACTERS else None


def _first_answer(sources: Sequence[str], deadline: float, progress: Callable[[float], None]) -> str:
    reasons = []
    for source in sources:
        seconds = deadline - time.monotonic()
        if source != sources[-1]:
            seconds /= 2  # a silent source leaves time for the others
        try:
            return _ask(source, seconds, progress)
        except TextProblem as problem:
            reasons.append(str(problem))
    tried = "1 address" if len(sources) == 1 else f"{len(sources)} addresses"
    raise TextProblem(
        f"{BOOK} could not be fetched: {', '.join(dict.fromkeys(reasons))} ({tried} tried). "
        "The built-in texts work offline."
    )


def fetch_book(
    progress: Callable[[float], None] | None = None, *, sources: Sequence[str] | None = None, seconds: float = 10.0
) -> str:
    """The cleaned book: the kept one, else from the first source that has it, within `seconds` for all of them.

    A source is an address or a file; `MICROLLM_MIRROR`, the operator's folder or address, comes before `sources`.
    `progress` gets the share done, growing to 1, in the caller's thread. Raises TextProblem.
    """
    deadline = time.monotonic() + seconds
    sources = list(SOURCES if sources is None else sources)
    if mirror := os.environ.get("MICROLLM_MIRROR"):
        sources.insert(0, f"{mirror.rstrip('/')}/{BOOK_FILE}")
    shown = 0.0

    def show(share: float) -> None:
        nonlocal shown
        if progress and share > shown:  # a second source begins again, the bar does not
            shown = share
            progress(share)

    with contextlib.ExitStack() as held:
        book = _kept_book()
        if book is None:
            with contextlib.suppress(OSError, NotImplementedError):  # where no lock can be written, go on without
                texts_dir().mkdir(parents=True, exist_ok=True)
                held.enter_context(filelock.FileLock(texts_dir() / f"{BOOK_FILE}.lock", timeout=seconds))
            book = _kept_book()  # by a download that was ahead of this one
        if book is None:
            book = _first_answer(sources, deadline, show)
            with contextlib.suppress(OSError):  # a disk that cannot keep the book must not lose it
                write_atomically(texts_dir() / BOOK_FILE, book)
    show(1.0)
    return book
