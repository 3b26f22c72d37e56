"""Knock-outs of runs: what is computed in the background is what a slow computation gives, once for each step."""

import threading
import time

import pytest
import torch
from making import TINY, draw_biases, new_run, train, wait_until
from patience import patience

from microllm import inference
from microllm.corpus import EVAL_CHARACTERS
from microllm.data.decode import TextProblem
from microllm.data.store import forget_text
from microllm.data.texts import load_corpus
from microllm.insight.knockout import MEAN_CHARACTERS, Part, knock_out, mean_outputs, parts_of
from microllm.insight.surprisal import token_surprisals
from microllm.jobs import knockouts as module
from microllm.jobs import results
from microllm.jobs.background import running
from microllm.jobs.knockouts import Knockouts
from microllm.jobs.results import Work
from microllm.model import parameter_count
from microllm.train import validation_loss

PARTS = (Part(0, 1), Part(1, None))


@pytest.fixture
def run():
    run = new_run(n_layer=2, max_steps=10, initialization="torch", position="relative")
    assert train(run) == "finished"
    return run


@pytest.fixture
def model(run):
    return draw_biases(run.model_at(10))


def forget(run) -> None:
    forget_text(run.read_info().text.sha256)
    load_corpus.cache_clear()


def without(run, model, parts, by):
    inputs, _ = run.load_corpus().validation_windows(TINY["block_size"], MEAN_CHARACTERS)
    return knock_out(model, parts, mean_outputs(model, inputs) if by == "mean" else None)


@pytest.mark.parametrize("by", ["mean", "zero"])
def test_the_map_has_the_change_of_the_validation_loss_without_each_part(run, model, by):
    found = Knockouts().map(run, 10, model, by, is_live=False, wait=patience()).result
    corpus = run.load_corpus()
    assert len(corpus.val) < EVAL_CHARACTERS
    assert found.loss == pytest.approx(validation_loss(model, corpus), abs=1e-5)
    assert list(found.changes) == parts_of(model.config) and len(found.changes) == 6
    for part, change in found.changes.items():
        rise = validation_loss(without(run, model, [part], by), corpus) - validation_loss(model, corpus)
        assert change.nats == pytest.approx(rise, abs=1e-5)
        assert change.error > 0


def test_a_map_is_computed_once_for_a_step_and_each_way(run, model, monkeypatch):
    known, counted = Knockouts(), []
    real = module.window_losses
    monkeypatch.setattr(module, "window_losses", lambda *arguments: counted.append(1) or real(*arguments))
    maps = [known.map(run, 10, model, "mean", is_live=False, wait=patience()).result for _ in range(3)]
    assert maps[0] is maps[1] is maps[2]
    assert len(counted) == 7  # the whole model, and without each part
    known.map(run, 10, model, "zero", is_live=False, wait=patience())
    assert len(counted) == 13  # the whole model is known
    known.map(run, 11, model, "mean", is_live=False, wait=patience())
    assert len(counted) == 20


def test_only_the_newest_results_are_kept_fewer_of_a_large_model(run, model, monkeypatch):
    monkeypatch.setattr(module, "_KEPT_BYTES", 4 * 4 * parameter_count(model.config, model.vocab_size) + 1)
    known = Knockouts()
    for step in range(7):
        known.map(run, step, model, "zero", is_live=False, wait=patience())
        known.model(run, step, model, PARTS, "zero", is_live=False, wait=0)
    assert len(known._maps._done) == len(known._models._done) == 4
    for step in range(7):
        known.map(run, step, model, "mean", is_live=True, wait=patience())
    assert sum(key == (run.id, "mean") for key, _ in known._maps._done) == 1  # a run that trains does not go back


def test_the_parts_measured_so_far_are_told(run, model, monkeypatch):
    known, real, may_go_on, measured = Knockouts(), module.window_losses, threading.Event(), []

    def slowly(*arguments):
        measured.append(1)
        if len(measured) > 3:  # the whole model and two parts
            assert may_go_on.wait(patience())
        return real(*arguments)

    monkeypatch.setattr(module, "window_losses", slowly)
    ask = lambda: known.map(run, 10, model, "mean", is_live=False)  # noqa: E731
    wait_until(lambda: len(ask().so_far or {}) == 2)
    assert ask().result is None and ask().is_waiting and 0 < ask().share < 1
    assert list(ask().so_far) == parts_of(model.config)[:2]
    may_go_on.set()
    wait_until(lambda: ask().result)
    assert not ask().is_waiting


