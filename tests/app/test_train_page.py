"""The Train page: a person chooses a text and settings, sees what they cost, and starts exactly that run."""

import re
import shlex
import socket

import pytest
from making import wait_until
from patience import patience
from play import TINY, click, complaints, go_to, keys, new_run, number, open_app, said, training_threads
from streamlit.dataframe_util import convert_arrow_bytes_to_pandas_df

from microllm.config import PRESETS, configs_from, knobs, problems
from microllm.cost import Speed
from microllm.data import store, texts
from microllm.data.builtin import BUILTIN_TEXTS, drawing_room, transform
from microllm.data.download import fetch
from microllm.data.published import PUBLISHED_TEXTS
from microllm.model import parameter_count
from microllm.runs import export
from microllm.runs.catalog import all_runs
from microllm.runs.run import Run
from microllm.ui import server
from microllm.ui.parts import cost

SETTINGS = {
    "block_size": 16,
    "n_embd": 24,
    "n_head": 3,
    "n_layer": 2,
    "dropout": 0.1,
    "lookback": 2,
    "batch_size": 8,
    "learning_rate": 2e-3,
    "max_steps": 123_456,
    "warmup_steps": 5,
    "eval_interval": 50,
    "stop_at_loss": 0.25,
    "seed": 99,
}
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(500)


def choose(at, settings):
    """Set the knobs."""
    for name, value in settings.items():
        if knobs()[name].metadata["choices"]:
            at.selectbox(key=f"knob-{name}").set_value(value)
        else:
            number(at, name).set_value(value)
    at.run()
    assert not at.exception
    return at


def shown_settings(at):
    return {
        widget.key.removeprefix("knob-"): widget.value
        for widget in (*at.slider, *at.select_slider, *at.number_input)
        if widget.key.startswith("knob-")
    }


def test_values_of_a_link_that_lie_between_those_of_the_controls_are_shown_as_they_are():
    between = {"block_size": 29, "n_embd": 20, "batch_size": 7, "max_steps": 1_234, "stop_at_loss": 1.187}
    at = open_app("train", **{name: str(value) for name, value in between.items()})
    assert {name: number(at, name).value for name in between} == between
    number(at, "block_size").set_value(32).run()
    assert not at.exception
    assert {name: number(at, name).value for name in between} == between | {"block_size": 32}
    assert number(at, "block_size").options == [str(value) for value in knobs()["block_size"].metadata["values"]]
    number(at, "max_steps").increment().run()
    assert number(at, "max_steps").value == 1_734 and number(at, "max_steps").step == 500


def new_run_of(at) -> Run:
    return Run.open(at.session_state["session"].run_id)


def upload(at, name, data):
    at.selectbox(key="text").set_value("own").run()
    at.file_uploader(key="upload").set_value((name, data, "text/plain")).run()
    assert not at.exception
    return at


def used(at) -> str:
    """The name of the person's own text that the page says it uses."""
    name = at.session_state["session"].own.text.name
    assert any(name in text.value for text in at.get("text"))
    return name


# ---- the knobs


def test_changed_settings_are_set_back_to_the_preset_by_one_click():
    at = open_app("train")
    assert at.button(key="preset-reset").disabled
    at.select_slider(key="knob-block_size").set_value(200)
    at.slider(key="knob-n_layer").set_value(8).run()
    click(at, "preset-reset")
    model = PRESETS["quick"].model
    assert (at.select_slider(key="knob-block_size").value, at.slider(key="knob-n_layer").value) == (
        model.block_size,
        model.n_layer,
    )
    assert at.button(key="preset-reset").disabled


def test_the_page_opens_with_the_quick_preset():
    at = open_app("train")
    _, model, train = "quick", PRESETS["quick"].model, PRESETS["quick"].train
    shown = shown_settings(at)
    assert {name: shown[name] for name in ("block_size", "n_embd", "n_head", "n_layer")} == {
        name: getattr(model, name) for name in ("block_size", "n_embd", "n_head", "n_layer")
    }
    assert shown["max_steps"] == train.max_steps


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_sets_every_control_and_starts_exactly_that(preset):
    at = open_app("train")
    choose(at, {"block_size": 77, "n_layer": 5, "learning_rate": 0.05, "seed": 1})
    other = next(key for key in PRESETS if key != preset)
    at.button_group(key="preset").set_value(other).run()
    at.button_group(key="preset").set_value(preset).run()
    chosen = PRESETS[preset]
    choices = {
        widget.key.removeprefix("knob-"): widget.value
        for widget in (*at.selectbox, *at.toggle, *at.text_input)
        if widget.key.startswith("knob-")
    }
    shown = shown_settings(at) | choices
    assert shown.keys() == knobs().keys()
    for name, value in shown.items():
        expected = getattr(chosen.model, name) if hasattr(chosen.model, name) else getattr(chosen.train, name)
        assert value == pytest.approx(expected), name
    click(at, "start")
    info = new_run_of(at).read_info()
    assert (info.preset, info.model, info.train) == (preset, chosen.model, chosen.train)


