"""What the texts made here promise, checked against a slow parser of the tests' own and against plain counting."""

import math
import random
import re
import statistics
from collections import Counter
from collections.abc import Iterator
from itertools import islice, product
from string import Formatter, ascii_lowercase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microllm.data.builtin import (
    BUILTIN_TEXTS,
    DRAWING_ROOM,
    TRANSFORMS,
    _compiled,
    _sentences,
    drawing_room,
    drawing_room_entropy,
    drawing_room_nats,
    transform,
    words_twice,
    words_twice_entropy,
)

seeds = st.integers(0, 2**32)
lengths = st.integers(0, 3000)
texts = st.text("abc ,.\n\t\u2003\u00e9", max_size=200)

# ---------------------------------------------------------------- an independent parser, slow and explicit

Choice = tuple[str, str]  # (rule, alternative)
PIECES = {alternative: list(Formatter().parse(alternative)) for rule in DRAWING_ROOM.values() for alternative in rule}


def readings(rule: str, text: str, start: int) -> Iterator[tuple[int, list[Choice]]]:
    """Every way to read `rule` from `start`: where the reading ends, and the choices made in it."""
    for alternative in DRAWING_ROOM[rule]:
        ways: list[tuple[int, list[Choice]]] = [(start, [(rule, alternative)])]
        for literal, inner, _, _ in PIECES[alternative]:
            ways = [(end + len(literal), choices) for end, choices in ways if text.startswith(literal, end)]
            if inner is not None:
                ways = [(e, choices + more) for end, choices in ways for e, more in readings(inner, text, end)]
        yield from ways


def whole_readings(sentence: str) -> list[list[Choice]]:
    return [choices for end, choices in readings("sentence", sentence, 0) if end == len(sentence)]


def sample(count: int, seed: int = 0) -> list[tuple[str, float]]:
    return list(islice(_sentences(random.Random(seed)), count))


@pytest.fixture(scope="module")
def counted() -> tuple[Counter[Choice], int]:
    """How often each alternative was chosen in 2,000 sentences, by the slow parser; and their characters."""
    sentences = [sentence for sentence, _ in sample(2000, seed=5)]
    choices = Counter(choice for sentence in sentences for choice in whole_readings(sentence)[0])
    return choices, sum(map(len, sentences))


# ---------------------------------------------------------------- the grammar


def test_every_rule_named_in_braces_exists_and_every_rule_is_used():
    named = {inner for pieces in PIECES.values() for _, inner, _, _ in pieces if inner is not None}
    assert named | {"sentence"} == set(DRAWING_ROOM)


def test_the_probabilities_of_each_rule_sum_to_one():
    for alternatives in DRAWING_ROOM.values():
        assert all(weight > 0 for weight in alternatives.values())
        assert sum(a.p for a in _compiled(alternatives)) == pytest.approx(1, abs=1e-12)
        assert sum(math.exp(-a.nats) for a in _compiled(alternatives)) == pytest.approx(1, abs=1e-12)


def test_a_sentence_can_be_built_in_exactly_one_way():
    for sentence, _ in sample(1000, seed=1):
        assert len(whole_readings(sentence)) == 1, sentence


def test_no_two_families_share_a_name():
    names = ["".join(parts) for parts in product(DRAWING_ROOM["stem"], DRAWING_ROOM["ending"])]
    assert len(set(names)) == len(names) == 320


def test_a_sentence_end_stands_at_the_end_of_a_sentence_and_nowhere_else():
    for sentence, _ in sample(2000, seed=2):
        assert re.fullmatch(r'[^.?!]+[.?!]"?[ \n]', sentence)


def test_the_text_is_mixed_case_with_punctuation_and_small_enough_for_a_page():
    alphabet = set(drawing_room(300_000))
    assert alphabet > set(ascii_lowercase[:9]) | set('ABDFIMS,.?!" \n')
    assert len(alphabet) < 60


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("Mr Hexby hoped that he fled. ", "Mr Hexby hoped that she fled. "),
        ("Miss Hexby lost her fan. ", "Miss Hexby lost his fan. "),
        ("Lady Ixley was ill. ", "Lady Ixley were ill. "),
        ("Lady Ixley and Mr Pinton were ill. ", "Lady Ixley and Mr Pinton was ill. "),
        ('"My aunts are ill," said Mr Pinton. ', '"My aunts is ill," said Mr Pinton. '),
    ],
)
def test_verbs_and_pronouns_agree(right: str, wrong: str):
    assert drawing_room_nats("A stump. " + right)[1] == len(right)
    with pytest.raises(ValueError, match="Not a drawing-room sentence"):
        drawing_room_nats("A stump. " + wrong)


# ---------------------------------------------------------------- its text


