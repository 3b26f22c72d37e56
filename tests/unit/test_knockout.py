"""A copy of a model with some parts knocked out does what the readable parts do with those left out."""

import copy
import itertools
import math
import statistics

import pytest
import torch
from making import draw_biases

from microllm import inference
from microllm.config import ModelConfig
from microllm.insight.knockout import (
    Part,
    change,
    knock_out,
    mean_outputs,
    parts_of,
    standing_in,
    window_losses,
)
from microllm.model import MicroLLM

SIZES = {"block_size": 6, "n_embd": 12, "n_head": 3, "n_layer": 2, "initialization": "torch"}
CONFIG = ModelConfig(**SIZES, position="relative")
PARTS = [Part(0, 1), Part(1, 0), Part(1, 2), Part(1, None)]
VOCABULARY = 7


def made(config: ModelConfig) -> MicroLLM:
    return draw_biases(MicroLLM(config, VOCABULARY, generator=torch.Generator().manual_seed(1)).eval())


@pytest.fixture
def model() -> MicroLLM:
    return made(CONFIG)


def some_windows(seed: int = 0, number: int = 5) -> torch.Tensor:
    return torch.randint(VOCABULARY, (number, 6), generator=torch.Generator().manual_seed(seed))


def by_hand(model: MicroLLM, idx: torch.Tensor, instead: dict[Part, torch.Tensor]) -> torch.Tensor:
    """The logits, from the readable heads one after another, with other outputs for some parts."""
    x = model.embed(idx)
    for layer, block in enumerate(model.blocks):
        found = [head(block.ln1(x))[0] for head in block.attention.heads]
        for head in range(3):
            if Part(layer, head) in instead:
                found[head] = instead[Part(layer, head)].expand_as(found[head])
        x = x + block.attention.proj(torch.cat(found, dim=-1))
        added = block.feed_forward(block.ln2(x))
        x = x + instead.get(Part(layer, None), added).expand_as(added)
    return model.lm_head(model.ln_f(x))


def means_by_hand(model: MicroLLM, passage: torch.Tensor) -> dict[Part, torch.Tensor]:
    """The mean output of each part, from the sums over single characters."""
    x, found = model.embed(passage), {}
    for layer, block in enumerate(model.blocks):
        outputs = {Part(layer, head): each(block.ln1(x))[0] for head, each in enumerate(block.attention.heads)}
        x = x + block.attention(block.ln1(x))
        outputs[Part(layer, None)] = block.feed_forward(block.ln2(x))
        x = x + outputs[Part(layer, None)]
        for part, output in outputs.items():
            found[part] = sum(output.flatten(0, 1).unbind()) / passage.numel()
    return found


@pytest.mark.parametrize(
    "changes",
    [
        {"position": "relative"},
        {"position": "learned"},
        {"position": "rotary", "lookback": 2},
        {"position": "none", "activation": "relu2"},
        {"position": "relative", "causal": False},
    ],
    ids=str,
)
def test_parts_are_left_out_or_replaced_by_their_mean_in_every_kind_of_model(changes):
    model = made(ModelConfig(**SIZES, **changes))
    idx, passage = some_windows(), some_windows(1)
    silent = {part: torch.zeros(12 if part.head is None else 4) for part in PARTS}
    torch.testing.assert_close(knock_out(model, PARTS)(idx)[0], by_hand(model, idx, silent))
    means = means_by_hand(model, passage)
    found, _ = knock_out(model, PARTS, mean_outputs(model, passage))(idx)
    torch.testing.assert_close(found, by_hand(model, idx, {part: means[part] for part in PARTS}))
    assert not torch.equal(found, model(idx)[0])


def test_the_means_of_many_windows_are_those_of_all_their_characters(model):
    passage, batches = some_windows(number=400), []
    means = mean_outputs(model, passage, lambda: batches.append(1))
    assert len(batches) > 1
    for part, expected in means_by_hand(model, passage).items():
        found = means.feed_forward[part.layer] if part.head is None else means.heads[part.layer, part.head]
        torch.testing.assert_close(found, expected)


