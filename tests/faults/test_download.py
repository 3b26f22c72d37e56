"""Published texts, from servers that misbehave in every way: had whole, or one sentence says in good time why not."""

import contextlib
import gzip
import hashlib
import os
import random
import re
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import microllm.environment
from microllm.data import download
from microllm.data.decode import TextProblem
from microllm.data.download import fetch
from microllm.data.published import PUBLISHED_TEXTS, PublishedText
from microllm.data.texts import choose
from microllm.ui.state import link

START = "*** START OF THE PROJECT GUTENBERG EBOOK A MADE BOOK ***"
END = "*** END OF THE PROJECT GUTENBERG EBOOK A MADE BOOK ***"

rng = random.Random(1)
BOOK = "\n".join("".join(rng.choices("abcdefghij“” .;", k=60)) for _ in range(2_000)).strip()


NAMES = "emma\nolivia\nava\n" * 1_000


def fetch_book(progress=None, *, sources=(), **options) -> str:
    """The book from these sources, after the mirror."""
    return fetch(replace(PUBLISHED_TEXTS["book"], addresses=tuple(sources)), progress, **options)


def fetch_names(*sources: str) -> str:
    """A text whose SHA-256 is known, from these sources, after the mirror."""
    sha256 = hashlib.sha256(NAMES.encode()).hexdigest()
    return fetch(PublishedText("Made names", "", sources, "made_names.txt", len(NAMES), sha256))


def as_served(book: str = BOOK) -> bytes:
    """A file as Project Gutenberg serves it, around a made book."""
    text = f"\ufeffTitle: A Made Book\n\n{START}\n\n\n{book}\n\n   {END}\n\nLicence\n"
    return text.replace("\n", "\r\n").encode()


