"""Download *Pride and Prejudice* from Project Gutenberg, and keep it."""

from __future__ import annotations

import codecs
import contextlib
import http
import http.client
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import filelock
import requests
import urllib3
from requests.adapters import HTTPAdapter

from ..environment import texts_dir
from ..storage import write_atomically
from .decode import TextProblem
from .files import clean_gutenberg

BOOK = "Pride and Prejudice"
SOURCES = (
    "https://www.gutenberg.org/cache/epub/1342/pg1342.txt",
    "https://www.gutenberg.org/files/1342/1342-0.txt",
    "https://gutenberg.pglaf.org/1/3/4/1342/1342-0.txt",
)
BOOK_FILE = "pg1342.txt"
BOOK_BYTES = 772_448  # of today's edition: the share done is estimated from it where a server names no length
MIN_BOOK_CHARACTERS = 100_000
MAX_BOOK_BYTES = 20_000_000
_TICK = 0.05  # seconds between two looks at the transfers


# Why a source gave no book

_REASONS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    ((requests.Timeout, urllib3.exceptions.ReadTimeoutError, TimeoutError), "no answer in time"),
    (socket.gaierror, "its name could not be looked up (is there a network?)"),
    (ConnectionRefusedError, "the connection was refused"),
    (http.client.RemoteDisconnected, "the server hung up without an answer"),
    ((ConnectionError, ssl.SSLEOFError), "the connection was cut off"),
    (ssl.SSLError, "no secure connection (TLS)"),
    (http.client.IncompleteRead, "the answer broke off"),
    ((http.client.HTTPException, urllib3.exceptions.InvalidHeader), "the answer was not HTTP"),
    (urllib3.exceptions.DecodeError, "the answer could not be unpacked"),
    (UnicodeDecodeError, "not the book (no UTF-8)"),
    (requests.TooManyRedirects, "a redirect loop"),
    ((requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, UnicodeError), "the address cannot be used"),
    ((FileNotFoundError, NotADirectoryError), "no such file"),
)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that led to it: requests and urllib3 wrap what the system said, one way or another."""
    found, waiting = [], [error]
    while waiting:
        if (cause := waiting.pop(0)) in found:
            continue
        found.append(cause)
        yield cause
        inner = (cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args)
        waiting += [one for one in inner if isinstance(one, BaseException)]


def _reason(error: BaseException) -> str:
    """Why a source gave no book, in a few words for the person. No address is in them: it may hold a password."""
    causes = list(_causes(error))
    for cause in causes:
        match cause:
            case TextProblem():
                return str(cause)
            case requests.HTTPError():
                code = cause.response.status_code
                with contextlib.suppress(ValueError):
                    return f"error {code} ({http.HTTPStatus(code).phrase})"
                return f"error {code}"
            case requests.exceptions.ProxyError() | requests.exceptions.InvalidProxyURL():
                refused = re.search(r"Tunnel connection failed: (\d+)", " ".join(map(str, causes)))
                return f"the proxy refused (error {refused[1]})" if refused else "the proxy cannot be reached"
            case ssl.SSLCertVerificationError():
                return f"its certificate is not trusted here ({cause.verify_message})"
    for kinds, reason in _REASONS:
        if any(isinstance(cause, kinds) for cause in causes):
            return reason
    systems = [
        cause for cause in causes if isinstance(cause, OSError) and not isinstance(cause, requests.RequestException)
    ]
    return systems[-1].strerror or str(systems[-1]) if systems else f"an unexpected failure ({type(error).__name__})"


# One transfer


class _Line(HTTPAdapter):
    """Connections that another thread can cut.

    The time limits of `requests` are for one read each, so a server that sends its headers byte by byte would hold a
    thread for hours.
    """

    def __init__(self) -> None:
        self.is_cut = False
        self._sockets: list[socket.socket] = []
        # Retry-After may ask for an hour, and a retry after an error would read that answer to its end.
        retry = urllib3.Retry(connect=2, read=0, other=0, backoff_factor=0.1, respect_retry_after_header=False)
        super().__init__(max_retries=retry)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> urllib3.HTTPConnectionPool:
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        line = self

        class Connection(pool.ConnectionCls):
            def connect(self) -> None:
                line.check()
                super().connect()
                line._sockets.append(self.sock)
                line.check()  # it may have been cut in the meantime

        pool.ConnectionCls = Connection
        return pool

    def check(self) -> None:
        """Raises TextProblem when the line has been cut."""
        if self.is_cut:
            raise TextProblem("given up")

    def cut(self) -> None:
        """End what is under way: every read returns, and nothing new is begun."""
        self.is_cut = True
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class _Transfer:
    """An address or a file that is asked for the book, in a thread of its own.

    Nobody waits for that thread, since the look-up of a name takes no time limit. Once given up it ends by itself: at
    once, or where it still connects, when `seconds` for each address of the server are over.
    """

    def __init__(self, source: str, seconds: float, ended: threading.Event) -> None:
        self.began = time.monotonic()
        self.book: str | None = None
        self.problem: str | None = None
        self._body = bytearray()
        self._response: requests.Response | None = None
        self._line = _Line()
        work = (source, seconds, ended)
        threading.Thread(target=self._work, args=work, name=f"fetch {source}", daemon=True).start()

    @property
    def is_running(self) -> bool:
        """True until there is a book or a problem."""
        return self.book is None and self.problem is None

    @property
    def received(self) -> int:
        """Bytes of the body that came over the line, compressed as they may be."""
        return len(self._body) if self._response is None else self._response.raw.tell()

    @property
    def share(self) -> float:
        """How much of the book is here, in 0..0.99."""
        left = None if self._response is None else self._response.raw.length_remaining
        done = len(self._body) / BOOK_BYTES if left is None else self.received / max(1, self.received + left)
        return min(0.99, done)

    def give_up(self, reason: str) -> None:
        """End the transfer; `reason` says why, unless it had a problem of its own."""
        self.problem = self.problem or reason
        self._line.cut()

    def _work(self, source: str, seconds: float, ended: threading.Event) -> None:
        try:
            if source.lower().startswith(("http://", "https://")):
                self._download(source, seconds)
            else:
                self._read(Path(source))
            self.book = _checked_book(bytes(self._body))
        except Exception as error:
            self.problem = self.problem or _reason(error)
        finally:
            ended.set()

    def _download(self, url: str, seconds: float) -> None:
        def close_if_redirect(response: requests.Response, **_: Any) -> None:
            if response.is_redirect:  # requests would read its body to the end, and unpack it
                response.close()

        with requests.Session() as session:
            session.mount("http://", self._line)
            session.mount("https://", self._line)
            session.hooks["response"].append(close_if_redirect)
            session.max_redirects = 5
            response = session.get(url, stream=True, timeout=seconds)
            if response.status_code >= 500:  # perhaps a hiccup
                response.close()
                time.sleep(0.1)
                response = session.get(url, stream=True, timeout=seconds)
            with response:
                response.raise_for_status()
                if "html" in response.headers.get("Content-Type", "").lower():
                    raise TextProblem("a web page instead of the book")
                self._response = response
                self._take(lambda: response.raw.read1(16_384, decode_content=True))  # read() would wait for all 16 kB

    def _read(self, path: Path) -> None:
        if path.exists() and not path.is_file():  # a pipe would keep us, a device has no end
            raise TextProblem("no plain file")
        with path.open("rb") as file:
            self._take(lambda: file.read(16_384))

    def _take(self, read: Callable[[], bytes]) -> None:
        for chunk in iter(read, b""):
            self._line.check()
            self._body += chunk
            if len(self._body) > MAX_BOOK_BYTES:
                raise TextProblem("far more than a book")


def _checked_book(data: bytes) -> str:
    if data.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"<"):
        raise TextProblem("a web page instead of the book")
    book = clean_gutenberg(data.decode("utf-8"))
    if len(book) < MIN_BOOK_CHARACTERS:
        raise TextProblem("only a part of the book")
    return book


# All sources, one after the other


class _Meter:
    """How fast a count of bytes grows: measured from its first growth on, till then from the beginning."""

    def __init__(self, count: int) -> None:
        self._readings = [(time.monotonic(), count)]
        self._grows = False

    def read(self, count: int) -> None:
        """Take a reading."""
        now, first = time.monotonic(), self._readings[0][1]
        if not self._grows and count > first:
            self._grows, self._readings = True, [(now, first)]
        self._readings.append((now, count))

    def is_below(self, rate: float, seconds: float) -> bool:
        """True when less than `rate` bytes a second came over the last `seconds`; False until so long is measured."""
        now, count = self._readings[-1]
        before = next((count for at, count in reversed(self._readings) if at <= now - seconds), None)
        return before is not None and count - before < rate * seconds


def _first_answer(
    sources: Sequence[str],
    silence: float,
    least_rate: float,
    report: Callable[[float], None],
    cancelled: threading.Event,
) -> str:
    """The cleaned book from the first source that has it. `report` gets the share done, as often as bytes come.

    The next source is asked when those before have failed, and also beside them when they are silent or slow for a
    part of `silence`: so all have been asked when it is over.
    """
    waiting = list(sources)
    transfers: list[_Transfer] = []
    ended = threading.Event()
    pause = silence / max(1, len(waiting))
    meter, received = _Meter(0), 0
    try:
        while True:
            running = [transfer for transfer in transfers if transfer.is_running]
            if book := next((transfer.book for transfer in transfers if transfer.book), None):
                return book
            if cancelled.is_set():
                raise TextProblem(f"The download of {BOOK} was cancelled.")
            if not running and not waiting:
                break
            if not running:  # whatever was measured, it was of others
                meter = _Meter(received)
            elif meter.is_below(least_rate, silence):
                break
            is_slow = meter.is_below(least_rate, pause) and time.monotonic() - transfers[-1].began >= pause
            if waiting and (is_slow or not running):
                transfers.append(_Transfer(waiting.pop(0), 1.1 * silence, ended))  # its own limits come after ours
            ended.wait(_TICK)
            ended.clear()
            before, received = received, sum(transfer.received for transfer in transfers)
            meter.read(received)
            if received > before:
                report(max(transfer.share for transfer in transfers))
            for transfer in transfers:
                if transfer.received > MAX_BOOK_BYTES:  # and nothing of it can be unpacked
                    transfer.give_up("far more than a book")
    finally:
        for transfer in transfers:
            came = f"less than {least_rate / 1_000:g} kB/s" if transfer.received else "no answer"
            transfer.give_up(f"{came} for {silence:g} s")
    reasons = dict.fromkeys(transfer.problem for transfer in transfers)
    tried = "1 address" if len(transfers) == 1 else f"{len(transfers)} addresses"
    raise TextProblem(
        f"{BOOK} could not be fetched: {', '.join(reasons)} ({tried} tried). The built-in texts work offline."
    )


def _kept_book() -> str | None:
    try:
        book = (texts_dir() / BOOK_FILE).read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return book if len(book) >= MIN_BOOK_CHARACTERS else None


def _wait_for_lock(path: Path, silence: float, cancelled: threading.Event) -> contextlib.AbstractContextManager:
    """The lock on the book, once a download ahead of this one has ended.

    That one touches `path` as long as bytes come. Raises filelock.Timeout when it has not for `silence` seconds, as a
    process that is suspended, and when `cancelled`.
    """
    seen, seen_at = None, time.monotonic()

    def is_vain() -> bool:
        nonlocal seen, seen_at
        now = time.monotonic()
        with contextlib.suppress(OSError):
            if (touched := path.stat().st_mtime_ns) != seen:
                seen, seen_at = touched, now
        return cancelled.is_set() or now - seen_at > silence

    path.parent.mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(path).acquire(poll_interval=_TICK, cancel_check=is_vain)


def fetch_book(
    progress: Callable[[float], None] | None = None,
    *,
    cancelled: threading.Event | None = None,
    sources: Sequence[str] | None = None,
    silence: float = 10.0,
    least_rate: float = 5_000,
) -> str:
    """The cleaned book: the kept one, else from the first source that has it.

    A transfer goes on as long as at least `least_rate` bytes a second come, measured over `silence` seconds. A source
    is an address or a file; `MICROLLM_MIRROR`, the operator's folder or address, comes before `sources`. `progress`
    gets the share done, growing to 1, in the caller's thread. Raises TextProblem when no source has the book, when all
    have been silent or slow for `silence` seconds, and soon after `cancelled` is set.
    """
    cancelled = cancelled or threading.Event()
    sources = list(SOURCES if sources is None else sources)
    if mirror := os.environ.get("MICROLLM_MIRROR"):
        sources.insert(0, f"{mirror.rstrip('/')}/{BOOK_FILE}")
    lock = texts_dir() / f"{BOOK_FILE}.lock"
    shown = 0.0

    def show(share: float) -> None:
        nonlocal shown
        with contextlib.suppress(OSError):
            os.utime(lock)  # for others that wait
        if progress and share > shown:  # a second source begins again, the bar does not
            shown = share
            progress(share)

    with contextlib.ExitStack() as held:
        book = _kept_book()
        if book is None:
            with contextlib.suppress(OSError, NotImplementedError):  # where no lock can be had, go on without
                held.enter_context(_wait_for_lock(lock, silence, cancelled))
            book = _kept_book()  # by a download that was ahead of this one
        if book is None:
            book = _first_answer(sources, silence, least_rate, show, cancelled)
            with contextlib.suppress(OSError):  # a disk that cannot keep the book must not lose it
                write_atomically(texts_dir() / BOOK_FILE, book)
    show(1.0)
    return book
