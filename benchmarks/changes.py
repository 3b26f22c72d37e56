"""What recipe changes that are said to help larger models do for `quick`.

    python -m benchmarks.changes --processes 2

All of them come with gains on GPUs, for models of 10 million parameters and more. Here each is the `quick` recipe on
the book with this one change, with the same seeds and number of steps, on one thread. It reports the step and the CPU
time at which the article's loss is reached, the CPU time of a step, and the final validation loss: medians of the
seeds, times as ratios to the recipe. Validation is not timed.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from types import MethodType
from unittest import mock

import torch
from torch import nn
from torch.nn import functional as F

import microllm.optim
from microllm import MicroLLM, Trainer, configs_from
from microllm.model import MultiHeadAttention

from .race import GOAL
from .report import Clock, corpus, parser, save, table

RECIPE = "the recipe"


def mix_in_x0(model: MicroLLM) -> MicroLLM:
    """Each layer reads a x + b x0, with x0 the embeddings that the first layer reads; a starts at 1 and b at 0."""
    model.x0_shares = nn.Parameter(torch.tensor([[1.0, 0.0]] * len(model.blocks)))
    x0 = None

    def mixed(block: nn.Module, inputs: tuple) -> tuple | None:
        nonlocal x0
        x, cache = inputs
        layer = list(model.blocks).index(block)
        if layer == 0:
            x0 = x
            return None
        a, b = model.x0_shares[layer]
        return a * x + b * x0, cache

    for block in model.blocks:
        block.register_forward_pre_hook(mixed)
    return model


def add_value_embeddings(model: MicroLLM) -> MicroLLM:
    """Each layer has a table of its own, one row per character, that is added to the values; it starts at zero."""
    tables = [nn.Parameter(torch.zeros(model.vocab_size, model.config.n_embd)) for _ in model.blocks]
    model.value_tables = nn.ParameterList(tables)
    idx = None

    def note(_: nn.Module, inputs: tuple) -> None:
        nonlocal idx
        idx = inputs[0]

    def with_table(attention: MultiHeadAttention, rows: nn.Parameter) -> Callable:
        project = attention.project_qkv

        def projected(_: MultiHeadAttention, x: torch.Tensor, start: int = 0) -> tuple[torch.Tensor, ...]:
            q, k, v = project(x, start)
            return q, k, v + rows[idx].unflatten(-1, (attention.n_head, -1)).transpose(1, 2)

        return projected

    model.register_forward_pre_hook(note)
    for block, rows in zip(model.blocks, tables, strict=True):
        block.attention.project_qkv = MethodType(with_table(block.attention, rows), block.attention)
    return model


def exclude_own_value(model: MicroLLM) -> MicroLLM:
    """A head's output loses its part along the value of the character itself (Zhai 2026, exclusive self-attention)."""

    def exclusive(attention: MultiHeadAttention) -> Callable:
        project, own = attention.project_qkv, None

        def projected(_: MultiHeadAttention, x: torch.Tensor, start: int = 0) -> tuple[torch.Tensor, ...]:
            nonlocal own
            q, k, v = project(x, start)
            own = F.normalize(v, dim=-1)
            return q, k, v

        def without_own(_: MultiHeadAttention, z: torch.Tensor) -> torch.Tensor:
            return z - (z * own).sum(-1, keepdim=True) * own

        attention.project_qkv = MethodType(projected, attention)
        return without_own

    for block in model.blocks:
        block.attention.silence = MethodType(exclusive(block.attention), block.attention)
    return model


class SeparateMatrices(nn.Module):
    """The queries, keys and values of one Linear layer, computed with three matrices that Muon treats one by one."""

    def __init__(self, together: nn.Linear) -> None:
        super().__init__()
        self.matrices = nn.ModuleList()
        for weight in together.weight.detach().chunk(3):
            matrix = nn.Linear(*weight.T.shape, bias=False)
            matrix.weight = nn.Parameter(weight.clone())
            self.matrices.append(matrix)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, torch.cat([matrix.weight for matrix in self.matrices]))


def separate_qkv(model: MicroLLM) -> MicroLLM:
    """Muon makes the updates of queries, keys and values orthogonal each on its own, not as one matrix."""
    for block in model.blocks:
        block.attention.qkv = SeparateMatrices(block.attention.qkv)
    return model


def square_leaky_relu(model: MicroLLM) -> MicroLLM:
    """Negative numbers are halved before they are squared, instead of becoming zero."""
    for block in model.blocks:
        block.feed_forward.activate = lambda x: F.leaky_relu(x, 0.5).square()
    return model


class EmaNesterov(Trainer):
    """Each step starts from a point ahead, in the direction of the average of past updates (Yau et al. 2026).

    With the constants of the public record that uses it: an average over about 100 steps, and a share of it that falls
    with the learning rate, from 16 to 77 % of the run.
    """

    decay, share, phase = 0.99, 0.6, (0.16, 0.77)
    average: list[torch.Tensor] | None = None

    @torch.no_grad()
    def _forward(self) -> torch.Tensor:
        parameters = list(self.model.parameters())
        self.before = [p.clone() for p in parameters]
        done = self.step / self.config.max_steps
        if self.average and self.phase[0] <= done <= self.phase[1]:
            torch._foreach_add_(parameters, self.average, alpha=self.share * (1 - done))
        with torch.enable_grad():
            return super()._forward()

    def _update(self, loss: torch.Tensor, learning_rate: float) -> None:
        super()._update(loss, learning_rate)
        with torch.no_grad():
            made = [p - q for p, q in zip(self.model.parameters(), self.before, strict=True)]
            self.average = self.average or [torch.zeros_like(p) for p in made]
            torch._foreach_lerp_(self.average, made, 1 - self.decay)


