"""The guessing game: fair places, correct opponents, a correct score."""

import math
from collections import Counter
from collections.abc import Iterator

import pytest
import torch

from microllm import CharTokenizer, Corpus, CountingTables, MicroLLM, ModelConfig
from microllm.data.builtin import drawing_room
from microllm.insight.guessing import ASKED, SHOWN, Game, chances_of_model, chances_of_tables, commonest, letter_of

LENGTHS = (2, 3, 7, 20, 150, 1_000, 12_345)


def steps_of(game: Game) -> Iterator[Game]:
    """The game at each of its turns."""
    while game.place is not None:
        yield game
        game = game.answered(0, 0, torch.tensor([1.0]))


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("seed", range(8))
def test_no_character_is_asked_for_that_was_shown_before_and_no_passage_comes_again(length, seed):
    seen = set()
    for game in steps_of(Game(length, seed)):
        passage = game.passage
        assert 0 <= passage.start < passage.stop == game.place < length
        assert game.place not in seen
        is_new = game.at % game.asked == 0
        assert len(seen & {*range(passage.start, game.place)}) == (0 if is_new else passage.stop - passage.start - 1)
        seen |= {*range(passage.start, game.place)}
    assert seen


def test_a_passage_goes_on_by_one_character_a_turn_and_another_begins_when_asked_for():
    game = Game(72_871, seed=3)
    start = game.passage.start
    for turn in range(ASKED):
        assert game.passage == slice(start, start + SHOWN + turn)
        assert game.next_passage().place == game.places[ASKED]
        game = game.answered(0, 0, torch.tensor([1.0]))
    assert game.passage.start != start
    assert Game(72_871, seed=3).next_passage().passage == game.passage


def test_a_long_text_shows_a_hundred_characters_and_uses_nearly_all_of_it():
    game = Game(72_871, seed=3)
    assert game.shown == SHOWN == 100
    assert len(game.places) // ASKED in (581, 582, 583)


def test_every_character_with_enough_around_it_is_asked_for_equally_often():
    counts = Counter(place for seed in range(20_000) for place in Game(300, seed).places)
    shown, asked = Game(300, 0).shown, Game(300, 0).asked
    assert set(counts) == set(range(shown, 300))
    size = shown + asked
    for place in range(size, 300 - size):
        assert counts[place] == pytest.approx(20_000 * asked / size, rel=0.05)


def test_the_same_seed_asks_for_the_same_places_and_another_one_for_others():
    assert Game(5_000, 1).places == Game(5_000, 1).places
    assert Game(5_000, 1).places != Game(5_000, 2).places


def test_the_score_counts_the_right_guesses_of_both_on_the_same_places():
    game = Game(2_000, seed=0)
    assert (game.yours, game.models, game.margin) == (0, 0, None)
    rounds = [(0, 0, 0), (1, 1, 2), (2, 0, 2), (3, 3, 3), (0, 1, 2)]  # truth, yours, the model's guess
    for truth, yours, bet in rounds:
        chances = torch.full((4,), 0.1)
        chances[bet] = 0.7
        game = game.answered(truth, yours, chances)
    assert (game.yours, game.models) == (3, 3)
    assert [turn.place for turn in game.turns] == game.places[:5]
    assert [turn.chance_of_truth for turn in game.turns] == pytest.approx([0.7, 0.1, 0.7, 0.7, 0.1])
    assert [turn.chance_of_bet for turn in game.turns] == pytest.approx([0.7] * 5)
    assert game.margin == pytest.approx(2 * math.sqrt(0.5 * 0.5 / 5))


def test_a_game_ends_when_every_place_was_asked_for():
    game = Game(30, seed=5)
    for _ in range(len(game.places)):
        game = game.answered(0, 0, torch.tensor([1.0]))
    assert game.place is None
    with pytest.raises(ValueError, match="is over"):
        game.answered(0, 0, torch.tensor([1.0]))


def test_the_model_is_asked_what_it_makes_of_its_last_block_size_characters():
    torch.manual_seed(0)
    model = MicroLLM(ModelConfig(block_size=8, n_embd=16, n_head=2, n_layer=2), 11)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    passage = torch.randint(11, (100,), dtype=torch.uint8)
    chances = chances_of_model(model, passage)
    model.eval()
    with torch.no_grad():
        expected = model(passage[None, -8:].long())[0][0, -1].softmax(-1)
    assert chances.sum().item() == pytest.approx(1)
    assert chances.tolist() == pytest.approx(expected.tolist(), abs=1e-6)
    changed = passage.clone()
    changed[:92] = 0
    assert torch.equal(chances_of_model(model, changed), chances)


def test_the_tables_guess_what_mostly_followed_the_last_four_characters():
    text = drawing_room(20_000)
    corpus = Corpus(text)
    tables = CountingTables(corpus.train, corpus.vocab_size)
    train = text[: len(corpus.train)]
    for end in (5_000, 7_001, 9_017):
        passage = corpus.train[end - 60 : end]
        context = train[end - 4 : end]
        followers = Counter(train[i + 4] for i in range(len(train) - 4) if train.startswith(context, i))
        n, chances = chances_of_tables(tables, passage)
        assert n == 5
        assert chances.sum().item() == pytest.approx(1)
        seen = sum(followers.values())
        for character, count in followers.items():
            chance = chances[corpus.tokenizer.encode(character)[0]].item()
            assert chance == pytest.approx((count + 0.01) / (seen + 0.01 * corpus.vocab_size), rel=1e-6)


def test_after_what_was_never_seen_a_smaller_table_guesses():
    tokenizer = CharTokenizer.from_text("abcdxyz ")
    tables = CountingTables(tokenizer.encode_tensor("abcd abcd abcd xyz"), tokenizer.vocab_size)
    n, chances = chances_of_tables(tables, tokenizer.encode_tensor("zzbc"))  # "bc" was seen, "zbc" was not
    assert n == 3
    assert tokenizer.vocab[int(chances.argmax())] == "d"
    n, _ = chances_of_tables(tables, tokenizer.encode_tensor("a"))
    assert n == 2
    assert chances_of_tables(tables, tokenizer.encode_tensor("abcd"))[0] == 5


def test_the_commonest_characters_come_first():
    tokenizer = CharTokenizer.from_text("abc")
    assert commonest(tokenizer.encode_tensor("cabcbc"), 3, 2) == tokenizer.encode("cb")


@pytest.mark.parametrize(
    ("text", "typed", "letter"),
    [
        ("caf\u00e9", "\u00e9", "\u00e9"),
        ("caf\u00e9", "e\u0301", "\u00e9"),
        ("cafe\u0301", "\u00e9", "e"),  # the next character of the text, of the two
        ("cafe\u0301", "\u0301", "\u0301"),
        ("cafe\u0301 \u00e9", "e\u0301", "\u00e9"),
        ("cafe", "\u00e9", None),  # an e is another letter
        ("\u212b", "\u212b", "\u212b"),
        ("\u1112\u1161\u11ab", "\ud55c", "\u1112"),
        ("किताब", "कि", "क"),
        ("abc", "☃", None),
        ("abc", "", None),
    ],
)
def test_a_typed_letter_stands_for_a_character_of_the_text_however_it_is_composed(text, typed, letter):
    assert letter_of(CharTokenizer.from_text(text), typed) == letter
