"""The path: which cards there are, what is next, and what counts as done."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from microllm.config import PRESETS, configs_from
from microllm.cost import part_sizes
from microllm.model import parameter_count
from microllm.plots import film_data
from microllm.runs import gallery
from microllm.ui.state import path
from microllm.ui.state.path import CARDS, Facts

PAGES = Path(__file__).parents[2] / "pages"


def test_the_cards_follow_the_article_s_six_steps_and_lead_to_pages_that_exist():
    steps = [path.STEPS.index(card.step) for card in CARDS.values()]
    assert steps == sorted(steps) and {*steps} == {*range(6)}
    for card in CARDS.values():
        assert card.page is None or (PAGES / f"{card.page}.py").exists()
        assert bool(card.page) == bool(card.controls)


def test_each_card_leads_to_the_next_and_the_last_to_what_is_not_done():
    order = list(CARDS)
    assert path.first_open(set()) == order[0]
    assert path.first_open(order[:3]) == order[3]
    assert path.first_open(order) is None
    assert [path.card_before(card) for card in order] == [None, *order[:-1]]
    assert [path.card_after(card, order) for card in order] == [*order[1:], None]
    assert path.card_after(order[-1], {*order} - {order[1], order[4]}) == order[1]
    assert path.card_after(order[-1], order[:-1]) is None  # only itself is left


@pytest.mark.parametrize("told", [None, "text", 5, {"text": 1}, [["text"], {}, None, 3], ["no card", "x" * 10_000]])
def test_of_what_a_browser_says_only_cards_are_believed(told):
    assert path.read_done(told) == set()
    assert path.read_done(["text", "text", "no card", 1]) == {"text"}


@pytest.mark.parametrize(
    "told", [None, 5, ["sentence=x"], {}, "x" * 10_000, "batch=-1&text=1e9", "text=9999999", "=&&%ff", "batch=½"]
)
def test_of_what_a_browser_kept_of_the_cards_only_what_can_be_used_is_believed(told):
    assert path.read_written(told) == ("", {})


@pytest.mark.parametrize("sentence", ["the cat & 1 = 1 ☕", "", "x" * 1_000])
def test_what_was_made_on_the_cards_is_read_as_it_was_written(sentence):
    found = path.read_written(path.written(sentence, {"text": 3, "batch": 12}))
    assert found == (sentence[: path.SENTENCE_LENGTH], {"text": 3, "batch": 12})
    assert path.read_written("sentence=\ud800") == ("?", {})  # half of a character, which could not be sent back


def test_a_card_of_another_page_is_done_by_doing_it_and_not_before():
    assert path.done_elsewhere(Facts()) == set()
    assert path.done_elsewhere(Facts(owns_run=True)) == set()
    assert path.done_elsewhere(Facts(checks=3)) == set()  # of somebody else's run
    assert path.done_elsewhere(Facts(owns_run=True, checks=1)) == {"train"}
    assert path.done_elsewhere(Facts(generations=1)) == {"generate"}
    assert path.done_elsewhere(Facts(is_right_head=True)) == {"head"}
    assert path.done_elsewhere(Facts(stage="scores")) == {"inside"}
    assert path.done_elsewhere(Facts(without=("1.1",))) == {"knockout"}
    elsewhere = {name for name, card in CARDS.items() if card.page}
    assert path.done_elsewhere(Facts(True, 1, 1, True, "scores", ("1.1",))) == elsewhere


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("position", ["none", "learned", "rotary", "relative"])
@pytest.mark.parametrize("lookback", [0, 3])
def test_the_parts_of_a_model_have_all_its_parameters(preset, position, lookback):
    model, _ = configs_from({"position": position, "lookback": lookback}, preset)
    parts = part_sizes(model, 91)
    assert sum(part.count for part in parts) == parameter_count(model, 91)
    assert {part.copies for part in parts} == {1, model.n_layer}


def test_the_parts_of_a_small_model_as_counted_by_hand():
    model, _ = configs_from({"n_embd": 8, "n_head": 2, "n_layer": 2, "position": "none"}, "quick")
    embedding, attention, feed_forward, norms, last, scores = part_sizes(model, 5)
    assert embedding.shapes == ((5, 8),)
    assert attention.count == 2 * (24 * 8 + 8 * 8 + 8)
    assert feed_forward.count == 2 * (32 * 8 + 32 + 8 * 32 + 8)
    assert (norms.count, last.count, scores.count) == (2 * 32, 16, 5 * 8 + 5)


@pytest.mark.parametrize("run_id", gallery.IDS)
def test_a_film_shows_the_samples_and_the_curve_of_the_files_and_nothing_else(run_id):
    folder = gallery.FOLDER / run_id
    stored = gallery.samples(folder)
    from microllm.runs.run import Run

    run = Run.open(run_id)
    history, info = run.history.read(), run.read_info()
    film = film_data(history, list(stored.values()), info.references, info.train.max_steps, about=run_id)
    assert {frame["step"]: film["prompt"] + frame["text"] for frame in film["frames"]} == {
        step: sample.text for step, sample in stored.items()
    }
    assert [frame["step"] for frame in film["frames"]] == sorted(stored)
    assert film["step"][0] == 1 and film["step"][-1] == film["max"] == max(stored)
    assert film["step"] == sorted(film["step"])
    for step, loss, seconds in list(zip(film["step"], film["raw"], film["seconds"], strict=True))[::50]:
        row = history.row_of(step)
        assert loss == pytest.approx(row["train_loss"], abs=1e-4) and seconds == pytest.approx(row["seconds"], abs=0.05)
    assert {line["loss"] for line in film["references"]} <= {*info.references.values()}
    assert math.isclose(film["first_loss"], history.row_of(0)["train_loss"], abs_tol=1e-4)


def test_what_the_front_door_needs_is_there_without_torch():
    code = "import sys, microllm.ui.parts.front; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PAGES.parent)
