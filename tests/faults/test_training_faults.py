"""Settings and numbers that training cannot live with: refused before the start, or ended with a sentence."""

import math
import re
from functools import partial

import making
import pytest
import torch
from making import TINY
from patience import patience

from microllm import MicroLLM, Sampling, configs_from, generate, probabilities, problems
from microllm.__main__ import main
from microllm.data.builtin import words_twice
from microllm.jobs.runner import Runner
from microllm.jobs.slots import Slots
from microllm.runs.catalog import all_runs
from microllm.runs.metrics import Writer
from microllm.train import Trainer
from microllm.ui.state import link

new_run = partial(making.new_run, words_twice(1_000), max_steps=30)


@pytest.fixture
def runner():
    runner = Runner(Slots(1))
    yield runner
    runner.close()


# ---- 32. settings out of range: one check for slider, link, file and flag

WRONG = [
    ("learning_rate", 0.0),
    ("learning_rate", -1.0),
    ("learning_rate", 1e10),
    ("learning_rate", math.nan),
    ("batch_size", 10**9),
    ("n_head", 5),
    ("n_embd", 10**9),
    ("max_steps", 0),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_setting_out_of_range_is_named_before_the_start_by_the_one_validator(name, value):
    sentence = problems(*configs_from({name: value}))[name]
    assert name in sentence
    with pytest.raises(ValueError, match=name):
        new_run(**{name: value})
    assert all_runs() == []


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_flag_says_the_same_and_ends_with_2(name, value, capsys):
    try:
        code = main(["train", "--text=words-twice", f"--{name}={value}"])
    except SystemExit as end:
        code = end.code
    printed = capsys.readouterr().err
    assert code == 2
    assert name in printed
    assert "Traceback" not in printed
    assert all_runs() == []


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_link_says_the_same_and_what_it_asks_is_made_valid(name, value):
    said = link.read({name: str(value)})
    assert any(name in sentence for sentence in said.wrong)
    assert problems(*configs_from(said.values)) == {}


# ---- 33. the loss is no number any more


def test_a_loss_that_is_no_number_ends_the_run_at_its_step_and_rate_and_what_was_good_is_kept(runner, monkeypatch):
    monkeypatch.setenv("MICROLLM_CHECKPOINT", "0")
    run, forward = new_run(learning_rate=0.5, optimizer="adamw", schedule="constant"), Trainer._forward

    def break_at_four(trainer):
        loss = forward(trainer)
        return loss * math.nan if trainer.step == 4 else loss

    monkeypatch.setattr(Trainer, "_forward", break_at_four)
    runner.start(run).join(patience())
    assert run.read_info().state == "failed"
    assert re.findall(r"\d+(?:\.\d+)?", run.read_info().message) == ["4", "0.5", "0.05"]
    last = run.history.read().last
    assert (last["step"], last["train_loss"]) == (4, None)
    state, _, damaged = run.load_checkpoint()
    assert (state.step, damaged) == (3, [])
    assert all(tensor.isfinite().all() for tensor in state.model.values())


# ---- 34. out of memory


def test_a_lack_of_memory_fails_the_run_with_a_hint_and_the_others_go_on(runner, monkeypatch):
    unlucky, lucky = new_run(seed=1), new_run(seed=2)
    log = Writer.log

    def run_out(writer, progress):
        if writer._folder == unlucky.folder and progress.step == 5:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes.")
        log(writer, progress)

    monkeypatch.setattr(Writer, "log", run_out)
    for training in [runner.start(unlucky), runner.start(lucky)]:
        training.join(patience())
    assert unlucky.read_info().state == "failed"
    assert (
        unlucky.read_info().message
        == "There was not enough memory. A smaller batch_size, block_size or n_embd needs less."
    )
    assert lucky.read_info().state == "finished"
    assert [step for step in lucky.history.read().rows["step"]] == list(range(31))


# ---- 35. temperature, top-k and top-p at and beyond their ends


def p_of(scores: list[float], **sampling) -> list[float]:
    return probabilities(torch.tensor(scores, dtype=torch.float64), Sampling(**sampling)).tolist()


def test_temperature_zero_takes_the_likeliest_and_the_first_of_several():
    assert p_of([1.0, 3.0, 3.0], temperature=0) == [0, 1, 0]


@pytest.mark.parametrize("temperature", [5e-324, 1e-300, 1e-9, 100.0])
def test_no_temperature_overflows(temperature):
    p = p_of([-1e4, 1e4, 9e3], temperature=temperature)
    assert p == [0, 1, 0] if temperature < 1 else p == pytest.approx([0, 1 / (1 + math.exp(-10)), 4.54e-5], abs=1e-7)


@pytest.mark.parametrize("top_k", [0, 3, 4, 10**9])
def test_no_top_k_or_one_beyond_the_vocabulary_cuts_nothing_off(top_k):
    assert p_of([1.0, 2.0, 3.0], top_k=top_k) == p_of([1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": t} for t in (-0.1, 101, 1e9, math.nan, math.inf)]
    + [{"top_k": -1}]
    + [{"top_p": p} for p in (0, -0.5, 1.01, math.nan)],
    ids=str,
)
def test_a_value_out_of_range_is_refused_with_its_name_and_value(wrong):
    ((name, value),) = wrong.items()
    assert Sampling(**wrong).problem().startswith(f"{name} is {value}: it must be ")
    with pytest.raises(ValueError, match=f"^{name} is "):
        p_of([0.0, 1.0], **wrong)
    with pytest.raises(ValueError, match=f"^{name} is "):
        generate(MicroLLM(configs_from(TINY)[0], 2), torch.zeros(1, 1, dtype=torch.long), 1, **wrong)
