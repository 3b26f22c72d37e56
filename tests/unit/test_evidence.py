"""Why this character: each number against the same found slowly, with strings and loops."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from making import draw_biases

from microllm.config import ModelConfig
from microllm.corpus import Corpus, CountingTables
from microllm.data.builtin import drawing_room
from microllm.data.store import keep_text
from microllm.insight import evidence
from microllm.insight.evidence import find_places, longest_piece, of_model, table_counts, usual_pieces
from microllm.model import MicroLLM
from microllm.tokenizer import CharTokenizer

few_letters = st.text("ab", max_size=40) | st.text("abc ", max_size=40)


def occurrences(text: str, piece: str) -> list[int]:
    """All places of a piece, overlapping ones too."""
    return [i for i in range(len(text) - len(piece) + 1) if text[i : i + len(piece)] == piece]


# ---------------------------------------------------------------- counting


@given(st.text("abc", min_size=1, max_size=80), st.text("abc", max_size=7), st.sampled_from("abc"))
def test_the_counts_of_each_table_are_those_in_the_text(text, before, character):
    tokenizer = CharTokenizer("abc")
    tables = CountingTables(tokenizer.encode_tensor(text), 3)
    (wanted,) = tokenizer.encode(character)
    counts = table_counts(tables, tokenizer.encode_tensor(before), wanted)
    assert [count.n for count in counts] == [*range(1, min(5, len(before) + 1) + 1)]
    for count in counts:
        context = before[len(before) - (count.n - 1) :]
        hits = {c: len(occurrences(text, context + c)) for c in "abc"}
        seen = len(occurrences(text, context)) if context else len(text)
        assert tokenizer.decode(count.context) == context
        assert (count.seen, count.hits) == (seen, hits[character])
        assert count.chance == pytest.approx((hits[character] + 0.01) / (seen + 0.03))
        best = sorted((c for c in hits if hits[c]), key=lambda c: (-hits[c], c))
        assert [(tokenizer.vocab[i], number) for i, number in count.best] == [(c, hits[c]) for c in best]


def test_at_most_five_characters_are_listed_as_the_most_frequent():
    tokenizer = CharTokenizer("abcdefgh ")
    tables = CountingTables(tokenizer.encode_tensor("a b c d e f g h a b c a"), 9)
    first, *_ = table_counts(tables, tokenizer.encode_tensor("a"), 0)
    assert len(first.best) == 5
    assert all(more >= less for (_, more), (_, less) in pairwise(first.best))


# ---------------------------------------------------------------- places


@given(few_letters, few_letters, st.sampled_from("ab"))
@example("aaaaaaaaaaaa", "xaaaa", "a")
@example("abcabcabc", "abc", "a")
@example("xabc", "abc", "a")  # it occurs, but nothing follows
@example("abab", "ab", "a")  # short
@example("xab", "b", "a")
def test_the_places_are_those_of_the_longest_end_of_the_context_that_something_follows(text, context, character):
    found = find_places(text, context, character)
    followed = {end: [i for i in occurrences(text, end) if i + len(end) < len(text)] for end in ends(context)}
    longest = next((end for end in ends(context) if followed[end]), None)
    if longest is None:
        assert found is None
        return
    assert found.context == longest
    assert found.places == followed[longest][:5]
    assert found.total == len(followed[longest])
    assert found.hits == sum(text[i + len(longest)] == character for i in followed[longest])


def ends(context: str) -> list[str]:
    """All ends of a text, the longest first."""
    return [context[i:] for i in range(len(context))]


def test_occurrences_are_counted_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(evidence, "MAX_OCCURRENCES", 7)
    assert find_places("ab" * 50, "abab", "a").total == 7


# ---------------------------------------------------------------- copies


def slow_piece(sample: str, place: int, text: str) -> tuple[int, int]:
    pieces = [(i, j - i) for i in range(place + 1) for j in range(place + 1, len(sample) + 1) if sample[i:j] in text]
    return max(pieces, key=lambda piece: (piece[1], -piece[0]), default=(place, 0))


@given(few_letters.filter(bool), few_letters, st.data())
def test_the_longest_piece_around_a_character_is_the_one_found_slowly(sample, text, data):
    place = data.draw(st.integers(0, len(sample) - 1))
    assert longest_piece(sample, place, text) == slow_piece(sample, place, text)


def test_a_long_copy_is_found_whole_from_any_of_its_characters():
    text = drawing_room(20_000)
    sample = "q" + text[3_000:3_400] + "q"
    assert {longest_piece(sample, place, text) for place in (1, 2, 200, 399, 400)} == {(1, 400)}
    assert longest_piece(sample, 0, text.replace("q", "")) == (0, 0)


def test_the_usual_pieces_are_those_of_the_held_out_part():
    text = drawing_room(20_000)
    lengths = usual_pieces(keep_text(text))
    assert len(lengths) == 25 and lengths == sorted(lengths)
    held_out, middle = text[18_000:], 200
    starts = [i * 1_600 // 24 for i in range(25)]
    assert lengths == sorted(longest_piece(held_out[at : at + 400], middle, text[:18_000])[1] for at in starts)
    assert usual_pieces(keep_text(text[:2_000])) == []


# ---------------------------------------------------------------- the model


@pytest.mark.parametrize("recipe", [{}, {"position": "learned"}, {"causal": False}], ids=str)
@pytest.mark.parametrize("length", [1, 5, 8])
def test_the_evidence_of_a_model_is_what_its_heads_and_layers_compute(recipe, length):
    shape = {"block_size": 8, "n_embd": 16, "n_head": 2, "n_layer": 3, "initialization": "torch"}
    model = MicroLLM(ModelConfig(**shape | recipe), 11, generator=torch.Generator().manual_seed(1)).eval()
    draw_biases(model)
    context = torch.randint(11, (length,), generator=torch.Generator().manual_seed(length))
    found = of_model(model, context, 4)
    weights, layers = [], []
    with torch.no_grad():
        x = model.embed(context[None])
        for block in model.blocks:
            weights += [head(block.ln1(x))[1][0, -1] for head in block.attention.heads]
            x = block(x)
            layers.append(model.lm_head(model.ln_f(x))[0, -1].softmax(-1))
    assert found.mean.tolist() == pytest.approx(torch.stack(weights).mean(0).tolist(), abs=1e-6)
    layer, head, place, share = found.strongest
    assert share == pytest.approx(max(max(row.tolist()) for row in weights))
    assert weights[2 * layer + head][place].item() == pytest.approx(share)
    assert len(found.layers) == 3
    for (best, its_chance, ours), p in zip(found.layers, layers, strict=True):
        assert best == p.argmax().item()
        assert (its_chance, ours) == pytest.approx((p[best].item(), p[4].item()), abs=1e-6)
    assert found.chance == pytest.approx(layers[-1][4].item())  # the last layer is followed by the logits


def test_the_counts_agree_with_the_reference_losses():
    corpus = Corpus(drawing_room(4_000))
    inputs, targets = corpus.validation_windows(8)
    total = {n: 0.0 for n in (1, 2, 3, 5)}
    for x, y in zip(inputs[:6], targets[:6], strict=True):
        for t in range(8):
            counts = table_counts(corpus.tables, x[: t + 1], int(y[t]))
            for n in total:
                total[n] -= math.log(counts[min(n, len(counts)) - 1].chance)
    for n, nats in total.items():
        assert nats / 48 == pytest.approx(corpus.tables.loss(inputs[:6], targets[:6], n), abs=1e-6)


def test_the_search_for_a_copied_piece_can_be_ended_between_two_searches():
    searches = []

    def stop_at_the_third() -> None:
        searches.append(len(searches))
        if len(searches) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        longest_piece("a" * 50 + "b" * 50, 40, "a" * 10_000, stop_at_the_third)
    assert len(searches) == 3
