"""The generate page: the bars follow the controls; a text is written, changed, stopped, kept and read."""

import json
import math
import re
from time import sleep as wait
from types import SimpleNamespace

import pytest
import streamlit as st
from making import wait_until
from play import TINY, click, complaints, go_to, keys, new_run, open_app, said, trained_run
from streamlit.components.v2.bidi_component.main import _make_trigger_id

from microllm.config import REFERENCE_NAMES
from microllm.data.store import forget_text
from microllm.data.texts import load_corpus
from microllm.inference import next_logits, scored_stream
from microllm.insight.surprisal import token_surprisals
from microllm.insight.table_model import TableModel
from microllm.jobs import generation
from microllm.tokenizer import known_ids, visible
from microllm.ui import server
from microllm.ui.parts import read as read_part
from microllm.ui.parts import write as write_part
from microllm.ui.words import percent


@pytest.fixture
def at(finished_run):
    """The generate page of a finished run, with a prompt that the run knows."""
    at = open_app("generate", run=finished_run.id)
    at.text_area(key="prompt").set_value("word ").run()
    assert not at.exception
    return at


def component(at):
    """The component with the letters."""
    (found,) = (one for one in at.get("bidi_component") if one.proto.component_name == "microllm.letters")
    return found.proto


def letters(at) -> dict:
    """What the component with the letters was given."""
    return json.loads(component(at).json)


def bars(at) -> list[dict]:
    """The bars: character, the model's own probability, that after sampling controls, whether it is in the text."""
    names = ("character", "model", "kept", "written")
    return [dict(zip(names, row, strict=True)) for row in letters(at)["place"]["rows"]]


def kept(at) -> list[float]:
    """The probabilities of the bars after temperature, top-k and top-p."""
    return [bar["kept"] for bar in bars(at)]


def tell(at, event: str, value):
    """What the browser sends when a character (`picked`) or a bar (`pressed`) is clicked."""
    states = at._tree.get_widget_states()
    state = states.widgets.add()
    state.id = _make_trigger_id(component(at).id, "events")
    state.json_trigger_value = json.dumps([{"event": event, "value": value}])
    at._run(states)
    assert not at.exception
    return at


def texts(at) -> list[str]:
    """The samples, prompts included."""
    return [sample["given"] + sample["text"] for sample in letters(at)["samples"]]


def finish(at) -> str:
    """Wait until the generation ends, and return the prompt and the text."""
    for _ in range(600):
        if "stop-writing" not in keys(at):
            return texts(at)[0]
        wait(0.02)
        at.run()
        assert not at.exception
    raise AssertionError("the generation does not end")


def write(at) -> str:
    """Press Generate and wait for the whole text, prompt included."""
    return finish(click(at, "generate"))


# ---------------------------------------------------------------- the bars


def test_the_temperature_sharpens_and_flattens_the_bars(at):
    chances = {}
    for temperature in (0.0, 0.5, 1.0, 2.0):
        at.slider(key="temperature").set_value(temperature).run()
        chances[temperature] = max(kept(at))
    assert chances[0.0] == 1
    assert chances[0.0] > chances[0.5] > chances[1.0] > chances[2.0]
    at.slider(key="temperature").set_value(1.0).run()
    assert kept(at) == pytest.approx([bar["model"] for bar in bars(at)], rel=0.01)


def test_top_k_and_top_p_exclude_characters(at):
    at.slider(key="temperature").set_value(1.0)
    at.slider(key="top_k").set_value(3).run()
    assert sum(share > 0 for share in kept(at)) == 3
    at.slider(key="top_k").set_value(0)
    at.slider(key="top_p").set_value(0.05).run()
    assert sum(share > 0 for share in kept(at)) < 5
    assert 0 in kept(at)


def test_an_unlikely_character_that_is_not_excluded_keeps_its_probability(at):
    at.slider(key="temperature").set_value(0.05).run()
    assert 0 < min(kept(at)) < 1e-4


def test_the_bars_follow_the_prompt(at):
    before = [bar["model"] for bar in bars(at)]
    at.text_area(key="prompt").set_value("qu").run()
    assert [bar["model"] for bar in bars(at)] != before


def test_the_bars_follow_the_sliders_at_a_place_of_the_text_too(at):
    write(at)
    at.slider(key="temperature").set_value(0.0).run()
    assert max(kept(at)) == 1


# ---------------------------------------------------------------- writing by hand


