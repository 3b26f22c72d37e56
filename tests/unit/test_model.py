"""The model against slow arithmetic of the tests' own: attention, causality, gradients, dropout, start weights."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from making import draw_biases
from torch.nn import functional as F

from microllm.config import PRESETS, ModelConfig
from microllm.model import (
    Block,
    Cache,
    Dropout,
    FeedForward,
    Head,
    MicroLLM,
    MultiHeadAttention,
    apply_rotary,
    attend,
    parameter_count,
)

SMALL = ModelConfig(
    block_size=6,
    n_embd=12,
    n_head=3,
    n_layer=2,
    position="learned",
    lookback=0,
    activation="relu",
    initialization="torch",
)
V = 7

# one ingredient at a time, and all together
RECIPES = [
    {},
    {"position": "none"},
    {"position": "rotary"},
    {"position": "relative"},
    {"position": "relative", "causal": False},
    {"lookback": 1},
    {"lookback": 8},
    {"activation": "relu2"},
    {"causal": False},
    {"silenced": "1.1 1.3 2.2"},
    {"position": "rotary", "lookback": 3, "activation": "relu2"},
]
each_recipe = pytest.mark.parametrize("recipe", RECIPES, ids=str)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small_model(seed: int = 0, **changes) -> MicroLLM:
    return draw_biases(MicroLLM(replace(SMALL, **changes), V, generator=rng(seed)).eval())


def some_idx(batch: int = 2, length: int = 6, seed: int = 0) -> torch.Tensor:
    return torch.randint(V, (batch, length), generator=rng(seed))


# ---------------------------------------------------------------- attention


def turned(vector: list[float], place: int) -> list[float]:
    """Rotary positions with sines and cosines: numbers 2i and 2i + 1 turn by place / 10,000^(2i / D)."""
    out = []
    for i in range(0, len(vector), 2):
        angle = place / 10_000 ** (i / len(vector))
        a, b = vector[i : i + 2]
        out += [a * math.cos(angle) - b * math.sin(angle), a * math.sin(angle) + b * math.cos(angle)]
    return out


def loop_attention(
    x: list[list[float]], query, key, value, causal=True, rotary=False, bias=None
) -> tuple[list[list[float]], list[list[float]]]:
    """One head for one sequence in plain Python: what each character finds, and where it looks."""

    def times(matrix, place):
        return [sum(w * a for w, a in zip(row, x[place], strict=True)) for row in matrix]

    turn = turned if rotary else lambda vector, place: vector
    found, looks = [], []
    for t in range(len(x)):
        q = turn(times(query, t), t)
        scores = []
        for s in range(t + 1 if causal else len(x)):
            k = turn(times(key, s), s)
            match = sum(a * b for a, b in zip(q, k, strict=True)) / math.sqrt(len(q))
            scores.append(match + (0.0 if bias is None else bias[t - s]))  # from the end of the list if s is later
        exps = [math.exp(score) for score in scores]
        weights = [e / sum(exps) for e in exps]
        values = [times(value, s) for s in range(len(scores))]
        found.append([sum(w * v[d] for w, v in zip(weights, values, strict=True)) for d in range(len(q))])
        looks.append(weights + [0.0] * (len(x) - len(scores)))
    return found, looks


@pytest.mark.parametrize(
    "ways", [{}, {"causal": False}, {"rotary": True}, {"bias": 6}, {"bias": 11, "causal": False}], ids=str
)
def test_a_head_is_softmax_attention_written_with_loops(ways):
    if "bias" in ways:
        ways = ways | {"bias": torch.randn(ways["bias"], generator=rng(3), dtype=torch.float64)}
    query, key, value = torch.randn(3, 4, 12, generator=rng(1), dtype=torch.float64)
    x = torch.randn(2, 6, 12, generator=rng(2), dtype=torch.float64)
    out, weights = Head(query, key, value, **ways)(x)
    for b in range(2):
        plain = {name: way.tolist() if name == "bias" else way for name, way in ways.items()}
        found, looks = loop_attention(x[b].tolist(), query.tolist(), key.tolist(), value.tolist(), **plain)
        torch.testing.assert_close(out[b], torch.tensor(found, dtype=torch.float64), atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(weights[b], torch.tensor(looks, dtype=torch.float64), atol=1e-6, rtol=1e-6)


def test_where_a_character_looks_sums_to_one_and_is_zero_in_the_future():
    x = 30 * torch.randn(2, 6, 12, generator=rng())  # large scores too
    for head in small_model().blocks[0].attention.heads:
        _, weights = head(x)
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 6))
        assert (weights >= 0).all()
        assert (weights.triu(1) == 0).all()


def slow_attention(attention: MultiHeadAttention, x: torch.Tensor) -> torch.Tensor:
    """The same attention, head by head, from the readable ones."""
    out = [
        torch.zeros_like(x[..., :4]) if h in attention.silenced else head(x)[0]
        for h, head in enumerate(attention.heads)
    ]
    return attention.proj(torch.cat(out, dim=-1))


@each_recipe
def test_fused_attention_and_the_readable_heads_find_the_same(recipe):
    attention = small_model(**recipe).blocks[0].attention.double()
    x = torch.randn(2, 6, 12, generator=rng(1), dtype=torch.float64)
    torch.testing.assert_close(attention(x), slow_attention(attention, x))


@each_recipe
def test_fused_attention_and_the_readable_heads_have_the_same_gradients(recipe):
    attention = small_model(**recipe).blocks[0].attention.double()
    x = torch.randn(2, 6, 12, generator=rng(1), dtype=torch.float64, requires_grad=True)
    toward = torch.randn(2, 6, 12, generator=rng(2), dtype=torch.float64)
    inputs = [x, *attention.parameters()]
    fast = torch.autograd.grad((attention(x) * toward).sum(), inputs)
    slow = torch.autograd.grad((slow_attention(attention, x) * toward).sum(), inputs)
    assert all(gradient.abs().max() > 1e-3 for gradient in fast)
    torch.testing.assert_close(fast, slow)


def test_a_change_of_the_trained_weights_is_a_change_of_the_readable_heads():
    attention = small_model().blocks[0].attention
    heads = attention.heads
    for matrix in (heads[1].query, heads[1].key, heads[1].value):
        assert matrix.untyped_storage().data_ptr() == attention.qkv.weight.untyped_storage().data_ptr()
    with torch.no_grad():
        attention.qkv.weight.zero_()
    assert (heads[2].value == 0).all()


def test_the_readable_heads_cover_each_weight_once_and_register_nothing():
    attention = small_model().blocks[0].attention
    before = [name for name, _ in attention.named_parameters()]
    matrices = [m for head in attention.heads for m in (head.query, head.key, head.value)]
    assert sorted(x for m in matrices for x in m.flatten().tolist()) == sorted(attention.qkv.weight.flatten().tolist())
    assert [name for name, _ in attention.named_parameters()] == before == ["qkv.weight", "proj.weight", "proj.bias"]
    assert not attention.state_dict().keys() - set(before)


# ---------------------------------------------------------------- the whole model


def by_hand(model: MicroLLM, idx: list[int]) -> torch.Tensor:
    """The whole forward pass for one sequence, from the weights alone and with no module of torch's."""
    w = {name: parameter.detach().double() for name, parameter in model.named_parameters()}
    config = model.config

    def linear(x, name):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x, name):
        x = x - x.mean(-1, keepdim=True)
        return x / ((x**2).mean(-1, keepdim=True) + 1e-5).sqrt() * w[f"{name}.weight"] + w[f"{name}.bias"]

    rows = []
    for t, character in enumerate(idx):
        row = w["token_embedding.weight"][character].clone()
        for back in range(1, config.lookback + 1):  # the table of the farthest place comes first
            neighbour = idx[t - back] if t >= back else V
            row += w["lookback_embedding.weight"][(config.lookback - back) * (V + 1) + neighbour]
        if config.position == "learned":
            row += w["position_embedding.weight"][t]
        rows.append(row)
    x = torch.stack(rows)
    for layer in range(config.n_layer):
        block = f"blocks.{layer}"
        matrices, found = w[f"{block}.attention.qkv.weight"].split(config.n_embd), []
        for h in range(config.n_head):
            rows = slice(h * config.head_size, (h + 1) * config.head_size)
            out, _ = loop_attention(
                norm(x, f"{block}.ln1").tolist(),
                *(matrix[rows].tolist() for matrix in matrices),
                causal=config.causal,
                rotary=config.position == "rotary",
                bias=(10 * w[f"{block}.attention.relative_bias"][h]).tolist()
                if config.position == "relative"
                else None,
            )
            is_silent = f"{layer + 1}.{h + 1}" in config.silenced.split()
            found.append(torch.tensor(out, dtype=torch.float64) * (0 if is_silent else 1))
        x = x + linear(torch.cat(found, dim=-1), f"{block}.attention.proj")
        wide = linear(norm(x, f"{block}.ln2"), f"{block}.feed_forward.expand")
        wide = torch.where(wide > 0, wide, 0.0) ** (2 if config.activation == "relu2" else 1)
        x = x + linear(wide, f"{block}.feed_forward.proj")
    return linear(norm(x, "ln_f"), "lm_head")


