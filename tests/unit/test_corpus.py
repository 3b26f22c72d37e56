"""A text in two parts, its batches, the validation windows, and what simple counting achieves."""

import math
import random
from collections import Counter
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from microllm.config import REFERENCE_NAMES
from microllm.corpus import Corpus, CountingTables
from microllm.data.builtin import drawing_room
from microllm.tokenizer import CharTokenizer


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------- the two parts


@given(st.text("abcd\n", max_size=300))
def test_the_first_nine_tenths_train_and_the_rest_is_held_out(text):
    corpus = Corpus(text)
    cut = len(text) * 9 // 10
    assert corpus.tokenizer.decode(corpus.train) == text[:cut]
    assert corpus.tokenizer.decode(corpus.val) == text[cut:]
    assert len(corpus) == len(text)


def test_the_vocabulary_is_that_of_the_whole_text():
    assert Corpus("a" * 95 + "bcdea").tokenizer.vocab == "abcde"


def test_a_given_tokenizer_is_used_as_it_is():
    corpus = Corpus("abba", CharTokenizer("xba"))
    assert corpus.vocab_size == 3
    assert corpus.train.tolist() + corpus.val.tolist() == [2, 1, 1, 2]


def test_the_ids_take_one_byte_each():
    assert Corpus("abba" * 10).train.dtype == torch.uint8


# ---------------------------------------------------------------- batches


@pytest.mark.parametrize("split", ["train", "val"])
def test_every_window_of_a_batch_stands_in_its_part_followed_by_its_last_target(split):
    corpus = Corpus("".join(map(chr, range(500, 1_500))))  # each character once: a window has only one place
    part = corpus.tokenizer.decode(getattr(corpus, split))
    inputs, targets = corpus.get_batch(split, 200, 8, rng())
    for x, y in zip(inputs.tolist(), targets.tolist(), strict=True):
        assert corpus.tokenizer.decode([*x, y[-1]]) in part


def test_the_targets_are_the_inputs_one_character_later():
    inputs, targets = Corpus(drawing_room(2_000)).get_batch("train", 50, 16, rng())
    assert inputs.shape == targets.shape == (50, 16)
    assert inputs.dtype == targets.dtype == torch.int64
    assert torch.equal(inputs[:, 1:], targets[:, :-1])


def test_windows_start_at_every_place_where_they_fit_and_at_none_more_often():
    corpus = Corpus("".join(map(chr, range(500, 530))))  # 27 to train: windows of 7 + 1 start at 0 .. 19
    starts = Counter(corpus.get_batch("train", 40_000, 7, rng())[0][:, 0].tolist())
    assert starts.keys() == set(range(20))
    assert all(abs(count - 2_000) < 5 * math.sqrt(2_000) for count in starts.values())


def test_a_batch_is_a_function_of_its_generator_alone():
    corpus = Corpus(drawing_room(2_000))
    first = corpus.get_batch("train", 50, 16, rng(3))
    torch.manual_seed(99)
    state = torch.get_rng_state()
    again = corpus.get_batch("train", 50, 16, rng(3))
    other = corpus.get_batch("train", 50, 16, rng(4))
    assert torch.equal(torch.stack(first), torch.stack(again))
    assert not torch.equal(first[0], other[0])
    assert torch.equal(torch.get_rng_state(), state)


# -- validation


@pytest.mark.parametrize("block_size", [1, 7, 32, 200])
def test_validation_is_the_first_32_000_held_out_characters_cut_into_windows_without_overlap(block_size):
    text = "".join(random.Random(0).choices("abcdefgh", k=400_000))
    corpus = Corpus(text)
    inputs, targets = corpus.validation_windows(block_size)
    count = 31_999 // block_size  # the last target needs a character of its own
    assert inputs.shape == targets.shape == (count, block_size)
    assert corpus.tokenizer.decode(inputs.flatten()) == text[360_000 : 360_000 + count * block_size]
    assert corpus.tokenizer.decode(targets.flatten()) == text[360_001 : 360_001 + count * block_size]


def test_validation_can_cover_all_that_is_held_out():
    corpus = Corpus("ab" * 200_000)
    assert corpus.validation_windows(10, characters=None)[0].numel() == 39_990


