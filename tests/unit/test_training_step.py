"""One training step by hand: equal to the trainer's, and to the same numbers computed slowly."""

import math

import pytest
import torch
from making import TINY, draw_biases

from microllm.config import configs_from, stream_seed
from microllm.corpus import Corpus
from microllm.data.builtin import drawing_room
from microllm.insight.training_step import (
    MAX_WORK,
    SHARE_AFTER_THE_END,
    training_step,
    usable_learning_rate,
    windows_of,
)
from microllm.model import MicroLLM
from microllm.optim import learning_rate_at
from microllm.train import Diverged, Trainer

CORPUS = Corpus(drawing_room(3_000))


def made(**settings):
    """A model with random weights everywhere, and the settings of its run."""
    config, train = configs_from(TINY | {"initialization": "torch", "precision": "float32"} | settings)
    return draw_biases(MicroLLM(config, CORPUS.vocab_size)).eval().requires_grad_(False), train


def take(model, train, step=5, learning_rate=0.01, **more):
    return training_step(model, train, CORPUS, step, learning_rate=learning_rate, **more)


def batch_of(model, train, step=5):
    generator = torch.Generator().manual_seed(stream_seed(train.seed, step))
    return CORPUS.get_batch("train", train.batch_size, model.config.block_size, generator)


def slow_loss(model, idx, targets) -> float:
    """The mean of -ln p, character by character."""
    found = []
    for window, expected in zip(idx, targets, strict=True):
        for t in range(len(window)):
            with torch.no_grad():
                logits = model(window[None, : t + 1])[0][0, -1].double()
            found.append(-math.log(logits.exp()[expected[t]] / logits.exp().sum()))
    return sum(found) / len(found)


@pytest.mark.parametrize("settings", [{}, {"optimizer": "adamw", "dropout": 0.2}, {"silenced": "1.2"}])
def test_from_step_0_on_the_steps_are_those_of_the_trainer(settings):
    config, train = configs_from(TINY | {"precision": "float32", "max_steps": 30} | settings)
    torch.set_num_threads(1)
    trainer = Trainer(config, train, CORPUS, device="cpu")
    model, memory = MicroLLM(config, CORPUS.vocab_size), None
    model.load_state_dict(trainer.model.state_dict())
    for progress in trainer:
        if progress.step:
            for name, weights in model.state_dict().items():
                assert torch.equal(weights, trainer.model.state_dict()[name]), name
        if progress.step == 3:
            break
        taken = take(model, train, progress.step, learning_rate_at(progress.step, train), memory=memory)
        if not config.dropout:
            assert taken.loss[0] == pytest.approx(progress.train_loss, abs=1e-6)
        model, memory = taken.model, taken.memory


def test_losses_are_those_of_a_slow_loop_before_and_after():
    model, train = made()
    taken = take(model, train)
    idx, targets = batch_of(model, train)
    assert torch.equal(taken.inputs, idx[0]) and torch.equal(taken.targets, targets[0])
    for which, weights in enumerate((model, taken.model)):
        assert taken.loss[which] == pytest.approx(slow_loss(weights, idx, targets), abs=1e-5)
        assert taken.losses[which].mean().item() == pytest.approx(slow_loss(weights, idx[:1], targets[:1]), abs=1e-5)
        assert taken.log_p[which].exp().sum(1) == pytest.approx(torch.ones(len(idx[0])), abs=1e-5)
    assert taken.loss[1] < taken.loss[0]


def test_the_held_out_batch_is_the_same_for_all_steps_and_not_of_the_training_text():
    model, train = made()
    first = take(model, train, 5)
    second = take(first.model, train, 6, memory=first.memory)
    assert second.held_out[0] == first.held_out[1] != first.held_out[0]
    assert take(model, train, 900).held_out[0] == first.held_out[0]
    assert take(model, train, 900).loss[0] != first.loss[0]


