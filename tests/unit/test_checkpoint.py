"""Weights on disk: written whole or not at all, read with suspicion, thinned with care."""

import math
from itertools import pairwise

import pytest
import torch
from safetensors.torch import save_file

from microllm import MicroLLM, ModelConfig
from microllm.runs.weights import WeightsProblem, load_weights, model_from, save_weights, snapshot_is_due, thin

CONFIG = ModelConfig(block_size=8, n_embd=16, n_head=2, n_layer=1, position="learned")
VOCAB_SIZE = 11
SCHEDULE = [step for step in range(100_001) if snapshot_is_due(step)]


@pytest.fixture
def model():
    return MicroLLM(CONFIG, VOCAB_SIZE, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "step-8.safetensors"


def largest_hole(steps: list[int]) -> float:
    """Of log(step), as the timeline draws it."""
    return max(math.log((b + 1) / (a + 1)) for a, b in pairwise(steps))


# The schedule, and what stays of it


def test_snapshots_are_due_at_0_and_8_and_then_twice_a_doubling():
    assert SCHEDULE[:12] == [0, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]
    assert all(c == 2 * a for a, c in zip(SCHEDULE[1:], SCHEDULE[3:], strict=False))


def test_few_snapshots_all_stay():
    assert thin([0, 8, 12], keep=3) == [0, 8, 12]
    assert thin([], keep=3) == []


@pytest.mark.parametrize("keep", [2, 3, 5, 10, 20])
def test_thinning_keeps_the_first_the_last_and_as_many_as_there_may_be(keep):
    kept = thin(SCHEDULE, keep)
    assert (kept[0], kept[-1], len(kept)) == (SCHEDULE[0], SCHEDULE[-1], keep)
    assert set(kept) <= set(SCHEDULE)


@pytest.mark.parametrize("keep", [-1, 0, 1])
def test_the_first_and_the_last_stay_however_small_the_budget(keep):
    assert thin([0, 8, 12, 16], keep) == [0, 16]


def test_the_order_of_the_steps_does_not_matter():
    assert thin([64, 0, 16, 8, 32], 4) == thin([0, 8, 16, 32, 64], 4)


@pytest.mark.parametrize("keep", [5, 8, 12])
def test_what_stays_is_even_on_a_log_axis(keep):
    even = math.log(SCHEDULE[-1] + 1) / (keep - 1)
    smallest_possible = max(even, math.log(9))  # there is nothing between 0 and 8
    assert largest_hole(thin(SCHEDULE, keep)) <= 1.5 * smallest_possible


def test_thinning_at_each_snapshot_is_as_even_as_thinning_at_the_end():
    kept: list[int] = []
    for step in SCHEDULE:
        kept = thin([*kept, step], 8)
    assert largest_hole(kept) <= 2 * largest_hole(thin(SCHEDULE, 8))


# Save and load


def test_weights_come_back_bit_for_bit(model, path):
    save_weights(model.state_dict(), path)
    loaded = load_weights(path, CONFIG, VOCAB_SIZE)
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_a_loaded_model_is_there_to_be_read(model, path):
    save_weights(model.state_dict(), path)
    loaded = load_weights(path, CONFIG, VOCAB_SIZE)
    assert not any(module.training for module in loaded.modules())
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    idx = torch.tensor([[1, 2, 3]])
    assert torch.equal(loaded(idx)[0], model.eval()(idx)[0])


def test_a_tensor_that_is_a_view_is_saved_as_it_looks(model, path):
    state = model.state_dict()
    state["lm_head.weight"] = state["lm_head.weight"].T.contiguous().T
    save_weights(state, path)
    assert torch.equal(load_weights(path, CONFIG, VOCAB_SIZE).lm_head.weight, model.lm_head.weight)


def test_a_model_from_tensors_owns_them(model):
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert model_from(state, CONFIG, VOCAB_SIZE).lm_head.weight.data_ptr() == state["lm_head.weight"].data_ptr()


# Files that cannot be used


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_named(share, model, path):
    save_weights(model.state_dict(), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(WeightsProblem, match=r"^step-8\.safetensors is "):
        load_weights(path, CONFIG, VOCAB_SIZE)


@pytest.mark.parametrize("data", [b"It is a truth universally acknowledged", b"\xff" * 100, b"{}", b"\0" * 100])
def test_a_file_of_something_else_is_named(data, path):
    path.write_bytes(data)
    with pytest.raises(WeightsProblem, match=r"step-8\.safetensors"):
        load_weights(path, CONFIG, VOCAB_SIZE)


def test_a_missing_file_is_named(path):
    with pytest.raises(WeightsProblem, match=r"step-8\.safetensors cannot be read: No such file"):
        load_weights(path, CONFIG, VOCAB_SIZE)


@pytest.mark.parametrize(
    ("config", "vocab_size"),
    [
        (CONFIG, VOCAB_SIZE + 1),
        (ModelConfig(block_size=8, n_embd=32, n_head=2, n_layer=1, position="learned"), VOCAB_SIZE),
        (ModelConfig(block_size=8, n_embd=16, n_head=2, n_layer=2, position="learned"), VOCAB_SIZE),
        (ModelConfig(block_size=16, n_embd=16, n_head=2, n_layer=1, position="learned"), VOCAB_SIZE),
    ],
    ids=["another text", "wider", "deeper", "longer context"],
)
def test_weights_of_another_shape_are_refused(config, vocab_size, model, path):
    save_weights(model.state_dict(), path)
    with pytest.raises(WeightsProblem, match=r"step-8\.safetensors does not fit"):
        load_weights(path, config, vocab_size)


def test_weights_with_one_tensor_too_many_are_refused(model, path):
    save_file(model.state_dict() | {"extra": torch.zeros(1)}, path)
    with pytest.raises(WeightsProblem, match="extra"):
        load_weights(path, CONFIG, VOCAB_SIZE)


def test_a_disk_that_refuses_leaves_the_old_weights(model, path, monkeypatch):
    save_weights(model.state_dict(), path)
    before = path.read_bytes()

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("microllm.storage.os.replace", refuse)
    with pytest.raises(OSError, match="No space left"):
        save_weights({name: tensor + 1 for name, tensor in model.state_dict().items()}, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