# A server that can do everything wrong. Each of its paths is one behaviour.


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def do_GET(self):
        self.server.asked.append(self.path)
        getattr(self, self.path.strip("/").replace(".", "_").replace("/", "_"))()

    def log_message(self, *_):
        pass

    def answer(self, body: bytes, status: int = 200, **headers: str):
        self.send_response(status)
        for name, value in ({"Content_Type": "text/plain", "Content_Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def drip(self, data: bytes, piece: int = 1):
        """A piece every 50 ms, until the other side has gone: no single read waits long."""
        for start in range(0, len(data), piece):
            if self.server.closing.wait(0.05):
                return
            self.wfile.write(data[start : start + piece])

    def steady(self, data: bytes, **headers: str):
        """The first byte after a while, then 240 kB a second at the most: all takes 0.7 s or more."""
        self.server.closing.wait(0.2)
        self.answer(b"", **{"Content_Length": str(len(data))} | headers)
        self.drip(data, 12_000)

    def book(self):
        self.answer(as_served())

    texts_pg1342_txt = book

    def names(self):
        self.answer(NAMES.encode())

    texts_made_names_txt = names

    def names_with_another_one(self):
        self.answer(NAMES.replace("olivia", "sophia", 1).encode())

    def names_cut(self):
        self.answer(NAMES[:10_000].encode())

    def slow_book(self):
        self.server.closing.wait(0.3)
        self.book()

    def gzipped_book(self):
        self.answer(gzip.compress(as_served()), Content_Encoding="gzip")

    def book_of_unknown_length(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(as_served())

    def steady_book(self):
        self.steady(as_served())

    def steady_gzip(self):
        self.steady(gzip.compress(as_served(), 1), Content_Encoding="gzip")

    def steady_book_of_unknown_length(self):
        self.send_response(200)
        self.end_headers()
        self.drip(as_served(), 12_000)

    def missing(self):
        self.answer(as_served(), 404)

    def failing(self):
        self.answer(as_served(), 500)

    def failing_without_end(self):
        self.send_response(500)
        self.end_headers()
        self.drip(bytes(10_000_000), 65_536)

    def come_back_in_an_hour(self):
        self.answer(b"", 503, Retry_After="3600")

    def failing_once(self):
        self.failing() if self.server.asked.count(self.path) == 1 else self.book()

    def web_page_by_type(self):
        self.answer(as_served(), Content_Type="text/html; charset=utf-8")

    def web_page_by_content(self):
        self.answer(b"\xef\xbb\xbf\r\n <!DOCTYPE html>" + as_served())

    def short(self):
        self.answer(as_served(BOOK[:99_000]))

    def without_markers(self):
        self.answer(BOOK.encode())

    def not_utf_8(self):
        self.answer(as_served().replace(b"a;", b"\xe4;", 1))

    def broken_off(self):
        self.answer(as_served()[:110_000], Content_Length=str(len(as_served())))

    def reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def redirect_loop(self):
        self.answer(b"", 302, Location=self.path)

    def moved(self):
        self.answer(b"", 301, Location="/book")

    def redirect_with_a_bomb(self):
        self.answer(bomb(), 302, Content_Encoding="gzip", Location="/book")

    def bomb_of_gzip(self):
        self.answer(bomb(), Content_Encoding="gzip")

    def not_http(self):
        self.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n")

    def not_gzip(self):
        self.answer(as_served(), Content_Encoding="gzip")

    def redirect_elsewhere(self):
        self.answer(b"", 302, Location="ftp://127.0.0.1/book")

    def endless(self):
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b"o" * 65_536)

    def endless_gzip(self):
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(b"\x1f\x8b\x08\x08" + bytes(6))  # the name of a file follows, and never ends
        while True:
            self.wfile.write(b"o" * 65_536)

    def hang(self):
        self.server.closing.wait(20)

    def drip_headers(self):
        self.drip(b"HTTP/1.0 200 OK\r\nX-Padding: " + bytes(1_000))

    def half_then_hang(self):
        self.answer(as_served()[:60_000], Content_Length=str(len(as_served())))
        self.hang()

    def drip_body(self):
        self.send_response(200)
        self.end_headers()
        self.drip(as_served())

    def drip_bomb(self):
        """20 bytes a second that become 20,000 characters."""
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.drip(bomb())

    def drip_chunks(self):
        self.protocol_version = "HTTP/1.1"
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.drip(b"1\r\nx\r\n" * 1_000)


def bomb() -> bytes:
    """30 MB with the markers of a book in 30 kB."""
    return gzip.compress(f"{START}\n{'o' * 30_000_000}\n{END}\n".encode(), 1)


class Server(ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.closing = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"

    def handle_error(self, *_):
        pass  # the client may hang up


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.closing.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def texts(tmp_path, monkeypatch):
    """The folder of texts of a home of its own; no mirror, no proxy."""
    monkeypatch.setenv("MICROLLM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MICROLLM_MIRROR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    microllm.environment.home.cache_clear()
    yield tmp_path / "home" / "texts"
    microllm.environment.home.cache_clear()


def workers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("fetch ")]


def assert_no_worker_stays():
    end = time.monotonic() + 1
    while workers() and time.monotonic() < end:
        time.sleep(0.01)
    assert workers() == []


# ---- 28. no network, wrong answers, answers that never end

REFUSED = [
    "missing",
    "failing",
    "failing_without_end",
    "web_page_by_type",
    "web_page_by_content",
    "short",
    "without_markers",
    "not_utf_8",
    "broken_off",
    "reset",
    "not_http",
    "not_gzip",
    "redirect_loop",
    "redirect_elsewhere",
    "bomb_of_gzip",
    "endless",
    "endless_gzip",
    "come_back_in_an_hour",
]
SILENT = ["hang", "half_then_hang", "drip_headers", "drip_body", "drip_chunks", "drip_bomb"]


def refusal(*sources: str, **options) -> str:
    """The sentence about a book that these sources do not give."""
    with pytest.raises(TextProblem) as problem:
        fetch_book(sources=sources, **options)
    return str(problem.value)


@pytest.mark.parametrize("fault", [*REFUSED, *SILENT])
def test_after_a_source_that_fails_the_next_one_is_asked(server, texts, fault):
    assert fetch_book(sources=[server.url(fault), server.url("book")], silence=1) == BOOK
    assert server.asked[-1] == "/book"
    assert (texts / "pg1342.txt").read_bytes() == BOOK.encode()


@pytest.mark.parametrize("fault", REFUSED)
def test_what_is_not_the_whole_book_is_refused_in_one_sentence_and_not_kept(server, texts, fault):
    sentence = refusal(server.url(fault))
    assert PUBLISHED_TEXTS["book"].name in sentence
    assert "127.0.0.1" not in sentence  # an address may hold a password
    assert not re.search(r"[a-z][A-Z]|_", sentence)  # no name of a class
    assert not (texts / "pg1342.txt").exists()


@pytest.mark.parametrize(
    ("fault", "code"), [("missing", 404), ("failing", 500), ("failing_without_end", 500), ("come_back_in_an_hour", 503)]
)
def test_an_error_of_the_server_is_named_by_its_number_and_its_page_is_not_read(server, fault, code):
    begin = time.monotonic()
    assert str(code) in refusal(server.url(fault))
    assert time.monotonic() - begin < 3


def test_each_kind_of_fault_has_a_reason_of_its_own(server):
    same = [
        {"failing", "failing_without_end"},
        {"web_page_by_type", "web_page_by_content"},
        {"bomb_of_gzip", "endless", "endless_gzip"},
    ]
    faults = {fault: refusal(server.url(fault)) for fault in REFUSED}
    faults |= {fault: refusal(server.url(fault), silence=0.3) for fault in ("hang", "drip_body")}
    for one, sentence in faults.items():
        for other in faults:
            is_same = one == other or any({one, other} <= kind for kind in same)
            assert (sentence == faults[other]) == is_same, (one, other)


@pytest.mark.parametrize("fault", SILENT)
def test_a_source_that_gives_nothing_in_time_is_left_within_the_limit(server, fault):
    begin = time.monotonic()
    refusal(server.url(fault), silence=0.3)
    assert 0.3 <= time.monotonic() - begin < 0.8
    if fault == "drip_headers":  # passes every time limit of a read: its thread is abandoned, as long as bytes come
        server.closing.set()
    assert_no_worker_stays()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_accepts_and_never_speaks_is_left_even_in_a_tls_handshake(scheme):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begin = time.monotonic()
        refusal(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/", silence=0.3)
        assert time.monotonic() - begin < 0.8
        assert_no_worker_stays()


def test_a_tls_handshake_that_trickles_does_not_hold_us():
    over = threading.Event()

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def trickle():
            connection, _ = listener.accept()
            with connection:
                connection.send(b"\x16\x03\x03\x40\x00")  # the head of a handshake record of 16 kB
                try:
                    while not over.is_set():
                        connection.send(b"\x02")
                        time.sleep(0.05)
                except OSError:
                    pass

        thread = threading.Thread(target=trickle)
        thread.start()
        begin = time.monotonic()
        refusal(f"https://127.0.0.1:{listener.getsockname()[1]}/", silence=0.5)
        assert time.monotonic() - begin < 1
        over.set()
        thread.join()
        assert_no_worker_stays()


@pytest.mark.parametrize("is_found", [False, True])
def test_a_name_that_is_looked_up_for_ever_does_not_hold_us_and_is_not_used_when_it_comes(
    monkeypatch, server, is_found
):
    look_up = socket.getaddrinfo
    late, looked_up = threading.Event(), []

    def slow_for_strangers(host, *args, **kwargs):
        if host == "book.invalid":
            looked_up.append(host)
            late.wait(10)
            if not is_found:
                raise socket.gaierror("no such name")
            host = "127.0.0.1"
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow_for_strangers)
    stranger = server.url("book").replace("127.0.0.1", "book.invalid")
    try:
        assert fetch_book(sources=[stranger, server.url("book")], silence=1) == BOOK
    finally:
        late.set()
    assert_no_worker_stays()
    assert looked_up


@pytest.fixture
def tls(server, tmp_path, monkeypatch):
    """The same server behind TLS, with a certificate of its own making that is trusted here."""
    if not shutil.which("openssl"):
        pytest.skip("makes its certificate with the openssl command")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=book"
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run([*make.split(), *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    return lambda path: server.url(path).replace("http:", "https:")


def test_the_book_is_had_through_tls_and_a_trickle_in_there_does_not_hold_us(tls):
    assert fetch_book(sources=[tls("drip_headers"), tls("book")], silence=1) == BOOK


def test_all_sources_together_end_within_the_limit(server):
    begin = time.monotonic()
    sentence = refusal(*map(server.url, ("hang", "drip_body", "missing", "drip_headers")), silence=1)
    assert time.monotonic() - begin < 2.8
    assert len(server.asked) == 4 and "404" in sentence


def test_a_line_without_a_book_is_described_in_plain_words(server, tls, monkeypatch):
    """A proxy that refuses, one that is not there, no such name, nobody listening, a certificate that nobody knows."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = f"127.0.0.1:{listener.getsockname()[1]}"  # closed again: nobody listens there
    sentences = {refusal(f"http://{nobody}/"), refusal("https://book.invalid/")}
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    sentences.add(refusal(tls("book")))
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    sentences.add(refusal(tls("book")))
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@{nobody}")
    sentences.add(refusal("https://book.invalid/"))
    with proxy_that_refuses() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@{proxy}")
        sentences.add(refusal("https://book.invalid/"))
    assert len(sentences) == 6
    assert any("403" in sentence for sentence in sentences)
    for sentence in sentences:
        assert not re.search(r"[a-z][A-Z]|127\.0\.0\.1|secret|_", sentence), sentence


@contextlib.contextmanager
def proxy_that_refuses():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse():
            connection, _ = listener.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(b"HTTP/1.1 403 Not from here\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize("path", ["gzipped_book", "book_of_unknown_length", "moved", "failing_once", "slow_book"])
def test_the_book_is_had_compressed_without_a_length_moved_and_after_a_hiccup(server, path):
    assert fetch_book(sources=[server.url(path)]) == BOOK


def test_the_body_of_a_redirect_is_not_unpacked(server, monkeypatch):
    unpacked = []
    iter_content = download.requests.Response.iter_content

    def counted(response, *args, **kwargs):
        for chunk in iter_content(response, *args, **kwargs):
            unpacked.append(len(chunk))
            yield chunk

    monkeypatch.setattr(download.requests.Response, "iter_content", counted)
    assert fetch_book(sources=[server.url("redirect_with_a_bomb")]) == BOOK
    assert not unpacked  # the book itself is read another way


def test_progress_never_falls_when_a_second_source_begins_again(server):
    shares = []
    fetch_book(shares.append, sources=[server.url("broken_off"), server.url("steady_book")])
    assert shares == sorted(set(shares))
    assert shares[-1] == 1


@pytest.mark.parametrize("path", ["without_markers", "endless", "half_then_hang"])
def test_progress_does_not_say_done_of_what_is_then_refused(server, path):
    shares = []
    refusal(server.url(path), progress=shares.append, silence=0.5)
    assert not shares or shares[-1] < 1


def test_a_caller_who_leaves_in_the_middle_takes_the_download_along(server, texts):
    class Left(BaseException):
        pass

    def progress(share: float):
        raise Left

    with pytest.raises(Left):
        fetch_book(progress, sources=[server.url("half_then_hang")], silence=0.5)
    assert_no_worker_stays()
    assert fetch_book(sources=[server.url("book")]) == BOOK


def test_a_kept_book_is_not_fetched_again(server):
    fetch_book(sources=[server.url("book")])
    shares = []
    assert fetch_book(shares.append, sources=[server.url("book")]) == BOOK
    assert server.asked == ["/book"]
    assert shares == [1]


@pytest.mark.parametrize("damage", [b"", b"Chapter 1", b"\xff" * 200_000])
def test_a_damaged_kept_book_is_fetched_again(server, texts, damage):
    texts.mkdir(parents=True)
    (texts / "pg1342.txt").write_bytes(damage)
    assert fetch_book(sources=[server.url("book")]) == BOOK
    assert (texts / "pg1342.txt").read_bytes() == BOOK.encode()


# ---- a text whose SHA-256 is known


@pytest.mark.parametrize("fault", ["names_with_another_one", "names_cut", "book"])
def test_a_text_with_another_sha_256_is_refused_and_the_next_source_asked(server, texts, fault):
    with pytest.raises(TextProblem, match=r"Made names .*SHA-256"):
        fetch_names(server.url(fault))
    assert not (texts / "made_names.txt").exists()
    assert fetch_names(server.url(fault), server.url("names")) == NAMES
    assert (texts / "made_names.txt").read_text() == NAMES


@pytest.mark.parametrize("damage", [b"", NAMES[:10_000].encode(), NAMES.replace("v", "w", 1).encode()])
def test_a_kept_text_is_used_again_only_if_its_sha_256_is_right(server, texts, damage):
    fetch_names(server.url("names"))
    assert fetch_names(server.url("names")) == NAMES
    assert server.asked == ["/names"]
    (texts / "made_names.txt").write_bytes(damage)
    assert fetch_names(server.url("names")) == NAMES
    assert server.asked == ["/names"] * 2


def test_the_operators_copy_of_any_text_is_asked_first_and_checked_as_well(server, tmp_path, monkeypatch):
    (tmp_path / "made_names.txt").write_text(NAMES[:10_000])
    monkeypatch.setenv("MICROLLM_MIRROR", str(tmp_path))
    assert fetch_names(server.url("names")) == NAMES
    assert server.asked == ["/names"]
    (tmp_path / "home/texts/made_names.txt").unlink()
    monkeypatch.setenv("MICROLLM_MIRROR", server.url("texts"))
    assert fetch_names() == NAMES
    assert server.asked[1:] == ["/texts/made_names.txt"]


# ---- 29. two downloads at once


def test_two_downloads_at_once_make_one_whole_file(server, texts):
    books = []
    threads = [
        threading.Thread(target=lambda: books.append(fetch_book(sources=[server.url("slow_book")]))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert books == [BOOK, BOOK]
    assert server.asked == ["/slow_book"]
    assert (texts / "pg1342.txt").read_bytes() == BOOK.encode()


@pytest.mark.alone
def test_a_download_waits_for_a_slow_one_ahead_of_it_as_long_as_bytes_come(server):
    sources = [server.url("steady_book")]
    ahead = threading.Thread(target=fetch_book, kwargs={"sources": sources})
    ahead.start()
    while not server.asked:
        time.sleep(0.01)
    begin = time.monotonic()
    assert fetch_book(sources=sources, silence=0.4) == BOOK
    assert time.monotonic() - begin > 0.4
    assert server.asked == ["/steady_book"]
    ahead.join()


@contextlib.contextmanager
def suspended_download(texts):
    """Another thread, like a process that is suspended, holds the lock on the book."""
    texts.mkdir(parents=True)
    held, over = threading.Event(), threading.Event()

    def hold():
        with download.filelock.FileLock(texts / "pg1342.txt.lock"):
            held.set()
            over.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    yield
    over.set()
    thread.join()


@pytest.mark.alone
def test_a_download_that_is_ahead_and_shows_no_sign_of_life_is_not_waited_for(server, texts):
    begin = time.monotonic()
    with suspended_download(texts):
        assert fetch_book(sources=[server.url("book")], silence=0.3) == BOOK
    assert 0.3 < time.monotonic() - begin < 1


def test_waiting_for_a_download_that_is_ahead_can_be_cancelled(server, texts):
    cancelled = threading.Event()
    threading.Timer(0.2, cancelled.set).start()
    with suspended_download(texts):
        refusal(server.url("book"), cancelled=cancelled)
    assert server.asked == []


# ---- 49. a slow line is not a silent one


@pytest.mark.alone
@pytest.mark.parametrize("path", ["steady_book", "steady_gzip", "steady_book_of_unknown_length"])
def test_a_slow_but_steady_line_gets_the_book_and_progress_grows_in_the_thread_of_the_caller(server, path):
    shares, threads = [], set()

    def progress(share: float):
        shares.append(share)
        threads.add(threading.current_thread())

    begin = time.monotonic()
    assert fetch_book(progress, sources=[server.url(path)], silence=0.4, min_rate=40_000) == BOOK
    assert time.monotonic() - begin > 0.4
    assert server.asked == [f"/{path}"]
    assert len(shares) > 5
    assert shares == sorted(set(shares))
    assert shares[0] > 0 and shares[-1] == 1
    assert threads == {threading.current_thread()}


@pytest.mark.alone
def test_a_slow_but_steady_source_is_not_left_for_the_next_one(server):
    sources = [server.url(path) for path in ("steady_book", "book", "book")]
    assert fetch_book(sources=sources, silence=1.2, min_rate=20_000) == BOOK  # 0.4 for each of them
    assert server.asked == ["/steady_book"]


@pytest.mark.alone
def test_a_line_below_the_least_rate_is_left_after_the_time_of_silence(server):
    begin = time.monotonic()
    slow, silent = (refusal(server.url(path), silence=0.5, min_rate=400_000) for path in ("steady_book", "hang"))
    assert time.monotonic() - begin < 2
    assert slow != silent
    assert_no_worker_stays()


@pytest.mark.alone
def test_a_line_that_is_silent_after_a_steady_half_is_left_and_the_next_source_has_its_time(server):
    sources = [server.url("half_then_hang"), server.url("steady_book")]
    assert fetch_book(sources=sources, silence=1, min_rate=20_000) == BOOK


@pytest.mark.alone
def test_a_slow_line_is_measured_in_what_it_carries_not_in_what_is_unpacked(server):
    begin = time.monotonic()
    refusal(server.url("drip_bomb"), silence=0.5)
    assert time.monotonic() - begin < 1


@pytest.mark.parametrize("path", ["hang", "drip_headers", "steady_book"])
def test_a_cancelled_download_ends_at_once_and_can_be_tried_again(server, path):
    cancelled = threading.Event()
    threading.Timer(0.3, cancelled.set).start()
    begin = time.monotonic()
    assert PUBLISHED_TEXTS["book"].name in refusal(server.url(path), cancelled=cancelled)
    assert time.monotonic() - begin < 0.8
    assert fetch_book(sources=[server.url("book")]) == BOOK


# ---- a folder that cannot be written, a full disk


def test_a_folder_that_cannot_be_written_does_not_lose_the_book(server, texts):
    texts.parent.mkdir(parents=True, exist_ok=True)
    texts.write_text("a file stands where the folder should be")
    assert fetch_book(sources=[server.url("book")]) == BOOK


def test_a_full_disk_does_not_lose_the_book(server, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download, "write_atomically", full)
    assert fetch_book(sources=[server.url("book")]) == BOOK


# ---- 30. nothing that a visitor types is ever fetched; MICROLLM_MIRROR is the operator's


def test_an_address_in_a_texts_place_is_the_name_of_a_file_that_is_not_there(server):
    for address in (server.url("book"), f"file://{__file__}"):
        with pytest.raises(TextProblem, match="There is no file"):
            choose(address)
    said = link.read({"text": server.url("book")})
    assert said.text is None and said.wrong
    assert server.asked == []


def test_the_operators_folder_is_asked_first(server, tmp_path, monkeypatch):
    (tmp_path / "pg1342.txt").write_bytes(as_served())
    monkeypatch.setenv("MICROLLM_MIRROR", str(tmp_path))
    assert fetch_book(sources=[server.url("book")]) == BOOK
    assert server.asked == []


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_operators_address_is_asked_first(server, monkeypatch, slash):
    monkeypatch.setenv("MICROLLM_MIRROR", server.url("texts") + slash)
    assert fetch_book(sources=[server.url("book")]) == BOOK
    assert server.asked == ["/texts/pg1342.txt"]


def test_a_mirror_without_the_book_is_passed_over(server, tmp_path, monkeypatch):
    monkeypatch.setenv("MICROLLM_MIRROR", str(tmp_path / "nowhere"))
    assert fetch_book(sources=[server.url("book")]) == BOOK
    (tmp_path / "home/texts/pg1342.txt").unlink()
    assert "404" in refusal(server.url("missing"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="makes a pipe")
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_in_the_operators_folder_is_passed_over(server, tmp_path, monkeypatch, kind):
    monkeypatch.setenv("MICROLLM_MIRROR", str(tmp_path))
    path = tmp_path / "pg1342.txt"
    {"pipe": os.mkfifo, "device": lambda path: path.symlink_to("/dev/zero"), "folder": Path.mkdir}[kind](path)
    assert fetch_book(sources=[server.url("book")], silence=2) == BOOK
    assert_no_worker_stays()
