"""Reading with a model: each number against the same done slowly, one character at a time."""

import math
import unicodedata

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from making import draw_biases

from microllm.config import ModelConfig
from microllm.corpus import Corpus
from microllm.data.store import keep_text
from microllm.inference import next_logits
from microllm.insight import memorization, surprisal
from microllm.insight.memorization import (
    after_a_cut_word,
    is_list,
    lines_of_list,
    longest_copy,
    new_lines,
    real_words,
    words,
)
from microllm.insight.surprisal import context_start, token_surprisals, top1_accuracy
from microllm.model import MicroLLM

SIZE, V = 8, 11

RECIPES = [
    {"position": "learned", "lookback": 0},
    {"position": "rotary", "lookback": 0},
    {"position": "none", "lookback": 3},
    {"position": "relative", "lookback": 0},
    {"causal": False},
]


def new_model(vocab_size: int = V, **recipe) -> MicroLLM:
    shape = {"block_size": SIZE, "n_embd": 16, "n_head": 2, "n_layer": 2, "initialization": "torch"}
    config = ModelConfig(**shape | recipe)
    return draw_biases(MicroLLM(config, vocab_size, generator=torch.Generator().manual_seed(1)).eval())


@pytest.fixture(scope="module", params=RECIPES, ids=str)
def model(request) -> MicroLLM:
    return new_model(**request.param)


def text(length: int) -> torch.Tensor:
    return torch.randint(V, (length,), generator=torch.Generator().manual_seed(length))


def slow_chances(model: MicroLLM, context: torch.Tensor) -> torch.Tensor:
    return next_logits(model, context[None])[0].double().softmax(-1)


# ---------------------------------------------------------------- surprise


@pytest.mark.parametrize("length", [1, 2, SIZE, SIZE + 1, SIZE + 2, 30, 64 + SIZE, 65 + SIZE, 66 + SIZE])
def test_each_character_is_read_from_its_own_last_characters_and_nothing_else(model, length):
    ids = text(length)
    read = token_surprisals(model, ids, guesses=3)
    assert read.nats.shape == (length,)
    assert read.nats[0].isnan()
    for t in range(1, length):
        p = slow_chances(model, ids[:t])
        assert read.nats[t].item() == pytest.approx(-math.log(p[ids[t]]), abs=1e-4)
        best = sorted(range(V), key=lambda i: -p[i])[:3]
        assert read.guesses[t].tolist() == best
        assert read.chances[t].tolist() == pytest.approx([p[i].item() for i in best], abs=1e-5)


@pytest.mark.parametrize("stride", range(1, SIZE + 1))
@pytest.mark.parametrize("length", [1, 5, SIZE + 1, 31, 40])
def test_with_a_stride_each_character_is_read_from_some_of_its_last_characters_and_enough_of_them(stride, length):
    model, ids = new_model(), text(length)
    read = token_surprisals(model, ids, stride=stride)
    assert read.nats.shape == (length,)
    for t in range(1, length):
        views = range(min(t, SIZE - stride + 1), min(t, SIZE) + 1)
        possible = [-math.log(slow_chances(model, ids[t - seen : t])[ids[t]]) for seen in views]
        assert min(abs(read.nats[t].item() - one) for one in possible) < 1e-4


def test_a_model_that_cheats_cannot_see_the_answer_when_it_reads():
    model, ids = new_model(causal=False), text(20)
    other = ids.clone()
    other[-1] = (ids[-1] + 1) % V
    read, changed = (token_surprisals(model, one, stride=SIZE) for one in (ids, other))
    assert torch.equal(read.nats[1:-1], changed.nats[1:-1])
    assert torch.equal(read.chances, changed.chances)


@pytest.mark.parametrize("stride", range(1, SIZE + 1))
@pytest.mark.parametrize("length", [2, SIZE, SIZE + 1, SIZE + 2, 31, 40])
@pytest.mark.parametrize("causal", [True, False])
def test_the_context_that_each_character_was_read_from_is_known(stride, length, causal):
    model, ids = new_model(causal=causal), text(length)
    read = token_surprisals(model, ids, stride=stride)
    for t in range(1, length):
        start = context_start(model, t, length, stride)
        assert 0 <= start < t <= start + SIZE
        assert read.nats[t].item() == pytest.approx(-math.log(slow_chances(model, ids[start:t])[ids[t]]), abs=1e-4)


