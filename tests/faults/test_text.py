"""Text of every kind that a person may bring or type: taken as it is, or refused in one sentence; never garbled."""

import codecs
import gzip
import re
import shlex
import signal
import time
import unicodedata

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from patience import patience

from microllm import Corpus, MicroLLM, ModelConfig, Sampling, TrainConfig, Trainer, stream
from microllm.__main__ import main
from microllm.config import problems
from microllm.data import edits, files, texts
from microllm.data.decode import ENCODINGS, TextProblem, encoding_called
from microllm.data.edits import Edit
from microllm.data.files import decode_text, read_text_file
from microllm.data.suggestions import suggested_sentence
from microllm.runs import export
from microllm.runs.catalog import all_runs
from microllm.tokenizer import MAX_CHARACTERS, CharTokenizer, visible

any_text = st.text(st.characters(exclude_categories=()))  # every code point there is, lone surrogates as well
awkward = "\0\ud800\udfff\U0010ffff😀é\u0301\r\n\t \x7f\u2028\ufeff"


MARKER = "*** {} OF THE PROJECT GUTENBERG EBOOK A ***"
NOTHING_INSIDE = f"{MARKER.format('START')}\n \n{MARKER.format('END')}".encode()


# ---- 19. empty, one character, too short, one character over and over


@pytest.mark.parametrize("data", [b"", codecs.BOM_UTF8, codecs.BOM_UTF16_LE, NOTHING_INSIDE])
def test_an_empty_file_is_refused(data):
    with pytest.raises(TextProblem, match=r"^notes\.txt is empty: choose a file"):
        decode_text(data, "notes.txt")


@pytest.mark.parametrize("length", [1, 19])
def test_a_text_that_is_too_short_says_how_long_it_is(length):
    with pytest.raises(TextProblem, match=f"scrap has {length} characters: too short"):
        texts.prepare("abcdefghij" * 2, "scrap", first=length)


def test_a_text_shorter_than_a_window_and_its_next_character_is_named_with_what_would_fit():
    found = problems(ModelConfig(block_size=32), TrainConfig(), text_length=300)
    assert found["block_size"].count("300 characters") == 1
    assert "at most 29, not 32" in found["block_size"]


def test_one_character_over_and_over_is_learned_and_nothing_breaks():
    model, train = ModelConfig(block_size=4, n_embd=8, n_head=1, n_layer=1), TrainConfig(batch_size=2, max_steps=3)
    losses = [progress.val_loss for progress in Trainer(model, train, Corpus("a" * 100))]
    assert losses[0] == losses[-1] == 0  # there is nothing to choose from


# ---- 20. over the size limit; many files at once


def test_a_text_over_the_limit_is_refused_with_both_sizes(tmp_path, monkeypatch):
    with open(tmp_path / "huge.txt", "wb") as file:
        file.truncate(250_000_000)  # a hole, which takes no disk
    monkeypatch.setattr(files.Path, "read_bytes", lambda _: pytest.fail("read into memory"))
    with pytest.raises(TextProblem, match=r"^huge\.txt is 250 MB; .* 200 MB\.$"):
        read_text_file(tmp_path / "huge.txt")
    monkeypatch.undo()
    monkeypatch.setattr(files, "MAX_TEXT_BYTES", 1_000_000)
    assert decode_text(b"a" * 1_000_000, "big.txt")[1] is None
    with pytest.raises(TextProblem, match=r"^big\.txt is 2 MB; .* 1 MB\.$"):
        decode_text(b"a" * 1_000_001, "big.txt")