@given(length=st.integers(11, 400), data=st.data())
def test_a_short_text_still_gives_a_validation_check(length, data):
    corpus = Corpus("ab" * (length // 2) + "c" * (length % 2))
    block_size = data.draw(st.integers(1, len(corpus.val) - 1))
    assert len(corpus.validation_windows(block_size)[0]) == (len(corpus.val) - 1) // block_size >= 1


# ---------------------------------------------------------------- counting


def slow_table_loss(train: str, windows: list[tuple[str, str]], vocab_size: int, n: int) -> float:
    """The same with dictionaries and strings: how often was this character seen after these n - 1?"""
    seen = Counter(train[i : i + k] for k in range(1, n + 1) for i in range(len(train) - k + 1))
    seen[""] = len(train)
    losses = []
    for window, targets in windows:
        for t, target in enumerate(targets):
            context = window[: t + 1][len(window[: t + 1]) - min(n - 1, t + 1) :]
            losses.append(-math.log((seen[context + target] + 0.01) / (seen[context] + 0.01 * vocab_size)))
    return math.fsum(losses) / len(losses)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("block_size", [2, 8])
def test_a_counting_table_agrees_with_a_dictionary(n, block_size):
    corpus = Corpus(drawing_room(4_000))
    windows = [part.tolist() for part in corpus.validation_windows(block_size)]
    windows = [tuple(map(corpus.tokenizer.decode, pair)) for pair in zip(*windows, strict=True)]
    slow = slow_table_loss(corpus.tokenizer.decode(corpus.train), windows, corpus.vocab_size, n)
    assert corpus.reference_losses(block_size)[f"table_{n}"] == pytest.approx(slow, abs=1e-6)


@given(st.text("abc", min_size=1, max_size=80), st.text("abc", min_size=1, max_size=6))
def test_a_run_of_characters_is_counted_as_often_as_it_occurs(text, run):
    run = run[:5]
    ids = torch.tensor([ord(c) - ord("a") for c in text])
    key = sum((ord(c) - ord("a")) * 3 ** (len(run) - 1 - i) for i, c in enumerate(run))
    found = CountingTables(ids, 3).count(torch.tensor([[key]]), len(run))
    assert found.tolist() == [[sum(text.startswith(run, i) for i in range(len(text)))]]


def test_five_characters_are_told_apart_even_with_the_largest_vocabulary():
    ids = torch.tensor([5_999] * 6 + [0, 5_999, 5_999, 5_999, 5_999])
    tables = CountingTables(ids, 6_000)
    highest = 6_000**5 - 1
    assert tables.count(torch.tensor([highest, highest - 1, 6_000**4 - 1]), 5).tolist() == [2, 0, 1]


def test_the_reference_losses_are_those_that_have_names_and_the_first_is_blind_guessing():
    corpus = Corpus(drawing_room(4_000))
    losses = corpus.reference_losses(8)
    assert losses.keys() < REFERENCE_NAMES.keys()
    assert losses["uniform"] == math.log(len(set(drawing_room(4_000))))


def test_the_more_characters_a_table_looks_at_the_lower_its_loss_on_sentences():
    losses = Corpus(drawing_room(200_000)).reference_losses(32)
    assert list(losses) == ["uniform", "table_1", "table_2", "table_3", "table_5"]
    assert all(more - less > 0.1 for more, less in pairwise(losses.values()))


def test_no_table_beats_blind_guessing_on_random_characters():
    corpus = Corpus("".join(random.Random(0).choices("abcdefgh", k=100_000)))
    losses = corpus.reference_losses(16)
    assert losses["table_1"] == pytest.approx(math.log(8), abs=0.002)
    assert all(loss > math.log(8) - 0.002 for loss in losses.values())


def test_what_was_never_seen_is_unlikely_but_not_impossible():
    losses = Corpus("a" * 90 + "bbbbbbbbbb").reference_losses(4)
    assert all(math.isfinite(loss) for loss in losses.values())
    assert losses["table_1"] == pytest.approx(-math.log(0.01 / 90.02))