def test_the_mean_leaves_the_first_character_out():
    read = token_surprisals(new_model(), text(12))
    assert read.mean == pytest.approx(sum(read.nats[1:].tolist()) / 11)
    assert math.isnan(token_surprisals(new_model(), text(1)).mean)


def test_no_more_guesses_are_given_than_there_are_characters():
    assert token_surprisals(new_model(), text(4), guesses=50).guesses.shape == (4, V)


def test_reading_is_done_without_dropout_and_leaves_the_model_as_it_was():
    model = new_model(dropout=0.5).train()
    first, second = token_surprisals(model, text(20)), token_surprisals(model, text(20))
    assert torch.equal(first.nats[1:], second.nats[1:])
    assert model.training
    assert not first.nats.requires_grad


def test_nothing_to_read_and_an_impossible_stride_are_refused():
    with pytest.raises(ValueError, match="at least one character"):
        token_surprisals(new_model(), text(0))
    for stride in (0, SIZE + 1):
        with pytest.raises(ValueError, match=f"stride is {stride}"):
            token_surprisals(new_model(), text(5), stride=stride)


def test_the_share_of_right_first_guesses_is_that_in_the_validation_windows(monkeypatch):
    corpus = Corpus("the cat sat on the mat. " * 100)
    model = new_model(corpus.vocab_size)
    monkeypatch.setattr(surprisal, "TOP1_CHARACTERS", 100)
    right = total = 0
    for start in range(0, 99 - SIZE + 1, SIZE):
        for t in range(SIZE):
            p = slow_chances(model, corpus.val[start : start + t + 1].long())
            right += p.argmax().item() == corpus.val[start + t + 1].item()
            total += 1
    assert top1_accuracy(model, corpus) == pytest.approx(right / total)


# ---------------------------------------------------------------- what a sample copies


def slow_longest(sample: str, text: str) -> int:
    pieces = (sample[i:j] for i in range(len(sample)) for j in range(i + 1, len(sample) + 1))
    return max((len(piece) for piece in pieces if piece in text), default=0)


few_letters = st.text("ab", max_size=40) | st.text("abc ", max_size=40)


@given(few_letters, few_letters, st.sampled_from([1, 2, 7, 1 << 16]))
@example("", "", 7)
@example("aaaaaaaab", "aaaaaaaaaaaaaaaaaaaa", 7)
@example("☕ü😀", "x😀☕ü😀y", 1)
@example("\ud800a", "b\ud800a", 2)
def test_the_longest_copy_is_as_long_as_the_same_found_slowly_and_is_where_it_says(sample, text, part):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memorization, "_PART_CHARACTERS", part)  # however the text is divided
        start, length, place = longest_copy(sample, text)
    assert length == slow_longest(sample, text)
    assert sample[start : start + length] == text[place : place + length]
    assert 0 <= start <= start + length <= len(sample)


def test_a_piece_across_two_parts_of_a_long_text_is_found():
    text = "".join(chr(0x4E00 + i % 20_000) for i in range(3 * memorization._PART_CHARACTERS))
    at = 2 * memorization._PART_CHARACTERS - 50
    assert longest_copy("x" + text[at : at + 100] + "y", text)[1] == 100


def test_pieces_with_the_same_hash_are_not_confused(monkeypatch):
    monkeypatch.setattr(
        memorization, "_hashes", lambda codes, n: torch.zeros(max(0, len(codes) - n + 1), dtype=torch.long)
    )
    assert longest_copy("xxabcxx", "zabcdz") == (2, 3, 1)


def test_words_are_runs_of_letters_with_an_apostrophe_inside_or_none():
    assert words("It's a “truth”, isn’t it? 42 times; naïve_Jane’s") == {
        *("it's", "a", "truth", "isn’t", "it", "times", "naïve", "jane’s"),
    }


def test_the_share_of_real_words_leaves_cut_ones_out_and_capitals_aside():
    known = "The truth was never universally acknowledged."
    assert real_words("uth was A truth ackno", known) == 1  # the first and the last may be cut
    assert real_words(" was trooth never ", known) == pytest.approx(2 / 3)
    assert real_words("the ‘WAS’ zzz universal, acknow", words(known)) == pytest.approx(1 / 3)