def test_pressing_a_bar_before_anything_is_written_adds_its_character_to_the_prompt(at):
    first = bars(at)[1]["character"]
    tell(at, "pressed", first)
    assert texts(at) == ["word " + first]
    second = bars(at)[0]["character"]
    tell(at, "pressed", second)
    assert at.text_area(key="prompt-2").value == "word " + first + second
    assert write(at).startswith("word " + first + second)


NAMES = "emma\nolivia\nava\nisabella\nsophia\nmia\n" * 60


def test_the_default_prompt_for_a_text_of_lines_has_line_ends_and_another_can_be_chosen():
    run = new_run(NAMES, max_steps=5)
    server.runner().start(run).join(60)
    at = open_app("generate", run=run.id)
    offered = at.text_area(key="prompt").value
    assert "\n" in offered
    assert offered in NAMES
    assert texts(at) == [offered]
    tell(at, "pressed", "\n")
    tell(at, "pressed", "e")
    assert at.text_area(key="prompt-2").value == offered + "\ne"
    assert texts(at) == [offered + "\ne"]
    assert write(at).startswith(offered + "\ne")


def test_only_the_beginning_of_a_prompt_that_is_too_long_is_used_and_the_page_says_so(at):
    at.text_area(key="prompt").set_value("word " * 50).run()
    assert "200 of 250" in said(at)
    at.slider(key="length").set_value(50).run()
    text = write(at)
    assert text.startswith("word " * 40)
    assert len(text) == 200 + 50


def test_a_full_prompt_takes_no_more(at):
    at.text_area(key="prompt").set_value("word " * 40).run()
    tell(at, "pressed", "w")
    assert "200" in complaints(at)
    assert texts(at) == ["word " * 40]


# ---------------------------------------------------------------- a text


def test_a_text_of_the_chosen_length_is_written_and_can_be_downloaded(at):
    at.slider(key="length").set_value(150).run()
    text = write(at)
    assert text.startswith("word ")
    assert len(text) == len("word ") + 150
    assert "download" in keys(at)
    (sample,) = letters(at)["samples"]
    assert len(sample["tints"]) == 150
    assert len(set(sample["tints"])) > 2


def test_a_click_on_generate_before_the_page_is_complete_counts(finished_run, monkeypatch):
    with monkeypatch.context() as busy:
        busy.setattr(write_part, "live", lambda *_, **__: st.stop())  # the server has come as far as the button
        at = open_app("generate", run=finished_run.id)
        assert "generate" in keys(at)
    click(at, "generate")
    assert not at.exception
    assert len(finish(at)) > 400


def test_the_same_seed_writes_the_same_text_and_another_one_another(at):
    at.slider(key="temperature").set_value(1.0).run()
    first = write(at)
    assert write(at) == first
    at.number_input(key="sampling-seed").set_value(7).run()
    assert write(at) != first


def test_several_samples_stand_side_by_side_each_with_its_seed(at):
    at.number_input(key="sampling-seed").set_value(5)
    at.slider(key="temperature").set_value(1.0).run()
    alone = write(at)
    at.slider(key="samples").set_value(3).run()
    write(at)
    assert [sample["name"] for sample in letters(at)["samples"]] == ["seed 5", "seed 6", "seed 7"]
    assert texts(at)[0] == alone
    assert len(set(texts(at))) == 3


def test_two_temperatures_stand_side_by_side_and_each_character_has_the_bars_of_its_own(at):
    at.slider(key="temperature").set_value(0.5).run()
    alone = write(at)
    at.checkbox(key="two-temperatures").check().run()
    at.slider(key="second-temperature").set_value(1.5).run()
    write(at)
    assert [sample["name"] for sample in letters(at)["samples"]] == ["temperature 0.5", "temperature 1.5"]
    first, second = texts(at)
    assert first == alone and second != first and len(second) == len(first)
    sharp = bars(tell(at, "picked", [0, 3]))
    flat = bars(tell(at, "picked", [1, 3]))
    assert sharp[0]["kept"] > sharp[0]["model"] and flat[0]["kept"] < flat[0]["model"]
    finish(tell(at, "pressed", next(bar["character"] for bar in flat if not bar["written"])))
    assert texts(at)[0] == first and texts(at)[1] != second
    at.slider(key="samples").set_value(2).run()
    write(at)
    assert len({sample["name"] for sample in letters(at)["samples"]}) == 4


