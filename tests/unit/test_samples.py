"""What a run writes as it learns."""

import itertools
import threading
import time
from types import SimpleNamespace

import pytest
import torch
from making import new_run, train, wait_until

import microllm.jobs.samples
from microllm.data import texts
from microllm.data.builtin import drawing_room
from microllm.data.decode import TextProblem
from microllm.environment import texts_dir
from microllm.insight.memorization import real_words
from microllm.insight.surprisal import top1_accuracy
from microllm.jobs.samples import PROMPT, Samples, prompt_for, write_sample
from microllm.runs.run import Run


def trained_run(text: str) -> Run:
    run = new_run(text)
    assert train(run) == "finished"
    return run


@pytest.fixture
def run():
    return trained_run(PROMPT + ", as I said. " + drawing_room(3_000))


def test_a_sample_is_what_generate_writes_with_the_same_seed(run):
    model, tokenizer = run.model_at(20), run.tokenizer
    sample = write_sample(run, 20, model)
    again = model.generate(torch.tensor([tokenizer.encode(PROMPT)]), 120, temperature=0.8, seed=0)
    assert sample.text == tokenizer.decode(again[0])
    assert sample.step == 20


def test_a_sample_is_judged_by_the_training_text_and_the_held_out_one(run):
    sample = write_sample(run, 20, run.model_at(20))
    corpus = run.load_corpus()
    assert sample.real_words == real_words(sample.text, run.tokenizer.decode(corpus.train))
    assert sample.top1_accuracy == top1_accuracy(run.model_at(20), corpus)


@pytest.mark.parametrize(
    "text",
    [
        "0123456789 " * 200,
        drawing_room(3_000),  # English, but nothing in it begins so
        "Es ist Ihr Haus, sagt man. " * 100,  # has all the letters of the English beginning
        "月落烏啼霜滿天。江楓漁火對愁眠。" * 100,
        "ACGGTCA" * 300,
    ],
)
def test_a_text_in_which_the_usual_beginning_does_not_occur_has_one_of_its_own(text):
    run = trained_run(text)
    beginning = prompt_for(run)
    assert len(beginning) == len(PROMPT)
    held_out = run.tokenizer.decode(run.load_corpus().val)
    assert beginning in held_out
    before = held_out[held_out.index(beginning) - 1 : held_out.index(beginning)]
    assert not before.strip() or not {" ", "\n"} & set(text)  # a whole word
    assert write_sample(run, 20, run.model_at(20)).text.startswith(beginning)


def test_a_beginning_keeps_its_line_ends():
    verse = "By brooks too broad for leaping\nThe lightfoot boys are laid;\n"
    beginning = prompt_for(trained_run(verse * 60), "x" * 40)
    assert "\n" in beginning
    assert beginning in verse * 2


@pytest.mark.parametrize("words", [PROMPT, "It is a truth universally ack"])
def test_in_a_list_a_beginning_is_whole_lines_and_the_model_begins_the_next(words):
    names = ["emma", "olivia", "anna maria", "isabella", "sophia"]
    run = trained_run("\n".join(names * 60))
    beginning = prompt_for(run, words)
    assert 0 < len(beginning) <= len(words)
    assert beginning.endswith("\n")
    assert set(beginning.splitlines()) <= set(names)


def test_a_sample_of_a_list_is_judged_by_its_lines():
    names = ["emma", "olivia", "ava", "isabella", "sophia"]
    run = new_run("\n".join(names * 60), max_steps=200, learning_rate=0.01)
    assert train(run) == "finished"
    sample = write_sample(run, 200, run.model_at(200))
    written = sample.text.removeprefix(prompt_for(run))
    lines = set(written.split("\n")[:-1]) - {""}
    assert sample.new_lines == (len(lines - set(names)), len(lines))
    assert lines & set(names)  # it has learned some by now
    assert sample.real_words is None


def test_without_its_text_a_run_begins_with_what_it_knows(run):
    (texts_dir() / f"{run.read_info().text.sha256}.txt").unlink()
    texts.load_corpus.cache_clear()
    assert prompt_for(run) == PROMPT
    with pytest.raises(TextProblem):
        prompt_for(run, "Ω")


def test_the_sample_of_a_snapshot_is_written_once(run, monkeypatch):
    written = []

    def write(run, step, model):
        written.append(step)
        return write_sample(run, step, model)

    monkeypatch.setattr(microllm.jobs.samples, "write_sample", write)
    samples = Samples(lambda run: None)
    first = samples.at(run, 8, wait=30)
    assert first == write_sample(run, 8, run.model_at(8))
    assert samples.at(run, 8) is first
    assert written == [8]


