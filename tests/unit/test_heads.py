import math

import pytest
import torch
from making import draw_biases

from microllm.config import ModelConfig
from microllm.insight.heads import (
    PLACES,
    HeadScore,
    attention_window,
    bias_shares,
    clear_since,
    distance_shares,
    head_scores,
    passage_scores,
    strongest,
    taken_over,
)
from microllm.insight.trace import trace
from microllm.model import MicroLLM
from microllm.sample import NotFinite

TEXT = "it is a truth universally"


def model_for(vocab_size: int, block_size: int, causal: bool, position: str = "learned") -> MicroLLM:
    config = ModelConfig(
        block_size=block_size, n_embd=16, n_head=2, n_layer=2, initialization="torch", causal=causal, position=position
    )
    return MicroLLM(config, vocab_size, generator=torch.Generator().manual_seed(3)).eval()


def pattern_of(text: str, block_size: int, causal: bool) -> torch.Tensor:
    vocab = sorted(set(text))
    model = model_for(len(vocab), block_size, causal)
    return trace(model, torch.tensor([vocab.index(c) for c in text])).pattern


def key_of(name: str, text: str, q: int, seen: list[int]) -> int:
    """Where a score looks from character q, which sees the characters `seen`; outside of them if nowhere."""
    if name == "last_space":
        return text[:q].rfind(" ")
    if name == "induction":
        before = text[seen[0] : q].rfind(text[q])
        return seen[0] + before + 1 if before >= 0 else -1
    steps = {"previous_token": -1, "two_back": -2, "three_back": -3, "four_back": -4, "self": 0, "next_token": 1}
    return seen[0] if name == "first_token" else q + steps[name]


def by_loops(patterns: list[torch.Tensor], texts: list[str]) -> dict:
    """The same scores, one character and one head at a time, with the window read off the patterns themselves.

    `patterns` (L, H, N, N), one for each text.
    """
    answers = {}
    heads = [(layer, head) for layer in range(2) for head in range(2)]
    for name in (*PLACES, "spread"):
        shares, chances = [], []
        for pattern, text in zip((pattern.tolist() for pattern in patterns), texts, strict=True):
            for q in range(len(text)):
                seen = [k for k in range(len(text)) if pattern[0][0][q][k] > 0]
                if len(seen) == 1:
                    continue
                if name == "spread":
                    entropies = [-sum(p * math.log(p) for p in pattern[i][j][q] if p > 0) for i, j in heads]
                    shares.append([math.exp(entropy) for entropy in entropies])
                    chances.append(len(seen))
                elif (key := key_of(name, text, q, seen)) in seen:
                    shares.append([pattern[layer][head][q][key] for layer, head in heads])
                    chances.append(1 / len(seen))
        if shares:
            answers[name] = torch.tensor(shares).mean(0).view(2, 2), sum(chances) / len(chances)
    return answers


def agree(found: list[HeadScore], expected: dict) -> None:
    assert [score.name for score in found] == list(expected)
    for score in found:
        shares, chance = expected[score.name]
        torch.testing.assert_close(score.shares, shares)
        assert score.chance == pytest.approx(chance)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("text", "block_size"), [(TEXT, 32), (TEXT, 8), (TEXT, 1), ("a", 8), ("a b", 8), ("ab", 2)])
def test_head_scores_are_what_explicit_loops_find(text, block_size, causal):
    pattern = pattern_of(text, block_size, causal)
    found = head_scores(pattern, text, block_size, causal=causal)
    agree(found, by_loops([pattern], [text]))


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("position", ["learned", "rotary", "relative"])
@pytest.mark.parametrize(("size", "count"), [(6, 9), (1, 40), (24, 60)])  # 60 windows of 24 are two batches
def test_the_scores_of_a_passage_are_what_explicit_loops_find_in_all_its_windows(size, count, position, causal):
    passage = " ".join([TEXT[::-1], TEXT] * 30)[: size * count]
    texts, vocab = [passage[i * size : (i + 1) * size] for i in range(count)], sorted(set(passage))
    model = draw_biases(model_for(len(vocab), size, causal, position))
    windows = torch.tensor([[vocab.index(c) for c in text] for text in texts], dtype=torch.uint8)
    batches = []
    found = passage_scores(model, windows, vocab.index(" "), lambda: batches.append(1))
    agree(found, by_loops([trace(model, window.long()).pattern for window in windows], texts))
    assert len(batches) == (2 if size == 24 else 1)
    assert {score.name for score in passage_scores(model, windows, None)}.isdisjoint({"last_space"})