@each_recipe
def test_the_scores_are_those_of_the_arithmetic_written_out(recipe):
    model, noise = small_model(**recipe), rng(3)
    with torch.no_grad():  # away from 1 and 0, so that no LayerNorm can hide
        for name, parameter in model.named_parameters():
            if "ln" in name:
                parameter.add_(torch.randn(parameter.shape, generator=noise) / 4)
    idx = some_idx()
    logits, _ = model(idx)
    assert logits.shape == (2, 6, V)
    for row, sequence in zip(logits, idx.tolist(), strict=True):
        torch.testing.assert_close(row.double(), by_hand(model, sequence), atol=1e-5, rtol=1e-5)


def test_the_loss_is_the_mean_surprise_at_the_targets():
    model, idx, targets = small_model(), some_idx(seed=1), some_idx(seed=2)
    logits, loss = model(idx, targets)
    surprises = []
    for scores, target in zip(logits.flatten(0, 1).tolist(), targets.flatten().tolist(), strict=True):
        surprises.append(math.log(sum(math.exp(score) for score in scores)) - scores[target])
    assert loss.item() == pytest.approx(sum(surprises) / 12, abs=1e-6)
    assert torch.equal(model(idx)[0], logits)
    assert model(idx)[1] is None


def honest(recipes: list[dict]) -> list[dict]:
    return [recipe for recipe in recipes if recipe.get("causal", True)]


