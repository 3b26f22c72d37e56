import pytest
import torch
from making import draw_biases

from microllm.config import ModelConfig
from microllm.insight.heads import HeadScore, attention_window, bias_shares, distance_shares, head_scores, strongest
from microllm.insight.trace import trace
from microllm.model import MicroLLM

TEXT = "it is a truth universally"


def pattern_of(text: str, block_size: int, causal: bool) -> torch.Tensor:
    config = ModelConfig(
        block_size=block_size, n_embd=16, n_head=2, n_layer=2, initialization="torch", causal=causal, position="learned"
    )
    vocab = sorted(set(text))
    model = MicroLLM(config, len(vocab), generator=torch.Generator().manual_seed(3)).eval()
    return trace(model, torch.tensor([vocab.index(c) for c in text])).pattern


def by_loops(pattern, text, block_size, causal):
    """The same scores, one character and one head at a time, with the window read off the pattern itself."""
    answers = {}
    for name in ("previous_token", "two_back", "three_back", "self", "first_token", "last_space", "next_token"):
        shares, chances = [], []
        for q in range(len(text)):
            seen = [k for k in range(len(text)) if pattern[0, 0, q, k] > 0]
            if name == "previous_token":
                key = q - 1
            elif name == "two_back":
                key = q - 2
            elif name == "three_back":
                key = q - 3
            elif name == "self":
                key = q
            elif name == "first_token":
                key = seen[0]
            elif name == "last_space":
                key = text[:q].rfind(" ")
            else:
                key = q + 1
            if key in seen and len(seen) > 1 and not (name == "next_token" and causal):
                shares.append([[pattern[layer, head, q, key].item() for head in range(2)] for layer in range(2)])
                chances.append(1 / len(seen))
        if shares:
            answers[name] = torch.tensor(shares).mean(0), sum(chances) / len(chances)
    return answers


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("text", "block_size"), [(TEXT, 32), (TEXT, 8), (TEXT, 1), ("a", 8), ("a b", 8), ("ab", 2)])
def test_head_scores_are_what_explicit_loops_find(text, block_size, causal):
    pattern = pattern_of(text, block_size, causal)
    found, expected = head_scores(pattern, text, block_size, causal=causal), by_loops(pattern, text, block_size, causal)
    assert {score.name for score in found} == expected.keys()
    for score in found:
        shares, chance = expected[score.name]
        torch.testing.assert_close(score.shares, shares)
        assert score.chance == pytest.approx(chance)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("block_size", [1, 6, len(TEXT), 40])
def test_the_attention_window_is_where_a_traced_model_attends(block_size, causal):
    pattern = pattern_of(TEXT, block_size, causal)
    first, last = attention_window(len(TEXT), block_size, causal=causal)
    for q in range(len(TEXT)):
        seen = (pattern[0, 0, q] > 0).nonzero().flatten().tolist()
        assert seen == list(range(first[q], last[q] + 1))


def test_a_head_that_attends_evenly_is_at_chance_everywhere_and_has_no_strongest_score():
    n = len(TEXT)
    even = torch.ones(n, n).tril()
    even = (even / even.sum(-1, keepdim=True)).expand(1, 1, n, n)
    found = head_scores(even, TEXT, n)
    assert len(found) == 6
    for score in found:
        assert score.shares[0, 0].item() == pytest.approx(score.chance)
    assert strongest(found, 0, 0) is None


def test_a_previous_token_head_is_recognized_and_its_neighbor_is_not():
    n = len(TEXT)
    back = torch.zeros(n, n)
    back[0, 0] = 1
    back[range(1, n), range(n - 1)] = 1
    even = torch.ones(n, n).tril()
    even = even / even.sum(-1, keepdim=True)
    found = head_scores(torch.stack([back, even])[None], TEXT, n)
    best = strongest(found, 0, 0)
    assert best.name == "previous_token"
    assert best.shares[0, 0].item() == 1
    assert strongest(found, 0, 1) is None


def test_a_head_has_a_strongest_score_only_when_that_is_clearly_above_chance():
    def is_clear(share: float, chance: float) -> bool:
        return strongest([HeadScore("previous_token", torch.tensor([[share]]), chance)], 0, 0) is not None

    assert is_clear(0.25, 0.1)
    assert not is_clear(0.19, 0.1)  # not twice as much
    assert not is_clear(0.09, 0.02)  # less than 0.1 above
    assert not is_clear(0.9, 0.5)
    assert strongest([], 0, 0) is None


def test_distance_shares_are_the_mean_weights_that_explicit_loops_find():
    patterns = torch.stack([pattern_of(TEXT[i : i + 6], 6, True) for i in (0, 5, 9)], dim=1)  # (L, B, H, T, T)
    found = distance_shares(patterns)
    for layer in range(2):
        for head in range(2):
            for back in range(6):
                rows = [q for q in range(6) if q >= back and q > 0]  # the first character has no choice
                expected = [patterns[layer, b, head, q, q - back].item() for b in range(3) for q in rows]
                assert found[layer, head, back].item() == pytest.approx(sum(expected) / len(expected))


def test_bias_shares_are_the_pattern_of_a_model_whose_characters_all_match_equally():
    config = ModelConfig(block_size=6, n_embd=16, n_head=2, n_layer=2, initialization="torch", position="relative")
    model = draw_biases(MicroLLM(config, 9).eval())
    with torch.no_grad():
        for block in model.blocks:
            block.attention.qkv.weight.zero_()
    last_rows = trace(model, torch.arange(6)).pattern[:, :, -1]
    torch.testing.assert_close(bias_shares(model), last_rows.flip(-1))
    assert bias_shares(MicroLLM(ModelConfig(position="learned"), 9)) is None
    assert bias_shares(MicroLLM(ModelConfig(position="relative", causal=False), 9)) is None