def test_start_makes_a_run_of_exactly_what_the_controls_say():
    recipe = {"position": "rotary", "activation": "relu", "initialization": "torch"}
    recipe |= {"optimizer": "adamw", "precision": "float32", "schedule": "constant"}
    at = choose(open_app("train"), SETTINGS | recipe)
    at.toggle(key="knob-causal").set_value(False).run()
    click(at, "start")
    info = new_run_of(at).read_info()
    model, train = configs_from(SETTINGS | recipe | {"causal": False})
    assert (info.model, info.train) == (model, train)
    assert info.text.name == PUBLISHED_TEXTS["book"].name
    assert at.query_params["run"] == info.id
    assert "bar-stop" in keys(at)


def test_every_knob_of_the_engine_is_on_the_page():
    assert keys(open_app("train")) >= {f"knob-{name}" for name in knobs()}


def test_the_run_bar_of_another_page_starts_what_the_train_page_says(finished_run):
    at = choose(open_app("train", run=finished_run.id), SETTINGS)
    go_to(at, "attention")
    click(at, "bar-start")
    assert new_run_of(at).id != finished_run.id
    assert new_run_of(at).read_info().model == configs_from(SETTINGS)[0]


def test_a_draft_survives_a_page_switch():
    at = choose(open_app("train"), SETTINGS)
    at.button_group(key="axis").set_value("seconds").run()
    at.selectbox(key="text").set_value("words-twice").run()
    at.number_input(key="text-first").set_value(30_000).run()
    for page in ("generate", "attention", "train"):
        go_to(at, page)
        assert not at.exception
    assert shown_settings(at) == pytest.approx(SETTINGS)
    assert at.selectbox(key="text").value == "words-twice"
    assert at.number_input(key="text-first").value == 30_000
    assert at.button_group(key="axis").value == "seconds"


def test_a_draft_survives_a_start():
    at = choose(open_app("train"), SETTINGS)
    click(at, "start")
    at.run()
    assert shown_settings(at) == pytest.approx(SETTINGS)


def test_start_twice_leaves_one_training_in_the_window():
    at = choose(open_app("train"), TINY)
    click(at, "start")
    first = new_run_of(at)
    training = server.runner().job(first.id)
    at.number_input(key="knob-seed").set_value(7)
    click(at, "start")
    training.join(patience())
    assert [thread.name.removeprefix("training-") for thread in training_threads()] == [new_run_of(at).id]
    assert first.read_info().state == "stopped"
    assert first.read_info().message
    assert len(all_runs()) == 2


# ---- what it costs, and what cannot be


def parameters_said(at) -> int:
    return int(re.search(r"\*\*([\d,]+)\*\* \[?parameters", said(at))[1].replace(",", ""))


def test_the_cost_follows_the_sliders():
    at = open_app("train")
    characters = len(set(fetch(PUBLISHED_TEXTS["book"])))
    seconds = []
    for n_embd in (32, 64, 128):
        choose(at, {"n_embd": n_embd})
        assert parameters_said(at) == parameter_count(configs_from({"n_embd": n_embd})[0], characters)
        seconds.append(float(re.search(r"(\d+) ms", said(at))[1]))
    assert seconds == sorted(seconds)
    assert seconds[0] < seconds[-1]


def promised_milliseconds(run) -> int:
    """The time of a step that the page promises, once the speed of the server is known."""
    at = open_app("train", run=run.id)
    return int(wait_until(lambda: re.search(r"(\d+) ms", said(at.run())))[1])


def test_the_first_promise_counts_the_page_and_a_run_that_was_trained_here_replaces_it(monkeypatch):
    monkeypatch.setattr(server, "measure_speed", lambda _: Speed(dict.fromkeys(("adamw", "muon"), (0.1, 0.0))))
    run = new_run(max_steps=60)
    bare = 100 * (run.read_info().model.n_layer + 1)
    assert promised_milliseconds(run) == round(bare * cost._BESIDE_A_PAGE) > bare
    server.runner().start(run).join(patience())
    measured = 1000 * run.history.read().usual_step_seconds()
    assert promised_milliseconds(run) == round(measured) < bare