@pytest.mark.parametrize("recipe", honest(RECIPES), ids=str)
def test_a_character_cannot_see_the_future(recipe):
    model, seen = small_model(**recipe), []
    model.token_embedding.register_forward_hook(lambda module, inputs, output: seen.append(output))
    logits, _ = model(some_idx())
    for t in range(6):
        (gradient,) = torch.autograd.grad(logits[:, t].square().sum(), seen[0], retain_graph=True)
        assert (gradient[:, t + 1 :] == 0).all()
        assert (gradient[:, : t + 1].abs().amax(-1) > 0).all()  # and it does see all of the past


@pytest.mark.parametrize("recipe", honest(RECIPES), ids=str)
def test_what_comes_later_changes_no_score(recipe):
    model, idx = small_model(**recipe), some_idx()
    changed = idx.clone()
    changed[:, 3:] = (changed[:, 3:] + 1) % V
    torch.testing.assert_close(model(idx)[0][:, :3], model(changed)[0][:, :3])


def test_a_model_that_cheats_sees_the_answer():
    model, idx = small_model(causal=False), some_idx()
    changed = idx.clone()
    changed[:, 1] = (changed[:, 1] + 1) % V
    assert not torch.allclose(model(idx)[0][:, 0], model(changed)[0][:, 0], atol=1e-3)


