"""What each ingredient of the quick recipe is worth: the full recipe, then one ingredient removed or changed.

    python -m benchmarks.ablation

On the book, each variant with three seeds and the same number of steps. It reports the CPU seconds of steps until the
article's loss is reached, and the validation loss after 3, 10 and 20 CPU seconds, as medians of the seeds.
`--processes 2` trains two runs at once, for machines with idle cores.
"""

from __future__ import annotations

import math
import statistics
from concurrent.futures import ProcessPoolExecutor

import torch

from microllm import Trainer, configs_from, validation_loss

from .race import GOAL
from .report import Clock, corpus, parser, save, table

VARIANTS = {
    "the full recipe": {},
    "lookback 1": {"lookback": 1},
    "lookback 3": {"lookback": 3},
    "rotary positions": {"position": "rotary"},
    "rotary positions, lookback 1": {"position": "rotary", "lookback": 1},
    "learned positions": {"position": "learned"},
    "no positions": {"position": "none"},
    "no positions, lookback 1": {"position": "none", "lookback": 1},
    "relu": {"activation": "relu"},
    "torch's start weights": {"initialization": "torch"},
    "AdamW at 3e-3": {"optimizer": "adamw", "learning_rate": 3e-3},
    "AdamW at 1e-2": {"optimizer": "adamw", "learning_rate": 1e-2},
    "float32": {"precision": "float32"},
    "constant learning rate": {"schedule": "constant"},
    "rate / 2": {"learning_rate": 0.01},
    "rate x 2": {"learning_rate": 0.04},
    "n_layer 2": {"n_layer": 2},
}
TIMES = (3, 10, 20)


def train(variant: str, seed: int, seconds: float) -> tuple[float, list[float]]:
    """CPU seconds to the article's loss (infinite: not within `seconds`), and the losses after TIMES."""
    torch.set_num_threads(1)
    text, clock = corpus(), Clock()
    model, settings = configs_from(VARIANTS[variant] | {"seed": seed})
    trainer = Trainer(model, settings, text)
    trainer.evaluate = lambda *_: None
    steps, reached, losses, last = iter(trainer), math.inf, [], (0.0, math.inf)
    while clock.cpu < seconds:
        with clock:
            progress = next(steps, None)
        if progress is None:
            break
        is_due = progress.step % (10 if reached == math.inf and clock.cpu < 8 else 50) == 0
        if is_due or progress.step == settings.max_steps:
            loss = validation_loss(trainer.model, text)
            while len(losses) < len(TIMES) and clock.cpu >= TIMES[len(losses)]:
                # interpolated linearly between two validation checks
                share = (TIMES[len(losses)] - last[0]) / (clock.cpu - last[0])
                losses.append(last[1] + share * (loss - last[1]) if math.isfinite(last[1]) else loss)
            reached = min(reached, clock.cpu) if loss <= GOAL else reached
            last = clock.cpu, loss
    return reached, losses + [last[1]] * (len(TIMES) - len(losses))


def main() -> None:
    """Print one row per variant."""
    flags = parser(__doc__)
    flags.add_argument("--seeds", type=int, default=3)
    flags.add_argument("--processes", type=int, default=1)
    flags.add_argument("--only", nargs="*", choices=VARIANTS, default=list(VARIANTS), help="only these variants")
    options = flags.parse_args()
    corpus()
    seconds = max(TIMES) + 1
    jobs = [(variant, 1 + seed) for variant in options.only for seed in range(options.seeds)]
    with ProcessPoolExecutor(options.processes) as pool:
        done = list(pool.map(train, *zip(*jobs, strict=True), [seconds] * len(jobs)))
    rows, numbers = [], {}
    for variant in options.only:
        results = [result for job, result in zip(jobs, done, strict=True) if job[0] == variant]
        reached = statistics.median(result[0] for result in results)
        losses = [statistics.median(result[1][i] for result in results) for i in range(len(TIMES))]
        numbers[variant] = {"seconds to the article's loss": [result[0] for result in results], "losses": losses}
        rows.append([variant, f"{reached:.2f}" if math.isfinite(reached) else "-", *(f"{x:.3f}" for x in losses)])
    table(["", f"CPU s to {GOAL}", *(f"loss at {t} s" for t in TIMES)], rows)
    save(options.json, {"ablation": numbers})


if __name__ == "__main__":
    main()
