"""From scores to text: temperature, top-k, top-p, random numbers."""

import itertools
import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from making import draw_biases

from microllm.config import ModelConfig
from microllm.inference import generate, next_logits, prefill_or_decode, stream
from microllm.model import Cache, MicroLLM
from microllm.sample import NotFinite, Sampling, probabilities, sample_from

V = 9

# whole numbers tie often; fractions rarely
scores_of_a_character = st.lists(st.integers(-5, 5) | st.floats(-20, 20), min_size=1, max_size=12)


def slow_probabilities(scores: list[float], temperature: float = 1, top_k: int = 0, top_p: float = 1) -> list[float]:
    """Temperature, then top-k, then top-p, one character after another."""

    def shares(kept):
        exps = {i: math.exp((scores[i] - scores[kept[0]]) / temperature) for i in kept}
        return {i: exps[i] / math.fsum(exps.values()) for i in kept}

    kept = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[: top_k or None]
    together, enough = 0.0, []
    for i, share in shares(kept).items():
        enough.append(i)
        together += share
        if top_p < 1:
            assume(abs(together - top_p) > 1e-9)  # a tie in the last digit may fall either way
            if together >= top_p:
                break
    final = shares(enough)
    return [final.get(i, 0.0) for i in range(len(scores))]


def p_of(scores: list[float], **choices) -> list[float]:
    return probabilities(torch.tensor(scores, dtype=torch.float64), Sampling(**choices)).tolist()


def logs(*shares: float) -> list[float]:
    return [math.log(share) for share in shares]


@pytest.fixture(scope="module")
def model() -> MicroLLM:
    """Untrained, with scores that differ clearly from character to character."""
    config = ModelConfig(block_size=5, n_embd=16, n_head=2, n_layer=1, initialization="torch")
    return MicroLLM(config, V, generator=torch.Generator().manual_seed(1)).eval()


def prompt(*rows: list[int]) -> torch.Tensor:
    return torch.tensor(rows or [[1, 2, 3]])


# ---------------------------------------------------------------- what may be drawn


@given(scores_of_a_character)
def test_without_any_limit_the_chances_are_the_softmax(scores):
    expected = torch.tensor(scores, dtype=torch.float64).softmax(-1).tolist()
    assert p_of(scores) == pytest.approx(expected, abs=1e-12)


@given(
    scores_of_a_character,
    st.sampled_from([0.1, 0.5, 1.0, 1.7, 100.0]),
    st.integers(0, 14),
    st.floats(0.01, 0.99) | st.just(1.0),
)
def test_temperature_then_top_k_then_top_p_agree_with_the_same_done_slowly(scores, temperature, top_k, top_p):
    expected = slow_probabilities(scores, temperature, top_k, top_p)
    assert p_of(scores, temperature=temperature, top_k=top_k, top_p=top_p) == pytest.approx(expected, abs=1e-9)


@given(scores_of_a_character)
def test_temperature_zero_always_takes_the_likeliest_and_the_first_of_several(scores):
    expected = [0.0] * len(scores)
    expected[scores.index(max(scores))] = 1.0
    assert p_of(scores, temperature=0) == expected


@given(scores_of_a_character, st.integers(1, 14))
def test_top_k_keeps_exactly_k_also_when_scores_tie(scores, k):
    p = p_of(scores, top_k=k)
    kept = [i for i, share in enumerate(p) if share > 0]
    assert len(kept) == min(k, len(scores))
    assert sum(p) == pytest.approx(1)
    assert all(scores[i] >= scores[j] for i in kept for j in set(range(len(scores))) - set(kept))


@given(scores_of_a_character, st.floats(0.01, 0.99))
def test_top_p_keeps_the_fewest_that_reach_p_together(scores, top_p):
    p, cut = p_of(scores), p_of(scores, top_p=top_p)
    kept = sorted(share for share, left in zip(p, cut, strict=True) if left > 0)
    assert sum(kept) >= top_p - 1e-9
    assert sum(kept) - kept[0] < top_p + 1e-9
    assert sum(cut) == pytest.approx(1)


def test_top_p_of_all_equal_scores_keeps_the_first_few():
    assert p_of([0.0] * 10, top_p=0.35) == pytest.approx([0.25] * 4 + [0.0] * 6)
    assert p_of([0.0] * 4, top_p=0.5) == [0.5, 0.5, 0, 0]  # reached exactly


def test_top_p_looks_at_the_chances_after_the_temperature():
    assert p_of(logs(0.5, 0.3, 0.2), top_p=0.6) == pytest.approx([0.625, 0.375, 0])
    assert p_of(logs(0.5, 0.3, 0.2), top_p=0.6, temperature=0.5) == pytest.approx([1, 0, 0])  # 25 : 9 : 4


def test_top_p_looks_at_the_chances_that_top_k_leaves():
    assert p_of(logs(0.5, 0.3, 0.2), top_p=0.6, top_k=2) == pytest.approx([1, 0, 0])  # 0.625 is enough


