"""Which text a run learns: the book, one made here, or a file; whole, turned around or cut short."""

import gc
import io
import weakref

import pytest

from microllm.data import files
from microllm.data.builtin import drawing_room, drawing_room_nats, words_twice, words_twice_entropy
from microllm.data.decode import TextProblem
from microllm.data.download import fetch
from microllm.data.published import PUBLISHED_TEXTS
from microllm.data.store import load_text
from microllm.data.texts import choose, load_corpus, prepare
from microllm.environment import texts_dir

BEGINNING = "*** START OF THE PROJECT GUTENBERG EBOOK A MADE BOOK ***"
END = "*** END OF THE PROJECT GUTENBERG EBOOK A MADE BOOK ***"
MADE_BOOK = drawing_room(120_000).strip()


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A folder that stands in for Project Gutenberg."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    file = f"Title: A Made Book\n\n{BEGINNING}\n\n{MADE_BOOK}\n\n{END}\n\nLicence\n"
    (folder / PUBLISHED_TEXTS["book"].file).write_bytes(file.replace("\n", "\r\n").encode())
    monkeypatch.setenv("MICROLLM_MIRROR", str(folder))
    return folder


def test_the_book_comes_from_the_mirror_without_licence_and_header(mirror):
    text = choose("book")
    assert text.name == "Pride and Prejudice"
    assert load_text(text.sha256) == MADE_BOOK
    assert (text.characters, text.floor, text.notice) == (len(MADE_BOOK), None, None)


def test_the_book_is_fetched_once(mirror):
    before = choose("book")
    (mirror / PUBLISHED_TEXTS["book"].file).unlink()
    assert choose("book") == before


def test_the_progress_of_a_download_is_reported(mirror):
    shares = []
    assert fetch(PUBLISHED_TEXTS["book"], shares.append) == MADE_BOOK
    assert shares[-1] == 1.0


@pytest.mark.parametrize(("key", "name"), [("drawing-room", "Drawing-room"), ("words-twice", "Words said twice")])
def test_a_built_in_text_is_named_by_its_key(key, name):
    text = choose(key)
    assert text.name.startswith(name)
    assert text.characters == 300_000


def test_a_file_is_named_by_its_path(tmp_path):
    path = tmp_path / "letters.txt"
    path.write_text("Dear Jane, it rained all day. " * 10)
    text = choose(str(path))
    assert text.name == "letters.txt"
    assert load_text(text.sha256) == path.read_text()
    assert text.notice is None


def test_a_file_whose_encoding_had_to_be_guessed_brings_a_notice(tmp_path):
    path = tmp_path / "lettres.txt"
    path.write_bytes("une soirée à la fenêtre, ".encode("cp1252") * 10)
    assert "not UTF-8" in choose(str(path)).notice


def test_several_files_are_joined_in_their_order_each_from_a_new_line(tmp_path):
    for name, content in {
        "a.txt": "It rained all day.",
        "b.txt": "Nobody called.\n",
        "c.txt": "Then it stopped.",
    }.items():
        (tmp_path / name).write_text(content)
    text = choose(*(str(tmp_path / name) for name in ("b.txt", "a.txt", "c.txt")))
    assert load_text(text.sha256) == "Nobody called.\nIt rained all day.\nThen it stopped."
    assert text.sources == ["./b.txt", "./a.txt", "./c.txt"]
    assert "b.txt" in text.name


def test_each_of_several_files_is_read_in_its_own_encoding_and_named_in_the_notice(tmp_path):
    (tmp_path / "a.txt").write_bytes("Café, ".encode("cp1252") * 10)
    (tmp_path / "b.txt").write_bytes("Thé, ".encode() * 10)
    text = choose(str(tmp_path / "a.txt"), str(tmp_path / "b.txt"))
    assert load_text(text.sha256) == "Café, " * 10 + "\n" + "Thé, " * 10
    assert "a.txt" in text.notice
    assert "b.txt" not in text.notice