# ---- 21. a picture, a document, an archive, called .txt


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
        (b"\xff\xd8\xff\xe0", "a JPEG picture"),
        (b"GIF89a", "a GIF picture"),
        (b"%PDF-1.7\n%", "a PDF document"),
        (gzip.compress(b"text", mtime=0), "a gzip archive"),
        (b"PK\x03\x04", "a ZIP archive"),
        (b"text\0text" + b" and more text" * 10, "control characters"),
        ((bytes(range(256)) + bytes(300)) * 9, "control characters"),
        (bytes(range(1, 256)) * 4, "control characters"),
    ],
)
def test_a_binary_file_called_txt_is_refused_and_its_kind_named(data, kind):
    with pytest.raises(TextProblem) as problem:
        decode_text(data, "picture.txt")
    assert str(problem.value).startswith(f"picture.txt looks binary ({kind}")


# ---- 22. byte order marks, UTF-16, Latin-1, cp1251, invalid bytes


WORDS = "Naïve “tea” — 茶 🫖"


@pytest.mark.parametrize(
    "data",
    [
        WORDS.encode(),
        codecs.BOM_UTF8 + WORDS.encode(),
        codecs.BOM_UTF16_LE + WORDS.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + WORDS.encode("utf-16-be"),
        codecs.BOM_UTF32_LE + WORDS.encode("utf-32-le"),
        codecs.BOM_UTF32_BE + WORDS.encode("utf-32-be"),
    ],
)
def test_unicode_is_read_with_and_without_a_byte_order_mark(data):
    assert decode_text(data, "notes.txt") == (WORDS, None)


def test_western_european_is_read_with_a_notice_never_silently():
    text, notice = decode_text("Café “tea”".encode("cp1252"), "notes.txt")
    assert text == "Café “tea”"
    assert "Western European (cp1252)" in notice
    assert "--encoding" in notice
    text, notice = decode_text(b"a\x81b caf\xe9", "notes.txt")
    assert text == "a\x81b café"
    assert "Western European (latin-1)" in notice


def test_a_chosen_encoding_is_followed_without_a_notice():
    data = "Война и мир".encode("cp1251")
    assert decode_text(data, "tolstoy.txt")[1] is not None
    assert decode_text(data, "tolstoy.txt", encoding="cp1251") == ("Война и мир", None)


@pytest.mark.parametrize(
    ("data", "encoding"),
    [(b"caf\xe9", "utf-8"), (b"text", "klingon"), (b"text", "rot13"), (b"text", "utf\0"), (b"odd", "utf-16-le")],
)
def test_an_encoding_that_does_not_fit_is_refused(data, encoding):
    with pytest.raises(TextProblem, match=r"^notes\.txt cannot be read as "):
        decode_text(data, "notes.txt", encoding=encoding)


@pytest.mark.parametrize("data", [codecs.BOM_UTF16_LE + b"odd", codecs.BOM_UTF8 + b"caf\xe9"])
def test_a_byte_order_mark_that_lies_is_named_and_not_read_as_western_european(data):
    with pytest.raises(TextProblem, match=r"^notes\.txt cannot be read as utf-(16|8)"):
        decode_text(data, "notes.txt")


def test_utf_16_without_a_byte_order_mark_is_read_with_a_notice():
    for text in ("It rained all day.\n", "Все счастливые семьи похожи.\n", "나 보기가 역겨워 가실 때에는\n"):
        for encoding in ("utf-16-le", "utf-16-be"):
            read, notice = decode_text((text * 20).encode(encoding), "notes.txt")
            assert read == text * 20
            assert "UTF-16" in notice
            assert decode_text((text * 20).encode(encoding), "notes.txt", "utf-16") == (text * 20, None)


# ---- 23. CR, NUL, escape sequences, right-to-left marks, emoji families, lone surrogates


