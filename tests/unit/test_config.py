"""Every knob, its range and its check; the presets."""

import math
from dataclasses import FrozenInstanceError, asdict, fields, replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from microllm.config import (
    LIVE,
    PRESETS,
    ModelConfig,
    TrainConfig,
    configs_from,
    flat,
    knobs,
    nearest_valid,
    problems,
    step_near,
    valid_heads,
    with_live_changes,
)

NUMBERS = [name for name, knob in knobs().items() if knob.metadata["low"] is not None]
CHOICES = [name for name, knob in knobs().items() if knob.metadata["choices"]]


def problems_with(name, value) -> dict[str, str]:
    """What `problems` says about the quick preset with one value changed."""
    return problems(*configs_from({name: value}))


# ---------------------------------------------------------------- presets


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_no_problems(name):
    assert problems(PRESETS[name].model, PRESETS[name].train, text_length=700_000) == {}


def test_the_defaults_are_the_quick_preset():
    assert (ModelConfig(), TrainConfig()) == (PRESETS["quick"].model, PRESETS["quick"].train) == configs_from({})


def test_the_article_preset_is_exactly_the_article():
    assert asdict(PRESETS["article"].model) == {
        "block_size": 8,
        "n_embd": 32,
        "n_head": 4,
        "n_layer": 3,
        "dropout": 0.0,
        "position": "learned",
        "lookback": 0,
        "causal": True,
        "activation": "relu",
        "initialization": "torch",
        "silenced": "",
    }
    recipe = asdict(PRESETS["article"].train)
    del recipe["seed"]
    assert recipe == {
        "batch_size": 32,
        "optimizer": "adamw",
        "precision": "float32",
        "learning_rate": 1e-3,
        "max_steps": 10_000,
        "schedule": "constant",
        "warmup_steps": 0,
        "eval_interval": 500,
        "stop_at_loss": 0.0,
    }


def test_values_go_on_top_of_a_preset():
    model, train = configs_from({"n_layer": 5, "seed": 7}, preset="article")
    assert model == replace(PRESETS["article"].model, n_layer=5)
    assert train == replace(PRESETS["article"].train, seed=7)


def test_an_unknown_setting_is_named_together_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'n_heads'.*block_size.*n_head, .*seed"):
        configs_from({"n_heads": 4})


def test_an_unknown_preset_is_named_together_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'qick'.*quick.*article"):
        configs_from({}, preset="qick")


# ---------------------------------------------------------------- knobs


def test_the_two_configurations_share_no_name():
    assert len(knobs()) == len(fields(ModelConfig)) + len(fields(TrainConfig))


@pytest.mark.parametrize("name", knobs())
def test_every_knob_has_plain_words_help_and_a_range(name):
    meta = knobs()[name].metadata
    assert meta["plain"] and meta["plain"] != name
    assert meta["help"].endswith(".")
    assert meta["choices"] or name == "silenced" or meta["low"] < meta["high"]


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("end", ["low", "high"])
def test_both_ends_of_a_range_are_accepted(name, end):
    assert name not in problems_with(name, knobs()[name].metadata[end])


@pytest.mark.parametrize("name", [name for name in NUMBERS if knobs()[name].metadata["values"]])
def test_the_values_of_a_slider_rise_from_end_to_end_and_hold_those_of_the_presets(name):
    meta = knobs()[name].metadata
    values = meta["values"]
    assert list(values) == sorted({*values}) and (values[0], values[-1]) == (meta["low"], meta["high"])
    assert {flat(preset.model, preset.train)[name] for preset in PRESETS.values()} <= {*values}


@pytest.mark.parametrize(
    ("name", "value", "step"),
    [
        ("max_steps", 1, 1),
        ("max_steps", 200, 50),
        ("max_steps", 2_000, 500),
        ("max_steps", 999_999, 50_000),
        ("learning_rate", 0.02, 0.005),
        ("learning_rate", 1e-3, 5e-4),
        ("learning_rate", 1e-6, 5e-7),
        ("warmup_steps", 0, 10),
        ("seed", 1337, 1),
        ("stop_at_loss", 0.0, 0.05),
    ],
)
def test_the_step_of_a_number_field_follows_its_value_where_the_range_is_wide(name, value, step):
    assert step_near(name, value) == step and type(step_near(name, value)) is type(step)


