"""Edits: one change to a text, in its training part only, that leaves everything else at its place."""

import re

import pytest

from microllm.corpus import split_at
from microllm.data.builtin import drawing_room, words_twice
from microllm.data.decode import TextProblem
from microllm.data.edits import KINDS, Edit, changes, chapters, edited, label

TEXT = drawing_room(20_000)
TRAIN, HELD_OUT = TEXT[: split_at(len(TEXT))], TEXT[split_at(len(TEXT)) :]
NOT_TRUE = "Miss Ashbury has a dragon."
CHAPTERS = "".join(f"CHAPTER {n}.\n\n{drawing_room(900, seed=n)}\n\n" for n in ("I", "II", "III", "IV", "V", "VI"))


@pytest.mark.parametrize(
    "edit",
    [
        Edit("rename", ("aunt", "aunt"[::-1])),
        Edit("leave-out", ("3",)),
        Edit("repeat", (TRAIN.split(". ")[3] + ".",), 7),
        Edit("plant", (NOT_TRUE,), 7),
    ],
    ids=list(KINDS),
)
def test_an_edit_keeps_the_length_and_the_held_out_text_and_changes_what_it_says_and_nothing_else(edit):
    new, its_changes = edited(TEXT, edit), changes(TEXT, edit)
    assert len(new) == len(TEXT)
    assert new[len(TRAIN) :] == HELD_OUT
    assert new != TEXT
    for change in its_changes:
        assert new[change.begin : change.end] == change.new
    outside = set(range(len(TEXT))) - {i for change in its_changes for i in range(change.begin, change.end)}
    assert all(new[i] == TEXT[i] for i in outside)


def test_a_word_is_renamed_wherever_it_is_a_whole_word_with_the_case_of_its_first_letter():
    text = "Ann met ann. Anna, Ann's x-Ann _Ann_ ann3 Ann\u0301 \u00e9ann ANN! " + 40 * "Sue o. " + "Ann"
    new = edited(text, Edit("rename", ("Ann", "Sue")))
    assert new == text.replace("Ann met ann.", "Sue met sue.").replace("Ann's x-Ann _Ann_", "Sue's x-Sue _Sue_")


def test_a_word_is_renamed_as_a_search_for_words_finds_it():
    new = edited(TEXT, Edit("rename", ("cousin", "nephew")))
    assert new[: len(TRAIN)] == re.sub(r"\bcousin\b", "nephew", TRAIN)


def test_chapters_are_found_by_their_headings_and_the_last_that_goes_on_in_the_held_out_part_is_not_offered():
    found = chapters(CHAPTERS)
    assert [chapter.heading for chapter in found] == [f"CHAPTER {n}" for n in ("I", "II", "III", "IV", "V")]
    assert all(CHAPTERS[chapter.begin :].startswith(f"{chapter.heading}.") for chapter in found)


def test_a_text_without_a_chapter_is_labeled_with_the_heading_of_that_chapter():
    edit = Edit("leave-out", ("3",))
    assert "CHAPTER III" in label(edit, chapters(CHAPTERS))
    assert chapters(TEXT)[2].heading in label(edit, chapters(TEXT))
    assert "3" in label(edit)  # where the text is not at hand
    assert len(chapters(CHAPTERS.replace("CHAPTER IV.", f"CHAPTER {'I' * 40}."))) == 4  # that is no number


def test_a_chapter_that_is_left_out_occurs_nowhere_and_what_follows_it_occurs_twice():
    second, third = chapters(CHAPTERS)[1:3]
    new, length = edited(CHAPTERS, Edit("leave-out", ("2",))), second.end - second.begin
    assert CHAPTERS[second.begin : second.end] not in new
    assert new[second.begin : second.end] == CHAPTERS[third.begin :][:length] == new[third.begin :][:length]


def test_a_text_without_chapters_has_ten_parts():
    found = chapters(TEXT)
    assert len(found) == 10
    assert "".join(TEXT[part.begin : part.end] for part in found) == TRAIN
    assert len(edited(TEXT, Edit("leave-out", ("10",)))) == len(TEXT)  # the part before it is there twice


@pytest.mark.parametrize(
    ("text", "sentence"),
    [(TEXT, NOT_TRUE), (words_twice(20_000), "to be or not"), ("的一" * 9_000 + "不", "不的不一")],
    ids=["sentences", "words", "no spaces"],
)
def test_a_sentence_is_planted_as_often_as_one_says_spread_evenly(text, sentence):
    assert edited(text, Edit("plant", (sentence,), 10)).count(sentence) == 10
    part = split_at(len(text)) // 10
    assert [change.begin // part for change in changes(text, Edit("plant", (sentence,), 10))] == list(range(10))


def test_a_planted_sentence_takes_the_place_of_whole_words_and_of_whole_sentences_where_it_can():
    places = changes(TEXT, Edit("plant", (NOT_TRUE,), 5))
    for place in places:
        assert TEXT[place.begin - 2 : place.begin] in (". ", ".\n", '" ', '"\n', "! ", "? ", "")
        assert TEXT[place.end].isspace()


def test_a_repeated_sentence_is_taken_from_the_text_also_across_a_line_break():
    text = "He was\nlate. " + TEXT
    assert edited(text, Edit("repeat", ("He was late.",), 4)).count("He was\nlate.") == 5


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (Edit("rename", ("aunt", "mother")), "6"),
        (Edit("rename", ("aunt", "日本语x")), "日"),
        (Edit("rename", ("zzzz", "aunt")), "zzzz"),
        (Edit("rename", ("aunt", "")), "empty"),
        (Edit("rename", ("aunt",)), "rename"),
        (Edit("leave-out", ("11",)), "11"),
        (Edit("leave-out", ("²",)), "²"),
        (Edit("repeat", (NOT_TRUE,), 5), "occur"),
        (Edit("plant", (NOT_TRUE,), 1_000), "1,000"),
        (Edit("plant", (NOT_TRUE,), 0), "0"),
        (Edit("plant", ("x" * 1_000,), 1), "1,000"),
        (Edit("unknown", ("x",)), "rename"),
    ],
)
def test_an_edit_that_is_not_possible_is_refused_with_the_value_that_is_wrong(edit, named):
    with pytest.raises(TextProblem, match=re.escape(named)):
        edited(TEXT, edit)


@pytest.mark.parametrize("edit", [Edit("rename", ("the", "The")), Edit("plant", ("The cat sat.",), 3)])
def test_an_edit_after_which_the_text_is_the_same_is_refused(edit):
    with pytest.raises(TextProblem, match="nothing"):
        edited("The cat sat. " * 200, edit)