def test_the_promised_time_names_other_runs_if_they_would_take_turns_with_this_one():
    def promised() -> str:
        at = open_app("train")
        return re.search(r"steps of \d+ ms: (.*)", said(at))[1]

    slots = server.runner().slots
    alone = promised()
    for i in range(slots.count + 2):
        slots.may_train(f"other-{i}")
        number = re.search(rf"\b{i + 1} other", promised().removeprefix(alone))
        assert bool(number) == (i + 1 >= slots.count)


def test_heads_that_cannot_share_the_width_are_named_at_the_knob_and_one_click_repairs_it():
    at = choose(open_app("train"), {"n_head": 5})
    model, train = configs_from({"n_head": 5})
    assert problems(model, train)["n_head"] in complaints(at)
    assert at.button(key="start").disabled
    click(at, "use-n_head")
    assert at.slider(key="knob-n_head").value == 4
    assert not at.button(key="start").disabled
    assert not complaints(at)


def test_a_context_longer_than_the_held_out_text_is_named_and_repaired():
    at = open_app("train")
    at.number_input(key="text-first").set_value(200).run()
    assert not at.exception
    assert "block_size" in complaints(at)
    assert at.button(key="start").disabled
    click(at, "use-block_size")
    assert at.select_slider(key="knob-block_size").value == 19
    assert not at.button(key="start").disabled
    click(at, "start")
    assert new_run_of(at).read_info().text.characters == 200


def test_the_run_bar_refuses_what_the_start_button_refuses():
    at = choose(open_app("train"), {"n_head": 5})
    go_to(at, "generate")
    click(at, "bar-start")
    assert not all_runs()
    assert "n_head" in complaints(at) and "n_embd" in complaints(at)


# ---- the text


def test_without_the_book_the_page_says_so_and_start_takes_a_built_in_text(mirror, monkeypatch):
    monkeypatch.setenv("MICROLLM_MIRROR", str(mirror / "nothing here"))
    at = open_app("train")
    assert PUBLISHED_TEXTS["book"].name in complaints(at)
    assert BUILTIN_TEXTS["drawing-room"].name in complaints(at)
    assert not at.button(key="start").disabled
    choose(at, TINY)
    click(at, "start")
    assert new_run_of(at).read_info().text.name == BUILTIN_TEXTS["drawing-room"].name

    monkeypatch.setenv("MICROLLM_MIRROR", str(mirror))
    click(at, "download-again")
    server.published("book").wait(20)
    at.run()
    assert not complaints(at)


