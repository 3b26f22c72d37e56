"""Generation: what a model writes, the surprisal of each character, and branching at a character."""

import threading
from types import SimpleNamespace

import pytest
import torch
from making import wait_until

from microllm.config import ModelConfig
from microllm.inference import generate, next_logits, stream
from microllm.jobs import generation as generation_room
from microllm.jobs.generation import Generation, Sample
from microllm.model import MicroLLM
from microllm.sample import Sampling, likeliest, probabilities
from microllm.tokenizer import CharTokenizer

TOKENIZER = CharTokenizer(" abcdefgh")
SAMPLING = Sampling(temperature=1.1)


def new_model(**recipe) -> MicroLLM:
    shape = {"block_size": 8, "n_embd": 16, "n_head": 2, "n_layer": 2, "initialization": "torch"}
    return MicroLLM(ModelConfig(**shape | recipe), 9, generator=torch.Generator().manual_seed(1)).eval()


def written(generation: Generation) -> Generation:
    wait_until(lambda: not generation.is_writing)
    return generation


def write(prompt="abc", length=40, seeds=(0,), model=None, samplings=(SAMPLING,)) -> Generation:
    return written(Generation(model or new_model(), TOKENIZER, prompt, length, samplings, seeds, step=7))


def test_a_sample_holds_the_text_that_the_model_generates():
    model = new_model()
    (sample,) = write(seeds=(3,), model=model).samples
    ids = generate(model, torch.tensor([TOKENIZER.encode("abc")]), 40, temperature=1.1, seed=3)
    assert sample.prompt + sample.text == TOKENIZER.decode(ids[0])
    assert sample.step == 7


def test_several_samples_are_each_written_as_they_would_be_alone():
    model = new_model()
    together = write(seeds=(3, 4, 5), model=model).samples
    assert len({sample.text for sample in together}) == 3
    for sample in together:
        assert sample.text == write(seeds=(sample.seed,), model=model).samples[0].text


def test_two_temperatures_are_each_written_as_they_would_be_alone_and_branch_at_their_own():
    model, samplings = new_model(), (SAMPLING, Sampling(temperature=0.3))
    together = write(seeds=(3, 4), model=model, samplings=samplings)
    alone = [write(seeds=(seed,), model=model, samplings=[each]).samples[0] for seed in (3, 4) for each in samplings]
    assert together.width == 2
    assert [(one.seed, one.sampling, one.text) for one in together.samples] == [
        (one.seed, one.sampling, one.text) for one in alone
    ]
    assert len({one.text for one in alone}) == 4
    together.branch(1, 5, alone[1].text[5], 34, samplings[1])
    assert written(together).samples[1].text == alone[1].text
    with pytest.raises(ValueError, match="temperature is -1"):
        write(samplings=(SAMPLING, Sampling(temperature=-1)))


def test_sequences_of_a_stream_with_their_own_seeds_do_not_depend_on_each_other():
    model, idx = new_model(), torch.tensor([[1, 2], [3, 4]])
    first, second = torch.stack(list(stream(model, idx, 30, SAMPLING, [8, 9])), dim=1)
    assert torch.equal(first, torch.cat(list(stream(model, idx[:1], 30, SAMPLING, 8))))
    assert torch.equal(second, torch.cat(list(stream(model, idx[1:], 30, SAMPLING, 9))))


@pytest.mark.parametrize("recipe", [{}, {"position": "learned", "lookback": 0}, {"causal": False}], ids=str)
def test_the_surprise_of_each_character_is_that_of_the_model_on_what_it_saw(recipe):
    (sample,) = write(model=new_model(**recipe)).samples
    whole = torch.tensor(TOKENIZER.encode(sample.prompt + sample.text))
    for place, character in enumerate(sample.text):
        end = len(sample.prompt) + place
        assert min(end, 7) <= sample.seen[place] <= 8
        p = next_logits(sample.model, whole[None, end - sample.seen[place] : end])[0].softmax(-1)
        assert sample.nats[place] == pytest.approx(-p[TOKENIZER.encode(character)[0]].log().item(), abs=1e-5)
        torch.testing.assert_close(sample.logits(place).softmax(-1), p)