@pytest.mark.parametrize("by", ["mean", "zero"])
def test_what_a_knock_out_changes_is_measured_on_the_same_text_and_seed(run, model, by):
    known, corpus = Knockouts(), run.load_corpus()
    changed = known.model(run, 10, model, PARTS, by, is_live=False, wait=0)
    passage = corpus.val[:50]
    found = known.effect(run, changed, "the maid", passage, is_live=False, wait=patience()).result
    other = without(run, model, PARTS, by)
    assert found.changed.whole is model
    for one, sample, nats in zip((model, other), found.samples, found.nats, strict=True):
        ids = torch.tensor(run.tokenizer.encode("the maid"))[None]
        written = inference.generate(one, ids, module.SAMPLE_CHARACTERS, module.SAMPLING.temperature, seed=0)
        assert sample == run.tokenizer.decode(written[0, 8:])
        torch.testing.assert_close(nats, token_surprisals(one, passage).nats, equal_nan=True)
    assert found.samples[0] != found.samples[1]
    assert found.loss == pytest.approx(validation_loss(model, corpus), abs=1e-5)
    assert found.loss + found.change.nats == pytest.approx(validation_loss(other, corpus), abs=1e-5)


def test_pairs_have_what_is_lost_beyond_the_sum_the_largest_first(run, model):
    known, corpus = Knockouts(), run.load_corpus()
    singles = known.map(run, 10, model, "mean", is_live=False, wait=patience()).result
    pairs = known.pairs(run, singles, Part(0, 1), wait=patience()).result
    assert {pair.part for pair in pairs} == set(parts_of(model.config)) - {Part(0, 1)}
    assert [pair.extra.nats for pair in pairs] == sorted((pair.extra.nats for pair in pairs), reverse=True)
    whole, alone = (validation_loss(one, corpus) for one in (model, without(run, model, [Part(0, 1)], "mean")))
    for pair in pairs:
        other = validation_loss(without(run, model, [pair.part], "mean"), corpus)
        both = validation_loss(without(run, model, [Part(0, 1), pair.part], "mean"), corpus)
        assert pair.both.nats == pytest.approx(both - whole, abs=1e-5)
        assert pair.extra.nats == pytest.approx(both - whole - (alone - whole) - (other - whole), abs=1e-5)


def test_without_the_text_of_the_run_parts_can_be_silenced_and_samples_written(run, model):
    forget(run)
    known = Knockouts()
    for ask in (known.map, lambda *some, **named: known.model(run, 10, model, PARTS, "mean", is_live=False, wait=0)):
        with pytest.raises(TextProblem):
            ask(run, 10, model, "mean", is_live=False)
    changed = known.model(run, 10, model, PARTS, "zero", is_live=False, wait=0)
    found = known.effect(run, changed, "the maid", None, is_live=False, wait=patience()).result
    assert all(len(sample) == module.SAMPLE_CHARACTERS for sample in found.samples)
    assert found.change is None and found.nats is None


def test_of_a_run_that_trains_the_newest_model_is_shown_until_the_next_is_there(run, model, monkeypatch):
    known, real, may_go_on = Knockouts(), module.mean_outputs, threading.Event()
    first = known.model(run, 1, model, PARTS, "mean", is_live=True, wait=patience())
    assert first.step == 1

    def slowly(*arguments):
        assert may_go_on.wait(patience())
        return real(*arguments)

    monkeypatch.setattr(module, "mean_outputs", slowly)
    ask = lambda step: known.model(run, step, model, PARTS, "mean", is_live=True, wait=0)  # noqa: E731
    assert ask(2) is ask(3) is first
    may_go_on.set()
    wait_until(lambda: ask(3).step != 1)


def test_beside_training_the_work_rests_most_of_the_time(monkeypatch):
    wait_until(lambda: not running("knock-out"))
    rested, now, is_training = [], [0.0], [True]  # seconds of computing
    monkeypatch.setattr(time, "thread_time", lambda: now[0])

    def compute(work):
        work.cancelled.wait = rested.append
        for worked in (0.1, 0.2, 0.9):
            now[0] += worked
            work.pause()
        is_training.clear()
        now[0] += 0.1
        work.pause()

    Work(compute, "knock-out", lambda: bool(is_training)).get(patience())
    assert rested == pytest.approx([0.4, 0.8, 2.0, 0])


def test_work_that_nobody_asks_about_is_given_up(run, model, monkeypatch):
    monkeypatch.setattr(results, "_ABANDONED_SECONDS", 0.05)
    real = module.window_losses

    def slowly(*arguments):
        threading.Event().wait(0.1)
        return real(*arguments)

    monkeypatch.setattr(module, "window_losses", slowly)
    known = Knockouts()
    known.map(run, 10, model, "zero", is_live=False)
    wait_until(lambda: not running("knock-out"))
    assert known._maps._done == {}


def test_another_moment_ends_the_work_for_the_last_one(run, model, monkeypatch):
    may_go_on, real, begun = threading.Event(), module.window_losses, []

    def slowly(*arguments):
        begun.append(1)
        assert may_go_on.wait(patience())
        return real(*arguments)

    monkeypatch.setattr(module, "window_losses", slowly)
    known = Knockouts()
    known.map(run, 1, model, "zero", is_live=False)
    wait_until(lambda: begun)
    known.map(run, 2, model, "zero", is_live=False)
    may_go_on.set()
    assert known.map(run, 2, model, "zero", is_live=False, wait=patience()).result.step == 2
    wait_until(lambda: not running("knock-out"))
    assert [step for _, step in known._maps._done] == [2]