def test_a_roll_of_the_dice_gives_another_seed(at):
    seeds = {click(at, "new-seed").number_input(key="sampling-seed").value for _ in range(3)}
    assert len(seeds) == 3 and all(0 <= seed < 2**31 for seed in seeds)


def test_a_character_that_was_clicked_shows_its_bars_and_another_choice_continues_from_there(at):
    before = write(at)
    tell(at, "picked", [0, 20])
    assert letters(at)["chosen"] == [0, 20]
    assert letters(at)["place"]["title"].endswith(before[: len("word ") + 20][-6:].replace(" ", "␠") + "”")
    (written,) = (bar["character"] for bar in bars(at) if bar["written"])
    assert written == before[len("word ") + 20]
    other = next(bar["character"] for bar in bars(at) if not bar["written"])
    tell(at, "pressed", other)
    after = finish(at)
    assert after[: len("word ") + 21] == before[: len("word ") + 20] + other
    assert len(after) == len(before)
    assert next(bar["character"] for bar in bars(at) if bar["written"]) == other


def test_choosing_at_a_place_of_the_second_sample_leaves_the_first_one(at):
    at.slider(key="temperature").set_value(1.0)
    at.slider(key="samples").set_value(2).run()
    write(at)
    first, second = texts(at)
    tell(at, "picked", [1, 3])
    tell(at, "pressed", next(bar["character"] for bar in bars(at) if not bar["written"]))
    finish(at)
    assert texts(at)[0] == first
    assert texts(at)[1][:8] == second[:8]
    assert texts(at)[1] != second


def test_a_place_that_no_longer_exists_is_harmless(at):
    write(at)
    for place in ([0, 10**6], [7, 3], [0, -4]):
        tell(at, "picked", place)
        assert sum(bar["written"] for bar in bars(at)) == 1


def test_another_prompt_shows_its_own_bars_and_the_text_comes_back_with_the_old_one(at):
    text = write(at)
    at.text_area(key="prompt").set_value("qu").run()
    assert texts(at) == ["qu"]
    at.text_area(key="prompt").set_value("word ").run()
    assert texts(at) == [text]


def test_characters_that_the_model_does_not_know_are_named_and_left_out(at):
    at.text_area(key="prompt").set_value("ab☕c\tÄ").run()
    assert not at.exception
    assert "☕ ⇥ Ä" in said(at)
    assert write(at).startswith("abc")


def test_a_prompt_without_known_characters_asks_for_another(at):
    for prompt in ("☕☕", ""):
        at.text_area(key="prompt").set_value(prompt).run()
        assert not at.exception
        assert complaints(at)
        click(at, "generate")
        assert len(at.warning) + len(at.error) == 1
        assert texts(at) == [""]
    at.text_area(key="prompt").set_value("abc").run()
    assert len(write(at)) == len("abc") + 400
    assert not complaints(at)


def test_writing_is_stopped_and_what_is_there_stays(at, monkeypatch):
    def slowly(*arguments, **options):
        for chosen in scored_stream(*arguments, **options):
            wait(0.01)
            yield chosen

    monkeypatch.setattr(generation, "scored_stream", slowly)
    at.slider(key="length").set_value(2_000).run()
    click(at, "generate")
    click(at, "stop-writing")
    text = finish(at)
    assert len("word ") <= len(text) < 2_000
    at.run()
    assert texts(at) == [text]
    assert "download" in keys(at)


# ---------------------------------------------------------------- reading


def switch(at, key: str, value):
    """Choose in a row of buttons."""
    at.button_group(key=key).set_value(value).run()
    assert not at.exception
    return at


def test_a_held_out_passage_has_the_surprisals_of_the_model(at, finished_run):
    switch(at, "view", "Read")
    whole = finished_run.tokenizer.decode(finished_run.load_corpus().val[: read_part._PASSAGE_CHARACTERS])
    assert texts(at) == [whole.split(" ", 1)[1]]  # it begins with a whole word
    passage = known_ids(finished_run.tokenizer, texts(at)[0])
    step, model = server.runner().model_now(finished_run)
    read = token_surprisals(model, passage, guesses=5)
    assert letters(at)["nats"][0] == -1
    assert letters(at)["nats"][1:] == pytest.approx([100 * one for one in read.nats[1:].tolist()], abs=1)
    assert letters(at)["guesses"][5:] == finished_run.tokenizer.decode(read.guesses[1:].flatten())
    for number in (f"step {step:,}", f"{read.mean:.3f}", f"{finished_run.history.read().val_losses[-1][1]:.3f}"):
        assert number in said(at)