def test_the_sample_of_a_snapshot_that_is_gone_says_so(run):
    with pytest.raises(ValueError, match="step-9"):
        Samples(lambda run: None).at(run, 9, wait=30)


def test_the_newest_sample_is_written_in_the_background_and_a_new_step_makes_a_new_one(run, monkeypatch):
    monkeypatch.setattr(microllm.jobs.samples, "_SECONDS_BETWEEN_SAMPLES", 0.0)
    now = [(8, run.model_at(8))]
    samples = Samples(lambda run: now[0])
    assert samples.newest(run) is None
    assert wait_until(lambda: samples.newest(run)).step == 8
    now[0] = (20, run.model_at(20))
    wait_until(lambda: samples.newest(run).step == 20 or None)
    assert samples.newest(run) == write_sample(run, 20, run.model_at(20))


def test_a_sample_of_noise_is_followed_at_once_and_one_of_a_model_after_a_while(run):
    now = [(0, run.model_at(0))]
    samples = Samples(lambda run: now[0])
    wait_until(lambda: samples.newest(run))
    now[0] = (8, run.model_at(8))
    wait_until(lambda: samples.newest(run).step == 8 or None)
    now[0] = (20, run.model_at(20))
    samples.newest(run)
    time.sleep(0.5)
    assert samples.newest(run).step == 8


def test_samples_are_written_one_at_a_time(run, monkeypatch):
    lock, together = threading.Lock(), []

    def write(run, step, model):
        together.append(lock.acquire(blocking=False))
        time.sleep(0.02)
        lock.release()
        return SimpleNamespace(step=step)

    monkeypatch.setattr(microllm.jobs.samples, "write_sample", write)
    samples = Samples(lambda run: None)
    for step in (0, 8, 12, 16, 20):
        samples.at(run, step)
    assert [samples.at(run, step, wait=30).step for step in (0, 8, 12, 16, 20)] == [0, 8, 12, 16, 20]
    assert together == [True] * 5


def test_the_first_words_are_how_the_sample_begins(run):
    samples = Samples(lambda run: None)
    words = wait_until(lambda: samples.first_words(run, 8))
    assert len(words) > len(PROMPT)
    assert samples.at(run, 8, wait=30).text.startswith(words)


def test_while_it_rests_first_words_are_begun_only_for_those_who_wait(run, monkeypatch):
    monkeypatch.setattr(microllm.jobs.samples, "_REST_FACTOR", 1e6)
    monkeypatch.setattr(microllm.jobs.samples, "_MAX_REST_SECONDS", 60.0)
    samples = Samples(lambda run: None)
    wait_until(lambda: samples.first_words(run, 8))
    assert samples.first_words(run, 12) is None
    time.sleep(0.3)
    assert samples.first_words(run, 12) is None
    assert samples.first_words(run, 12, wait=30)


def test_words_that_cannot_be_written_stop_no_other_sample(run):
    unreadable = new_run("0123456789" * 50)
    (texts_dir() / f"{unreadable.read_info().text.sha256}.txt").unlink()
    texts.load_corpus.cache_clear()
    samples = Samples(lambda run: (8, run.model_at(8)))
    with pytest.raises(TextProblem):
        wait_until(lambda: samples.first_words(unreadable, 0))
    assert wait_until(lambda: samples.newest(run)).step == 8


def test_many_runs_together_take_a_fifth_of_the_time_for_samples(run, monkeypatch):
    monkeypatch.setattr(microllm.jobs.samples, "_SECONDS_BETWEEN_SAMPLES", 0.0)
    monkeypatch.setattr(microllm.jobs.samples, "_MAX_REST_SECONDS", 60.0)
    monkeypatch.setattr(
        microllm.jobs.samples, "write_sample", lambda run, step, model: time.sleep(0.05) or SimpleNamespace(step=step)
    )
    many = [SimpleNamespace(id=str(i)) for i in range(30)]
    steps = itertools.count(1)
    samples, began, written = Samples(lambda run: (next(steps), None)), time.monotonic(), set()
    while time.monotonic() - began < 1.5:
        written |= {sample.step for sample in map(samples.newest, many) if sample}
        time.sleep(0.005)
    assert 3 <= len(written) <= 1.5 / (5 * 0.05) + 1
