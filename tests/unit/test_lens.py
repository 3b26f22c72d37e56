"""The logit lens: each layer's prediction, computed independently."""

import pytest
import torch

from microllm.config import ModelConfig
from microllm.insight.lens import lens
from microllm.insight.trace import trace
from microllm.model import MicroLLM
from microllm.sample import NotFinite

SIZE, VOCABULARY = 6, 9


@pytest.fixture
def model() -> MicroLLM:
    config = ModelConfig(block_size=SIZE, n_embd=8, n_head=2, n_layer=3, initialization="torch")
    return MicroLLM(config, VOCABULARY, generator=torch.Generator().manual_seed(1)).eval()


def sentence(length: int) -> torch.Tensor:
    return torch.randint(VOCABULARY, (length,), generator=torch.Generator().manual_seed(length))


@pytest.mark.parametrize("length", [1, 4, SIZE])
def test_its_last_row_is_what_the_model_predicts(model, length):
    ids = sentence(length)
    found = lens(model, trace(model, ids))
    assert found.shape == (4, length, VOCABULARY)
    torch.testing.assert_close(found[-1], model(ids[None])[0][0].log_softmax(-1))


@torch.no_grad()
def test_each_row_is_that_of_a_model_that_ends_there(model):
    ids = sentence(5)
    found, x = lens(model, trace(model, ids)), model.embed(ids[None])[0]
    for level in range(4):
        if level:
            x = model.blocks[level - 1](x[None])[0]
        for place, row in enumerate(x):
            spread = ((row - row.mean()).square().mean() + model.ln_f.eps).sqrt()
            normed = (row - row.mean()) / spread * model.ln_f.weight + model.ln_f.bias
            rows = zip(model.lm_head.weight, model.lm_head.bias, strict=True)
            logits = torch.stack([normed @ weight + bias for weight, bias in rows])
            chances = logits.exp() / logits.exp().sum()
            torch.testing.assert_close(found[level, place].exp(), chances)


def test_in_a_long_sentence_each_character_is_predicted_from_its_own_context(model):
    ids = sentence(15)
    whole = lens(model, trace(model, ids))
    for end in range(1, 16):
        alone = lens(model, trace(model, ids[max(0, end - SIZE) : end]))
        torch.testing.assert_close(whole[:, end - 1], alone[:, -1])


def test_damaged_weights_are_named(model):
    with torch.no_grad():
        model.lm_head.bias[0] = torch.nan
    with pytest.raises(NotFinite):
        lens(model, trace(model, sentence(3)))
