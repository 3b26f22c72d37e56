"""The book, from servers that misbehave in every way: had whole, or one sentence says within its time why not."""

import gzip
import random
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import microllm.home
from microllm import download, link
from microllm.download import (
    TextProblem,
    fetch_book,
)
from microllm.texts import choose

START = "*** START OF THE PROJECT GUTENBERG EBOOK A MADE BOOK ***"
END = "*** END OF THE PROJECT GUTENBERG EBOOK A MADE BOOK ***"

rng = random.Random(1)
BOOK = "\n".join("".join(rng.choices("abcdefghij“” .;", k=60)) for _ in range(2_000)).strip()


def gutenberg(book: str = BOOK) -> bytes:
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

    def drip(self, data: bytes):
        """A byte every 50 ms, until the other side has gone: no single read waits long."""
        for byte in data:
            if self.server.closing.wait(0.05):
                return
            self.wfile.write(bytes([byte]))

    def book(self):
        self.answer(gutenberg())

    texts_pg1342_txt = book

    def slow_book(self):
        self.server.closing.wait(0.3)
        self.book()

    def gzipped_book(self):
        self.answer(gzip.compress(gutenberg()), Content_Encoding="gzip")

    def book_of_unknown_length(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(gutenberg())

    def missing(self):
        self.answer(gutenberg(), 404)

    def failing(self):
        self.answer(gutenberg(), 500)

    def come_back_in_an_hour(self):
        self.answer(b"", 503, Retry_After="3600")

    def failing_once(self):
        self.failing() if self.server.asked.count(self.path) == 1 else self.book()

    def web_page_by_type(self):
        self.answer(gutenberg(), Content_Type="text/html; charset=utf-8")

    def web_page_by_content(self):
        self.answer(b"\xef\xbb\xbf\r\n <!DOCTYPE html>" + gutenberg())

    def short(self):
        self.answer(gutenberg(BOOK[:99_000]))

    def without_markers(self):
        self.answer(BOOK.encode())

    def not_utf_8(self):
        self.answer(gutenberg().replace(b"a;", b"\xe4;", 1))

    def broken_off(self):
        self.answer(gutenberg()[:110_000], Content_Length=str(len(gutenberg())))

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

    def endless(self):
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b"o" * 65_536)

    def hang(self):
        self.server.closing.wait(20)

    def drip_headers(self):
        self.drip(b"HTTP/1.0 200 OK\r\nX-Padding: " + bytes(1_000))

    def half_then_hang(self):
        self.answer(gutenberg()[:60_000], Content_Length=str(len(gutenberg())))
        self.hang()

    def drip_body(self):
        self.send_response(200)
        self.end_headers()
        self.drip(gutenberg())

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
        pass  # whoever fetches may hang up


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
    microllm.home.home.cache_clear()
    yield tmp_path / "home" / "texts"
    microllm.home.home.cache_clear()


def workers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("fetch ")]


def assert_no_worker_stays():
    end = time.monotonic() + 1
    while workers() and time.monotonic() < end:
        time.sleep(0.01)
    assert workers() == []


# ---- 28. no network, wrong answers, answers that never end

REFUSED = {
    "missing": "error 404",
    "failing": "error 500",
    "web_page_by_type": "a web page",
    "web_page_by_content": "a web page",
    "short": "only a part",
    "without_markers": "START or END line is missing",
    "not_utf_8": "a broken answer",
    "broken_off": "a broken answer",
    "reset": "a broken answer",
    "redirect_loop": "a redirect loop",
    "bomb_of_gzip": "far more than a book",
    "endless": "far more than a book",
}
SILENT = ["hang", "drip_headers", "drip_body", "drip_chunks", "come_back_in_an_hour"]


@pytest.mark.parametrize("fault", [*REFUSED, *SILENT])
def test_after_a_source_that_fails_the_next_one_is_asked(server, texts, fault):
    assert fetch_book(sources=[server.url(fault), server.url("book")], seconds=1) == BOOK
    assert server.asked[-1] == "/book"
    assert (texts / "pg1342.txt").read_bytes() == BOOK.encode()


@pytest.mark.parametrize(("fault", "reason"), REFUSED.items())
def test_what_is_not_the_whole_book_is_refused_in_one_sentence_and_not_kept(server, texts, fault, reason):
    with pytest.raises(TextProblem) as problem:
        fetch_book(sources=[server.url(fault)], seconds=5)
    assert str(problem.value).startswith("Pride and Prejudice could not be fetched: ")
    assert reason in str(problem.value)
    assert str(problem.value).endswith("(1 address tried). The built-in texts work offline.")
    assert not (texts / "pg1342.txt").exists()