def test_the_next_passage_is_another_one_and_there_is_no_last(at, monkeypatch):
    monkeypatch.setattr(read_part, "_PASSAGE_CHARACTERS", 60)
    switch(at, "view", "Read")
    seen = set()
    for _ in range(10):
        seen.update(texts(at))
        click(at, "next-passage")
        assert texts(at)[0]
    assert len(seen) > 1


def test_the_sentence_of_all_pages_can_be_read_too(at):
    switch(switch(at, "view", "Read"), "reading-source", "sentence")
    at.text_area(key="sentence").set_value("two words two").run()
    assert texts(at) == ["two words two"]
    go_to(at, "attention")
    assert at.text_area(key="sentence").value == "two words two"


def test_your_own_text_is_read_without_characters_that_the_model_does_not_know(at, finished_run):
    switch(switch(at, "view", "Read"), "reading-source", "own")
    assert not any(one.proto.component_name == "microllm.letters" for one in at.get("bidi_component"))
    at.text_area(key="reading-own").set_value("two ☕ words").run()
    assert texts(at) == ["two  words"]
    assert "☕" in said(at)
    at.text_area(key="reading-own").set_value("t").run()
    assert "nats" not in said(at)  # nothing comes before it


def test_only_the_beginning_of_a_text_that_is_too_long_is_read_and_the_page_says_so(at):
    switch(switch(at, "view", "Read"), "reading-source", "own")
    at.text_area(key="reading-own").set_value("two words " * 250).run()
    assert texts(at) == ["two words " * 200]
    assert "2,000 of 2,500" in said(at)


def test_what_a_sample_copied_is_marked_and_compared_with_held_out_passages(at, finished_run, monkeypatch):
    switch(switch(at, "view", "Read"), "reading-source", "sample")
    assert not any(one.proto.component_name == "microllm.letters" for one in at.get("bidi_component"))
    training_text = finished_run.tokenizer.decode(finished_run.load_corpus().train)
    step, model = server.runner().model_now(finished_run)
    sample = generation.Sample(model, finished_run.tokenizer, step, "word ", seed=0)
    sample.text = "z z " + training_text[70:100] + " z z"
    monkeypatch.setattr(write_part, "newest", lambda run_id: SimpleNamespace(samples=[sample], is_writing=False))
    at.run()
    for _ in range(100):
        if letters(at)["marked"][1]:
            break
        wait(0.05)
        at.run()
    start, length = letters(at)["marked"]
    assert 30 <= length <= 33
    assert training_text[70:100] in texts(at)[0][start : start + length]
    assert f"**{length} characters**" in said(at)
    assert "median" in said(at)


def test_the_reading_follows_the_moment_on_show(at, finished_run):
    switch(at, "view", "Read")
    at.session_state["session"].moment = 0
    at.run()
    read = token_surprisals(finished_run.model_at(0), known_ids(finished_run.tokenizer, texts(at)[0]))
    wait_until(lambda: f"{read.mean:.3f}" in said(at.run()))  # it is read in the background
    assert "step 0" in said(at)


# ---------------------------------------------------------------- why this character

CLOSED, OPEN = -1, -2


def rows(at) -> dict[str, dict]:
    """What is said about the chosen character by each table, "1" to "5", and by the model."""
    return {row["n"]: row for row in letters(at)["why"]["counts"]["rows"]}


def shown_training_text(run) -> str:
    return visible(run.tokenizer.decode(run.load_corpus().train), keep=" ")


def test_one_click_tells_why_a_character_was_written(at, finished_run):
    text = write(at)
    tell(at, "picked", [0, 40])
    assert letters(at)["why"] is None and letters(at)["asked"] == CLOSED
    tell(at, "asked", OPEN)
    why, character = letters(at)["why"], text[45]
    assert letters(at)["asked"] == OPEN and why["title"] and why["summary"]
    train = finished_run.tokenizer.decode(finished_run.load_corpus().train)
    for n in (2, 3, 4, 5):
        context = text[45 - (n - 1) : 45]
        seen = sum(train.startswith(context, i) for i in range(len(train)))
        hits = sum(train.startswith(context + character, i) for i in range(len(train)))
        row = rows(at)[str(n)]
        assert (row["seen"], row["hits"]) == (f"{seen:,}", f"{hits:,}")
    (own,) = (bar["model"] for bar in bars(at) if bar["written"])
    assert rows(at)["model"]["chance"] == pytest.approx(own, rel=0.01)
    for line in why["places"]["lines"]:
        assert line["context"] + line["next"] in shown_training_text(finished_run)
    assert why["piece"]["text"] in shown_training_text(finished_run)
    assert why["piece"]["text"] in visible(text, keep=" ")
    assert visible(text[:45]).endswith("".join(why["attention"]["text"]))
    assert len(why["layers"]["rows"]) == TINY["n_layer"]
    assert why["layers"]["rows"][-1][2] == pytest.approx(own, rel=0.01)
    tell(at, "picked", [0, 41])
    assert letters(at)["why"]["title"] != why["title"]
    tell(at, "asked", CLOSED)
    assert letters(at)["why"] is None