@pytest.mark.parametrize("make", [drawing_room, words_twice])
@given(one=lengths, other=lengths, seed=seeds)
@settings(max_examples=50, deadline=None)
def test_a_shorter_text_is_the_beginning_of_a_longer_one(make, one: int, other: int, seed: int):
    short, long = sorted((one, other))
    assert len(make(long, seed)) == long
    assert make(short, seed) == make(long, seed)[:short]


@pytest.mark.parametrize("make", [drawing_room, words_twice])
def test_the_same_seed_gives_the_same_text_and_another_seed_another(make):
    before = random.getstate()
    assert make(5000, 3) == make(5000, 3) != make(5000, 4)
    assert random.getstate() == before, "the global generator is nobody's business here"


@pytest.mark.parametrize("make", [drawing_room, words_twice])
def test_a_negative_length_is_refused(make):
    with pytest.raises(ValueError, match="-1 characters"):
        make(-1)


# ---------------------------------------------------------------- its -log p


def test_the_parsed_nats_are_those_of_the_samplers_own_choices():
    for (stump, _), (sentence, nats) in zip(sample(500, seed=3), sample(500, seed=4), strict=True):
        assert drawing_room_nats(stump + sentence) == (pytest.approx(nats, rel=1e-12), len(sentence))


def test_the_parsed_nats_are_those_of_the_weights_in_the_table():
    for sentence, _ in sample(200, seed=6):
        (choices,) = whole_readings(sentence)
        chance = math.prod(DRAWING_ROOM[rule][a] / sum(DRAWING_ROOM[rule].values()) for rule, a in choices)
        assert drawing_room_nats("A stump. " + sentence)[0] == pytest.approx(-math.log(chance), rel=1e-9)


def test_a_slice_is_scored_on_its_whole_sentences_alone():
    sentences = sample(60, seed=7)
    text = "".join(sentence for sentence, _ in sentences)
    ends, position = [], 0
    for sentence, nats in sentences:
        position += len(sentence)
        ends.append((position, nats))
    for start in range(0, 300, 7):
        stop = start + 2000
        # The end that lies in the slice opens the score; an end is one mark, so at least two characters must be inside.
        first = next(i for i, (end, _) in enumerate(ends) if re.search(r'[.?!]"?[ \n]$', text[start:end]))
        whole = [(end, nats) for end, nats in ends[first + 1 :] if end <= stop]
        nats, characters = drawing_room_nats(text[start:stop])
        assert characters == whole[-1][0] - ends[first][0]
        assert nats == pytest.approx(sum(nats for _, nats in whole))


def test_a_strange_character_anywhere_in_a_scored_sentence_is_refused():
    sentences = [sentence for sentence, _ in sample(5, seed=8)]
    text = "".join(sentences)
    for place in range(len(sentences[0]), len(text) - len(sentences[-1])):
        with pytest.raises(ValueError, match="Not a drawing-room sentence"):
            drawing_room_nats(text[:place] + "#" + text[place + 1 :])


@pytest.mark.parametrize("text", ["", "no end at all", 'Miss Hexby fled. "My au'])
def test_a_text_without_a_whole_sentence_is_refused(text: str):
    with pytest.raises(ValueError, match="no complete sentence"):
        drawing_room_nats(text)


# ---------------------------------------------------------------- its entropy


def test_the_entropy_agrees_with_the_nats_of_a_long_text():
    entropy = drawing_room_entropy()
    sentences = sample(5000, seed=9)
    characters = statistics.mean(len(sentence) for sentence, _ in sentences)
    # The standard error of a ratio of means (the delta method).
    residuals = [nats - entropy * len(sentence) for sentence, nats in sentences]
    error = statistics.stdev(residuals) / characters / math.sqrt(len(sentences))
    assert error < 0.003
    nats, scored = drawing_room_nats("".join(sentence for sentence, _ in sentences))
    assert nats / scored == pytest.approx(entropy, abs=4 * error)


def test_each_alternative_is_chosen_as_often_as_its_weight_says(counted):
    choices, _ = counted
    for rule, alternatives in DRAWING_ROOM.items():
        uses = sum(choices[rule, alternative] for alternative in alternatives)
        for alternative, weight in alternatives.items():
            chance = weight / sum(alternatives.values())
            spread = math.sqrt(uses * chance * (1 - chance))
            assert abs(choices[rule, alternative] - uses * chance) <= 5 * spread, (rule, alternative)


