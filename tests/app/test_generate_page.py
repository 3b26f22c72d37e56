"""The generate page: the bars answer the controls, and a text is written, stopped and kept."""

from time import sleep as wait

import pytest
from play import click, complaints, go_to, keys, new_run, open_app, said
from streamlit.dataframe_util import convert_arrow_bytes_to_pandas_df

from microllm import writing
from microllm.sample import stream
from microllm.ui import session


@pytest.fixture
def at(finished_run):
    """The generate page of a finished run, with a prompt that the run knows."""
    at = open_app("generate", run=finished_run.id)
    at.text_input(key="prompt").set_value("word ").run()
    assert not at.exception
    return at


def bars(at):
    """The rows behind the bars: character, chance as the model gives it, chance with which it is drawn."""
    (chart,) = at.get("vega_lite_chart")
    return convert_arrow_bytes_to_pandas_df(chart.proto.data.data or chart.proto.datasets[0].data.data)


def finish(at) -> str:
    """Wait until nothing is written any more, and return what stands there: the prompt and the text."""
    for _ in range(600):
        if "stop-writing" not in keys(at):
            return at.code[0].value
        wait(0.02)
        at.run()
        assert not at.exception
    raise AssertionError("it writes and writes")


def write(at) -> str:
    """Press Generate and wait for the whole text, prompt included."""
    return finish(click(at, "generate"))


def test_the_temperature_sharpens_and_flattens_the_bars(at):
    chances = {}
    for temperature in (0.0, 0.5, 1.0, 2.0):
        at.slider(key="temperature").set_value(temperature).run()
        chances[temperature] = bars(at)["kept"].max()
    assert chances[0.0] == 1
    assert chances[0.0] > chances[0.5] > chances[1.0] > chances[2.0]
    at.slider(key="temperature").set_value(1.0).run()
    assert bars(at)["kept"].tolist() == pytest.approx(bars(at)["model"].tolist())


def test_top_k_and_top_p_cut_bars_off(at):
    at.slider(key="temperature").set_value(1.0)
    at.slider(key="top_k").set_value(3).run()
    assert (bars(at)["kept"] > 0).sum() == 3
    assert (bars(at)["label"] == "cut off").any()
    at.slider(key="top_k").set_value(0)
    at.slider(key="top_p").set_value(0.05).run()
    assert (bars(at)["kept"] > 0).sum() < 5


def test_the_bars_follow_the_prompt(at):
    before = bars(at)["model"].tolist()
    at.text_input(key="prompt").set_value("qu").run()
    assert bars(at)["model"].tolist() != before


def test_a_text_of_the_chosen_length_is_written_and_can_be_taken_along(at):
    at.slider(key="length").set_value(150).run()
    text = write(at)
    assert text.startswith("word ")
    assert len(text) == len("word ") + 150
    assert "download" in keys(at)


def test_the_same_seed_writes_the_same_text_and_another_one_another(at):
    at.slider(key="temperature").set_value(1.0).run()
    first = write(at)
    assert write(at) == first
    at.number_input(key="sampling-seed").set_value(7).run()
    assert write(at) != first


def test_characters_that_the_model_never_met_are_named_and_left_out(at):
    at.text_input(key="prompt").set_value("ab☕c\tÄ").run()
    assert not at.exception
    assert "☕ ⇥ Ä" in said(at)
    assert write(at).startswith("abc")


def test_a_prompt_of_which_nothing_is_known_asks_for_another(at):
    for prompt in ("☕☕", ""):
        at.text_input(key="prompt").set_value(prompt).run()
        assert not at.exception
        assert complaints(at)
        click(at, "generate")
        assert "nothing to go on from" in complaints(at)
        assert not at.code
    at.text_input(key="prompt").set_value("abc").run()
    assert len(write(at)) == len("abc") + 400
    assert not complaints(at)


def test_writing_is_stopped_and_what_is_there_stays(at, monkeypatch):
    def slowly(*arguments):
        for chosen in stream(*arguments):
            wait(0.01)
            yield chosen

    monkeypatch.setattr(writing, "stream", slowly)
    at.slider(key="length").set_value(2_000).run()
    click(at, "generate")
    click(at, "stop-writing")
    text = finish(at)
    assert len("word ") <= len(text) < 2_000
    assert at.run().code[0].value == text
    assert "download" in keys(at)


def test_the_sampling_controls_and_the_prompt_survive_a_page_switch(at):
    at.slider(key="temperature").set_value(1.35)
    at.slider(key="top_k").set_value(9)
    at.number_input(key="sampling-seed").set_value(5).run()
    go_to(at, "train")
    go_to(at, "generate")
    assert at.slider(key="temperature").value == 1.35
    assert at.slider(key="top_k").value == 9
    assert at.number_input(key="sampling-seed").value == 5
    assert at.text_input(key="prompt").value == "word "


def test_what_was_written_survives_a_page_switch(at):
    text = write(at)
    go_to(at, "train")
    go_to(at, "generate")
    assert at.code[0].value == text


def test_another_run_with_other_characters_takes_over_the_prompt(at):
    run = new_run("0123456789 " * 200, max_steps=5)
    session.workshop().start(run).join(60)
    at.query_params["run"] = run.id
    at.run()
    assert not at.exception
    assert "never met" in said(at)
    at.text_input(key="prompt").set_value("123").run()
    assert set(bars(at)["character"]) <= set("0123456789␠")


def test_what_another_run_wrote_is_not_shown_as_this_ones(at):
    text = write(at)
    run = new_run("0123456789 " * 200, max_steps=5)
    session.workshop().start(run).join(60)
    at.query_params["run"] = run.id
    at.run()
    assert text not in said(at)
