"""What the attention heads of a preset specialize in, and how much the model needs the most important one.

    python -m benchmarks.heads

It trains the preset on the book with five seeds (`--seeds`), one thread each, and reports for each: the validation loss
at the end, the CPU seconds of the steps, the largest share of attention that a head pays to the character 1, 2, 3 and 4
back, which distances have a head with 0.7 or more (each head counts once), and how much the validation loss rises when
the most important head is replaced by its mean output. The shares and means are over 2,000 held-out characters.
`lookback=1` and the like change a setting.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import torch

from microllm import PRESETS, Trainer, configs_from
from microllm.insight.heads import distance_shares
from microllm.insight.knockout import Part, knock_out, mean_outputs
from microllm.insight.trace import trace_blocks
from microllm.train import validation_loss

from .report import Clock, corpus, parser, save, settings, table

PASSAGE = 2_000
FARTHEST = 4


def measure(preset: str, changes: dict, seed: int) -> dict:
    """Train with one seed. Returns what is reported about it."""
    torch.set_num_threads(1)
    text, clock = corpus(), Clock()
    model_config, train_config = configs_from(changes | {"seed": seed}, preset)
    trainer = Trainer(model_config, train_config, text, device="cpu")
    trainer.evaluate = lambda *_: None
    with clock:
        for _ in trainer:
            pass
    model = trainer.model
    windows = text.val[:PASSAGE].long().unfold(0, model_config.block_size, model_config.block_size)
    patterns = torch.stack([record.pattern for record in trace_blocks(model, windows)])
    shares, means = distance_shares(patterns), mean_outputs(model, windows)
    loss = validation_loss(model, text)
    rises = {}
    for layer in range(model_config.n_layer):
        for head in range(model_config.n_head):
            rises[layer, head] = validation_loss(knock_out(model, [Part(layer, head)], means), text) - loss
    sharpest, distance = shares.flatten(0, 1).max(dim=-1)
    return {
        "seed": seed,
        "loss": loss,
        "CPU s": clock.cpu,
        "shares": shares.flatten(0, 1).amax(0)[1 : FARTHEST + 1].tolist(),
        "distances": sorted(distance[sharpest >= 0.7].tolist()),
        "knock-outs": sorted(rises.values(), reverse=True),
    }


def main() -> None:
    """Print one row per seed."""
    flags = parser(__doc__)
    flags.add_argument("--preset", choices=PRESETS, default="quick")
    flags.add_argument("--seeds", type=int, default=5)
    flags.add_argument("--processes", type=int, default=1)
    flags.add_argument("changes", nargs="*", metavar="NAME=VALUE", help="settings that differ from the preset")
    options = flags.parse_args()
    changes = settings(options.changes)
    corpus()
    jobs = range(1, options.seeds + 1)
    with ProcessPoolExecutor(options.processes) as pool:
        done = list(pool.map(measure, [options.preset] * len(jobs), [changes] * len(jobs), jobs))
    head = ["seed", "loss", "CPU s", *(f"{n} back" for n in range(1, FARTHEST + 1))]
    table(
        [*head, "0.7 or more", "best knock-out"],
        [
            [
                each["seed"],
                f"{each['loss']:.4f}",
                f"{each['CPU s']:.1f}",
                *(f"{share:.2f}" for share in each["shares"]),
                " ".join(f"{back}:{count}" for back, count in Counter(each["distances"]).items()) or "-",
                f"{each['knock-outs'][0]:+.3f}",
            ]
            for each in done
        ],
    )
    save(options.json, {"heads": done})


if __name__ == "__main__":
    main()
