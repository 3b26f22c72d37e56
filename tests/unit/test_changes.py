"""The recipe changes that `benchmarks.changes` measures do what they say, and nothing else."""

import pytest
import torch

from benchmarks.changes import (
    CHANGES,
    EmaNesterov,
    GrowingBatch,
    exclude_own_value,
    polar_express,
)
from microllm import Corpus, MicroLLM, Trainer, configs_from
from microllm.optim import make_optimizers, orthogonalized

TEXT = "the quick brown fox jumps over the lazy dog. " * 40
MODEL, SETTINGS = configs_from(
    {"block_size": 8, "n_embd": 16, "n_head": 2, "n_layer": 2, "max_steps": 12, "initialization": "torch"}
)


def model() -> MicroLLM:
    return MicroLLM(MODEL, 30, generator=torch.Generator().manual_seed(1))


def logits(of: MicroLLM) -> torch.Tensor:
    return of(torch.arange(16).view(2, 8))[0]


def trained(kind: type[Trainer], steps: int = 12) -> list[torch.Tensor]:
    trainer = kind(MODEL, SETTINGS, Corpus(TEXT))
    for progress in trainer:
        if progress.step == steps:
            return [p.detach().clone() for p in trainer.model.parameters()]


@pytest.mark.parametrize("name", ["x0 injection", "value embeddings", "q, k and v orthogonalized apart"])
def test_these_change_nothing_before_training_and_their_weights_are_trained(name):
    changed = CHANGES[name].model(model())
    torch.testing.assert_close(logits(changed), logits(model()))
    logits(changed).square().sum().backward()
    assert all(p.grad is not None for p in changed.parameters())
    make_optimizers(changed, SETTINGS)  # raises unless each parameter is in one group


def test_x0_and_value_embeddings_reach_the_logits():
    mixed, tabled = CHANGES["x0 injection"].model(model()), CHANGES["value embeddings"].model(model())
    with torch.no_grad():
        mixed.x0_shares[1, 1] = 1.0
        for table in tabled.value_tables:
            table[3] = 1.0  # the fourth character of the first row
    for changed in (mixed, tabled):
        assert not torch.allclose(logits(changed)[0, 3], logits(model())[0, 3])
    assert torch.equal(logits(tabled)[0, :3], logits(model())[0, :3])  # no character before it sees it


def test_an_exclusive_head_says_nothing_along_the_own_value():
    seen = {}
    changed = exclude_own_value(model())
    attention = changed.blocks[1].attention
    attention.proj.register_forward_pre_hook(lambda _, inputs: seen.update(z=inputs[0]))
    attention.register_forward_pre_hook(lambda _, inputs: seen.update(x=inputs[0]))
    logits(changed)
    v = attention.project_qkv(seen["x"])[2].transpose(1, 2)
    z = seen["z"].unflatten(-1, v.shape[-2:])
    torch.testing.assert_close((z * v).sum(-1), torch.zeros(z.shape[:-1]), atol=1e-5, rtol=0)
    assert z.abs().sum() > 1


def test_leaky_relu_is_halved_below_zero_and_squared():
    activate = CHANGES["LeakyReLU(0.5) squared"].model(model()).blocks[0].feed_forward.activate
    assert activate(torch.tensor([-2.0, 0.0, 3.0])).tolist() == [1, 0, 9]


def test_polar_express_makes_matrices_more_nearly_orthogonal_than_as_many_plain_rounds():
    matrices = torch.randn(2, 16, 24, generator=torch.Generator().manual_seed(1))
    plain = {"ns_coefficients": (3.4445, -4.775, 2.0315), "ns_steps": 5, "eps": 1e-7}
    off = [
        (torch.linalg.svdvals(made(matrices, plain).float()) - 1).abs().max()
        for made in (polar_express, orthogonalized)
    ]
    assert off[0] < off[1] / 2


def test_a_growing_batch_reads_as_many_characters_in_all(monkeypatch):
    sizes, get_batch = [], Corpus.get_batch
    monkeypatch.setattr(Corpus, "get_batch", lambda *of: sizes.append(of[2]) or get_batch(*of))
    trained(GrowingBatch)
    full = SETTINGS.batch_size
    assert sizes[:12] == [full // 2] * 4 + [full] * 4 + [3 * full // 2] * 4


def test_the_lookahead_starts_each_step_ahead_by_the_average_of_the_updates(monkeypatch):
    monkeypatch.setattr(EmaNesterov, "share", 0.0)
    plain = trained(Trainer)
    assert all(map(torch.equal, trained(EmaNesterov), plain))

    monkeypatch.setattr(EmaNesterov, "share", 0.6)
    monkeypatch.setattr(EmaNesterov, "phase", (1 / 12, 1.0))  # from the second update on
    one, zero = trained(Trainer, 1), trained(Trainer, 0)
    ahead = []
    forward = Trainer._forward

    def noted(self):
        ahead.append([p.detach().clone() for p in self.model.parameters()])
        return forward(self)

    monkeypatch.setattr(Trainer, "_forward", noted)
    trained(EmaNesterov, 1)
    for p, q, found in zip(one, zero, ahead[1], strict=True):
        average = (1 - EmaNesterov.decay) * (p - q)
        torch.testing.assert_close(found, p + 0.6 * (1 - 1 / 12) * average)