def test_words_of_one_or_two_letters_do_not_count():
    assert real_words(" a is q zz ", "a is") is None
    assert real_words(" a is q zz the ", "a is the") == 1


@pytest.mark.parametrize("sample", ["", "cut", "3 + 4 = 7", "…—…", "half whole"])
def test_a_sample_without_a_whole_word_has_no_share(sample):
    assert real_words(sample, "half whole cut") is None


SCRIPTS = {
    "English": "Don’t ask the boats; they’re ‘small’, re-painted and _very_ quiet. It's 3.14 o’clock! ",
    "Greek": "Άνδρα μοι έννεπε, μούσα, πολύτροπον, ός μάλα πολλά πλάγχθη· ΟΔΥΣΣΕΎΣ. ",
    "Russian": "Шёл ученик по берегу; волны шумели — «тише», сказал он. ",
    "Hindi": "पुस्तक में क्षत्रिय की ज़िन्दगी का सत्य लिखा है। विद्यार्थी पढ़ते हैं॥ ",
    "Arabic": "خَرَجَ الوَلَدُ إلى السوق، ومعه كتابٌ وقلمٌ؛ السلام عليكم؟ ",
    "Hebrew": 'בְּרֵאשִׁית בָּרָא אֱלֹהִים אֵת הַשָּׁמַיִם, צה"ל וצ׳כיה. ',
    "Turkish": "İstanbul’da ılık rüzgâr, IŞIK ve ışık; çığlık atan kuşlar. ",
    "Vietnamese": unicodedata.normalize("NFD", "Trường học của chúng tôi rất đẹp, người bạn ạ. "),
    "Korean": "학교에서 친구들이 한국어를 공부합니다. 재미있어요! ",
    "Amharic": "ሰላም፡ለዓለም፡ሁሉም፡ሰዎች፡እኩል፡ናቸው። ",
    "Persian": "می\u200cخواهم کتاب\u200cهای تازه را بخوانم؛ دانشجویان می\u200cدانند. ",
    "emoji": "the cats 🐈‍⬛ and the 👩‍👩‍👧 family went home 🇫🇷🇩🇪 again, hello-world. ",
}


@pytest.mark.parametrize("script", SCRIPTS)
@given(data=st.data())
def test_all_words_of_a_true_passage_are_real_in_every_script(script, data):
    text = SCRIPTS[script] * 3
    start = data.draw(st.integers(0, len(SCRIPTS[script])))
    passage = text[start : start + data.draw(st.integers(0, 2 * len(SCRIPTS[script])))]
    assert real_words(passage, text) in (None, 1)


@pytest.mark.parametrize("script", SCRIPTS)
def test_of_letters_in_any_order_hardly_a_word_is_real_in_any_script(script):
    text = SCRIPTS[script]
    assert real_words(text * 2, text * 3) == 1
    order = torch.randperm(len(text), generator=torch.Generator().manual_seed(0)).tolist()
    assert (real_words("".join(text[i] for i in order), text) or 0) < 0.35


@pytest.mark.parametrize(
    "text",
    [
        "月落烏啼霜滿天，江楓漁火對愁眠。\n",
        "これはペンです。カタカナとひらがな、漢字。\n",
        "ผมไปที่โรงเรียนทุกวัน และชอบอ่านหนังสือ\n",
        "ຂ້ອຍໄປໂຮງຮຽນທຸກມື້\n",
        "ខ្ញុំទៅសាលារៀនរាល់ថ្ងៃ។\n",
        "ကျွန်တော် ကျောင်းသွားသည်။\n",
        "བོད་སྐད་ཡིག་སྦྱོང་བ།\n",
        "我用 Python 写了一个 program 来读古诗，很有意思。\n",  # a few foreign words are no measure of it
    ],
)
def test_where_words_are_not_separated_there_is_no_share_of_real_ones(text):
    assert real_words(text * 4, text * 4) is None
    assert real_words(text[::-1] * 4, text * 4) is None


@pytest.mark.parametrize("line", ["ACGT" * 5_000, "\n".join(["GATTACA" * 10] * 20), "0123 4567\n" * 20])
def test_sequences_without_words_have_no_share_of_real_ones(line):
    assert real_words(line[:133], line) is None
    assert real_words(line[3:400], line) is None