def test_a_head_that_copies_has_an_induction_score_of_one():
    text = "abcd abcd xyxyx"
    n = len(text)
    copies = torch.zeros(n, n)
    for q in range(n):
        before = text[:q].rfind(text[q])
        copies[q, before + 1 if before >= 0 else 0] = 1
    found = {score.name: score for score in head_scores(copies[None, None], text, n)}
    assert found["induction"].of(0, 0) == 1
    assert strongest(list(found.values()), 0, 0).name == "induction"
    assert found["spread"].of(0, 0) == 1 and found["spread"].chance == pytest.approx(sum(range(2, n + 1)) / (n - 1))


def test_weights_that_are_no_numbers_have_no_scores():
    model = model_for(5, 4, True)
    with torch.no_grad():
        model.blocks[1].attention.qkv.weight[0, 0] = torch.nan
    with pytest.raises(NotFinite):
        passage_scores(model, torch.zeros(3, 4, dtype=torch.uint8), None)


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
    assert len(found) == 9
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
    assert strongest([HeadScore("spread", torch.tensor([[9.0]]), 2.0)], 0, 0) is None


def test_a_head_is_clear_since_the_step_from_which_on_its_score_stays_so():
    def since(shares: dict[int, float]) -> tuple | None:
        over_time = {step: [HeadScore("self", torch.tensor([[share]]), 0.1)] for step, share in shares.items()}
        return clear_since(over_time, "self", 0, 0)

    assert since({0: 0.1, 8: 0.3, 64: 0.15, 16: 0.1, 128: 0.3, 256: 0.5}) == (64, 128)
    assert since({0: 0.1, 8: 0.3, 16: 0.19}) is None  # not any more
    assert since({8: 0.3, 0: 0.4}) == (None, 0)
    assert since({}) is None
    assert clear_since({0: [], 8: [HeadScore("self", torch.tensor([[0.9]]), 0.1)]}, "self", 0, 0) == (0, 8)
    assert clear_since({0: [HeadScore("self", torch.tensor([[0.9]]), 0.1)]}, "induction", 0, 0) is None


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


def scores_of(**shares: list[list[float]]) -> list[HeadScore]:
    return [HeadScore(name, torch.tensor(rows), 0.1) for name, rows in shares.items()]


def test_the_head_whose_share_rose_most_has_taken_over_what_a_silenced_one_did():
    before = scores_of(previous_token=[[0.9, 0.1], [0.2, 0.3]], self=[[0.1, 0.8], [0.1, 0.1]])
    after = scores_of(self=[[0.1, 0.1], [0.9, 0.1]], previous_token=[[1.0, 0.2], [0.7, 0.35]])
    assert taken_over(before, after, {(0, 0)}) == ("previous_token", (1, 0), pytest.approx(0.2), pytest.approx(0.7))
    assert taken_over(before, after, {(0, 1)}) == ("self", (1, 0), pytest.approx(0.1), pytest.approx(0.9))
    assert taken_over(before, after, {(0, 0), (1, 0)})[1] == (0, 1)  # not a silenced one
    assert taken_over(before, after, {(0, 0)}, {(1, 0)})[1] == (0, 1)  # nor one that was silent before


def test_nobody_takes_over_what_no_silenced_head_did_or_where_no_share_rose():
    before, after = (scores_of(previous_token=[[0.9, 0.1]]), scores_of(previous_token=[[0.9, 0.05]]))
    assert taken_over(before, after, {(0, 0)}) is None
    assert taken_over(before, before, {(0, 1)}) is None  # it is not above chance
    assert taken_over(before, [], {(0, 0)}) is None