def test_the_chances_of_many_characters_sum_to_one_to_the_last_digits():
    scores = torch.randn(6_000, generator=torch.Generator().manual_seed(0))  # float32, as from a model
    assert probabilities(scores, Sampling(top_p=0.9)).sum().item() == pytest.approx(1, abs=1e-14)


def test_the_highest_temperature_is_almost_blind_guessing():
    assert p_of([1.0, 2.0, 3.0], temperature=100) == pytest.approx([1 / 3] * 3, abs=0.01)


def test_a_whole_batch_is_treated_row_by_row_and_the_scores_are_left_alone():
    scores = torch.randn(4, 3, V, generator=torch.Generator().manual_seed(0))
    before, sampling = scores.clone(), Sampling(temperature=0.7, top_k=5, top_p=0.8)
    together = probabilities(scores, sampling)
    assert torch.equal(scores, before)
    for row, p in zip(scores.flatten(0, 1), together.flatten(0, 1), strict=True):
        assert torch.equal(probabilities(row, sampling), p)


# -- random numbers


def test_a_character_is_drawn_as_often_as_its_chance_says():
    p = torch.tensor([0.0, 0.5, 0.0, 0.2, 0.3, 0.0], dtype=torch.float64)
    drawn = sample_from(p.expand(50_000, 6), torch.Generator().manual_seed(1)).flatten().bincount(minlength=6)
    for count, chance in zip(drawn.tolist(), p.tolist(), strict=True):
        assert abs(count - 50_000 * chance) <= 4 * math.sqrt(50_000 * chance * (1 - chance))


def test_random_numbers_at_either_end_never_draw_what_has_no_chance(monkeypatch):
    p = torch.tensor([[0.0, 0.1, 0.2, 0.0, 0.7 - 1e-9, 0.0]], dtype=torch.float64)  # as little rounding leaves it
    for number, expected in ((0.0, 1), (1 - 2**-53, 4)):
        threshold = torch.tensor([[number]], dtype=torch.float64)
        monkeypatch.setattr(torch, "rand", lambda *_, threshold=threshold, **__: threshold)
        assert sample_from(p, torch.Generator()).tolist() == [[expected]]


# ---------------------------------------------------------------- reading on