def test_the_limit_holds_for_several_files_together(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_TEXT_BYTES", 1_000_000)
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_bytes(b"a" * 600_000)
    with pytest.raises(TextProblem, match="2 MB; the limit is 1 MB"):
        choose(str(tmp_path / "a.txt"), str(tmp_path / "b.txt"))


def standard_input(monkeypatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_standard_input_is_read_to_its_end_as_a_file_is(monkeypatch):
    standard_input(monkeypatch, b"\xef\xbb\xbf" + "“Naïve tea”\r\n".encode() * 100)
    text = choose("-")
    assert load_text(text.sha256) == "“Naïve tea”\n" * 100
    assert text.source == "-"


def test_standard_input_that_never_ends_is_closed_or_has_nothing_is_refused_in_a_sentence(monkeypatch):
    monkeypatch.setattr(files, "MAX_TEXT_BYTES", 1_000_000)
    with open("/dev/zero", "rb") as endless:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(endless))
        with pytest.raises(TextProblem, match="limit is 1 MB"):
            choose("-")
    with pytest.raises(TextProblem, match="closed"):  # as the file above is now
        choose("-")
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(TextProblem, match="closed"):
        choose("-")
    standard_input(monkeypatch, b"")
    with pytest.raises(TextProblem, match="standard input is empty"):
        choose("-")


def test_an_encoding_is_kept_with_the_text_only_where_a_person_chose_it(tmp_path):
    path = tmp_path / "anna.txt"
    path.write_bytes("Все счастливые семьи. ".encode("cp1251") * 10)
    text = choose(str(path), encoding="Windows-1251")
    assert load_text(text.sha256) == "Все счастливые семьи. " * 10
    assert (text.encoding, text.notice) == ("cp1251", None)
    assert choose(str(path)).encoding is None


@pytest.mark.parametrize("source", ["book", "drawing-room"])
def test_an_encoding_of_what_is_no_file_is_refused(source):
    with pytest.raises(TextProblem):
        choose(source, encoding="utf-8")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(TextProblem, match=r"There is no file .*nowhere\.txt"):
        choose(str(tmp_path / "nowhere.txt"))


def test_the_name_tells_what_was_done_to_the_text():
    content = words_twice(3_000)
    assert prepare(content, "made").name == "made"
    assert prepare(content, "made", how="reversed").name == "made, reversed"
    assert prepare(content, "made", how="words", first=2_000).name == "made, first 2,000 characters, words shuffled"
    assert prepare(content, "made", first=3_000).name == "made"  # nothing was cut off


def test_a_text_is_cut_before_it_is_turned_around():
    content = words_twice(3_000)
    text = prepare(content, "made", how="reversed", first=1_000)
    assert text.characters == 1_000
    assert load_text(text.sha256) == content[:1_000][::-1]


def test_drawing_room_sentences_know_their_floor_on_the_held_out_part():
    content = drawing_room(20_000)
    nats, characters = drawing_room_nats(content[18_000:])
    assert prepare(content, "made", source="drawing-room").floor == nats / characters


def test_reversed_sentences_have_the_floor_of_the_part_that_is_now_held_out():
    content = drawing_room(20_000)
    nats, characters = drawing_room_nats(content[:2_000])
    assert prepare(content, "made", how="reversed", source="drawing-room").floor == nats / characters


@pytest.mark.parametrize("how", ["words", "letters"])
def test_shuffled_sentences_have_no_known_floor(how):
    assert choose("drawing-room", how=how, first=20_000).floor is None


def test_the_floor_is_given_whichever_way_a_text_is_chosen():
    assert choose("words-twice").floor == words_twice_entropy()
    assert choose("drawing-room", first=20_000).floor is not None
    assert choose("drawing-room", how="reversed", first=20_000).floor is not None


def test_the_same_words_without_the_key_of_a_built_in_text_have_no_floor():
    assert prepare(words_twice(1_000), "made").floor is None


def test_an_unknown_transformation_is_refused():
    with pytest.raises(ValueError, match="'sideways'"):
        prepare(words_twice(100), "made", how="sideways")


def test_two_runs_of_the_same_text_share_its_file_and_its_corpus():
    first, second = (prepare(words_twice(500), name) for name in ("made", "made again"))
    assert first.sha256 == second.sha256
    assert [path.name for path in texts_dir().iterdir()] == [f"{first.sha256}.txt"]
    assert load_corpus(first.sha256) is load_corpus(second.sha256)


# ---- texts as ids, in memory


def test_of_texts_that_nobody_uses_the_newest_stay_as_far_as_there_is_room(monkeypatch):
    monkeypatch.setattr(type(load_corpus), "max_idle_bytes", 250)
    load_corpus.cache_clear()
    made = [prepare(f"{number} " * 50, "made").sha256 for number in range(4)]
    left = [weakref.ref(load_corpus(sha256)) for sha256 in made]
    gc.collect()
    assert [it() is not None for it in left] == [False, False, True, True]
    assert load_corpus(prepare("long enough " * 99, "long").sha256) is load_corpus(
        prepare("long enough " * 99, "").sha256
    )
    gc.collect()
    assert not any(it() for it in left)


def test_a_text_in_use_is_shared_also_when_it_was_let_go():
    load_corpus.cache_clear()
    sha256 = prepare("some words " * 9, "made").sha256
    corpus = load_corpus(sha256)
    load_corpus.let_go()
    assert load_corpus(sha256) is corpus