def test_rotary_positions_count_the_distance_and_not_the_place():
    q, k = torch.randn(2, 1, 8, generator=rng(), dtype=torch.float64)
    matches = {}
    for i in range(5):
        for j in range(5):
            match = (apply_rotary(q, start=i) * apply_rotary(k, start=j)).sum().item()
            assert matches.setdefault(i - j, match) == pytest.approx(match, abs=1e-5)
    assert max(matches.values()) - min(matches.values()) > 0.1
    assert apply_rotary(q, start=3).norm().item() == pytest.approx(q.norm().item(), rel=1e-6)


def test_relative_positions_start_with_a_weak_preference_per_head_and_learn():
    model, idx = MicroLLM(replace(SMALL, position="relative"), V, generator=rng()), some_idx()
    for h, head in enumerate(model.blocks[0].attention.heads):
        weights = head(torch.zeros(1, 6, 12))[1][0, -1].flip(-1)  # by distance; equal characters
        expected = [math.e**3 if back == h + 1 else 1.0 for back in range(6)]
        assert weights.tolist() == pytest.approx([share / sum(expected) for share in expected])
    model(idx, idx)[1].backward()
    assert (model.blocks[0].attention.relative_bias.grad.abs() > 0).all()


@pytest.mark.parametrize("block_size", [1, 2, 3])
def test_a_context_shorter_than_the_heads_are_many_starts_too(block_size):
    model = MicroLLM(replace(SMALL, position="relative", block_size=block_size), V)
    logits, _ = model(some_idx(length=block_size))
    assert logits.isfinite().all()


def test_a_bias_of_one_distance_is_attention_to_that_distance():
    model = small_model(position="relative")
    with torch.no_grad():
        model.blocks[0].attention.relative_bias.zero_()[1, 2] = 10.0
    _, weights = model.blocks[0].attention.heads[1](torch.randn(1, 6, 12, generator=rng()))
    assert (weights[0].diagonal(-2) > 0.999).all()


def test_relative_positions_without_a_causal_mask_tell_later_characters_from_earlier_ones():
    model = small_model(position="relative", causal=False)
    with torch.no_grad():
        model.blocks[0].attention.relative_bias.zero_()[1, -2] = 10.0
    _, weights = model.blocks[0].attention.heads[1](torch.randn(1, 6, 12, generator=rng()))
    assert (weights[0].diagonal(2) > 0.999).all()


@pytest.mark.parametrize("bias", [None, torch.randn(2, 4, 4, generator=rng(1))], ids=["fused", "bias"])
def test_attention_under_bfloat16_is_computed_in_float32(bias):
    q, k, v = torch.randn(3, 1, 2, 4, 8, generator=rng()).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = attend(q, k, v, causal=False, bias=bias)
    expected = attend(q.float(), k.float(), v.float(), causal=False, bias=bias)
    assert found.dtype == torch.float32 and torch.equal(found, expected)


def test_lookback_hands_over_the_neighbours_and_nobody_farther_away():
    model, seen = small_model(lookback=2), []
    idx = some_idx()
    x = model.embed(idx)
    for t in range(6):
        changed = idx.clone()
        changed[:, t] = (changed[:, t] + 1) % V
        different = (model.embed(changed) != x).any(-1).all(0)
        seen.append(different.nonzero().flatten().tolist())
    assert seen == [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5], [5]]


def test_embedding_the_rest_of_a_context_is_the_rest_of_its_embedding():
    for recipe in ({}, {"lookback": 1}, {"lookback": 3}, {"lookback": 8}):
        model, idx = small_model(**recipe), some_idx()
        for start in range(6):
            torch.testing.assert_close(model.embed(idx[:, start:], before=idx[:, :start]), model.embed(idx)[:, start:])


