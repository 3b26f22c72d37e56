"""What would not fit is refused before it starts, with what would."""

import re
from dataclasses import replace

import pytest

import microllm.cost
from microllm.__main__ import main
from microllm.config import configs_from
from microllm.cost import free_memory, memory_bytes, memory_problem
from microllm.runs.catalog import all_runs

VOCAB_SIZE = 91
HUGE = {"block_size": 128, "n_embd": 256, "n_head": 4, "n_layer": 8, "batch_size": 256}


@pytest.mark.parametrize("megabytes", [4_000, 1_000, 500, 300])
def test_what_is_suggested_instead_fits(megabytes):
    model, train = configs_from(HUGE)
    said = memory_problem(model, train, VOCAB_SIZE, free=megabytes * 10**6)
    assert f"{memory_bytes(model, train, VOCAB_SIZE) / 1e6:,.0f} MB" in said
    suggested = {name: int(value) for name, value in re.findall(r"(batch_size|n_layer) (\d+)", said)}
    smaller = replace(model, n_layer=suggested.get("n_layer", model.n_layer))
    assert (
        memory_problem(smaller, replace(train, batch_size=suggested["batch_size"]), VOCAB_SIZE, megabytes * 10**6)
        is None
    )


def test_what_fits_is_not_refused():
    model, train = configs_from({})
    assert memory_problem(model, train, VOCAB_SIZE, free=memory_bytes(model, train, VOCAB_SIZE)) is None
    assert memory_problem(model, train, VOCAB_SIZE, free=memory_bytes(model, train, VOCAB_SIZE) - 1)


def test_where_not_even_one_sequence_and_one_layer_fit_the_width_is_named():
    model, train = configs_from(HUGE)
    assert memory_problem(model, train, VOCAB_SIZE, free=10**6).endswith("A smaller n_embd or block_size needs less.")


def test_the_attention_weights_that_relative_positions_keep_are_counted():
    model, train = configs_from({"block_size": 256, "batch_size": 64})
    with_weights = memory_bytes(model, train, VOCAB_SIZE)
    without = memory_bytes(replace(model, position="rotary"), train, VOCAB_SIZE)
    assert with_weights - without >= 4 * model.n_layer * model.n_head * 64 * 256 * 256


def test_the_free_memory_of_this_machine_is_a_plausible_number():
    assert free_memory() is None or 10**7 < free_memory() < 10**14


def test_the_command_line_refuses_with_one_sentence_and_leaves_nothing(monkeypatch, capsys):
    monkeypatch.setattr(microllm.cost, "free_memory", lambda: 20_000_000)
    assert main(["train", "--text", "words-twice", "--max_steps", "1"]) == 2
    said = capsys.readouterr().err
    assert "20 MB are free here" in said and said.count("\n") == 1
    assert all_runs() == []