def test_a_model_without_any_of_its_parts_knows_only_the_character_itself(model):
    (alone, _), idx = knock_out(model, parts_of(CONFIG))(some_windows()), some_windows()
    for (b, t), (c, u) in itertools.combinations(itertools.product(range(5), range(6)), 2):
        assert torch.equal(alone[b, t], alone[c, u]) == (idx[b, t] == idx[c, u]).item()


@pytest.mark.parametrize("part", [Part(0, 3), Part(2, 0), Part(2, None), Part(-1, 0), Part(0, -1)], ids=repr)
def test_a_part_that_does_not_exist_is_refused_by_name(model, part):
    with pytest.raises(IndexError, match=r"2 layers of 3 heads"):
        knock_out(model, [part])


def test_the_model_itself_stays_as_it_is(model):
    before = copy.deepcopy(model.state_dict())
    assert not torch.equal(knock_out(model, PARTS)(some_windows())[0], model(some_windows())[0])
    knock_out(model, PARTS, mean_outputs(model, some_windows(1)))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    changed = {id(parameter) for parameter in knock_out(model, PARTS).parameters()}
    assert not changed & {id(parameter) for parameter in model.parameters()}


def test_the_copy_writes_with_a_cache_what_it_writes_without(model):
    changed, idx = knock_out(model, PARTS, mean_outputs(model, some_windows(1))), some_windows()[:1]
    written = changed.generate(idx, 40, seed=5)
    assert torch.equal(inference.generate(changed, idx, 40, seed=5), written)
    assert not torch.equal(model.generate(idx, 40, seed=5), written)


def test_a_part_is_named_from_one_and_read_back():
    assert [str(part) for part in parts_of(CONFIG)] == ["1.1", "1.2", "1.3", "1.ff", "2.1", "2.2", "2.3", "2.ff"]
    assert [Part.parse(str(part)) for part in parts_of(CONFIG)] == parts_of(CONFIG) == sorted(parts_of(CONFIG)[::-1])


@pytest.mark.parametrize(
    "text", ["", "2", "2.", "0.1", "1.0", "2.fff", "-1.2", "1.2.3", " 1.2", "1.2\n", "9999.1", "٢.1"]
)
def test_other_text_is_no_part(text):
    with pytest.raises(ValueError, match=r"2\.ff"):
        Part.parse(text)


def test_a_change_of_the_loss_is_the_mean_over_windows_with_its_standard_error(model):
    inputs, targets, other = some_windows(number=400), some_windows(2, number=400), knock_out(model, PARTS)
    found = change(window_losses(model, inputs, targets), window_losses(other, inputs, targets))
    differences = []
    for row, targets_of_row in zip(inputs, targets, strict=True):
        losses = [each(row[None], targets_of_row[None])[1].item() for each in (model, other)]
        differences.append(losses[1] - losses[0])
    assert found.nats == pytest.approx(statistics.mean(differences), abs=1e-6)
    assert found.error == pytest.approx(statistics.stdev(differences) / math.sqrt(400), rel=1e-3)
    assert found.nats == pytest.approx((other(inputs, targets)[1] - model(inputs, targets)[1]).item(), abs=1e-5)


def test_one_window_tells_nothing_about_the_noise(model):
    inputs, targets = some_windows(number=1), some_windows(2, number=1)
    losses = window_losses(model, inputs, targets)
    assert change(losses, losses + 1).nats == pytest.approx(1)
    assert change(losses, losses + 1).error is None


def test_a_part_that_stands_in_for_another_shows_only_when_both_are_out():
    whole, alone, both = (torch.tensor([1.0, 2.0, 4.0]) + rise for rise in (0.0, 0.1, 0.9))
    assert standing_in(whole, alone, alone, both).nats == pytest.approx(0.7)
    assert standing_in(whole, alone, alone, both).error == pytest.approx(0, abs=1e-6)
    assert standing_in(whole, alone, alone, 2 * alone - whole).nats == pytest.approx(0)