def test_a_sequence_cannot_see_its_neighbours_in_the_batch():
    model, seen = small_model(), []
    model.token_embedding.register_forward_hook(lambda module, inputs, output: seen.append(output))
    logits, _ = model(some_idx())
    (gradient,) = torch.autograd.grad(logits[0].square().sum(), seen[0])
    assert (gradient[1] == 0).all() and (gradient[0] != 0).any()


def test_the_same_character_is_something_else_at_another_place():
    logits, _ = small_model()(torch.zeros(1, 6, dtype=torch.long))
    assert not torch.allclose(logits[0, 0], logits[0, 1], atol=0.01)


@pytest.mark.parametrize("recipe", honest(RECIPES), ids=str)
def test_a_shorter_text_gives_the_same_scores_as_the_beginning_of_a_longer_one(recipe):
    model, idx = small_model(**recipe), some_idx()
    torch.testing.assert_close(model(idx[:, :3])[0], model(idx)[0][:, :3])


def test_more_characters_than_the_context_holds_are_refused_with_both_numbers():
    with pytest.raises(ValueError, match=r"\b7\b.*\b6\b"):
        small_model()(torch.zeros(1, 7, dtype=torch.long))


@each_recipe
def test_the_gradient_of_the_loss_is_its_slope(recipe):
    model, idx, targets = small_model(**recipe).double(), some_idx(seed=1), some_idx(seed=2)
    model(idx, targets)[1].backward()
    width = 1e-6
    for name, parameter in model.named_parameters():
        flat, gradient = parameter.data.view(-1), parameter.grad.view(-1)
        for i in torch.randint(len(flat), (4,), generator=rng(len(flat))).tolist():
            here, losses = flat[i].item(), []
            for flat[i] in (here + width, here - width):
                losses.append(model(idx, targets)[1].item())
            flat[i] = here
            slope = (losses[0] - losses[1]) / (2 * width)
            assert gradient[i].item() == pytest.approx(slope, rel=1e-5, abs=1e-8), name


# ---------------------------------------------------------------- its size


@pytest.mark.parametrize(
    "config",
    [SMALL, PRESETS["quick"].model, PRESETS["article"].model, replace(PRESETS["quick"].model, causal=False)],
    ids=str,
)
def test_the_number_of_parameters_is_that_of_the_formula(config):
    C, T = config.n_embd, config.block_size
    attention = 3 * C * C + (C * C + C)
    feed_forward = (C * 4 * C + 4 * C) + (4 * C * C + C)
    layer = 2 * C + attention + 2 * C + feed_forward
    embedding = 91 * C + (T * C if config.position == "learned" else 0) + config.lookback * 92 * C
    layer += config.n_head * (T if config.causal else 2 * T - 1) if config.position == "relative" else 0
    assert parameter_count(config, 91) == embedding + config.n_layer * layer + 2 * C + (C * 91 + 91)
    assert parameter_count(config, 91) == sum(p.numel() for p in MicroLLM(config, 91).parameters())


def test_the_article_s_model_has_as_many_parameters_as_counted_by_hand():
    # 91*32 + 8*32 + 3 * (64 + 3072 + 1056 + 64 + 4224 + 4128) + 64 + 32*91 + 91
    assert parameter_count(PRESETS["article"].model, 91) == 44_059


def test_counting_the_parameters_of_a_huge_model_allocates_nothing():
    huge = ModelConfig(block_size=2**20, n_embd=2**20, n_head=16, n_layer=12)
    assert parameter_count(huge, 2**20) > 12 * 12 * 2**40  # half a petabyte
    assert all(p.is_meta for p in MicroLLM(huge, 2**20, device="meta").parameters())


# ---------------------------------------------------------------- start weights


def test_building_and_calling_a_model_leaves_the_global_random_state_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    small_model()(some_idx(), some_idx())
    assert torch.equal(torch.get_rng_state(), before)