def test_a_download_of_the_book_is_cancelled_for_all_windows_and_can_be_tried_again(mirror, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("MICROLLM_MIRROR", f"http://127.0.0.1:{silent.getsockname()[1]}")
        at, other = open_app("train"), open_app("train")
        assert {"download-cancel"} <= keys(at) & keys(other) and "download-again" not in keys(at)
        click(at, "download-cancel")
        for window in (at, other.run()):
            assert download_keys(window) == {"download-again"}
            assert PUBLISHED_TEXTS["book"].name in complaints(window)
            assert BUILTIN_TEXTS["drawing-room"].name in complaints(window)
            assert not window.button(key="start").disabled
        click(at, "download-again")
        shared_by_all = server.published("book")
        click(other, "download-again")
        assert server.published("book") is shared_by_all
        click(other, "download-cancel")

    monkeypatch.setenv("MICROLLM_MIRROR", str(mirror))
    click(other, "download-again")
    server.published("book").wait(20)
    assert not download_keys(at.run()) | download_keys(other.run())


def download_keys(at) -> set[str]:
    return {"download-cancel", "download-again"} & keys(at)


@pytest.mark.parametrize("key", BUILTIN_TEXTS)
def test_a_built_in_text_is_learned_with_its_floor(key):
    at = choose(open_app("train"), TINY)
    at.selectbox(key="text").set_value(key).run()
    click(at, "start")
    info = new_run_of(at).read_info()
    assert info.text.name == BUILTIN_TEXTS[key].name
    assert info.references["floor"] == info.text.floor > 0


@pytest.mark.parametrize("how", ["reversed", "words", "letters"])
def test_a_text_is_turned_before_it_is_learned(how):
    at = choose(open_app("train"), TINY)
    at.selectbox(key="text-how").set_value(how)
    at.number_input(key="text-first").set_value(5_000).run()
    click(at, "start")
    text = new_run_of(at).read_info().text
    assert store.load_text(text.sha256) == transform(fetch(PUBLISHED_TEXTS["book"]), how, 5_000)
    assert "5,000" in text.name


def test_an_uploaded_text_is_learned():
    content = "Über café ☕ <b>&amp;</b>\n" * 100
    at = choose(upload(open_app("train"), "mine.txt", content.encode()), TINY)
    assert used(at) == "mine.txt"
    click(at, "start")
    text = new_run_of(at).read_info().text
    assert (text.name, store.load_text(text.sha256)) == ("mine.txt", content)


def test_a_pasted_text_is_learned():
    at = choose(open_app("train"), TINY)
    at.selectbox(key="text").set_value("own").run()
    assert at.button(key="start").disabled
    at.text_area(key="pasted").set_value("to be or not to be, " * 100).run()
    click(at, "start")
    text = new_run_of(at).read_info().text
    assert store.load_text(text.sha256) == "to be or not to be, " * 100


@pytest.mark.parametrize(
    ("name", "data", "word"),
    [("empty.txt", b"", "empty"), ("picture.txt", PNG, "PNG"), ("short.txt", b"abc", "3 characters")],
)
def test_a_file_that_cannot_be_learned_is_refused_and_the_text_before_it_stays(name, data, word):
    content = drawing_room(3_000)
    at = choose(upload(open_app("train"), "good.txt", content.encode()), TINY)
    upload(at, name, data)
    assert word in complaints(at)
    assert name in complaints(at)
    assert used(at) == "good.txt"
    click(at, "start")
    assert store.load_text(new_run_of(at).read_info().text.sha256) == content


def test_a_text_too_short_for_the_context_says_what_would_fit():
    at = upload(open_app("train"), "short.txt", drawing_room(300).encode())
    assert {"300", "29"} <= set(re.findall(r"\d+", complaints(at)))
    assert at.button(key="start").disabled


def test_an_own_text_survives_a_page_switch():
    at = upload(open_app("train"), "mine.txt", drawing_room(3_000).encode())
    go_to(at, "generate")
    go_to(at, "train")
    assert used(at) == "mine.txt"
    assert not at.button(key="start").disabled


def test_an_encoding_that_was_guessed_is_said():
    at = upload(open_app("train"), "old.txt", ("Käse und Brot. " * 300).encode("cp1252"))
    assert "cp1252" in complaints(at)
    assert not at.button(key="start").disabled


def test_of_a_file_whose_letters_had_to_be_guessed_the_page_shows_the_beginning_and_a_choice():
    said = "Все счастливые семьи похожи друг на друга. "
    at = upload(open_app("train"), "anna.txt", (said * 50).encode("cp1251"))
    assert "anna.txt" in complaints(at)
    shown = [code.value for code in at.get("code")]
    assert any(code.startswith("Âñå ñ÷àñòëèâûå") for code in shown)
    at.selectbox(key="encoding").select("cp1251").run()
    assert not at.exception
    assert complaints(at) == ""
    shown = [code.value for code in at.get("code")]
    assert any(code.startswith("Все счастливые семьи") for code in shown)
    at.selectbox(key="encoding").select("euc_kr").run()
    assert "anna.txt" in complaints(at) and "euc_kr" in complaints(at)
    assert any(code.startswith("Все счастливые семьи") for code in [it.value for it in at.get("code")])  # still used
    upload(at, "plain.txt", ("A plain one. " * 50).encode())
    assert "encoding" not in [box.key for box in at.selectbox]


def test_a_chosen_encoding_is_in_the_command_that_repeats_the_run(tmp_path, monkeypatch):
    words = "Все счастливые семьи похожи друг на друга. " * 50
    at = choose(upload(open_app("train"), "anna.txt", words.encode("cp1251")), TINY)
    at.selectbox(key="encoding").select("cp1251").run()
    at.number_input(key="text-first").set_value(1_000).run()
    click(at, "start")
    run = new_run_of(at)
    assert run.read_info().text.encoding == "cp1251"
    flags = shlex.split(export.command_line(run))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "anna.txt").write_bytes(words.encode("cp1251"))
    path, encoding = flags[flags.index("--text") + 1], flags[flags.index("--encoding") + 1]
    assert texts.choose(path, encoding=encoding, first=1_000).sha256 == run.read_info().text.sha256


@pytest.mark.parametrize(
    ("data", "likely"),
    [
        ("“Naïve tea”, she said. ".encode() * 30 + b"\xe2\x80", "utf-8"),
        ("It rained all day. ".encode("utf-16-be") * 30, "utf-16"),
        (b"caf\xe9 \x81 " * 30, "latin-1"),
    ],
)
def test_the_choice_of_an_encoding_begins_with_the_one_that_was_taken_for_likely(data, likely):
    at = upload(open_app("train"), "notes.txt", data)
    assert "notes.txt" in complaints(at)
    assert at.selectbox(key="encoding").value == likely


