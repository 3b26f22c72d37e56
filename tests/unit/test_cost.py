"""The time that a run is expected to take."""

from dataclasses import replace

import pytest

from microllm.config import PRESETS, TrainConfig
from microllm.corpus import EVAL_CHARACTERS
from microllm.cost import run_seconds, steps_for
from microllm.train import eval_is_due

TOKENS, HELD_OUT = 1_024, 72_870


@pytest.mark.parametrize("train", [preset.train for preset in PRESETS.values()] + [TrainConfig(eval_interval=7)])
def test_a_run_takes_its_steps_and_its_validation_checks(train):
    checks = sum(eval_is_due(step, train) for step in range(train.max_steps + 1))
    forward = (
        (run_seconds(train, TOKENS, HELD_OUT, 1.0) - train.max_steps) * TOKENS / (checks * EVAL_CHARACTERS + HELD_OUT)
    )
    assert 0.2 < forward < 0.5  # the share of a step that is a forward pass


@pytest.mark.parametrize("seconds", [15, 60, 300])
@pytest.mark.parametrize("step", [0.0005, 0.01, 0.3, 4.0])
def test_the_steps_for_a_duration_take_about_that_long_and_are_a_round_number(seconds, step):
    train = TrainConfig()
    steps = steps_for(seconds, train, TOKENS, HELD_OUT, step)
    assert len(str(steps).rstrip("0")) <= 2
    expected = run_seconds(replace(train, max_steps=steps), TOKENS, HELD_OUT, step)
    assert expected == pytest.approx(seconds, rel=0.08) or (steps <= 10 and expected > seconds)