@given(any_text)
def test_any_text_comes_back_the_same(text):
    tokenizer = CharTokenizer.from_text(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_surrogates_emoji_and_the_null_character_come_back_the_same():
    tokenizer = CharTokenizer.from_text(awkward)
    assert tokenizer.vocab_size == len(set(awkward))
    assert tokenizer.decode(tokenizer.encode_tensor(awkward)) == awkward


@given(any_text)
def test_visible_leaves_nothing_unseen(text):
    shown = visible(text)
    assert len(shown) >= len(text)
    assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp"} for c in shown)


def test_visible_shows_what_cannot_be_seen_and_leaves_the_rest():
    assert visible("Mr B,\n\t\r\0\x1f\x7f\xa0\ud800é😀") == "Mr␠B,⏎⇥␍␀␟␡‹00A0›‹D800›é😀"


def test_line_ends_of_every_kind_become_one():
    assert decode_text(b"Windows\r\nold Mac\rUnix\nboth\r\r\n", "notes.txt")[0] == "Windows\nold Mac\nUnix\nboth\n\n"


def test_escape_sequences_and_a_stray_control_character_are_text():
    text = "\x1b[31mred\x1b[0m\f" + "a long line " * 10 + "\x01"
    assert decode_text(text.encode(), "log.txt") == (text, None)


# ---- 24. a hundred thousand different characters


def test_six_thousand_different_characters_are_taken_and_one_more_is_refused():
    assert MAX_CHARACTERS == 6_000
    assert CharTokenizer.from_text(different(6_000)).vocab_size == 6_000
    with pytest.raises(ValueError, match=r"6,001 different characters.*at most 6,000"):
        CharTokenizer.from_text(different(6_001))


def different(count: int) -> str:
    """A text of `count` different characters, not in the order of their code points."""
    return "".join(map(chr, range(0x4E00 + count - 1, 0x4E00 - 1, -1)))


def test_a_text_with_too_many_different_characters_says_how_many():
    with pytest.raises(TextProblem, match="6,001 different characters"):
        texts.prepare("".join(map(chr, range(0x4E00, 0x4E00 + 6_001))), "dictionary")


# ---- 25. a prompt with unknown characters, an empty one, one longer than the context


@pytest.mark.parametrize("encode", ["encode", "encode_tensor"])
@pytest.mark.parametrize("stranger, shown", [("z", "z"), ("\n", "⏎"), ("\0", "␀"), ("😀", "😀"), ("\ud800", "‹D800›")])
def test_an_unknown_character_is_named_in_its_visible_form(encode, stranger, shown):
    tokenizer = CharTokenizer.from_text("abc")
    with pytest.raises(ValueError, match=f"does not know {shown}:"):
        getattr(tokenizer, encode)(f"ab{stranger}c{stranger}")


def test_many_unknown_characters_are_named_up_to_eight():
    with pytest.raises(ValueError, match="does not know h, g, f, e, d, c, b, a …:"):
        CharTokenizer("x").encode("hgfxedcbahijklmnop")


def test_an_empty_prompt_is_refused_in_a_sentence():
    model = MicroLLM(ModelConfig(block_size=8, n_embd=16, n_head=2, n_layer=1), 5).eval()
    with pytest.raises(ValueError, match="prompt"):
        next(stream(model, torch.zeros(1, 0, dtype=torch.long), 4))


@pytest.mark.parametrize(("own", "other"), [("NFC", "NFD"), ("NFD", "NFC")])
@pytest.mark.parametrize("word", ["café", "Ångström", "한국", "ぱ", "tiếng"])
def test_an_accent_in_unicodes_other_form_is_told_from_one_that_is_unknown(word, own, other):
    tokenizer = CharTokenizer.from_text(unicodedata.normalize(own, word) + "abc")
    for encode in (tokenizer.encode, tokenizer.encode_tensor):
        with pytest.raises(ValueError, match=own):
            encode(unicodedata.normalize(other, word))
    assert tokenizer.other_form(unicodedata.normalize(own, word)) is None
    assert tokenizer.other_form("z" + unicodedata.normalize(own, "ñ")) is None


@pytest.mark.parametrize("length", [1, 8, 9, 500])
def test_a_prompt_of_any_length_is_gone_on_from_by_its_last_characters(length):
    model = MicroLLM(ModelConfig(block_size=8, n_embd=16, n_head=2, n_layer=1), 5).eval()
    prompt = torch.arange(length)[None] % 5

    def goes_on(idx):
        return [int(chosen) for (chosen,) in stream(model, idx, 4, Sampling(), seed=0)]

    assert len(goes_on(prompt)) == 4
    assert goes_on(prompt) == goes_on(prompt[:, -8:])


# ---- 26. one line of ten megabytes


def test_one_line_of_ten_megabytes_is_read_and_learned_like_any_other(tmp_path):
    (tmp_path / "line.txt").write_bytes(b"no end in sight, " * 600_000)
    began = time.process_time()
    text = texts.choose(str(tmp_path / "line.txt"))
    corpus = texts.load_corpus(text.sha256)
    assert time.process_time() - began < 10
    assert len(corpus) == text.characters == 10_200_000
    model, train = ModelConfig(block_size=8, n_embd=8, n_head=1, n_layer=1), TrainConfig(batch_size=2, max_steps=2)
    assert [progress.step for progress in Trainer(model, train, corpus)] == [0, 1, 2]


# ---- 60. what is no part of a book is left out, counted, or named; what a person wrote is never shortened in silence


def framed(*books: str) -> str:
    """A file of Project Gutenberg with these books, one after another, each in its header and licence."""
    frame = "The Project Gutenberg eBook\nTitle: A\n\n{}\n\n{}\n\n{}\nUpdated editions.\nLICENCE\n"
    return "\n".join(frame.format(MARKER.format("START"), book, MARKER.format("END")) for book in books)


def test_of_several_books_in_one_file_each_is_kept_and_the_rest_is_counted():
    books = ["Once upon a time.\n\nTwice.", "“Thrice”, she said.", "Four times 🫖."]
    whole = framed(*books)
    text, notice = decode_text(whole.replace("\n", "\r\n").encode(), "three.txt")
    assert text == "\n\n".join(books)
    assert f"{len(whole) - len(text):,}" in notice
    assert "three.txt" in notice


def test_a_book_that_broke_off_has_no_header_and_a_second_half_no_licence():
    whole = framed("Once upon a time, and a long time ago it was.")
    cut = whole.index("and a long")
    for piece, kept in ((whole[:cut], "Once upon a time,"), (whole[cut:], "and a long time ago it was.")):
        text, notice = decode_text(piece.encode(), "half.txt")
        assert text == kept
        assert f"{len(piece) - len(text):,}" in notice


def test_a_book_that_broke_off_before_another_is_kept_as_well():
    first, second = framed("The first book, never ended"), framed("The second.")
    text, notice = decode_text((first[: first.index("ended")] + "\n" + second).encode(), "two.txt")
    assert text.startswith("The first book, never")
    assert text.endswith("The second.")
    assert "Title: A" in text  # the header of the second book cannot be told from the first book,
    assert "The Project Gutenberg eBook" in notice  # and is named


@pytest.mark.parametrize(
    "line",
    [
        "*** START OF THIS PROJECT GUTENBERG EBOOK EMMA ***",
        "***START OF THE PROJECT GUTENBERG EBOOK EMMA***",
        "\t  ***  Start of the Project  Gutenberg eBook Emma ***  ",
        "*** START OF THE PROJECT GUTENBERG ETEXT EMMA",
        "*** START OF THE COPYRIGHTED PROJECT GUTENBERG EBOOK EMMA ***",
        "*** START OF THE PROJECT GUTENBERG EBOOK THE COMPLETE WORKS OF\nJANE AUSTEN ***",
    ],
)
def test_the_markers_of_all_years_are_known(line):
    end = line.replace("START", "END").replace("Start", "End")
    assert decode_text(f"Header\n{line}\n\nOnce.\n\n{end}\nLicence".encode(), "emma.txt")[0] == "Once."


@pytest.mark.parametrize(
    "small_print",
    [
        "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*",
        "*END THE SMALL PRINT! FOR PUBLIC DOMAIN EBOOKS*Ver.02/11/02*END*",
    ],
)
@pytest.mark.parametrize(
    "last",
    ["End of Project Gutenberg Etext of Emma", "End of the Project Gutenberg Etext of Emma", "End of this Project "
     "Gutenberg EBook", "The End of Project Gutenberg's Emma, by Jane Austen", "Ende dieses Projekt Gutenberg Etextes"],
)  # fmt: skip
def test_of_a_file_from_before_2003_the_licence_in_its_header_and_its_last_line_are_left_out(small_print, last):
    header = "**Welcome To The World of Free Plain Vanilla Electronic Texts**\n\nlegal words\n\n"
    old = f"{header}***START**THE SMALL PRINT!**FOR PUBLIC DOMAIN ETEXTS**START***\nlegal words\n\n{small_print}\n\n"
    text, notice = decode_text(f"{old}Emma Woodhouse, handsome.\n\n{last}\n".encode(), "emma10.txt")
    assert text == "Emma Woodhouse, handsome."
    assert f"{len(old) + len(last) + 3:,}" in notice


def test_of_a_file_with_both_kinds_of_lines_the_stars_decide():
    small_print = "*END THE SMALL PRINT! FOR PUBLIC DOMAIN EBOOKS*Ver.02/11/02*END*"
    book = "Emma Woodhouse, handsome.\n\nEnd of Project Gutenberg's Emma"
    text, notice = decode_text(f"{small_print}\nProduced by A\n{framed(book)}{small_print}\n".encode(), "emma.txt")
    assert text == book
    assert "End of Project Gutenberg's Emma" in notice  # which is learned


@pytest.mark.parametrize(
    "text",
    [
        "My notes on Project Gutenberg.\nEnd of my notes.\n",
        "End of Project Gutenberg: what would the world be without it?\nMuch poorer.\n",
        "so: *** START OF THE PROJECT GUTENBERG EBOOK A ***\nOnce.\n",
    ],
)
def test_what_only_speaks_of_project_gutenberg_is_kept_whole_and_its_name_is_named(text):
    read, notice = decode_text(text.encode(), "notes.txt")
    assert read == text
    assert "Project Gutenberg" in notice or "PROJECT GUTENBERG" in notice


def test_a_file_of_nothing_but_header_and_licence_is_refused_with_what_there_would_have_been():
    with pytest.raises(TextProblem, match=r"^notes\.txt is empty: .*\b1,0\d\d characters"):
        decode_text((framed(" ") + "licence" * 123).encode(), "notes.txt")


# ---- 61. a few bytes that are no UTF-8 do not turn the rest into another language


WIDE = "“Naïve tea” — 茶, she said.\n" * 40


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
@pytest.mark.parametrize("last", ["é", "“", "🫖"])
def test_a_file_that_broke_off_in_the_middle_of_a_character_is_utf_8_without_that_character(mark, last):
    for missing in range(1, len(last.encode())):
        text, notice = decode_text(mark + (WIDE + "ab" + last).encode()[:-missing], "cut.txt")
        assert text == WIDE + "ab\ufffd"
        assert "line 41 " in notice
        assert "character 3" in notice


def test_a_stray_byte_in_a_utf_8_file_is_replaced_and_its_place_is_said():
    lines = WIDE.splitlines(keepends=True)
    lines[7] = "“It\x92s” tea\n"
    data = "".join(lines).encode().replace("\x92".encode(), b"\x92").replace(b"\n", b"\r\n")
    text, notice = decode_text(data, "mixed.txt")
    assert text == "".join(lines).replace("\x92", "\ufffd")
    assert "line 8 " in notice
    assert "character 4" in notice


def test_several_stray_bytes_are_counted_and_a_replaced_character_of_old_is_none():
    data = WIDE.encode() + "It was \ufffd before".encode() + b" \x92 \x93"
    text, notice = decode_text(data, "mixed.txt")
    assert text.count("\ufffd") == 3
    assert "2 byte sequences are invalid" in notice


def test_plain_english_that_breaks_off_in_its_only_curly_quote_is_utf_8():
    assert decode_text(b"It rained all day. \xe2\x80", "cut.txt")[0] == "It rained all day. \ufffd"


OTHER_LANGUAGES = {
    "cp1252": "« Le café est fermé », dit-elle ; « à l’été ! »",
    "cp1251": "«Нет», — сказал он. Все счастливые семьи похожи.",
    "koi8_r": "Все смешалось в доме Облонских.",
    "gb18030": "道可道，非常道。名可名，非常名。",
    "big5": "無名天地之始，有名萬物之母。",
    "shift_jis": "吾輩は猫である。名前はまだ無い。",
    "euc_jp": "吾輩は猫である。名前はまだ無い。",
    "euc_kr": "나 보기가 역겨워 가실 때에는",
    "cp874": "ภาษาไทยเป็นภาษาที่มีระดับเสียงของคำแน่นอน",
    "cp1255": "בראשית ברא אלהים את השמים",
}


@pytest.mark.parametrize("encoding", OTHER_LANGUAGES)
def test_what_is_truly_no_utf_8_is_not_taken_for_it(encoding):
    data = (OTHER_LANGUAGES[encoding] * 20).encode(encoding)
    text, notice = decode_text(data, "notes.txt")
    assert "\ufffd" not in text
    assert "Western European" in notice
    with pytest.raises(TextProblem, match="utf-8"):
        decode_text(data, "notes.txt", encoding="utf-8")


def test_a_chosen_encoding_survives_a_cut_too():
    data = ("道可道，非常道。\n" * 20).encode("gb18030")[:-2]
    text, notice = decode_text(data, "cut.txt", encoding="gb18030")
    assert text == ("道可道，非常道。\n" * 20)[:-2] + "\ufffd"
    assert "line 20 " in notice


# ---- 62. what can be chosen in the browser the command line can say


@pytest.mark.parametrize(
    ("name", "key"),
    [("windows-1251", "cp1251"), ("CP1251", "cp1251"), ("KOI8-R", "koi8_r"), ("utf8", "utf-8"), ("gbk", "gb18030")]
    + [("Latin-1", "latin-1"), ("ISO-8859-1", "latin-1"), ("sjis", "shift_jis"), ("UTF-16", "utf-16")]
    + [(key, key) for key in ENCODINGS],
)
def test_an_encoding_goes_by_all_its_names(name, key):
    assert encoding_called(name) == key


@pytest.mark.parametrize(
    "name", ["", "klingon", "rot13", "zip", "unicode_escape", "utf\0", "../utf-8", "idna", "x" * 99]
)
def test_no_other_encoding_is_used(name):
    with pytest.raises(TextProblem, match="utf-8, utf-16, cp1252"):
        encoding_called(name)


@pytest.fixture
def command_line(monkeypatch):
    """The program, run with these arguments: its exit code."""
    handlers = {which: signal.getsignal(which) for which in (signal.SIGINT, signal.SIGTERM)}
    tiny = ["--block_size=8", "--n_embd=8", "--n_head=1", "--n_layer=1", "--max_steps=1"]

    def run(*arguments: str) -> int:
        try:
            return main(["train", *tiny, *arguments])
        except SystemExit as end:
            return end.code

    yield run
    for which, handler in handlers.items():
        signal.signal(which, handler)


def test_the_command_that_repeats_a_run_learns_the_very_characters_of_its_file(command_line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "anna.txt").write_bytes("Все счастливые семьи. ".encode("cp1251") * 10)
    assert command_line("--text", "anna.txt", "--encoding", "windows-1251") == 0
    words = shlex.split(export.command_line(all_runs()[0]))
    assert command_line(*words[words.index("--text") :]) == 0
    again, first = all_runs()
    assert again.read_info().text == first.read_info().text
    assert set(again.tokenizer.vocab) == set("Все счастливые семьи. ")


@pytest.mark.parametrize("encoding", ["klingon", "rot13", "utf-8", "euc_kr", ""])
def test_an_encoding_that_there_is_not_or_that_does_not_fit_is_one_sentence(encoding, command_line, tmp_path, capsys):
    (tmp_path / "anna.txt").write_bytes("Все счастливые семьи. ".encode("cp1251") * 10)
    assert command_line("--text", str(tmp_path / "anna.txt"), "--encoding", encoding) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert encoding in said
    assert all_runs() == []


# ---- 71. an edit of any text takes seconds, and keeps its length


@pytest.mark.parametrize("end", ["\n" * 200_000, "\n \t" * 70_000, " " * 200_000, '."' * 100_000, ". " * 100_000])
def test_a_text_that_ends_in_blanks_or_marks_is_read_once(end):
    text = "It was late. He said so. " * 20 + end
    began = time.process_time()
    suggested_sentence(text)
    edits.chapters(text)
    assert len(edits.edited(text, Edit("plant", ("It was late.",), 100))) == len(text)
    assert time.process_time() - began < patience(5.0)


@given(st.text(st.sampled_from('ab. \n\t\x1f!"')))
def test_a_sentence_begins_where_there_are_empty_lines_or_a_mark_before_it(text):
    found = [match.end() for match in edits._SENTENCE_START.finditer(text)]
    plain = re.compile(r"""(?:[.!?]["]*\s+|\n\s*\n\s*|\A)(?=\S)""")
    assert [place for place in found if place < len(text)] == [match.end() for match in plain.finditer(text)]


def test_a_text_that_is_too_long_to_edit_is_refused_before_it_is_read(monkeypatch):
    monkeypatch.setattr(edits, "MAX_CHARACTERS", 1_000)
    with pytest.raises(TextProblem, match="1,001"):
        edits.changes("a " * 500 + "a", Edit("rename", ("a", "b")))
    assert "1,001" in edits.too_long(1_001) and not edits.too_long(1_000)


@given(
    st.text(st.sampled_from("ab \n\t"), min_size=1, max_size=60),
    st.text(st.sampled_from("ab \n"), min_size=1, max_size=6).filter(str.strip),
)
def test_a_sentence_is_found_whatever_white_space_is_between_its_words(text, sentence):
    pattern = r"\s+".join(map(re.escape, sentence.split()))
    found = re.search(pattern, text)
    assert edits._sentence(sentence, text) == (found.span() if found else None)


@given(st.text(st.sampled_from("aAbß. "), max_size=60), st.text(st.sampled_from("aAbß"), min_size=1, max_size=3))
def test_a_word_is_found_where_no_letter_is_beside_it(text, word):
    firsts = {case for case in (word[0], word[0].upper(), word[0].lower()) if len(case) == 1}
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, firsts))}){re.escape(word[1:])}(?!\w)")
    assert list(edits._whole_words(word, text)) == [match.span() for match in pattern.finditer(text)]


@pytest.mark.parametrize(
    ("text", "edit"),
    [
        ("a " * 500_000, Edit("repeat", ("a " * 148 + "c",))),
        ("a" * 1_000_000, Edit("rename", ("a" * 299 + "b", "b" * 300))),
    ],
)
def test_what_does_not_occur_is_not_found_in_little_time(text, edit):
    began = time.process_time()
    with pytest.raises(TextProblem):
        edits.changes(text + "b" + " it was late." * 9_000, edit)
    assert time.process_time() - began < patience(0.5)


def test_more_chapters_than_a_menu_holds_are_ten_parts():
    assert len(edits.chapters(("Chapter 1\n" + "a" * 300 + "\n") * 2_500)) == 10


@pytest.mark.parametrize(("old", "new"), [("Ada", "ßda"), ("ada", "İda"), ("Ada", "ŉda"), ("Ada", "ǰda")])
def test_a_letter_whose_other_case_is_two_letters_stays_as_it_is(old, new):
    text = f"ada Ada {new} " * 50
    assert len(edits.edited(text, Edit("rename", (old, new)))) == len(text)