def paste(at, text):
    at.selectbox(key="text").set_value("own").run()
    at.text_area(key="pasted").set_value(text).run()
    assert not at.exception
    return at


def test_an_emptied_box_for_pasting_is_no_text():
    at = paste(open_app("train"), "to be or not to be, " * 100)
    assert not at.button(key="start").disabled
    for empty in ("", " \n"):
        paste(at, empty)
        assert at.session_state["session"].own.text is None and at.info and not at.error
        assert at.button(key="start").disabled
        paste(at, "to be or not to be, " * 100)
        assert not at.button(key="start").disabled


def test_of_two_fields_the_one_that_is_emptied_leaves_the_text_of_the_other():
    at = upload(open_app("train"), "mine.txt", drawing_room(3_000).encode())
    paste(at, "to be or not to be, " * 100)
    assert used(at) == "Pasted text"
    paste(at, "")
    assert used(at) == "mine.txt"
    paste(at, "to be or not to be, " * 100)
    upload(at, "other.txt", drawing_room(3_000).encode())
    assert used(at) == "other.txt"
    at.file_uploader(key="upload").set_value(None).run()
    assert used(at) == "Pasted text"
    paste(at, "")
    assert at.session_state["session"].own.text is None and at.info and not at.error


def test_the_encoding_of_a_file_outlives_a_text_that_was_pasted_in_between():
    at = upload(open_app("train"), "anna.txt", ("Все счастливые семьи. " * 50).encode("cp1251"))
    at.selectbox(key="encoding").select("cp1251").run()
    own = at.session_state["session"].own.text
    paste(paste(at, "to be or not to be, " * 100), "")
    assert at.session_state["session"].own.text == own
    assert at.selectbox(key="encoding").value == "cp1251"


def test_a_pasted_text_that_cannot_be_used_leaves_the_one_before_and_says_which():
    at = paste(open_app("train"), "to be or not to be, " * 100)
    paste(at, "too short")
    assert "9 characters" in complaints(at)
    assert "2,000 characters" in "\n".join(text.value for text in at.text)
    assert not at.button(key="start").disabled


def test_a_book_that_is_pasted_with_its_licence_is_learned_without():
    marker = "*** {} OF THE PROJECT GUTENBERG EBOOK EMMA ***"
    book = drawing_room(3_000).strip()
    at = paste(open_app("train"), f"Header\n{marker.format('START')}\n{book}\n{marker.format('END')}\nLicence\n")
    assert store.load_text(at.session_state["session"].own.text.sha256) == book
    assert "Project Gutenberg" in complaints(at)


def test_a_pasted_text_can_be_downloaded_by_its_owner_beside_the_command():
    at = choose(paste(open_app("train"), "to be or not to be, " * 100), TINY)
    click(at, "start")
    run = new_run_of(at)
    server.runner().job(run.id).stop()
    at.session_state["take-away"] = True
    at.run()
    assert "take-text" in keys(at)
    watching = open_app("train", run=run.id)
    watching.session_state["take-away"] = True
    watching.run()
    assert "take-text" not in keys(watching)


def test_a_run_that_cheats_is_labelled_on_its_controls_and_on_its_curve():
    at = open_app("train")
    assert not at.warning
    at.toggle(key="knob-causal").set_value(False).run()
    assert len(at.warning) == 1
    click(at, "start")
    assert len(at.run().warning) == 2


def test_the_learning_rate_curve_of_the_next_run_is_drawn():
    at = choose(open_app("train"), {"max_steps": 100, "warmup_steps": 10, "learning_rate": 0.5})
    (chart,) = [chart.proto for chart in at.get("vega_lite_chart") if '"rate"' in chart.proto.spec]
    frame = convert_arrow_bytes_to_pandas_df(chart.data.data or chart.datasets[0].data.data)
    assert frame.step.tolist() == list(range(101))
    assert frame.rate.iloc[[0, 9, 10, 55, 100]].tolist() == pytest.approx([0.05, 0.5, 0.5, 0.25, 0.0])


def test_start_names_what_the_next_run_would_do_differently(finished_run):
    assert open_app("train").button(key="start").label == "Start"
    at = open_app("train", run=finished_run.id)
    assert "seed" in at.button(key="start").label
    choose(at, {"block_size": 16})
    assert "block_size 8 → 16" in at.button(key="start").label
