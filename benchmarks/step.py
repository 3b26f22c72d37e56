"""One training step at equal shape and recipe: MicroLLM, the article's per-head code, the common fused style.

    python -m benchmarks.step

The three take turns, one step each, so that a busy moment slows all of them. It compares medians of CPU time (one
thread, so it equals the wall time of an idle machine). The peak is what the same thread reaches on products of
1,024 x 1,024 matrices in the same run. The share of the peak counts only the model's matrix products: 6 operations per
weight and character, and half of the attention square (Kaplan et al. 2020; a causal model needs no more).
"""

from __future__ import annotations

import statistics

import torch

from microllm import ModelConfig, Trainer, configs_from

from .plain import PlainTraining
from .report import Clock, corpus, parser, save, table

# block_size, batch_size, n_embd, n_head, n_layer
SHAPES = {
    "article": (8, 32, 32, 4, 3),
    "8, 32, 32, 4, 4": (8, 32, 32, 4, 4),
    "64, 32, 64, 4, 4": (64, 32, 64, 4, 4),
    "64, 12, 128, 4, 4": (64, 12, 128, 4, 4),
    "128, 32, 192, 6, 6": (128, 32, 192, 6, 6),
}


def operations(config: ModelConfig, batch_size: int, vocab_size: int) -> float:
    """Floating-point operations of the products in one step, forward and backward."""
    C, T, tokens = config.n_embd, config.block_size, batch_size * config.block_size
    weights = config.n_layer * 12 * C * C + C * vocab_size
    return 6.0 * tokens * (weights + config.n_layer * T * C)


def peak(size: int = 1024, rounds: int = 12) -> float:
    """Operations per second of a product of two square matrices: the best of some rounds."""
    a, b, clock = torch.randn(size, size), torch.randn(size, size), Clock()
    for _ in range(rounds):
        with clock:
            a @ b
    return 2 * size**3 / min(clock.cpus)


def measure(shape: tuple[int, int, int, int, int], steps: int, warm_up: int = 5) -> dict[str, Clock]:
    """The clocks of the three contestants over `steps` steps each."""
    block_size, batch_size, n_embd, n_head, n_layer = shape
    values = {"block_size": block_size, "n_embd": n_embd, "n_head": n_head, "n_layer": n_layer}
    never = {"batch_size": batch_size, "max_steps": 1_000_000, "eval_interval": 10_000}
    model, train = configs_from(values | never, "article")
    text = corpus()
    trainer = Trainer(model, train, text)
    trainer.evaluate = lambda *_: None  # validation checks are not timed
    ours = iter(trainer)
    turns = {"MicroLLM": lambda: next(ours)}
    for style in ("per head", "fused"):
        turns[style] = PlainTraining(model, batch_size, text.train, text.vocab_size, style).step
    clocks = {name: Clock() for name in turns}
    for i in range(steps + warm_up):
        for name, step in turns.items():
            with Clock() if i < warm_up else clocks[name]:
                step()
    return clocks


def main() -> None:
    """Print one row per shape: CPU milliseconds per step (medians), the two ratios, and the share of the peak."""
    flags = parser(__doc__)
    flags.add_argument("--seconds", type=float, default=20.0, help="for each shape")
    options = flags.parse_args()
    torch.set_num_threads(1)
    rows, numbers = [], {}
    for name, shape in SHAPES.items():
        model = ModelConfig(block_size=shape[0], n_embd=shape[2], n_head=shape[3], n_layer=shape[4])
        once = sum(clock.wall for clock in measure(shape, steps=3).values()) / 3
        clocks = measure(shape, steps=max(5, int(options.seconds / once)))
        best = peak()
        cpu = {who: statistics.median(clock.cpus) for who, clock in clocks.items()}
        wall = {who: statistics.median(clock.walls) for who, clock in clocks.items()}
        share = operations(model, shape[1], corpus().vocab_size) / cpu["MicroLLM"] / best
        numbers[name] = {"cpu": cpu, "wall": wall, "peak": best, "share_of_peak": share}
        rows.append(
            [
                name,
                *(f"{1000 * cpu[who]:.2f}" for who in ("per head", "fused", "MicroLLM")),
                f"{cpu['per head'] / cpu['MicroLLM']:.2f}",
                f"{cpu['MicroLLM'] / cpu['fused']:.3f}",
                f"{1000 * wall['MicroLLM']:.2f}",
                f"{best / 1e9:.0f}",
                f"{share:.0%}",
            ]
        )
    head = ["block, batch, n_embd, n_head, n_layer", "per head", "fused", "MicroLLM", "per head / ours"]
    table([*head, "ours / fused", "ours, wall", "peak GFLOP/s", "share"], rows)
    save(options.json, {"step": numbers})


if __name__ == "__main__":
    main()
