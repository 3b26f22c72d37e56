"""Text becomes integers and comes back the same."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import microllm
from microllm.tokenizer import CharTokenizer, visible, visible_alone

any_text = st.text(st.characters(exclude_categories=()))  # every code point there is, lone surrogates as well
awkward = "\0\ud800\udfff\U0010ffff😀é\u0301\r\n\t \x7f\u2028\ufeff"


def different(count: int) -> str:
    """A text of `count` different characters, not in the order of their code points."""
    return "".join(map(chr, range(0x4E00 + count - 1, 0x4E00 - 1, -1)))


@given(any_text)
def test_the_ids_are_places_among_the_sorted_different_characters(text):
    expected = sorted(set(text))
    tokenizer = CharTokenizer.from_text(text)
    assert list(tokenizer.vocab) == expected
    assert tokenizer.encode(text) == [expected.index(c) for c in text]


@given(any_text)
def test_both_ways_to_encode_agree(text):
    tokenizer = CharTokenizer.from_text(text + "x")
    assert tokenizer.encode_tensor(text).tolist() == tokenizer.encode(text)


def test_both_ways_to_encode_agree_on_a_text_of_many_chunks():
    text = ("abc\ud800😀" * 130_000)[:600_001]
    tokenizer = CharTokenizer.from_text(text)
    assert tokenizer.encode_tensor(text).tolist() == tokenizer.encode(text)


def test_no_text_at_all_has_no_ids():
    tokenizer = CharTokenizer.from_text("")
    assert (tokenizer.vocab_size, tokenizer.encode(""), tokenizer.decode([])) == (0, [], "")
    assert tokenizer.encode_tensor("").shape == (0,)


@pytest.mark.parametrize("count, dtype", [(1, torch.uint8), (256, torch.uint8), (257, torch.int32)])
def test_an_id_takes_one_byte_up_to_256_different_characters(count, dtype):
    text = different(count)
    ids = CharTokenizer.from_text(text).encode_tensor(text)
    assert ids.dtype == dtype
    assert ids.tolist() == list(range(count - 1, -1, -1))


def test_unknown_characters_are_listed_once_in_order_of_appearance():
    assert CharTokenizer("abc").unknown("zaybzcy") == ["z", "y"]


@pytest.mark.parametrize("wrong", [-1, 3, 10**30])
def test_an_id_outside_the_vocabulary_is_refused_with_the_range(wrong):
    with pytest.raises(ValueError, match=f"Id {wrong} is out of range: ids run from 0 to 2"):
        CharTokenizer("abc").decode([0, wrong])


def test_a_vocabulary_that_repeats_a_character_is_refused():
    with pytest.raises(ValueError, match="once"):
        CharTokenizer("aba")


MEASURE = """
from pathlib import Path
from microllm.tokenizer import CharTokenizer, visible, visible_alone

def peak():  # not ru_maxrss, which a child inherits from its parent
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024

CharTokenizer.from_text("warm").encode_tensor("warm")
text = "ab c" * 12_000_000
before = peak()
ids = CharTokenizer.from_text(text).encode_tensor(text)
print((peak() - before) / len(text))
"""


@pytest.mark.timeout(30)
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of the memory is read from /proc")
def test_encoding_takes_at_most_two_bytes_a_character_beyond_the_text():
    root = Path(microllm.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", MEASURE], cwd=root, capture_output=True, text=True, check=True)
    assert 0.5 < float(done.stdout) <= 2  # the ids themselves take one


def test_a_long_text_is_encoded_without_a_loop_over_its_characters():
    text = "It rained all day, “and nobody called”.\n" * 50_000
    tokenizer = CharTokenizer.from_text(text)

    def seconds(encode) -> float:
        times = []
        for _ in range(5):
            begin = time.process_time()
            encode(text)
            times.append(time.process_time() - begin)
        return min(times)

    assert seconds(tokenizer.encode_tensor) < seconds(tokenizer.encode) / 2


def test_what_is_kept_stays_as_it_is():
    assert visible("a b\nc\td\u202e", keep=" \n") == "a b\nc⇥d‹202E›"


def test_a_mark_that_stands_alone_has_a_circle_for_a_letter():
    assert visible_alone("\u0301") == "◌\u0301"
    assert visible_alone("e\u0301") == "e\u0301"
    assert visible_alone("\n") == "⏎"
    assert visible_alone("\u2028") == "‹2028›"
