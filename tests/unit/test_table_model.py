"""A counting table as a model: it predicts as the reference losses say, and all tools accept it."""

from collections import Counter

import pytest
import torch
from making import wait_until

from microllm.corpus import TABLE_SIZES, Corpus
from microllm.data.builtin import drawing_room
from microllm.inference import generate, next_logits
from microllm.insight.surprisal import token_surprisals, top1_accuracy
from microllm.insight.table_model import TableModel
from microllm.jobs.generation import Generation
from microllm.sample import Sampling
from microllm.train import validation_loss

TEXT = drawing_room(6_000)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus(TEXT)


def slow_chances(corpus: Corpus, context: str) -> list[float]:
    """The probability of each character after `context`, counted in the training part."""
    train = corpus.tokenizer.decode(corpus.train)
    size = len(context)
    followers = Counter(train[i + size] for i in range(len(train) - size) if train.startswith(context, i))
    seen = sum(train.startswith(context, i) for i in range(len(train) - size + 1)) if context else len(train)
    V = corpus.vocab_size
    return [(followers[c] + 0.01) / (seen + 0.01 * V) for c in corpus.tokenizer.vocab]


@pytest.mark.parametrize("n", TABLE_SIZES)
@pytest.mark.parametrize("block_size", [1, 3, 8, 32])
def test_its_loss_on_the_validation_windows_is_the_reference_loss(corpus, n, block_size):
    inputs, targets = corpus.validation_windows(block_size)
    _, loss = TableModel(corpus.tables, n)(inputs.long(), targets.long())
    assert loss.item() == pytest.approx(corpus.reference_losses(block_size)[f"table_{n}"], abs=1e-5)


@pytest.mark.parametrize("n", TABLE_SIZES)
def test_the_trainers_validation_loss_is_that_of_windows_of_its_own_size(corpus, n):
    model = TableModel(corpus.tables, n)
    size = model.config.block_size
    assert size == max(1, n - 1)
    assert validation_loss(model, corpus) == pytest.approx(corpus.reference_losses(size)[f"table_{n}"], abs=1e-5)


@pytest.mark.parametrize("n", TABLE_SIZES)
@pytest.mark.parametrize("context", ["e", "th", "the ", "said the", "eee", "aeiou"])
def test_its_probabilities_are_those_counted_slowly(corpus, n, context):
    idx = torch.tensor([corpus.tokenizer.encode(context)])
    p = next_logits(TableModel(corpus.tables, n), idx)[0].softmax(-1)
    assert p.tolist() == pytest.approx(slow_chances(corpus, context[max(0, len(context) - n + 1) :]), rel=1e-4)


@pytest.mark.parametrize("n", TABLE_SIZES)
def test_it_writes_character_by_character_from_its_last_characters_alone(corpus, n):
    model, tokenizer = TableModel(corpus.tables, n), corpus.tokenizer
    generation = Generation(model, tokenizer, "The ", 60, [Sampling()], seeds=(3,))
    wait_until(lambda: not generation.is_writing)
    (sample,) = generation.samples
    ids = generate(model, torch.tensor([tokenizer.encode("The ")]), 60, seed=3)
    assert sample.prompt + sample.text == tokenizer.decode(ids[0])
    for place in (0, 1, 7, 59):
        before = sample.prompt + sample.text[:place]
        p = slow_chances(corpus, before[len(before) - (n - 1) :])
        (written,) = tokenizer.encode(sample.text[place])
        assert sample.nats[place] == pytest.approx(-torch.tensor(p[written]).log().item(), abs=1e-4)
    generation.branch(0, 5, sample.text[5], 54, Sampling())
    wait_until(lambda: not generation.is_writing)
    assert generation.samples[0].text == sample.text


@pytest.mark.parametrize("n", TABLE_SIZES)
def test_it_reads_a_text_as_a_model_does(corpus, n):
    model, passage = TableModel(corpus.tables, n), corpus.val[:50]
    text = corpus.tokenizer.decode(passage)
    read = token_surprisals(model, passage, guesses=3)
    for t in (1, 2, 3, 4, 5, 30, 49):
        p = slow_chances(corpus, text[max(0, t - (n - 1)) : t])
        assert read.nats[t].item() == pytest.approx(-torch.tensor(p[passage[t]]).log().item(), abs=1e-4)
        assert p[read.guesses[t, 0]] == pytest.approx(max(p), rel=1e-4)
    assert 0 < top1_accuracy(model, corpus) < 1


def test_a_table_that_never_saw_a_text_of_its_own_length_still_predicts():
    corpus = Corpus("ab" * 3)  # five characters to train on
    logits, _ = TableModel(corpus.tables, 5)(torch.tensor([[0, 1, 0, 1, 0, 1]]))
    assert logits.shape == (1, 6, 2) and logits.isfinite().all()