def test_the_gradient_is_that_of_finite_differences():
    model, train = made(optimizer="adamw", activation="relu")
    model = model.double()
    taken, batch = take(model, train), batch_of(model, train)

    def loss() -> float:
        with torch.no_grad():
            return model(*batch)[1].item()

    def slope(weights, place) -> float:
        kept, found = weights[place].item(), []
        for side in (1e-6, -1e-6):
            weights[place] = kept + side
            found.append(loss())
        weights[place] = kept
        return (found[0] - found[1]) / 2e-6

    def norm(*tensors) -> float:
        return math.sqrt(sum(slope(p.data.flatten(), i) ** 2 for p in tensors for i in range(p.numel())))

    gradients = {part.name: part.gradient for part in taken.parts}
    assert norm(*model.lm_head.parameters(), *model.ln_f.parameters()) == pytest.approx(gradients["lm_head"], rel=1e-4)
    attention = [*model.blocks[0].attention.parameters(), *model.blocks[0].ln1.parameters()]
    assert norm(*attention) == pytest.approx(gradients["layer 1 attention"], rel=1e-4)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_update_is_that_of_torch_and_the_model_itself_stays_as_it_is(optimizer):
    model, train = made(optimizer=optimizer, n_layer=2, position="learned", lookback=1)
    before = {name: weights.clone() for name, weights in model.state_dict().items()}
    taken = take(model, train)
    assert all(torch.equal(before[name], weights) for name, weights in model.state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in [*model.parameters(), *taken.model.parameters()])

    other = MicroLLM(model.config, model.vocab_size)
    other.load_state_dict(before)
    other(*batch_of(model, train))[1].backward()
    named = dict(other.named_parameters())
    inside = [p for name, p in named.items() if name.startswith("blocks.") and p.ndim == 2 and "bias" not in name]
    if optimizer == "adamw":
        updates = [torch.optim.AdamW(named.values(), lr=0.01)]
    else:
        rest = [p for p in named.values() if not any(p is one for one in inside)]
        updates = [
            torch.optim.Muon(inside, lr=0.01, momentum=0.9, ns_steps=3, weight_decay=0),
            torch.optim.AdamW(rest, lr=0.01, betas=(0.9, 0.95), weight_decay=0),
        ]
    for update in updates:
        update.step()
    for name, weights in taken.model.named_parameters():
        # rounding in bfloat16 inside Muon
        assert torch.allclose(weights, named[name], atol=2e-4 if optimizer == "muon" else 1e-6), name

    places = {
        "embedding": ("token_embedding", "lookback_embedding", "position_embedding"),
        "layer 1 attention": ("blocks.0.ln1", "blocks.0.attention"),
        "layer 1 feed-forward": ("blocks.0.ln2", "blocks.0.feed_forward"),
        "layer 2 attention": ("blocks.1.ln1", "blocks.1.attention"),
        "layer 2 feed-forward": ("blocks.1.ln2", "blocks.1.feed_forward"),
        "lm_head": ("ln_f", "lm_head"),
    }
    assert [part.name for part in taken.parts] == list(places)
    assert sum(part.weights for part in taken.parts) == sum(p.numel() for p in model.parameters())
    for part in taken.parts:
        names = [name for name in named if name.startswith(places[part.name])]
        gradient = torch.cat([named[name].grad.flatten() for name in names])
        old = torch.cat([before[name].flatten() for name in names])
        new = torch.cat([taken.model.state_dict()[name].flatten() for name in names])
        assert part.weights == len(old)
        assert part.gradient == pytest.approx(gradient.norm().item(), rel=1e-4)
        assert part.moved == pytest.approx(((new - old).norm() / old.norm()).item(), rel=1e-4)
    assert taken.gradient == pytest.approx(math.hypot(*(part.gradient for part in taken.parts)))


def test_a_large_model_takes_fewer_windows_than_its_run():
    model, train = made(batch_size=512)
    assert windows_of(model, train) == 512
    large = MicroLLM(configs_from({"block_size": 64, "n_embd": 384, "n_layer": 6})[0], 91, device="meta")
    characters = windows_of(large, train) * 64
    assert characters * sum(p.numel() for p in large.parameters()) <= MAX_WORK
    huge = MicroLLM(configs_from({"block_size": 256, "n_embd": 384, "n_layer": 12})[0], 91, device="meta")
    assert windows_of(huge, train) == 1


def test_where_a_schedule_has_ended_at_zero_a_share_of_the_peak_is_used():
    _, train = made(schedule="linear", max_steps=100, learning_rate=0.02)
    assert usable_learning_rate(50, train) == learning_rate_at(50, train) == pytest.approx(0.01)
    assert usable_learning_rate(100, train) == pytest.approx(SHARE_AFTER_THE_END * 0.02)


def test_a_step_that_diverges_says_so():
    model, train = made(optimizer="adamw", activation="relu2")
    with pytest.raises(Diverged):
        for step in range(20):
            taken = take(model, train, step, 1e10)
            model = taken.model