@pytest.mark.parametrize("name", CHOICES)
def test_each_choice_is_accepted_and_another_is_refused_with_all_of_them(name):
    choices = knobs()[name].metadata["choices"]
    assert all(problems_with(name, choice) == {} for choice in choices)
    for wrong in ("", "other", 0, 1, None, math.nan, ["torch"]):  # 1 is not True
        sentence = problems_with(name, wrong)[name]
        assert all(str(word) in sentence for word in (name, repr(wrong), *choices))


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("wrong", ["12", "", None, True, False, [1], 1j, math.nan, math.inf, -math.inf, 1e300, -1e300])
def test_what_is_no_number_in_range_is_refused_with_its_value_and_the_range(name, wrong):
    meta = knobs()[name].metadata
    found = problems_with(name, wrong)
    assert found.keys() == {name}
    assert found[name].startswith(f"{name} is ") and found[name].endswith(f"from {meta['low']:,} to {meta['high']:,}.")
    shown = found[name].removeprefix(f"{name} is ").split(":")[0]
    assert shown in (repr(wrong), f"{wrong:,}" if isinstance(wrong, float) else None)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_value_just_outside_its_range_is_refused(name):
    meta = knobs()[name].metadata
    least = 1 if knobs()[name].type == "int" else 1e-9
    for wrong in (meta["low"] - least, meta["high"] + least):
        assert problems_with(name, wrong).keys() == {name}


@pytest.mark.parametrize("name", [name for name in NUMBERS if knobs()[name].type == "int"])
def test_a_fraction_is_refused_where_a_whole_number_is_meant(name):
    assert "whole number" in problems_with(name, knobs()[name].metadata["low"] + 0.5)[name]


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_too_large_for_any_machine_is_refused_like_any_other(name):
    for wrong in (10**400, -(10**400), 10**5_000):  # the last has more digits than Python writes out
        assert problems_with(name, wrong).keys() == {name}


def test_silenced_heads_are_named_by_layer_and_head_from_1():
    assert problems_with("silenced", " 2.3  1.1") == {} == problems_with("silenced", "")
    assert ModelConfig(silenced=" 2.3  1.1").silenced_heads == {(1, 2), (0, 0)}


@pytest.mark.parametrize(
    "wrong", ["2", "2.3,1.1", "0.1", "1.0", "2.3.1", "-1.2", "1.100", "²·³", 2.3, None, True, ["2.3"]]
)
def test_what_names_no_head_is_refused_with_its_value(wrong):
    assert repr(wrong) in problems_with("silenced", wrong)["silenced"]


def test_a_head_that_the_model_does_not_have_is_refused_with_the_last_one_that_it_has():
    found = problems(*configs_from({"n_layer": 2, "n_head": 4, "silenced": "2.4 3.1 1.5"}))
    assert found.keys() == {"silenced"}
    assert all(name in found["silenced"] for name in ("3.1", "1.5")) and found["silenced"].endswith(" 2.4.")


def test_all_problems_are_found_at_once():
    model, train = configs_from({"n_embd": 9_999, "batch_size": 0, "learning_rate": "fast"})
    assert problems(model, train).keys() == {"n_embd", "batch_size", "learning_rate"}


def test_a_shape_of_astronomic_size_is_refused_without_being_built():
    model, train = configs_from({"n_embd": 10**15, "block_size": 10**15, "n_layer": 10**15, "batch_size": 10**15})
    assert problems(model, train).keys() == {"n_embd", "block_size", "n_layer", "batch_size"}


# ---------------------------------------------------------------- heads


def test_heads_that_cannot_share_the_width_are_refused_with_the_nearest_that_can():
    assert problems(*configs_from({"n_embd": 48, "n_head": 5, "position": "learned"}))["n_head"] == (
        "5 heads cannot share 48 numbers evenly: n_head must divide n_embd. Try 4 or 6."
    )