@pytest.mark.parametrize(
    "recipe",
    [
        {},
        {"position": "learned", "lookback": 0},
        {"position": "rotary"},
        {"position": "relative"},
        {"causal": False},
        {"block_size": 1},
        {"block_size": 2},
    ],
    ids=str,
)
def test_each_time_the_scores_are_those_of_the_model_on_the_whole_context(recipe):
    shape = {"block_size": 12, "n_embd": 16, "n_head": 2, "n_layer": 2, "initialization": "torch"}
    config = ModelConfig(**shape | recipe)
    model = draw_biases(MicroLLM(config, V, generator=torch.Generator().manual_seed(1)).eval())
    text = torch.randint(V, (3, 60), generator=torch.Generator().manual_seed(2))
    cache, size = Cache(model, batch_size=3), config.block_size
    for t in range(60):
        scores = prefill_or_decode(model, cache, text[:, t : t + 1])
        assert torch.equal(cache.idx, text[:, t + 1 - cache.length : t + 1])
        assert min(t + 1, 1 + 3 * size // 4) <= cache.length <= size
        with torch.no_grad():
            torch.testing.assert_close(scores, model(cache.idx)[0][:, -1], atol=1e-5, rtol=0)


def test_a_full_context_loses_its_oldest_quarter_and_only_then():
    config = ModelConfig(block_size=8, n_embd=16, n_head=2, n_layer=1)
    model, lengths = MicroLLM(config, V).eval(), []
    cache = Cache(model, batch_size=1)
    for t in range(14):
        prefill_or_decode(model, cache, torch.tensor([[t % V]]))
        lengths.append(cache.length)
    assert lengths == [1, 2, 3, 4, 5, 6, 7, 8, 7, 8, 7, 8, 7, 8]


def test_one_more_character_costs_the_work_of_one(model):
    cache, given = Cache(model, batch_size=1), []
    hook = model.blocks[0].register_forward_hook(lambda module, inputs, output: given.append(inputs[0].shape[1]))
    prefill_or_decode(model, cache, prompt())
    for _ in range(3):
        prefill_or_decode(model, cache, prompt([4]))
    hook.remove()
    assert given == [3, 1, 1, 5]  # the last one found the five places taken


# ---------------------------------------------------------------- writing


def test_generated_text_stands_behind_its_prompt(model):
    idx = prompt([1, 2, 3], [4, 5, 6])
    out = generate(model, idx, 20)
    assert out.shape == (2, 23) and out.dtype == torch.int64
    assert torch.equal(out[:, :3], idx)
    assert set(out.flatten().tolist()) <= set(range(V))


def test_nothing_new_is_the_prompt_itself(model):
    assert torch.equal(generate(model, prompt(), 0), prompt())


@pytest.mark.parametrize("block_size", [1, 2, 5, 16])
@pytest.mark.parametrize(
    "recipe",
    [{}, {"position": "learned", "lookback": 0}, {"position": "relative"}, {"lookback": 3}, {"causal": False}],
    ids=str,
)
def test_the_plain_loop_of_the_model_and_the_one_with_a_cache_write_the_same_text(recipe, block_size):
    config = ModelConfig(block_size=block_size, n_embd=16, n_head=2, n_layer=2, initialization="torch", **recipe)
    model = draw_biases(MicroLLM(config, V, generator=torch.Generator().manual_seed(2)).eval())
    for idx in (prompt(), prompt([1, 2, 3, 4, 5, 6, 7, 8, 0] * 3), prompt([1], [2], [3])):
        for choices in ({"seed": 4}, {"temperature": 0.7, "top_k": 5, "top_p": 0.9}, {"temperature": 0}):
            assert torch.equal(model.generate(idx, 40, **choices), generate(model, idx, 40, **choices))


def test_greedy_writing_takes_the_likeliest_each_time(model):
    idx, context = prompt(), prompt()
    for _ in range(12):
        likeliest = model(context)[0][:, -1].argmax(-1, keepdim=True)
        idx = torch.cat([idx, likeliest], dim=1)
        context = torch.cat([context[:, 1:] if context.shape[1] == 5 else context, likeliest], dim=1)
    assert torch.equal(generate(model, prompt(), 12, temperature=0), idx)
    assert torch.equal(generate(model, prompt(), 12, top_k=1, seed=9), idx)


def test_several_sequences_are_written_at_once_without_touching_each_other(model):
    rows = [[1, 2, 3], [4, 5, 6], [0, 0, 0]]
    together = generate(model, prompt(*rows), 12, temperature=0)
    for row, written in zip(rows, together, strict=True):
        assert torch.equal(generate(model, prompt(row), 12, temperature=0)[0], written)


def test_the_same_seed_writes_the_same_and_another_seed_something_else(model):
    first = generate(model, prompt(), 50, seed=3)
    torch.manual_seed(99)
    assert torch.equal(generate(model, prompt(), 50, seed=3), first)
    assert not torch.equal(generate(model, prompt(), 50, seed=4), first)


def test_writing_leaves_the_global_random_state_alone(model):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    generate(model, prompt(), 20)
    assert torch.equal(torch.get_rng_state(), before)


def test_sequences_of_one_batch_have_their_own_random_numbers(model):
    out = generate(model, prompt(*[[1, 2, 3]] * 8), 20)
    assert len(set(map(tuple, out.tolist()))) == 8


def test_a_prompt_longer_than_the_context_is_seen_through_its_last_characters(model):
    long, short = prompt([8, 7, 1, 2, 3, 4, 5]), prompt([1, 2, 3, 4, 5])
    assert torch.equal(next_logits(model, long), next_logits(model, short))
    out = generate(model, long, 20, seed=2)
    assert torch.equal(out[:, :7], long)
    assert torch.equal(out[:, 7:], generate(model, short, 20, seed=2)[:, 5:])


def test_the_next_scores_are_those_of_the_last_character(model):
    assert torch.equal(next_logits(model, prompt()), model(prompt())[0][:, -1])


def test_no_character_that_was_cut_off_is_ever_drawn(model):
    idx = prompt(*[[1, 2, 3]] * 2_000)
    likeliest = next_logits(model, prompt())[0].topk(3).indices.tolist()
    assert set(generate(model, idx, 1, top_k=3)[:, -1].tolist()) == set(likeliest)


def test_characters_are_drawn_as_often_as_their_chances_say(model):
    draws = 50_000
    drawn = generate(model, prompt([1, 2, 3]).expand(draws, 3), 1, temperature=0.8)[:, -1].bincount(minlength=V)
    for count, p in zip(drawn.tolist(), slow_probabilities(next_logits(model, prompt())[0].tolist(), 0.8), strict=True):
        assert abs(count - draws * p) < 4 * math.sqrt(draws * p * (1 - p))


def test_an_empty_prompt_is_refused(model):
    with pytest.raises(ValueError, match="at least one character"):
        generate(model, torch.zeros(1, 0, dtype=torch.long), 5)


def test_a_stream_can_be_left_early_and_has_computed_no_more_than_was_asked_for(model):
    calls = []
    hook = model.register_forward_hook(lambda *_: calls.append(1))
    some = list(itertools.islice(stream(model, prompt(), 10**12, seed=6), 4))
    hook.remove()
    assert len(calls) == 4
    assert torch.equal(torch.stack(some, dim=1), generate(model, prompt(), 4, seed=6)[:, 3:])


def test_writing_keeps_no_gradients(model):
    assert not next_logits(model, prompt()).requires_grad


def test_scores_that_are_no_numbers_are_named_and_nothing_is_sampled_from_them():
    for wrong in (math.nan, math.inf, -math.inf):
        with pytest.raises(NotFinite):
            probabilities(torch.tensor([[0.0, wrong, 1.0]]), Sampling())