def test_the_entropy_agrees_with_counting(counted):
    # No weight from the table here: the frequencies of a parsed sample stand for them. Such a plug-in estimate is low
    # by (alternatives - 1) / 2 nats a rule (Miller 1955), which is put back.
    choices, characters = counted
    nats = 0.0
    for rule, alternatives in DRAWING_ROOM.items():
        counts = [choices[rule, a] for a in alternatives if choices[rule, a]]
        nats += sum(count * math.log(sum(counts) / count) for count in counts) + (len(counts) - 1) / 2
    assert nats / characters == pytest.approx(drawing_room_entropy(), abs=0.01)


def test_the_entropy_leaves_something_to_learn():
    assert 0.5 < drawing_room_entropy() < 0.9


def test_a_reader_with_other_probabilities_pays_more(counted):
    choices, characters = counted
    even = sum(n * math.log(len(DRAWING_ROOM[rule])) for (rule, _), n in choices.items()) / characters
    assert even > drawing_room_entropy() + 0.01


# ---------------------------------------------------------------- words said twice


def test_each_word_is_said_exactly_twice():
    words = words_twice(50_000, seed=1).split(" ")[:-2]
    words = words[: len(words) // 2 * 2]
    assert words[::2] == words[1::2]
    assert all(re.fullmatch("[a-z]{4,10}", word) for word in words)
    assert len(set(words)) > 0.99 * len(words) / 2, "words are new, so that only copying can predict them"


def test_a_reader_who_knows_the_rule_pays_the_entropy():
    # Character by character: after n letters the word ends with chance 1 / (lengths still possible), and else each of
    # 26 letters is as likely; every character of the second saying, and its space, is certain.
    words = words_twice(400_000, seed=2).split(" ")[:-2:2]
    nats = characters = 0.0
    for word in words:
        for letters in range(len(word) + 1):
            ends = 0 if letters < 4 else 1 / (11 - letters)
            chance = ends if letters == len(word) else (1 - ends) / 26
            nats -= math.log(chance)
        characters += 2 * (len(word) + 1)
    assert nats / characters == pytest.approx(words_twice_entropy(), abs=0.003)
    assert words_twice_entropy() == pytest.approx(1.547, abs=5e-4)


def test_lengths_and_letters_are_drawn_evenly():
    words = words_twice(400_000, seed=3).split(" ")[:-2:2]
    for counts, kinds in ((Counter(map(len, words)), 7), (Counter("".join(words)), 26)):
        share = counts.total() / kinds
        assert len(counts) == kinds
        assert all(abs(count - share) < 5 * math.sqrt(share) for count in counts.values())


# ---------------------------------------------------------------- the table


def test_the_table_offers_both_texts_ready_to_use():
    assert set(BUILTIN_TEXTS) == {"drawing-room", "words-twice"}
    for builtin in BUILTIN_TEXTS.values():
        assert builtin.name and builtin.purpose.endswith(".")
        assert len(builtin.make(builtin.length, 0)) == builtin.length == 300_000
        assert 0.5 < builtin.floor(builtin.make(32_000, 1)) < math.log(27)


# ---------------------------------------------------------------- transformations


@pytest.mark.parametrize("how", TRANSFORMS)
@given(text=texts, first=st.none() | st.integers(1, 250), seed=seeds)
def test_a_transformation_keeps_the_characters_of_the_chosen_beginning(how: str, text: str, first, seed: int):
    result = transform(text, how, first, seed)
    assert Counter(result) == Counter(text[:first])
    assert result == transform(text, how, first, seed)


@given(text=texts)
def test_as_it_is_changes_nothing_and_reversed_twice_neither(text: str):
    assert transform(text) == text
    assert transform(transform(text, "reversed"), "reversed") == text


@given(text=texts, seed=seeds)
def test_shuffled_words_stay_whole_and_the_spacing_keeps_its_order(text: str, seed: int):
    result = transform(text, "words", seed=seed)
    assert Counter(result.split()) == Counter(text.split())
    assert re.findall(r"\s+", result) == re.findall(r"\s+", text)


@pytest.mark.parametrize("how", ["words", "letters"])
def test_shuffling_shuffles_and_another_seed_does_so_otherwise(how: str):
    text = drawing_room(2000)
    assert len({text, transform(text, how), transform(text, how, seed=1)}) == 3


def test_the_beginning_is_taken_before_the_transformation():
    assert transform("abcdef", "reversed", first=3) == "cba"


def test_an_unknown_transformation_is_refused_with_the_known_ones_named():
    with pytest.raises(ValueError, match=r"'upside down'.*none, reversed, words, letters"):
        transform("text", "upside down")


def test_a_beginning_of_no_characters_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        transform("text", first=0)


def test_each_transformation_has_a_label_of_its_own():
    labels = {how: entry.label for how, entry in TRANSFORMS.items()}
    assert labels.keys() == {"none", "reversed", "words", "letters"}
    assert len({*labels.values()}) == len(labels)