@given(n_embd=st.integers(8, 384), n_head=st.integers(1, 16))
def test_heads_are_refused_exactly_when_they_do_not_divide_the_width(n_embd, n_head):
    found = problems(*configs_from({"n_embd": n_embd, "n_head": n_head, "position": "learned"}))
    assert ("n_head" in found) == (n_embd / n_head != n_embd // n_head)


def test_rotary_positions_need_heads_of_an_even_share_and_the_others_do_not():
    assert problems(*configs_from({"n_embd": 24, "n_head": 8, "position": "none"})) == {}
    assert problems(*configs_from({"n_embd": 24, "n_head": 8, "position": "rotary"}))["n_head"] == (
        "8 heads cannot share 24 numbers evenly: n_head must divide n_embd, into even parts for rotary positions. "
        "Try 6 or 12."
    )
    odd = problems(*configs_from({"n_embd": 25, "n_head": 5, "position": "rotary"}))
    assert odd.keys() == {"n_embd"} and odd["n_embd"].endswith("Try 24 or 26.")


@given(n_embd=st.integers(8, 384).map(lambda n: n + n % 2), near=st.integers(1, 16), is_rotary=st.booleans())
def test_the_heads_on_offer_are_the_nearest_valid_ones_on_both_sides(n_embd, near, is_rotary):
    divisors = [n for n in range(1, 17) if n_embd % n == 0 and not (is_rotary and n_embd // n % 2)]
    offered = valid_heads(ModelConfig(n_embd=n_embd, position="rotary" if is_rotary else "learned"), near)
    assert set(offered) <= set(divisors)
    assert not [n for n in divisors if offered[0] < n < offered[-1] and n != near]
    assert offered[0] <= near and (offered[-1] > near or near >= divisors[-1])


# ---------------------------------------------------------------- the length of the text


@given(length=st.integers(0, 3_000), block_size=st.integers(1, 256))
def test_a_context_fits_when_both_parts_of_the_text_hold_a_window_and_its_next_character(length, block_size):
    text = "x" * length
    train, held_out = text[: int(0.9 * length)], text[int(0.9 * length) :]
    fits = len(train) >= block_size + 1 and len(held_out) >= block_size + 1
    found = problems(*configs_from({"block_size": block_size}), text_length=length)
    assert found.keys() <= {"block_size", "text"}
    assert (found == {}) == fits


def test_a_context_too_long_for_the_text_is_refused_with_the_longest_that_fits():
    sentence = problems(*configs_from({"block_size": 32}), text_length=200)["block_size"]
    assert "200 characters" in sentence and "at most 19, not 32" in sentence  # 20 are held out: 19 and the next one


def test_a_text_too_short_for_any_context_is_a_problem_of_the_text():
    assert "too short" in problems(*configs_from({}), text_length=5)["text"]


# ---------------------------------------------------------------- the nearest valid value


@given(n_embd=st.integers(8, 384), n_head=st.integers(-3, 20))
def test_the_nearest_valid_heads_are_valid_and_no_valid_ones_are_nearer(n_embd, n_head):
    model = ModelConfig(n_embd=n_embd, n_head=n_head, position="learned")
    offer = nearest_valid("n_head", model)
    assert problems(replace(model, n_head=offer), TrainConfig()) == {}
    assert abs(offer - n_head) == min(abs(n - n_head) for n in range(1, 17) if n_embd % n == 0)


@given(block_size=st.integers(-5, 500), text_length=st.integers(0, 5_000))
def test_the_nearest_valid_context_is_valid_and_missing_only_when_there_is_none(block_size, text_length):
    def accepted(size):
        return problems(ModelConfig(block_size=size), TrainConfig(), text_length) == {}

    offer = nearest_valid("block_size", ModelConfig(block_size=block_size), text_length)
    if offer is None:
        assert not accepted(1)
    else:
        assert accepted(offer)
        assert offer == block_size or not accepted(block_size)


@given(block_size=st.integers(1, 256), text_length=st.integers(20, 5_000))
def test_the_nearest_valid_context_leaves_a_valid_one_as_it_is(block_size, text_length):
    model = ModelConfig(block_size=block_size)
    assume(not problems(model, TrainConfig(), text_length))
    assert nearest_valid("block_size", model, text_length) == block_size


# ---------------------------------------------------------------- live changes


def test_configurations_cannot_be_changed_in_place():
    with pytest.raises(FrozenInstanceError):
        ModelConfig().n_embd = 8
    with pytest.raises(FrozenInstanceError):
        TrainConfig().learning_rate = 1.0


def test_only_the_learning_rate_and_the_stopping_loss_are_live():
    assert set(LIVE) == {"learning_rate", "stop_at_loss"}


def test_a_live_change_leaves_everything_else_and_the_old_configuration_alone():
    old = TrainConfig()
    new = with_live_changes(ModelConfig(), old, {"learning_rate": 0.5, "stop_at_loss": 2.0})
    assert asdict(new) == asdict(TrainConfig()) | {"learning_rate": 0.5, "stop_at_loss": 2.0}
    assert old == TrainConfig()


@pytest.mark.parametrize("name", sorted(knobs().keys() - {"learning_rate", "stop_at_loss"}))
def test_what_is_not_live_cannot_change(name):
    with pytest.raises(ValueError, match=rf"^{name} cannot change"):
        with_live_changes(ModelConfig(), TrainConfig(), {"learning_rate": 0.5, name: knobs()[name].default})


@pytest.mark.parametrize("wrong", [0, -1.0, 2.0, math.nan, "fast", True])
def test_a_live_change_out_of_range_is_refused_with_the_range(wrong):
    with pytest.raises(ValueError, match=r"learning_rate is .* from 1e-06 to 1"):
        with_live_changes(ModelConfig(), TrainConfig(), {"learning_rate": wrong})
