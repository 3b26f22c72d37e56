"""Generation with a key-value cache against the article's code, which recomputes the whole context each time.

    python -m benchmarks.sampling

Untrained models of equal shape take turns on one thread with one sequence; then characters per second of several
samples at once. CPU time, medians of the rounds. The last column is the part of MicroLLM's time that the matrix
products alone take when one character goes through every linear layer: they have to read all weights.
"""

from __future__ import annotations

import statistics

import torch
from torch import nn

from microllm import MicroLLM, configs_from, generate

from .plain import PerHead, PlainModel
from .report import Clock, parser, save, table

VOCAB = 91
# block_size, n_embd, n_head, n_layer, characters that MicroLLM and the article's way write
SHAPES = {"article": (8, 32, 4, 3, 1_000, 400), "large": (256, 384, 6, 6, 1_000, 60)}


def products_alone(model: MicroLLM, times: int) -> float:
    """CPU seconds for one character's way through every linear layer, and nothing else."""
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    vectors = [torch.randn(1, 1, layer.in_features) for layer in layers]
    with torch.inference_mode(), Clock() as clock:
        for _ in range(times):
            for layer, vector in zip(layers, vectors, strict=True):
                layer(vector)
    return clock.cpu / times


def main() -> None:
    """Print characters per second of both, the ratio, and those of batches of 1, 4 and 16 samples."""
    flags = parser(__doc__)
    flags.add_argument("--rounds", type=int, default=5)
    options = flags.parse_args()
    torch.set_num_threads(1)
    rows, numbers = [], {}
    for name, (block_size, n_embd, n_head, n_layer, many, few) in SHAPES.items():
        shape = {"block_size": block_size, "n_embd": n_embd, "n_head": n_head, "n_layer": n_layer}
        config, _ = configs_from(shape, "article")
        ours, plain = MicroLLM(config, VOCAB).eval(), PlainModel(config, VOCAB, PerHead).eval()
        # the prompt fills the context, because the article's code only reaches its usual cost with a full one
        prompt = torch.randint(VOCAB, (1, block_size), generator=torch.Generator().manual_seed(1))
        clocks = {"article's way": Clock(), "without gradients": Clock(), "MicroLLM": Clock()}
        for _ in range(options.rounds):
            with clocks["article's way"]:
                plain.generate(prompt, few)
            with clocks["without gradients"], torch.no_grad():
                plain.generate(prompt, few)
            with clocks["MicroLLM"]:
                generate(ours, prompt, many)
        written = {"article's way": few, "without gradients": few, "MicroLLM": many}
        rates = {who: written[who] / statistics.median(clock.cpus) for who, clock in clocks.items()}
        products = statistics.median(products_alone(ours, many // 4) for _ in range(options.rounds))
        share = products * rates["MicroLLM"]
        batches = {}
        for samples in (1, 4, 16):
            with Clock() as clock:
                generate(ours, prompt.expand(samples, -1), many // 4)
            batches[samples] = samples * (many // 4) / clock.cpu
        numbers[name] = {"characters a second": rates, "samples at once": batches, "products": share}
        rows.append(
            [
                f"{name}: {block_size}, {n_embd}, {n_head}, {n_layer}",
                *(f"{rate:,.0f}" for rate in rates.values()),
                *(f"{rates['MicroLLM'] / rates[who]:.1f}" for who in ("article's way", "without gradients")),
                *(f"{rate:,.0f}" for rate in batches.values()),
                f"{share:.0%}",
            ]
        )
    print("characters per second of CPU time")
    head = ["block_size, n_embd, n_head, n_layer", "article's way", "without gradients", "MicroLLM"]
    table([*head, "times", "times", "1 sample", "4 at once", "16 at once", "products"], rows)
    save(options.json, {"sampling": numbers})


if __name__ == "__main__":
    main()