def test_an_html_error_page_is_not_taken_for_the_book(server):
    with pytest.raises(TextProblem, match="a web page instead of the book"):
        fetch_book(sources=[server.url("web_page_by_type"), server.url("web_page_by_content")], seconds=5)


@pytest.mark.parametrize("fault", SILENT)
def test_a_source_that_gives_nothing_in_time_is_left_within_the_limit_and_nothing_goes_on_behind(server, fault):
    begin = time.monotonic()
    with pytest.raises(TextProblem, match=r"could not be fetched: (no answer in time|error 503) \(1 address tried\)"):
        fetch_book(sources=[server.url(fault)], seconds=0.3)
    assert time.monotonic() - begin < 0.8
    assert_no_worker_stays()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_accepts_and_never_speaks_is_left_even_in_a_tls_handshake(scheme):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        begin = time.monotonic()
        with pytest.raises(TextProblem, match="no answer in time"):
            fetch_book(sources=[f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/"], seconds=0.3)
        assert time.monotonic() - begin < 0.8
        assert_no_worker_stays()


def test_a_tls_handshake_that_trickles_is_cut():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def trickle():
            connection, _ = listener.accept()
            with connection:
                connection.send(b"\x16\x03\x03\x40\x00")  # the head of a handshake record of 16 kB
                try:
                    while True:
                        connection.send(b"\x02")
                        time.sleep(0.05)
                except OSError:
                    pass

        thread = threading.Thread(target=trickle)
        thread.start()
        with pytest.raises(TextProblem):
            fetch_book(sources=[f"https://127.0.0.1:{listener.getsockname()[1]}/"], seconds=0.5)
        assert_no_worker_stays()
        thread.join()


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
    stranger = server.url("drip_headers").replace("127.0.0.1", "book.invalid")
    try:
        assert fetch_book(sources=[stranger, server.url("book")], seconds=1) == BOOK
    finally:
        late.set()
    assert_no_worker_stays()
    assert len(looked_up) == 1


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


def test_the_book_is_had_through_tls_and_a_trickle_in_there_is_cut(tls):
    assert fetch_book(sources=[tls("drip_headers"), tls("book")], seconds=1) == BOOK
    assert_no_worker_stays()


def test_all_sources_together_end_within_the_limit(server):
    begin = time.monotonic()
    with pytest.raises(TextProblem, match=r"no answer in time, error 404 \(4 addresses tried\)"):
        fetch_book(sources=[server.url(path) for path in ("hang", "drip_body", "missing", "drip_headers")], seconds=1)
    assert time.monotonic() - begin < 1.5
    assert_no_worker_stays()


def test_without_a_network_one_sentence_says_so():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]  # closed again: nobody listens there
    with pytest.raises(TextProblem) as problem:
        fetch_book(sources=[f"http://127.0.0.1:{port}/{n}" for n in range(3)], seconds=5)
    assert str(problem.value) == (
        "Pride and Prejudice could not be fetched: no network (3 addresses tried). The built-in texts work offline."
    )


@pytest.mark.parametrize("path", ["gzipped_book", "book_of_unknown_length", "moved", "failing_once", "slow_book"])
def test_the_book_is_had_compressed_without_a_length_moved_and_after_a_hiccup(server, path):
    assert fetch_book(sources=[server.url(path)], seconds=5) == BOOK


def test_the_body_of_a_redirect_is_not_unpacked(server, monkeypatch):
    unpacked = []
    iter_content = download.requests.Response.iter_content

    def counted(response, *args, **kwargs):
        for chunk in iter_content(response, *args, **kwargs):
            unpacked.append(len(chunk))
            yield chunk

    monkeypatch.setattr(download.requests.Response, "iter_content", counted)
    assert fetch_book(sources=[server.url("redirect_with_a_bomb")], seconds=5) == BOOK
    assert sum(unpacked) == len(gutenberg())


@pytest.mark.parametrize(
    ("path", "nearly"), [("book", 0.99), ("gzipped_book", 0.99), ("book_of_unknown_length", len(gutenberg()) / 772_448)]
)
def test_progress_grows_to_one_in_the_thread_of_the_caller(server, path, nearly):
    shares, threads = [], set()

    def progress(share: float):
        shares.append(share)
        threads.add(threading.current_thread())

    fetch_book(progress, sources=[server.url("missing"), server.url(path)], seconds=5)
    assert len(shares) > 3
    assert shares == sorted(set(shares))
    assert shares[0] > 0 and shares[-2] == pytest.approx(nearly) and shares[-1] == 1
    assert threads == {threading.current_thread()}


def test_progress_never_falls_when_a_second_source_begins_again(server):
    shares = []
    fetch_book(shares.append, sources=[server.url("without_markers"), server.url("book")], seconds=5)
    assert shares == sorted(set(shares))
    assert shares[-2:] == [0.99, 1]


@pytest.mark.parametrize("path", ["without_markers", "endless"])
def test_progress_does_not_say_done_of_what_is_then_refused(server, path):
    shares = []
    with pytest.raises(TextProblem):
        fetch_book(shares.append, sources=[server.url(path)], seconds=5)
    assert shares[-1] == 0.99


def test_a_caller_who_leaves_in_the_middle_takes_the_download_along(server, texts):
    class Left(BaseException):
        pass

    def progress(share: float):
        raise Left

    with pytest.raises(Left):
        fetch_book(progress, sources=[server.url("half_then_hang")], seconds=5)
    assert_no_worker_stays()
    assert fetch_book(sources=[server.url("book")], seconds=5) == BOOK


def test_a_kept_book_is_not_fetched_again(server):
    fetch_book(sources=[server.url("book")], seconds=5)
    shares = []
    assert fetch_book(shares.append, sources=[server.url("book")], seconds=5) == BOOK
    assert server.asked == ["/book"]
    assert shares == [1]


@pytest.mark.parametrize("damage", [b"", b"Chapter 1", b"\xff" * 200_000])
def test_a_damaged_kept_book_is_fetched_anew(server, texts, damage):
    texts.mkdir(parents=True)
    (texts / "pg1342.txt").write_bytes(damage)
    assert fetch_book(sources=[server.url("book")], seconds=5) == BOOK
    assert (texts / "pg1342.txt").read_bytes() == BOOK.encode()


# ---- 29. two downloads at once


def test_two_downloads_at_once_make_one_whole_file(server, texts):
    books = []
    threads = [
        threading.Thread(target=lambda: books.append(fetch_book(sources=[server.url("slow_book")], seconds=5)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert books == [BOOK, BOOK]
    assert server.asked == ["/slow_book"]
    assert (texts / "pg1342.txt").read_bytes() == BOOK.encode()


def test_a_download_that_is_ahead_and_never_ends_does_not_hold_us_past_the_limit(server, texts):
    texts.mkdir(parents=True)
    begin = time.monotonic()
    with download.filelock.FileLock(texts / "pg1342.txt.lock"), pytest.raises(TextProblem):
        fetch_book(sources=[server.url("book")], seconds=0.3)
    assert time.monotonic() - begin < 0.8


# ---- a folder that cannot be written, a full disk


def test_a_folder_that_cannot_be_written_does_not_lose_the_book(server, texts):
    texts.parent.mkdir(parents=True, exist_ok=True)
    texts.write_text("a file stands where the folder should be")
    assert fetch_book(sources=[server.url("book")], seconds=5) == BOOK


def test_a_full_disk_does_not_lose_the_book(server, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download, "write_atomically", full)
    assert fetch_book(sources=[server.url("book")], seconds=5) == BOOK


# ---- 30. nothing that a visitor types is ever fetched; MICROLLM_MIRROR is the operator's


def test_an_address_in_a_texts_place_is_the_name_of_a_file_that_is_not_there(server):
    for address in (server.url("book"), f"file://{__file__}"):
        with pytest.raises(TextProblem, match="There is no file"):
            choose(address)
    said = link.read({"text": server.url("book")})
    assert said.text is None and said.wrong
    assert server.asked == []


def test_the_operators_folder_is_asked_first(server, tmp_path, monkeypatch):
    (tmp_path / "pg1342.txt").write_bytes(gutenberg())
    monkeypatch.setenv("MICROLLM_MIRROR", str(tmp_path))
    assert fetch_book(sources=[server.url("book")], seconds=5) == BOOK
    assert server.asked == []


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_operators_address_is_asked_first(server, monkeypatch, slash):
    monkeypatch.setenv("MICROLLM_MIRROR", server.url("texts") + slash)
    assert fetch_book(sources=[server.url("book")], seconds=5) == BOOK
    assert server.asked == ["/texts/pg1342.txt"]


def test_a_mirror_without_the_book_is_passed_over(server, tmp_path, monkeypatch):
    monkeypatch.setenv("MICROLLM_MIRROR", str(tmp_path / "nowhere"))
    assert fetch_book(sources=[server.url("book")], seconds=5) == BOOK
    with pytest.raises(TextProblem, match=r"no such file, error 404 \(2 addresses tried\)"):
        (tmp_path / "home/texts/pg1342.txt").unlink()
        fetch_book(sources=[server.url("missing")], seconds=5)