def test_a_word_is_the_same_in_capitals_and_however_its_accents_are_composed():
    assert words("Élan ÉLAN e\u0301lan") == {"élan"}
    assert len(words("ışık IŞIK istanbul İSTANBUL I\u0307stanbul")) == 2
    assert words("λόγος ΛΌΓΟΣ") == {"λόγοσ"}


def test_words_with_marks_and_apostrophes_are_whole():
    assert len(words("पुस्तक क्षत्रिय")) == 2
    assert words("l’heure d'été") == {"l’heure", "d'été"}


@pytest.mark.parametrize(
    ("cut", "whole"),
    [
        ("ruth is here", "is here"),
        ("mma\nolivia\nava", "olivia\nava"),
        (" and so on", "and so on"),
        ("江楓漁火對愁眠。月落", "江楓漁火對愁眠。月落"),
        ("ACGGTCA" * 9, "ACGGTCA" * 9),
        ("\u0301 et", "et"),
        ("\u0e35\u0e48โรงเรียน", "โรงเรียน"),  # vowel and tone of a letter that was cut off
        ("", ""),
    ],
)
def test_a_text_that_was_cut_anywhere_begins_with_its_first_whole_word(cut, whole):
    assert cut[after_a_cut_word(cut) :] == whole


def test_a_cancelled_reading_ends_early():
    asked = []
    assert token_surprisals(new_model(), text(400), is_cancelled=lambda: asked.append(1) or len(asked) > 2) is None
    assert len(asked) == 3


# ---------------------------------------------------------------- new lines of a list

NAMES = ["emma", "olivia", "ava", "isabella", "anna maria", "charlotte", "amelia", "harper", "d'arcy", "zoë"] * 3


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (NAMES, True),
        (["new york", "rio de janeiro", "basel"] * 10, True),
        (["東京", "大阪", "名古屋"] * 10, True),
        (["3", "17", "255"] * 10, True),
        (NAMES[:19], False),  # too few to say
        (NAMES[:20], True),
        (NAMES[:27] + ["# names, as people have given them to their children"] * 3, True),
        (NAMES[:26] + ["# names, as people have given them to their children"] * 4, False),
        (["to be", ""] * 20, False),  # paragraphs
        (["First Citizen:", "Before we proceed any further, hear me speak.", ""] * 20, False),
        (
            ["The lightfoot boys are laid;", "By brooks too broad to leap"] * 20,
            False,
        ),  # verse: many words
        (["acgt" * 15] * 30, False),
        (["one line without an end " * 100], False),
        ([], False),
    ],
)
def test_a_list_is_recognized_by_its_short_lines(lines, expected):
    assert is_list("\n".join(lines)) == is_list("\n".join(lines) + "\n") == expected


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([("", "emma\nolivia\nemmia\n")], (1, 3)),
        ([("", "emma\nolivia\nemmia")], (0, 2)),  # the last line may be cut
        ([("", "emmia\nemmia\nava\nemmia\n")], (1, 2)),  # a line counts once
        ([("", "\n\nava\n\n")], (0, 1)),  # an empty line is none
        ([("", "Ava\n av\nav\n")], (3, 3)),
        ([("olivia\nkim\n", "ava\n")], (0, 1)),  # the model has not written what the prompt says
        ([("olivia\nem", "ma\nava\n")], (0, 2)),  # but it has finished the line that the prompt began
        ([("", "kim\nava\n"), ("", "kim\njo\n")], (2, 3)),  # together
        ([("", "xkqz")], (0, 0)),
        ([], (0, 0)),
    ],
)
def test_new_lines_are_the_different_whole_lines_that_are_not_in_the_list(samples, expected):
    assert new_lines(samples, {"emma", "olivia", "ava"}) == expected


def test_all_lines_of_a_list_are_known_also_those_that_are_held_out(monkeypatch):
    assert lines_of_list(keep_text("\n".join(NAMES))) == set(NAMES)
    assert lines_of_list(keep_text("It rained all day, and nobody called.\n" * 30)) is None
    monkeypatch.setattr(memorization, "_MAX_LIST_CHARACTERS", 100)
    assert lines_of_list(keep_text("\n".join(NAMES[::-1]))) is None  # its lines would not fit into memory