class GrowingBatch(Trainer):
    """Half the batch in the first third of the run, one and a half in the last: as many characters in all."""

    def _forward(self) -> torch.Tensor:
        self.full = getattr(self, "full", self.config.batch_size)
        third = min(2, 3 * self.step // self.config.max_steps)
        self.config = replace(self.config, batch_size=self.full * (third + 1) // 2)
        return super()._forward()


POLAR_EXPRESS = [
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
]
"""Factors (a, b, c) of each round (Amsel et al. 2025), for norms of 1 / 1.02."""


def polar_express(matrices: torch.Tensor, settings: dict) -> torch.Tensor:
    """`optim.orthogonalized` in five rounds with the factors of Polar Express, instead of three that are alike."""
    x = matrices.bfloat16()
    x = x / (1.02 * x.norm(dim=(1, 2), keepdim=True)).clamp(min=settings["eps"])
    for a, b, c in POLAR_EXPRESS:
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


@dataclass(frozen=True)
class Change:
    """One change: what it does to a new model in place, to the trainer, or to Muon's orthogonal updates."""

    model: Callable[[MicroLLM], MicroLLM] | None = None
    trainer: type[Trainer] = Trainer
    orthogonalized: Callable = microllm.optim.orthogonalized


CHANGES = {
    RECIPE: Change(),
    "x0 injection": Change(mix_in_x0),
    "value embeddings": Change(add_value_embeddings),
    "exclusive self-attention": Change(exclude_own_value),
    "LeakyReLU(0.5) squared": Change(square_leaky_relu),
    "q, k and v orthogonalized apart": Change(separate_qkv),
    "Polar Express": Change(orthogonalized=polar_express),
    "EMA-Nesterov": Change(trainer=EmaNesterov),
    "a growing batch": Change(trainer=GrowingBatch),
}


@dataclass(frozen=True)
class Result:
    """One run: the step at which it reached the article's loss (infinite: never), CPU seconds a step, final loss."""

    reached: float
    seconds: float
    loss: float


def train(name: str, seed: int, steps: int) -> Result:
    """Train with one change; the step of the article's loss is interpolated between two validation checks."""
    torch.set_num_threads(1)
    change, checking = CHANGES[name], Clock()
    model, settings = configs_from({"seed": seed, "max_steps": steps, "eval_interval": 20})
    trainer = change.trainer(model, settings, corpus(), wrap_model=change.model)
    evaluate = trainer.evaluate

    def check() -> float:
        with checking:
            return evaluate()

    trainer.evaluate = check
    reached, last = math.inf, (0, math.inf)
    began = time.process_time()
    with mock.patch.object(microllm.optim, "orthogonalized", change.orthogonalized):
        for progress in trainer:
            if progress.val_loss is None:
                continue
            step, loss = last
            if loss > GOAL >= progress.val_loss and reached == math.inf:
                reached = step + (progress.step - step) * (loss - GOAL) / (loss - progress.val_loss)
            last = progress.step, progress.val_loss
    seconds = (time.process_time() - began - checking.cpu) / steps
    return Result(reached, seconds, last[1])


def main() -> None:
    """Print one row per change."""
    flags = parser(__doc__)
    flags.add_argument("--seeds", type=int, default=3)
    flags.add_argument("--steps", type=int, default=1_000)
    flags.add_argument("--processes", type=int, default=1)
    flags.add_argument("--only", nargs="*", choices=CHANGES, default=list(CHANGES), help="only these (and the recipe)")
    options = flags.parse_args()
    corpus()
    names = list(dict.fromkeys([RECIPE, *options.only]))
    # seed after seed: a minute in which the machine is busy does not meet one change alone
    jobs = [(name, 1 + seed) for seed in range(options.seeds) for name in names]
    with ProcessPoolExecutor(options.processes) as pool:
        done = dict(zip(jobs, pool.map(train, *zip(*jobs, strict=True), [options.steps] * len(jobs)), strict=True))
    results = {name: [done[name, 1 + seed] for seed in range(options.seeds)] for name in names}
    rows = []
    for name, ran in results.items():
        pairs = list(zip(ran, results[RECIPE], strict=True))
        step, slower, sooner = (
            statistics.median(values)
            for values in (
                [one.reached for one in ran],
                [one.seconds / base.seconds for one, base in pairs],
                [one.reached * one.seconds / (base.reached * base.seconds) for one, base in pairs],
            )
        )
        losses = sorted(one.loss for one in ran)
        rows.append(
            [
                name,
                f"{step:.0f}",
                f"{slower:.2f}",
                f"{sooner:.2f}",
                f"{statistics.median(losses):.3f} ({losses[0]:.3f} to {losses[-1]:.3f})",
            ]
        )
    head = ["", f"step of {GOAL}", "CPU of a step", f"CPU to {GOAL}", f"loss at step {options.steps:,}"]
    table(head, rows)
    save(options.json, {"changes": {name: [vars(one) for one in ran] for name, ran in results.items()}})


if __name__ == "__main__":
    main()
