"""Texts: cleaned, decoded, kept."""

import hashlib
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from microllm.data import files, store
from microllm.data.decode import TextProblem
from microllm.data.files import clean_gutenberg, decode_text, read_text_file
from microllm.data.store import keep_text, load_text
from microllm.environment import texts_dir

START = "*** START OF THE PROJECT GUTENBERG EBOOK A MADE BOOK ***"
END = "*** END OF THE PROJECT GUTENBERG EBOOK A MADE BOOK ***"


# Cleaning


@pytest.mark.parametrize("article", ["THE", "THIS"])
@pytest.mark.parametrize("indent", ["", "            ", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_what_stands_between_the_markers_is_the_book(article, indent, line_end, mark):
    inside = "Chapter 1\n\n  [Illustration]\n\n* * *\n\n_It_ is a “truth” ***"
    text = (
        f"{mark}Header\n\n{indent}*** START OF {article} PROJECT GUTENBERG EBOOK A MADE BOOK ***\n\n{inside}\n \n"
        f"{indent}*** END OF {article} PROJECT GUTENBERG EBOOK A MADE BOOK ***\nLicence"
    )
    assert clean_gutenberg(text.replace("\n", line_end)) == inside


def test_older_markers_without_a_space_and_in_mixed_case_are_known():
    text = "***START OF THE PROJECT GUTENBERG EBOOK A***\nOnce.\n***END OF THE PROJECT GUTENBERG EBOOK A***"
    assert clean_gutenberg(text) == "Once."
    assert clean_gutenberg(text.replace("EBOOK", "eBook")) == "Once."


@pytest.mark.parametrize(
    "text", ["", "Once.", f"{START}\nOnce.", f"Once.\n{END}", f"{END}\nOnce.\n{START}", f"so: {START}\nOnce.\n{END}"]
)
def test_a_text_without_both_markers_in_order_is_no_gutenberg_text(text):
    with pytest.raises(TextProblem, match="START or END line is missing"):
        clean_gutenberg(text)


# A person's own text


def test_line_ends_become_lf_and_nothing_else_is_removed():
    assert decode_text(b"\xef\xbb\xbf  one\r\ntwo\rthree\n\n ", "notes.txt") == ("  one\ntwo\nthree\n\n ", None)


def peak_bytes(do) -> int:
    """The most memory that Python took while `do()` ran."""
    tracemalloc.start()
    try:
        do()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["notes", "book"])
def test_one_string_is_made_of_a_long_file_and_no_copies(tmp_path, name):
    words = "It rained all day, and nobody called.\r\n" * 50_000 + "“😀”"  # the emoji makes it 4 bytes a character
    path = tmp_path / f"{name}.txt"
    path.write_bytes((f"{START}\r\n{words}\r\n{END}" if name == "book" else words).encode())
    peak = peak_bytes(lambda: read_text_file(path))
    assert 4 < peak / path.stat().st_size < 8.5  # while it decodes: the file, 2 bytes a character and 4


def test_a_file_of_exactly_the_limit_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_TEXT_BYTES", 1_000)
    (tmp_path / "big.txt").write_bytes(b"a" * 1_000)
    assert read_text_file(tmp_path / "big.txt") == ("a" * 1_000, None)


def test_a_local_file_is_read_and_called_by_its_name(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_bytes(b"caf\xe9")
    text, notice = read_text_file(str(path))
    assert text == "café"
    assert notice.startswith("notes.txt is not UTF-8")


def test_a_path_that_is_no_file_is_named(tmp_path):
    with pytest.raises(TextProblem, match=r"nothing\.txt: check its name"):
        read_text_file(tmp_path / "nothing.txt")
    with pytest.raises(TextProblem, match="is a folder"):
        read_text_file(tmp_path)
    with pytest.raises(TextProblem, match="There is no file"):
        read_text_file("nul\0.txt")
    with pytest.raises(TextProblem, match="cannot be read: File name too long"):
        read_text_file("x" * 10_000)


def test_a_gutenberg_file_of_ones_own_is_cleaned_like_the_book():
    text, notice = decode_text(f"Title\r\n{START}\r\nOnce.\r\n{END}\r\nLicence".encode(), "pg1342.txt")
    assert text == "Once."
    assert str(len(f"Title\n{START}\n\n{END}\nLicence")) in notice


# Keeping


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.text(st.characters(exclude_categories=())))
def test_a_kept_text_comes_back_exactly(text):
    assert load_text(keep_text(text)) == text


@pytest.mark.parametrize("text", ["", "\ufeffa\rb\r\nc\n\x85\u2028", "\0\x1b[0m", "\ud83d alone \udc00", "👩‍👩‍👧"])
def test_line_ends_marks_and_lone_surrogates_survive_keeping(text):
    sha256 = keep_text(text)
    assert load_text(sha256) == text
    assert sha256 == hashlib.sha256((texts_dir() / f"{sha256}.txt").read_bytes()).hexdigest()


def test_a_text_is_written_once(monkeypatch):
    sha256 = keep_text("once")
    monkeypatch.setattr(store, "write_atomically", lambda *_: pytest.fail("written again"))
    assert keep_text("once") == sha256


def test_a_text_that_is_kept_already_is_not_read_into_memory_to_compare():
    text = "It rained all day. " * 100_000
    keep_text(text)
    assert peak_bytes(lambda: keep_text(text)) < 1.5 * len(text)  # its own bytes


def test_keeping_a_text_again_heals_a_damaged_copy():
    sha256 = keep_text("a text")
    (texts_dir() / f"{sha256}.txt").write_text("a test")
    assert load_text(keep_text("a text")) == "a text"


def test_a_kept_text_that_was_changed_or_is_gone_is_refused():
    sha256 = keep_text("a text")
    (texts_dir() / f"{sha256}.txt").write_text("a test")
    with pytest.raises(TextProblem, match="is damaged"):
        load_text(sha256)
    (texts_dir() / f"{sha256}.txt").unlink()
    with pytest.raises(TextProblem, match="is not stored here"):
        load_text(sha256)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "a" * 64 + "\n", "é"])
def test_only_a_sha256_names_a_kept_text(name):
    with pytest.raises(TextProblem, match="64 hexadecimal digits"):
        load_text(name)