def test_why_is_told_of_a_text_that_is_read_with_the_numbers_of_the_reading(at, monkeypatch):
    monkeypatch.setattr(read_part, "_PASSAGE_CHARACTERS", 60)
    switch(at, "view", "Read")
    tell(at, "asked", OPEN)
    assert letters(at)["asked"] == OPEN and letters(at)["why"]["counts"] is None
    for place in (1, 7, 40):
        tell(at, "asked", place)
        assert letters(at)["asked"] == place
        assert rows(at)["model"]["chance"] == pytest.approx(math.exp(-letters(at)["nats"][place] / 100), rel=0.02)
    tell(at, "asked", 0)  # nothing comes before it
    assert letters(at)["why"]["counts"] is None
    click(at, "next-passage")
    assert letters(at)["asked"] == OPEN  # a character of another text was chosen


def test_what_was_never_offered_is_not_asked(at):
    write(at)
    for value in (0, 10**6, "why", None, [1]):
        tell(at, "asked", value)
        assert letters(at)["asked"] == CLOSED
    switch(at, "view", "Read")
    for value in (len(texts(at)[0]), -3, True, 2.5):
        tell(at, "asked", value)
        assert letters(at)["asked"] == CLOSED


def test_without_the_text_why_still_tells_what_the_model_did(at, finished_run):
    write(at)
    forget_text(finished_run.read_info().text.sha256)
    load_corpus.cache_clear()
    tell(at, "picked", [0, 30])
    tell(at, "asked", OPEN)
    why = letters(at)["why"]
    assert why["counts"] is why["places"] is why["piece"] is None
    assert finished_run.read_info().text.name in why["summary"]
    assert why["attention"]["text"] and why["layers"]["rows"]


# ---------------------------------------------------------------- counting tables


def percents(sentence: str) -> list[str]:
    return re.findall(r"(?:less than )?\d+\u00a0%", sentence)


def said_times(sentence: str, number: str) -> bool:
    """Whether a sentence has this number of times."""
    return bool(re.search(rf"\b({ {'0': 'never', '1': 'once', '2': 'twice'}.get(number, number) })\b", sentence))


def predict_with(at, key: str):
    at.selectbox(key="predict-with").set_value(key).run()
    assert not at.exception
    return at


def test_a_counting_table_writes_and_its_sample_says_so(at, finished_run):
    by_model = write(at)
    predict_with(at, "table_3")
    assert texts(at) == ["word "]
    corpus = finished_run.load_corpus()
    table = TableModel(corpus.tables, 3)
    p = next_logits(table, known_ids(finished_run.tokenizer, "word ")[None])[0].softmax(-1)
    shown = {bar["character"]: bar["model"] for bar in bars(at)}
    (best,) = finished_run.tokenizer.decode([p.argmax()])
    assert shown[best] == pytest.approx(p.max().item(), rel=0.01)
    by_table = write(at)
    assert by_table != by_model and len(by_table) == len(by_model)
    (sample,) = letters(at)["samples"]
    assert "3-character table" in sample["name"] and "3-character table" in said(at)
    assert "step 20" not in "".join(caption.value for caption in at.main.caption if "characters from" in caption.value)
    tell(at, "picked", [0, 30])
    tell(at, "asked", OPEN)
    why = letters(at)["why"]
    assert "model" not in rows(at) and why["attention"] is why["layers"] is None
    (own,) = (bar["model"] for bar in bars(at) if bar["written"])
    assert [n for n, row in rows(at).items() if row["is_predictor"]] == ["3"]
    assert rows(at)["3"]["chance"] == pytest.approx(own, rel=0.01)
    assert percents(why["summary"]) == [percent(rows(at)["3"]["chance"])]
    assert {line["context"] for line in why["places"]["lines"]} == {visible(by_table[33:35], keep=" ")}
    for number in ("seen", "hits"):  # counting and searching find the same
        assert said_times(why["places"]["note"], rows(at)["3"][number])
    predict_with(at, "model")
    assert texts(at) == [by_model]
    predict_with(at, "table_3")
    assert texts(at) == [by_table]