@pytest.mark.parametrize("recipe", [{}, {"block_size": 1}, {"causal": False}], ids=str)
@pytest.mark.parametrize("place", [0, 1, 4, 5, 6, 7, 8, 20, 39])
def test_choosing_what_stands_there_already_goes_on_with_the_same_text(place, recipe):
    generation = write(model=new_model(**recipe))
    before = generation.samples[0]
    generation.branch(0, place, before.text[place], 39 - place, SAMPLING)
    after = written(generation).samples[0]
    assert after is not before
    assert after.text == before.text
    assert after.nats == pytest.approx(before.nats, abs=1e-5)


def test_another_character_keeps_what_stands_before_it_and_leaves_the_other_samples_alone():
    generation = write(seeds=(1, 2))
    first, second = generation.samples
    other = next(c for c in "abcd" if c != second.text[10])
    generation.branch(1, 10, other, 25, SAMPLING)
    assert written(generation).samples[0] is first
    changed = generation.samples[1]
    assert changed.text[:11] == second.text[:10] + other
    assert len(changed.text) == 11 + 25
    p = second.logits(10).softmax(-1)[TOKENIZER.encode(other)[0]]
    assert changed.nats[10] == pytest.approx(-p.log().item(), abs=1e-5)


def test_a_sample_that_nobody_sees_any_more_is_not_continued(monkeypatch):
    started = []

    def begin(work, name):
        started.append(SimpleNamespace(is_busy=True, cancelled=threading.Event()))
        return started[-1]

    monkeypatch.setattr(generation_room, "Background", begin)
    generation = Generation(new_model(), TOKENIZER, "abc", 2_000, [SAMPLING])
    generation.samples[0].text, generation.samples[0].nats, generation.samples[0].seen = "ab", [1.0, 1.0], [3, 4]
    generation.branch(0, 1, "c", 5, SAMPLING)
    assert [one.cancelled.is_set() for one in started] == [True, False]


def test_a_place_that_is_not_written_and_an_unknown_character_are_refused():
    generation = write(length=5)
    samples = list(generation.samples)
    for place in (-1, 5):
        with pytest.raises(ValueError, match="5 are written"):
            generation.branch(0, place, "a", 5, SAMPLING)
    with pytest.raises(ValueError, match="☕"):
        generation.branch(0, 0, "☕", 5, SAMPLING)
    with pytest.raises(ValueError, match="temperature is -1"):
        generation.branch(0, 0, "a", 5, Sampling(temperature=-1))
    assert generation.samples == samples


def test_what_the_model_never_met_is_left_out_of_the_prompt_and_nothing_is_refused():
    assert write(prompt="a☕b", length=1).samples[0].prompt == "ab"
    with pytest.raises(ValueError, match="prompt"):
        Generation(new_model(), TOKENIZER, "☕", 5, [SAMPLING])


def test_a_new_sample_knows_what_could_come_first():
    sample = Sample(new_model(), TOKENIZER, 0, "abcabcabcabc", seed=0)
    expected = next_logits(sample.model, torch.tensor([TOKENIZER.encode("abcabcabcabc")]))[0]
    torch.testing.assert_close(sample.logits(0), expected)


def test_the_likeliest_characters_come_with_both_chances_and_one_more_on_request():
    logits = torch.tensor([0.0, 3.0, 1.0, 2.0, -1.0])
    sampling = Sampling(temperature=0.5, top_k=2)
    own, drawn = logits.double().softmax(-1), probabilities(logits, sampling)
    assert likeliest(logits, sampling, count=3) == [(i, own[i].item(), drawn[i].item()) for i in (1, 3, 2)]
    assert [i for i, *_ in likeliest(logits, sampling, count=3, also=4)] == [1, 3, 4]
    assert [i for i, *_ in likeliest(logits, sampling, count=3, also=3)] == [1, 3, 2]
    assert len(likeliest(logits, sampling, count=50)) == 5


def test_asking_for_the_same_place_again_computes_nothing(monkeypatch):
    (sample,) = write().samples
    asked, ask = [], generation_room.next_logits
    monkeypatch.setattr(generation_room, "next_logits", lambda model, idx: (asked.append(idx), ask(model, idx))[1])
    first, other = sample.logits(5), sample.logits(6)
    assert len(asked) == 2
    assert sample.logits(6) is other
    assert len(asked) == 2
    assert torch.equal(sample.logits(5), first)
