"""Download published texts, check that they are complete, and keep them."""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import http
import http.client
import os
import re
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import filelock
import requests
import urllib3
from requests.adapters import HTTPAdapter

from ..environment import mirror, texts_dir
from ..storage import write_atomically
from .decode import TextProblem
from .files import clean_gutenberg
from .published import PublishedText

_MIN_BOOK_CHARACTERS = 100_000
_MAX_BYTES = 20_000_000
_TICK_SECONDS = 0.05

_REASONS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    ((requests.Timeout, urllib3.exceptions.ReadTimeoutError, TimeoutError), "no answer in time"),
    (socket.gaierror, "its name could not be looked up (no network?)"),
    (ConnectionRefusedError, "the connection was refused"),
    (http.client.RemoteDisconnected, "the server closed the connection without an answer"),
    ((ConnectionError, ssl.SSLEOFError), "the connection was interrupted"),
    (ssl.SSLError, "no secure connection (TLS)"),
    (http.client.IncompleteRead, "the answer was cut short"),
    ((http.client.HTTPException, urllib3.exceptions.InvalidHeader), "the answer was not valid HTTP"),
    (zlib.error, "the answer could not be decompressed"),
    (UnicodeDecodeError, "not the text (not UTF-8)"),
    (requests.TooManyRedirects, "a redirect loop"),
    ((requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, UnicodeError), "the address is not valid"),
    ((FileNotFoundError, NotADirectoryError), "no such file"),
)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and everything that it wraps: requests and urllib3 wrap system errors in several ways."""
    found, waiting = [], [error]
    while waiting:
        if (cause := waiting.pop(0)) in found:
            continue
        found.append(cause)
        yield cause
        inner = (cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args)
        waiting += [value for value in inner if isinstance(value, BaseException)]


def _reason(error: BaseException) -> str:
    """Why a source failed, in a few words for the user, without the address, which may contain a password."""
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
                return f"the proxy refused (error {refused[1]})" if refused else "the proxy could not be reached"
            case ssl.SSLCertVerificationError():
                return f"its certificate is not trusted ({cause.verify_message})"
    for kinds, reason in _REASONS:
        if any(isinstance(cause, kinds) for cause in causes):
            return reason
    systems = [
        cause for cause in causes if isinstance(cause, OSError) and not isinstance(cause, requests.RequestException)
    ]
    return systems[-1].strerror or str(systems[-1]) if systems else f"an unexpected failure ({type(error).__name__})"


class _Transfer:
    """Fetches a text from one address or file, in a daemon thread of its own.

    The thread can be abandoned: a name lookup has no time limit, and a server that sends its headers one byte at a time
    passes every limit of `requests`, which are for one read each. Once given up, the thread ends at the next chunk, or
    after `seconds` without one.
    """

    def __init__(self, text: PublishedText, source: str, seconds: float, ended: threading.Event) -> None:
        self.began = time.monotonic()
        self.content: str | None = None
        self.problem: str | None = None
        self.received = 0
        """Bytes received so far, before decompression."""
        self._text = text
        self._body = bytearray()
        self._response: requests.Response | None = None
        work = (source, seconds, ended)
        threading.Thread(target=self._work, args=work, name=f"fetch {source}", daemon=True).start()

    @property
    def is_running(self) -> bool:
        """True until there is a text or a problem."""
        return self.content is None and self.problem is None

    @property
    def share(self) -> float:
        """How much of the text is here, from 0 to 0.99."""
        left = None if self._response is None else self._response.raw.length_remaining
        done = len(self._body) / self._text.size if left is None else self.received / max(1, self.received + left)
        return min(0.99, done)

    def give_up(self, reason: str) -> None:
        """Abandon the transfer for this reason, unless it has a problem already."""
        self.problem = self.problem or reason

    def _work(self, source: str, seconds: float, ended: threading.Event) -> None:
        try:
            if source.lower().startswith(("http://", "https://")):
                self._download(source, seconds)
            else:
                self._read(Path(source))
            self.content = _checked(self._text, bytes(self._body))
        except Exception as error:
            self.problem = self.problem or _reason(error)
        finally:
            ended.set()

    def _download(self, url: str, seconds: float) -> None:
        def close_if_redirect(response: requests.Response, **_: Any) -> None:
            if response.is_redirect:  # requests would read and decompress its whole body
                response.close()

        # Retry-After may ask for an hour, and a retry after an error would read that answer to its end
        retry = urllib3.Retry(connect=2, read=0, other=0, backoff_factor=0.1, respect_retry_after_header=False)
        with requests.Session() as session:
            session.headers["Accept-Encoding"] = "gzip"
            for scheme in ("http://", "https://"):
                session.mount(scheme, HTTPAdapter(max_retries=retry))
            session.hooks["response"].append(close_if_redirect)
            session.max_redirects = 5
            response = session.get(url, stream=True, timeout=seconds)
            if response.status_code >= 500:  # may be temporary: try once more
                response.close()
                time.sleep(0.1)
                response = session.get(url, stream=True, timeout=seconds)
            with response:
                response.raise_for_status()
                if "html" in response.headers.get("Content-Type", "").lower():
                    raise TextProblem("a web page instead of the text")
                self._response = response
                is_compressed = response.headers.get("Content-Encoding") == "gzip"
                # not by requests, which never returns from an endless stream that decompresses to nothing
                decompress = zlib.decompressobj(wbits=31).decompress if is_compressed else bytes
                self._receive(lambda: response.raw.read1(16_384, decode_content=False), decompress)

    def _read(self, path: Path) -> None:
        if path.exists() and not path.is_file():  # reading a pipe could block, and a device may have no end
            raise TextProblem("not a regular file")
        with path.open("rb") as file:
            self._receive(lambda: file.read(16_384))

    def _receive(self, read: Callable[[], bytes], decompress: Callable[[bytes], bytes] = bytes) -> None:
        for chunk in iter(read, b""):
            if self.problem:
                raise TextProblem(self.problem)
            self.received += len(chunk)
            self._body += decompress(chunk)
            if max(self.received, len(self._body)) > _MAX_BYTES:
                raise TextProblem("far more than the text")


def _checked(text: PublishedText, data: bytes) -> str:
    """The cleaned text in a download. Raises TextProblem if it is another text, or only part of this one."""
    if data.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"<"):
        raise TextProblem("a web page instead of the text")
    if text.sha256:
        if hashlib.sha256(data).hexdigest() != text.sha256:
            size = f"{len(data):,} of {text.size:,} bytes"
            raise TextProblem(f"not the expected text, or a damaged one: its SHA-256 differs ({size})")
        return data.decode("utf-8")
    book = clean_gutenberg(data.decode("utf-8"))
    if len(book) < _MIN_BOOK_CHARACTERS:
        raise TextProblem("only a part of the text")
    return book


class _Meter:
    """Measures how fast a byte count grows, from its first growth (before that, from the start)."""

    def __init__(self, count: int) -> None:
        self._readings = [(time.monotonic(), count)]
        self._grows = False

    def read(self, count: int) -> None:
        """Record the count now."""
        now, first = time.monotonic(), self._readings[0][1]
        if not self._grows and count > first:
            self._grows, self._readings = True, [(now, first)]
        self._readings.append((now, count))

    def is_below(self, rate: float, seconds: float) -> bool:
        """True if it grew by less than `rate` bytes per second over the last `seconds`; False before that."""
        now, count = self._readings[-1]
        before = next((count for at, count in reversed(self._readings) if at <= now - seconds), None)
        return before is not None and count - before < rate * seconds


def _first_answer(
    text: PublishedText,
    sources: Sequence[str],
    silence: float,
    min_rate: float,
    report: Callable[[float], None],
    cancelled: threading.Event,
) -> str:
    """The text from the first source that has it. `report` is called with the fraction done whenever bytes arrive.

    Another source is started when all earlier ones have failed or have been slow for `silence` / number of sources.
    Slow ones continue, so all sources have been started when `silence` is over.
    """
    waiting = list(sources)
    transfers: list[_Transfer] = []
    ended = threading.Event()
    pause = silence / max(1, len(waiting))
    meter, received = _Meter(0), 0
    try:
        while True:
            running = [transfer for transfer in transfers if transfer.is_running]
            if content := next((transfer.content for transfer in transfers if transfer.content), None):
                return content
            if cancelled.is_set():
                raise TextProblem(f"The download of {text.name} was cancelled.")
            if not running and not waiting:
                break
            if not running:  # the readings so far belong to earlier transfers
                meter = _Meter(received)
            elif meter.is_below(min_rate, silence):
                break
            is_slow = meter.is_below(min_rate, pause) and time.monotonic() - transfers[-1].began >= pause
            if waiting and (is_slow or not running):
                transfers.append(_Transfer(text, waiting.pop(0), 1.1 * silence, ended))  # so that it times out after us
            ended.wait(_TICK_SECONDS)
            ended.clear()
            before, received = received, sum(transfer.received for transfer in transfers)
            meter.read(received)
            if received > before:
                report(max(transfer.share for transfer in transfers))
    finally:
        for transfer in transfers:
            came = f"less than {min_rate / 1_000:g} kB/s" if transfer.received else "no answer"
            transfer.give_up(f"{came} in {silence:g} s")
    reasons = dict.fromkeys(transfer.problem for transfer in transfers)
    tried = "1 address" if len(transfers) == 1 else f"{len(transfers)} addresses"
    raise TextProblem(
        f"{text.name} could not be downloaded: {', '.join(reasons)} ({tried} tried). The built-in texts work offline."
    )


def kept(text: PublishedText) -> str | None:
    """The text that an earlier download left on disk; None if it is missing or damaged."""
    try:
        data = (texts_dir() / text.file).read_bytes()
        content = data.decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    if text.sha256:
        return content if hashlib.sha256(data).hexdigest() == text.sha256 else None
    return content if len(content) >= _MIN_BOOK_CHARACTERS else None


def _wait_for_lock(path: Path, silence: float, cancelled: threading.Event) -> contextlib.AbstractContextManager:
    """The lock on a text; waits while another process downloads it.

    That process touches `path` whenever bytes arrive. Raises filelock.Timeout if it has not done so for `silence`
    seconds (it may be suspended), and when `cancelled` is set.
    """
    seen, seen_at = None, time.monotonic()

    def should_give_up() -> bool:
        nonlocal seen, seen_at
        now = time.monotonic()
        with contextlib.suppress(OSError):
            if (touched := path.stat().st_mtime_ns) != seen:
                seen, seen_at = touched, now
        return cancelled.is_set() or now - seen_at > silence

    path.parent.mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(path).acquire(poll_interval=_TICK_SECONDS, cancel_check=should_give_up)


def fetch(
    text: PublishedText,
    progress: Callable[[float], None] | None = None,
    *,
    cancelled: threading.Event | None = None,
    silence: float = 10.0,
    min_rate: float = 5_000,
) -> str:
    """A published text, from disk or else from the first source that has it.

    `MICROLLM_MIRROR`, the operator's folder or address, is tried before the addresses of the text. A download continues
    while at least `min_rate` bytes per second arrive, measured over `silence` seconds. `progress` is called in the
    caller's thread with the share done, which grows to 1. Raises TextProblem when no source has the text, when all are
    too slow for `silence` seconds, and soon after `cancelled` is set.
    """
    cancelled = cancelled or threading.Event()
    sources = list(text.addresses)
    if first := mirror():
        sources.insert(0, f"{first.rstrip('/')}/{text.file}")
    lock = texts_dir() / f"{text.file}.lock"
    shown = 0.0

    def show(share: float) -> None:
        nonlocal shown
        with contextlib.suppress(OSError):
            os.utime(lock)  # tells waiting processes that bytes arrive
        if progress and share > shown:  # a second source starts from 0, the progress bar does not
            shown = share
            progress(share)

    with contextlib.ExitStack() as held:
        content = kept(text)
        if content is None:
            with contextlib.suppress(OSError, NotImplementedError):  # without file locks, proceed without one
                held.enter_context(_wait_for_lock(lock, silence, cancelled))
            content = kept(text)  # another process may have downloaded it meanwhile
        if content is None:
            content = _first_answer(text, sources, silence, min_rate, show, cancelled)
            with contextlib.suppress(OSError):  # if the disk is full, the text can still be used
                write_atomically(texts_dir() / text.file, content)
    show(1.0)
    return content
