"""The challenges: what meets each of them, what does not, and the best value that is shown."""

from dataclasses import replace

import pytest
from making import new_run, train

from microllm.experiments.challenges import Attempt, attempt, standings
from microllm.experiments.measurements import WRITTEN_CHARACTERS, longest_recitation
from microllm.runs.info import RunInfo

LINES = {"uniform": 4.5, "table_1": 3.1, "table_2": 2.4, "table_5": 1.5}


@pytest.fixture
def info() -> RunInfo:
    """A run on the whole book."""
    info = new_run(max_steps=300, schedule="constant").read_info()
    book = replace(info.text, source="book")
    return replace(info, text=book, references=LINES, state="finished")


@pytest.fixture
def tried(info):
    """Make an attempt, with some parts changed."""

    def make(run_id: str = "a", rate: float = 0.01, **changes) -> Attempt:
        made = replace(info, id=run_id, train=replace(info.train, learning_rate=rate), **changes.pop("info", {}))
        usual = {"train_loss": 1.9, "in_a_minute": 2.0, "is_over": True, "was_changed": False}
        return Attempt(made, **{"parameters": 40_000, "val_losses": ((0, 4.6), (300, 2.0))} | usual | changes)

    return make


def test_without_a_run_nothing_is_met_and_no_value_is_shown():
    for standing in standings([]).values():
        assert not standing.is_met and not standing.best and standing.run_id is None


def test_worse_than_blind_takes_a_model_that_knows_its_own_text(tried):
    blind = tried("blind", val_losses=((0, 4.6), (300, 4.9)), train_loss=0.2)
    found = standings([tried(), blind])["worse-than-blind"]
    assert found.is_met and found.run_id == "blind" and "4.900" in found.best
    for other in (
        tried(),  # its first loss, 4.6, does not count
        replace(blind, train_loss=3.2),
        replace(blind, train_loss=None),  # diverged
    ):
        assert not standings([other])["worse-than-blind"].is_met


def test_reciting_takes_two_hundred_characters(tried):
    assert not standings([tried()])["recite"].best
    found = standings([tried("a", recited=12), tried("b", recited=199)])["recite"]
    assert not found.is_met and found.run_id == "b" and "199" in found.best
    assert standings([tried("b", recited=199), tried("c", recited=200)])["recite"].is_met


FAILED = {"val_losses": ((0, 4.6), (300, 2.7))}


def test_the_largest_rate_is_found_when_one_at_most_twice_as_large_fails(tried):
    works, fails = tried("works", 0.01), tried("fails", 0.02, **FAILED)
    found = standings([works, fails])["largest-rate"]
    assert found.is_met and found.run_id == "works" and "0.01" in found.best and "0.02" in found.best
    assert standings([works, tried("diverged", 0.02, train_loss=None)])["largest-rate"].is_met


def test_the_largest_rate_needs_the_same_other_settings_and_runs_that_are_over(tried):
    works, fails = tried("works", 0.01), tried("fails", 0.02, **FAILED)
    for other in (
        tried("far", 0.021, **FAILED),
        tried("lower", 0.005, **FAILED),
        replace(fails, is_over=False),
        replace(fails, was_changed=True),
        replace(fails, info=replace(fails.info, train=replace(fails.info.train, batch_size=8))),
    ):
        found = standings([works, other])["largest-rate"]
        assert not found.is_met and found.best.startswith("0.01 trains")
    assert not standings([fails])["largest-rate"].best
    cheats = tried("cheats", 0.01, info={"model": replace(works.info.model, causal=False)})
    assert not standings([cheats])["largest-rate"].best
    other_seed = replace(fails, info=replace(fails.info, train=replace(fails.info.train, seed=2)))
    assert standings([works, other_seed])["largest-rate"].is_met


def test_small_and_good_counts_honest_small_runs_on_the_whole_book(tried, info):
    good = tried("good", in_a_minute=1.45)
    found = standings([tried("fair", in_a_minute=1.6), good])["small-and-good"]
    assert found.is_met and found.run_id == "good" and "1.450" in found.best
    assert not standings([tried(in_a_minute=1.5)])["small-and-good"].is_met
    for other in (
        replace(good, parameters=50_000),
        replace(good, in_a_minute=None),
        tried(in_a_minute=0.1, info={"model": replace(info.model, causal=False)}),
        tried(in_a_minute=0.1, info={"text": replace(info.text, source="book", how="words")}),
        tried(in_a_minute=0.1, info={"text": replace(info.text, source="./mine.txt")}),
    ):
        assert not standings([other])["small-and-good"].best


def test_an_attempt_has_what_the_run_has_recorded():
    run = new_run(max_steps=20)
    assert train(run) == "finished"
    found = attempt(run)
    losses = run.history.read().val_losses
    assert found.val_losses == tuple(losses) and found.last == losses[-1][1]
    assert found.in_a_minute == min(loss for _, loss in losses)
    assert found.train_loss == run.history.rows["smoothed"][-1]
    assert found.parameters == sum(parameter.numel() for parameter in run.model_at(20).parameters())
    assert found.is_over and not found.was_changed and not found.has_diverged


def test_what_a_model_recites_is_the_longest_piece_of_its_training_text():
    run = new_run("abcdefgh" * 60, max_steps=300)
    train(run)
    model = run.model_at(300)
    recited = longest_recitation(run, model)["recited"]
    assert 100 < recited <= min(WRITTEN_CHARACTERS, 432)  # the training text has 432 characters
