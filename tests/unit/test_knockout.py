"""A copy of a model with some heads knocked out does what the readable heads do with those left out."""

import copy

import pytest
import torch
from making import draw_biases

from microllm.config import ModelConfig
from microllm.insight.knockout import knocked_out, mean_outputs
from microllm.model import MicroLLM

CONFIG = ModelConfig(block_size=6, n_embd=12, n_head=3, n_layer=2, initialization="torch", position="relative")
HEADS = [(0, 1), (1, 0), (1, 2)]


@pytest.fixture
def model() -> MicroLLM:
    return draw_biases(MicroLLM(CONFIG, 7, generator=torch.Generator().manual_seed(1)).eval())


def some_windows(seed: int = 0) -> torch.Tensor:
    return torch.randint(7, (5, 6), generator=torch.Generator().manual_seed(seed))


def by_hand(model: MicroLLM, idx: torch.Tensor, instead: dict[tuple[int, int], torch.Tensor]) -> torch.Tensor:
    """The logits, from the readable heads one after another, with other outputs for some."""
    x = model.embed(idx)
    for layer, block in enumerate(model.blocks):
        found = [head(block.ln1(x))[0] for head in block.attention.heads]
        for head in range(3):
            if (layer, head) in instead:
                found[head] = instead[layer, head].expand_as(found[head])
        x = x + block.attention.proj(torch.cat(found, dim=-1))
        x = x + block.feed_forward(block.ln2(x))
    return model.lm_head(model.ln_f(x))


def test_a_silenced_head_says_nothing(model):
    idx = some_windows()
    found, _ = knocked_out(model, HEADS)(idx)
    torch.testing.assert_close(found, by_hand(model, idx, dict.fromkeys(HEADS, torch.zeros(4))))


def test_a_head_replaced_by_its_mean_says_what_it_says_on_average_over_the_passage(model):
    passage, idx = some_windows(1), some_windows()
    means, x = mean_outputs(model, passage), model.embed(passage)
    for layer, block in enumerate(model.blocks):
        for head, found in enumerate(block.attention.heads):
            torch.testing.assert_close(means[layer, head], found(block.ln1(x))[0].flatten(0, 1).mean(0))
        x = block(x)
    found, _ = knocked_out(model, HEADS, means)(idx)
    torch.testing.assert_close(found, by_hand(model, idx, {place: means[place] for place in HEADS}))


def test_a_head_that_does_not_exist_is_refused(model):
    with pytest.raises(IndexError):
        knocked_out(model, [(0, 3)])


def test_the_model_itself_stays_as_it_is(model):
    before = copy.deepcopy(model.state_dict())
    assert not torch.equal(knocked_out(model, HEADS)(some_windows())[0], model(some_windows())[0])
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