@pytest.mark.parametrize("key", ["table_1", "table_2", "table_5"])
def test_a_counting_table_reads_a_text(at, finished_run, key):
    predict_with(switch(at, "view", "Read"), key)
    corpus, n = finished_run.load_corpus(), int(key[-1])
    read = token_surprisals(TableModel(corpus.tables, n), known_ids(finished_run.tokenizer, texts(at)[0]))
    assert letters(at)["nats"][1:] == pytest.approx([100 * nats for nats in read.nats[1:].tolist()], abs=1)
    tell(at, "asked", OPEN)
    for place in (1, 2, 30):  # at the start of the text a table has less to go by
        tell(at, "asked", place)
        why, seen = letters(at)["why"], min(place, n - 1)
        (row,) = (row for row in why["counts"]["rows"] if row["is_predictor"])
        assert row["n"] == str(seen + 1)
        assert row["chance"] == pytest.approx(math.exp(-letters(at)["nats"][place] / 100), rel=0.02)
        assert percents(why["summary"]) == [percent(row["chance"])]
        assert all(len(line["context"]) <= seen for line in why["places"]["lines"])
        assert bool(why["places"]["lines"]) == (seen > 0)
    tell(at, "asked", CLOSED)
    assert f"{read.mean:.3f}" in said(at)
    assert f"{finished_run.read_info().references[key]:.3f}" in said(at)
    assert "step" not in "".join(one.value for one in at.main.markdown if f"{read.mean:.3f}" in one.value)
    assert letters(at)["who"] != "the model"


def test_the_model_can_read_what_a_table_wrote(at):
    predict_with(at, "table_2")
    text = write(at)
    predict_with(switch(switch(at, "view", "Read"), "reading-source", "sample"), "model")
    assert texts(at) == [text]
    assert REFERENCE_NAMES["table_2"] in said(at)
    assert letters(at)["who"] == "the model"


def test_a_table_without_its_text_says_what_is_missing_and_the_model_still_writes(at, finished_run):
    forget_text(finished_run.read_info().text.sha256)
    load_corpus.cache_clear()
    predict_with(at, "table_5")
    assert finished_run.read_info().text.name in at.info[0].value
    click(at, "generate")
    assert complaints(at) and texts(at) == ["word "]
    predict_with(at, "model")
    assert not at.info and len(write(at)) == len("word ") + 400


# ---------------------------------------------------------------- coming and going


def test_the_sampling_controls_and_the_prompt_survive_a_page_switch(at):
    at.slider(key="temperature").set_value(1.35)
    at.slider(key="top_k").set_value(9)
    at.number_input(key="sampling-seed").set_value(5).run()
    go_to(at, "train")
    go_to(at, "generate")
    assert at.slider(key="temperature").value == 1.35
    assert at.slider(key="top_k").value == 9
    assert at.number_input(key="sampling-seed").value == 5
    assert at.text_area(key="prompt").value == "word "


def test_the_sampling_controls_and_the_prompt_survive_reading(at):
    at.slider(key="temperature").set_value(1.35).run()
    switch(switch(at, "view", "Read"), "view", "Write")
    assert at.slider(key="temperature").value == 1.35
    assert at.text_area(key="prompt").value == "word "


def test_what_was_written_survives_a_page_switch(at):
    text = write(at)
    go_to(at, "train")
    go_to(at, "generate")
    assert texts(at) == [text]


def test_another_run_with_other_characters_takes_over_the_prompt(at):
    run = trained_run("0123456789 " * 200, max_steps=5)
    at.query_params["run"] = run.id
    at.run()
    assert not at.exception
    assert "Left out" in said(at)
    at.text_area(key="prompt").set_value("123").run()
    assert {bar["character"] for bar in bars(at)} <= set("0123456789 ")


def test_what_another_run_wrote_is_not_shown_as_this_ones(at):
    text = write(at)
    run = trained_run("0123456789 " * 200, max_steps=5)
    at.query_params["run"] = run.id
    at.run()
    assert text not in texts(at)