def test_the_start_weights_are_a_function_of_the_generator_alone():
    first = small_model(seed=1).state_dict()
    torch.manual_seed(99)
    again, other = small_model(seed=1).state_dict(), small_model(seed=2).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["blocks.0.attention.qkv.weight"], other["blocks.0.attention.qkv.weight"])


@pytest.mark.parametrize("initialization", ["torch", "zero"])
@pytest.mark.parametrize("position", ["learned", "relative"])
def test_the_start_weights_have_the_ranges_of_the_table(initialization, position):
    config = ModelConfig(n_embd=64, n_head=4, n_layer=2, position=position, initialization=initialization)
    model = MicroLLM(replace(config, block_size=64), 91)
    for name, parameter in model.named_parameters():
        values = parameter.detach().double()
        if "embedding" in name:  # normal
            deviation = 0.3 if "lookback" in name else 1
            assert abs(values.mean()) < 5 * deviation / math.sqrt(values.numel())
            assert values.std().item() == pytest.approx(deviation, rel=0.05)
            assert 3 * deviation < values.abs().max() < 6 * deviation
        elif name.endswith("relative_bias"):  # head i prefers distance i + 1
            expected = torch.zeros(4, 64, dtype=torch.float64)
            expected[range(4), range(1, 5)] = 3 / 10
            torch.testing.assert_close(values, expected, rtol=1e-6, atol=0)
        elif "ln" in name:
            assert (values == (1 if name.endswith("weight") else 0)).all()
        elif initialization == "zero" and ("proj" in name or "head" in name):
            assert (values == 0).all()
        else:  # uniform within 1 / sqrt(inputs)
            bound = 1 / math.sqrt(256 if "feed_forward.proj" in name else 64)
            assert 0.9 * bound < values.abs().max() <= bound * (1 + 1e-6), name
            assert values.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.25 if values.dim() == 1 else 0.02)


def test_a_parameter_without_a_rule_for_its_initial_value_is_named():
    model = MicroLLM(ModelConfig(), 91)
    model.blocks[0].gain = torch.nn.Parameter(torch.empty(8))
    with pytest.raises(ValueError, match=r"blocks\.0\.gain"):
        model.init_weights(torch.Generator())


def test_a_model_that_starts_at_zero_bets_evenly_and_adds_nothing_to_what_comes_in():
    model = small_model(initialization="zero")
    assert (model(some_idx())[0] == 0).all()
    x = torch.randn(2, 6, 12, generator=rng())
    assert all(torch.equal(block(x), x) for block in model.blocks)


# ---------------------------------------------------------------- dropout


def test_dropout_does_nothing_outside_training_and_nothing_at_zero():
    x = torch.randn(100, generator=rng())
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0).train()(x) is x


def test_dropout_silences_its_share_and_keeps_the_mean():
    dropout = Dropout(0.3).train()
    dropout.generator = rng()
    out = dropout(torch.ones(100_000))
    assert set(out.tolist()) == {0.0, torch.tensor(1 / 0.7).item()}
    assert (out == 0).float().mean().item() == pytest.approx(0.3, abs=0.007)
    assert out.mean().item() == pytest.approx(1, abs=0.01)


def test_dropout_lets_the_gradient_through_where_it_let_the_number_through():
    dropout, x = Dropout(0.5).train(), torch.ones(50, requires_grad=True)
    dropout.generator = rng()
    out = dropout(x)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


def test_dropout_has_its_own_generator():
    model = small_model(dropout=0.5).train()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    outs = []
    for seed in (1, 1, 2):
        model.use_generator(rng(seed))
        outs.append(model(some_idx())[0])
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(outs[0], outs[1]) and not torch.equal(outs[0], outs[2])


