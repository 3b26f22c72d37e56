"""The time that a run is expected to take."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microllm.config import ModelConfig, TrainConfig
from microllm.corpus import EVAL_CHARACTERS
from microllm.cost import Speed, measure_speed, run_seconds, steps_for
from microllm.jobs.background import Cancelled
from microllm.train import eval_count, eval_is_due

TOKENS, HELD_OUT = 1_024, 72_870


@given(st.integers(1, 5_000), st.integers(1, 600))
def test_the_validation_checks_of_a_run_are_counted_as_the_trainer_makes_them(max_steps, eval_interval):
    train = TrainConfig(max_steps=max_steps, eval_interval=eval_interval)
    assert eval_count(train) == sum(eval_is_due(step, train) for step in range(max_steps + 1))


def test_a_run_takes_its_steps_and_a_forward_pass_for_what_it_validates():
    train = TrainConfig(max_steps=1_000, eval_interval=1_000)
    validated = eval_count(train) * EVAL_CHARACTERS + HELD_OUT
    extra = run_seconds(train, TOKENS, HELD_OUT, step=1.0) - 1_000
    assert 0.1 < extra / (validated / TOKENS) < 0.5  # a forward pass takes less than half of a step


@pytest.mark.parametrize("batch_size", [1, 64])
@pytest.mark.parametrize("block_size", [8, 64])
def test_a_validation_check_takes_a_forward_pass_on_all_that_it_scores(batch_size, block_size):
    model, train = ModelConfig(block_size=block_size, n_embd=16, n_head=2), TrainConfig(batch_size=batch_size)
    speed = Speed({train.optimizer: (0.0, 1e-9)})
    step, tokens = speed.seconds_per_step(model, train, vocab_size=50), batch_size * block_size
    share = speed.seconds_per_check(model, train, vocab_size=50) / (step * EVAL_CHARACTERS / tokens)
    assert 0.1 < share < 0.5  # of a step on as many characters


@pytest.mark.parametrize("seconds", [15, 60, 300])
@pytest.mark.parametrize("step", [0.0005, 0.01, 0.3, 4.0])
def test_the_steps_for_a_duration_take_about_that_long_and_are_a_round_number(seconds, step):
    train = TrainConfig()
    steps = steps_for(seconds, train, TOKENS, HELD_OUT, step)
    assert len(str(steps).rstrip("0")) <= 2
    expected = run_seconds(replace(train, max_steps=steps), TOKENS, HELD_OUT, step)
    assert expected == pytest.approx(seconds, rel=0.08) or (steps <= 10 and expected > seconds)


def test_measuring_the_speed_ends_as_soon_as_it_is_told_to():
    steps = []

    def cancel_at_the_third() -> None:
        steps.append(1)
        if len(steps) == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        measure_speed(cancel_at_the_third)
