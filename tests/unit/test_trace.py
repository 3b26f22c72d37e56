"""What a trace writes down is what the model computes."""

import pytest
import torch
from making import draw_biases

from microllm.config import ModelConfig
from microllm.insight.trace import trace
from microllm.model import MicroLLM

SIZE = 8


RECIPES = [
    {"position": "learned", "lookback": 0, "activation": "relu"},
    {"position": "rotary", "lookback": 0},
    {"position": "none", "lookback": 3},
    {"position": "relative", "lookback": 0},
]


@pytest.fixture(scope="module", params=RECIPES, ids=str)
def model(request) -> MicroLLM:
    config = ModelConfig(block_size=SIZE, n_embd=16, n_head=4, n_layer=3, initialization="torch", **request.param)
    return draw_biases(MicroLLM(config, 11, generator=torch.Generator().manual_seed(1)).eval())


def sentence(length: int) -> torch.Tensor:
    return torch.randint(11, (length,), generator=torch.Generator().manual_seed(length))


@pytest.mark.parametrize("length", [1, 3, SIZE])
def test_the_traced_scores_are_the_model_s(model, length):
    idx = sentence(length)
    torch.testing.assert_close(trace(model, idx).logits, model(idx[None])[0][0])


@pytest.mark.parametrize("length", [1, 5, SIZE, SIZE + 1, 60])
def test_every_row_of_a_pattern_sums_to_one_and_is_zero_in_the_future_and_beyond_the_context(model, length):
    pattern = trace(model, sentence(length)).pattern
    assert pattern.shape == (3, 4, length, length)
    torch.testing.assert_close(pattern.sum(-1), torch.ones(3, 4, length))
    for query in range(length):
        in_sight = set(range(max(0, query + 1 - SIZE), query + 1))
        assert (pattern[:, :, query, sorted(in_sight)] > 0).all()
        assert (pattern[:, :, query, sorted(set(range(length)) - in_sight)] == 0).all()


def test_the_patterns_are_where_the_fused_attention_looked(model):
    idx = sentence(SIZE)
    pattern, x = trace(model, idx).pattern, model.embed(idx[None])
    for block, looks in zip(model.blocks, pattern, strict=True):
        normed = block.ln1(x)
        values = block.attention.qkv(normed)[0, :, 32:].view(SIZE, 4, 4)  # (T, H, D)
        found = torch.einsum("hqk,khd->qhd", looks, values).reshape(SIZE, 16)
        torch.testing.assert_close(block.attention.proj(found)[None], block.attention(normed))
        x = block(x)


@pytest.mark.parametrize("length", [SIZE + 1, 39, 40, 41, 75])  # around one and two rounds of 32 windows
def test_in_a_long_sentence_each_row_is_that_of_its_own_last_characters(model, length):
    idx = sentence(length)
    whole = trace(model, idx)
    assert whole.logits.shape == (length, 11)
    for end in range(1, length + 1):
        start = max(0, end - SIZE)
        alone = trace(model, idx[start:end])
        torch.testing.assert_close(whole.logits[end - 1], alone.logits[-1])
        torch.testing.assert_close(whole.pattern[:, :, end - 1, start:end], alone.pattern[:, :, -1])


def test_an_empty_sentence_is_refused(model):
    with pytest.raises(ValueError, match="at least one character"):
        trace(model, sentence(0))


def test_a_trace_keeps_no_gradients_and_changes_nothing(model):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    seen = trace(model, sentence(12))
    assert not seen.logits.requires_grad and not seen.pattern.requires_grad
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_a_model_without_a_causal_mask_attends_to_the_future():
    config = ModelConfig(block_size=SIZE, n_embd=16, n_head=4, n_layer=2, initialization="torch", causal=False)
    cheat, idx = MicroLLM(config, 11).eval(), sentence(5)
    traced = trace(cheat, idx)
    assert (traced.pattern > 0).all()
    torch.testing.assert_close(traced.pattern.sum(-1), torch.ones(2, 4, 5))
    torch.testing.assert_close(traced.logits, cheat(idx[None])[0][0])
    long = sentence(SIZE + 5)
    whole = trace(cheat, long)
    for end in range(SIZE + 1, SIZE + 6):
        alone = trace(cheat, long[end - SIZE : end])
        torch.testing.assert_close(whole.logits[end - 1], alone.logits[-1])
        torch.testing.assert_close(whole.pattern[:, :, end - 1, end - SIZE : end], alone.pattern[:, :, -1])


@pytest.mark.parametrize("length", [1, SIZE, SIZE + 5])
def test_each_value_follows_from_the_ones_before_it(model, length):
    traced, C = trace(model, sentence(length)).blocks, model.config.n_embd
    assert traced.resid_pre.shape == traced.resid_post.shape == (3, length, C)
    assert traced.q.shape == traced.k.shape == traced.v.shape == traced.z.shape == (3, 4, length, C // 4)
    assert traced.mlp_pre.shape == traced.mlp_post.shape == (3, length, 4 * C)
    torch.testing.assert_close(traced.pattern, traced.attn_scores.softmax(-1))
    torch.testing.assert_close(traced.resid_mid, traced.resid_pre + traced.attn_out)
    torch.testing.assert_close(traced.resid_post, traced.resid_mid + traced.mlp_out)
    torch.testing.assert_close(traced.resid_pre[1:], traced.resid_post[:-1])
    positive = traced.mlp_pre.clamp(min=0)
    torch.testing.assert_close(traced.mlp_post, positive**2 if model.config.activation == "relu2" else positive)
    for i, block in enumerate(model.blocks):
        mixed = traced.z[i].transpose(0, 1).flatten(1) @ block.attention.proj.weight.T + block.attention.proj.bias
        torch.testing.assert_close(traced.attn_out[i], mixed)
        hidden = traced.mlp_post[i] @ block.feed_forward.proj.weight.T + block.feed_forward.proj.bias
        torch.testing.assert_close(traced.mlp_out[i], hidden)


def test_queries_keys_and_values_are_those_of_the_readable_heads(model):
    traced = trace(model, sentence(SIZE)).blocks
    for i, block in enumerate(model.blocks):
        normed = block.ln1(traced.resid_pre[i][None])
        for h, head in enumerate(block.attention.heads):
            out, weights = head(normed)
            torch.testing.assert_close(traced.z[i, h], out[0])
            torch.testing.assert_close(traced.pattern[i, h], weights[0])
            torch.testing.assert_close(traced.v[i, h], (normed @ head.value.T)[0])


@pytest.mark.parametrize("length", [1, 3, SIZE, SIZE + 3, 45])
def test_the_residual_stream_begins_as_the_sum_of_the_embeddings_and_ends_in_the_logits(model, length):
    idx = sentence(length)
    traced = trace(model, idx)
    assert (traced.previous_embed is None) == (not model.config.lookback)
    assert (traced.position_embed is None) == (model.config.position != "learned")
    terms = [traced.token_embed, traced.previous_embed, traced.position_embed]
    torch.testing.assert_close(traced.blocks.resid_pre[0], sum(term for term in terms if term is not None))
    torch.testing.assert_close(traced.token_embed, model.token_embedding.weight[idx])
    torch.testing.assert_close(traced.ln_f, model.ln_f(traced.blocks.resid_post[-1]))
    torch.testing.assert_close(traced.logits, model.lm_head(traced.ln_f))
    for i, block in enumerate(model.blocks):
        torch.testing.assert_close(traced.blocks.ln1[i], block.ln1(traced.blocks.resid_pre[i]))
        torch.testing.assert_close(traced.blocks.ln2[i], block.ln2(traced.blocks.resid_mid[i]))