def test_dropout_stands_behind_the_embeddings_and_each_sub_layer_and_nowhere_else():
    model = small_model(dropout=0.5)
    assert [name for name, module in model.named_modules() if isinstance(module, Dropout)] == [
        "dropout",
        "blocks.0.attention.dropout",
        "blocks.0.feed_forward.dropout",
        "blocks.1.attention.dropout",
        "blocks.1.feed_forward.dropout",
    ]
    model.train().use_generator(rng())
    x = torch.randn(2, 6, 12, generator=rng(1))
    for module, rows in ((model.blocks[0].attention, x), (model.blocks[0].feed_forward, x), (model, some_idx())):
        call = module.embed if isinstance(module, MicroLLM) else module
        quiet = copy.deepcopy(module).eval()
        expected = (quiet.embed if isinstance(module, MicroLLM) else quiet)(rows)
        out = call(rows)
        kept = out != 0  # where nothing was silenced, the number is exactly the doubled one: none was lost on the way
        assert 0.3 < kept.float().mean() < 0.7
        torch.testing.assert_close(out[kept], 2 * expected[kept])


def test_a_model_with_dropout_is_deterministic_outside_training():
    model, plain = small_model(dropout=0.9), small_model(dropout=0.0)
    assert torch.equal(model(some_idx())[0], plain(some_idx())[0])


# ---------------------------------------------------------------- its parts


def test_a_block_adds_its_findings_to_what_comes_in():
    block = Block(SMALL)
    with torch.no_grad():
        for layer in (block.attention.proj, block.feed_forward.proj):
            layer.weight.zero_()
            layer.bias.zero_()
    x = torch.randn(2, 6, 12, generator=rng())
    assert torch.equal(block(x), x)


def test_the_feed_forward_part_treats_each_character_for_itself():
    part = FeedForward(SMALL)
    x = torch.randn(2, 6, 12, generator=rng())
    together = part(x)
    for t in range(6):
        torch.testing.assert_close(together[:, t], part(x[:, t]))


def test_attention_uses_torch_s_fused_kernel(monkeypatch):
    calls, fused = [], F.scaled_dot_product_attention
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda *a, **k: calls.append(k) or fused(*a, **k))
    small_model()(some_idx())
    assert calls == [{"is_causal": True}] * 2


# ---------------------------------------------------------------- the cache


@pytest.mark.parametrize("recipe", honest(RECIPES), ids=str)
@torch.no_grad()
def test_read_one_by_one_every_character_has_the_scores_of_the_whole(recipe):
    model, idx = small_model(**recipe), some_idx()
    whole = model(idx)[0]
    for at_once in range(1, 7):
        cache = Cache(model, batch_size=2)
        parts = [model(idx[:, :at_once], cache=cache)[0]]
        parts += [model(idx[:, t : t + 1], cache=cache)[0] for t in range(at_once, 6)]
        torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-5, rtol=0)
        assert torch.equal(cache.idx, idx)


@torch.no_grad()
def test_a_cleared_cache_remembers_nothing_and_takes_no_new_memory():
    model, idx = small_model(), some_idx()
    cache = Cache(model, batch_size=2)
    place = cache.layers[0].keys.data_ptr()
    model(idx, cache=cache)
    cache.clear()
    torch.testing.assert_close(model(idx.flip(1), cache=cache)[0], model(idx.flip(1))[0])
    assert cache.layers[0].keys.data_ptr() == place


@torch.no_grad()
def test_a_cache_takes_no_more_than_the_context_and_later_ones_one_at_a_time():
    model, idx = small_model(), some_idx()
    cache = Cache(model, batch_size=2)
    with pytest.raises(ValueError, match=r"\b7\b.*\b6\b"):
        model(torch.zeros(2, 7, dtype=torch.long), cache=cache)
    model(idx[:, :3], cache=cache)
    with pytest.raises(ValueError, match="one more"):
        model(idx[:, 3:5], cache=cache)
    model(idx[:, 3:4], cache=cache)
    model(idx[:, 4:5], cache=cache)
    model(idx[:, 5:6], cache=cache)
    with pytest.raises(ValueError, match=r"\b7\b.*\b6\b"):
        model(idx[:, :1], cache=cache)
