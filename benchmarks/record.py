"""The record for tiny character models on one CPU thread: how low a loss, after how many CPU seconds of training.

    python -m benchmarks.record                      # all rows, five seeds: an hour of CPU time
    python -m benchmarks.record --processes 2        # two at once, on a machine with idle cores
    python -m benchmarks.record --only quick "gzip -9"
    python -m benchmarks.record --mine "deeper" n_layer=4 max_steps=1500      # a row for another recipe

The rules, and the rows so far, are in benchmarks/RECORDS.md. `--picture FILE` draws the curves as an SVG.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from microllm import PRESETS, Corpus, ModelConfig, Trainer, configs_from
from microllm.corpus import EVAL_CHARACTERS

from .counting import COMPRESSORS, BackOffTable, compressed_loss
from .plain import PlainTraining
from .race import equal_context_loss, validation_loss
from .report import Clock, corpus, parser, processor, save, settings

GOALS = (1.7775, 1.50, 1.35, 1.25)
CONTEXTS = (8, 32)
MAX_LOSS = 2.6
"""The highest loss in the picture."""

COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"]  # Okabe & Ito 2008

CHECKS = 60
"""Validation checks of a run, closer together at its beginning. Their time does not count."""

# nanoGPT's recipe for a CPU (its README): the shape, 2,000 steps, warm-up, then a cosine from 1e-3 to 1e-4
NANOGPT = ModelConfig(block_size=64, n_embd=128, n_head=4, n_layer=4)
NANOGPT_STEPS, NANOGPT_WARMUP = 2_000, 100

TABLES = {f"table of {n} characters": n for n in range(1, 9)}
NETWORKS = ("article, its own code", "nanoGPT-style", *PRESETS)


@dataclass
class Result:
    """One run of a row. `curve` has (CPU seconds, validation loss); `at` has the loss for each context that it sees."""

    seed: int
    curve: list[tuple[float, float]]
    at: dict[int, float]
    parameters: int

    def seconds_to(self, goal: float) -> float:
        """CPU seconds of training until a check reached `goal`; infinite if none did."""
        return next((seconds for seconds, loss in self.curve if loss <= goal), math.inf)


def network(name: str, changes: dict, seed: int) -> Result:
    """Train one network with one seed."""
    torch.set_num_threads(1)
    text, clock = corpus(), Clock()
    with clock:
        model, block_size, max_steps, step = _ready(name, changes, seed, text)
    due, curve = {math.ceil(max_steps * (i / CHECKS) ** 2) for i in range(1, CHECKS + 1)}, []
    for made in range(1, max_steps + 1):
        with clock:
            step()
        if made in due:
            curve.append((clock.cpu, validation_loss(model, text, block_size)))
    at = {context: equal_context_loss(model, text, context) for context in CONTEXTS if context <= block_size}
    return Result(seed, curve, at, sum(p.numel() for p in model.parameters()))


def _ready(name: str, changes: dict, seed: int, text: Corpus) -> tuple[torch.nn.Module, int, int, Callable]:
    """(model, block_size, number of steps, a function that takes one step)."""
    if name == "article, its own code":
        article = PRESETS["article"]
        plain = PlainTraining(
            article.model, article.train.batch_size, text.train, text.vocab_size, "per head", seed=seed
        )
        return plain.model, article.model.block_size, article.train.max_steps, plain.step
    if name == "nanoGPT-style":
        return _nanogpt(text, seed)
    preset = name if name in PRESETS else "quick"
    model, train = configs_from(changes | {"seed": seed}, preset)
    trainer = Trainer(model, train, text, device="cpu")
    trainer.evaluate = lambda *_: None  # the checks are made here
    steps = iter(trainer)
    next(steps)  # step 0 is only a forward pass; each later step is an update and a forward pass
    return trainer.model, model.block_size, train.max_steps, steps.__next__


def _nanogpt(text: Corpus, seed: int) -> tuple[torch.nn.Module, int, int, Callable]:
    plain = PlainTraining(NANOGPT, 12, text.train, text.vocab_size, "fused", seed=seed)
    (group,) = plain.optimizer.param_groups
    group.update(betas=(0.9, 0.99), weight_decay=0.1)

    def rates() -> Iterator[float]:
        for step in range(NANOGPT_STEPS):
            done = max(0.0, (step - NANOGPT_WARMUP) / (NANOGPT_STEPS - NANOGPT_WARMUP))
            yield min((step + 1) / NANOGPT_WARMUP, 1) * (1e-4 + 9e-4 * (1 + math.cos(math.pi * done)) / 2)

    left = rates()

    def step() -> None:
        group["lr"] = next(left)
        plain.step()

    return plain.model, NANOGPT.block_size, NANOGPT_STEPS, step


def without_network(name: str) -> Result:
    """Count or compress the training part, and score the same held-out characters."""
    torch.set_num_threads(1)
    text, clock = corpus(), Clock()
    if name in COMPRESSORS:
        known, new = map(text.tokenizer.decode, (text.train, text.val[:EVAL_CHARACTERS]))
        with clock:
            loss = compressed_loss(COMPRESSORS[name], known, new)
        return Result(0, [(clock.cpu, loss)], {}, 0)
    with clock:
        counted = BackOffTable(text.train, text.vocab_size, TABLES[name])
    at = {}
    for context in CONTEXTS:
        if TABLES[name] - 1 <= context:
            windows = text.val[:EVAL_CHARACTERS].unfold(0, context + 1, 4)
            at[context] = counted.loss(windows[:, :-1], windows[:, 1:], last_only=True)
    inputs, targets = text.validation_windows(max(CONTEXTS))
    return Result(0, [(clock.cpu, counted.loss(inputs, targets))], at, counted.size)


def row(name: str, results: list[Result]) -> list[str]:
    """The row of RECORDS.md: medians over the seeds, and the spread of the final losses."""
    ends = [result.curve[-1][1] for result in results]
    spread = f" ({min(ends):.3f} to {max(ends):.3f})" if len(ends) > 1 else ""
    at = [[result.at[context] for result in results if context in result.at] for context in CONTEXTS]
    to = [statistics.median(result.seconds_to(goal) for result in results) for goal in GOALS]
    return [
        name,
        f"{statistics.median(ends):.3f}{spread}",
        *(f"{statistics.median(losses):.3f}" if losses else "" for losses in at),
        *(f"{seconds:.1f}" if math.isfinite(seconds) else "" for seconds in to),
        f"{statistics.median(result.curve[-1][0] for result in results):.1f}",
        f"{results[0].parameters:,}" if results[0].parameters else "",
    ]


def picture(results: dict[str, list[Result]]) -> str:
    """All rows below MAX_LOSS as an SVG: networks as lines with a legend, the others as labeled points.

    A line is that of the seed with the median final loss.
    """
    import vl_convert  # for this option alone

    lines, points, free = [], [], 0.0
    middles = {name: sorted(found, key=_final)[len(found) // 2] for name, found in results.items()}
    for name, middle in sorted(middles.items(), key=lambda each: _final(each[1])):
        label = f"{name}: {_final(middle):.3f}"
        drawn = [{"row": label, "seconds": t, "loss": loss} for t, loss in middle.curve if loss < MAX_LOSS]
        if len(middle.curve) > 1:
            lines += drawn
        elif drawn:
            free = max(free + 0.045, _final(middle))  # the next place for a label, so that none covers another
            points.append(drawn[0] | {"label": free})
    x = {"field": "seconds", "type": "quantitative", "title": "CPU seconds of training"}
    y = {"field": "loss", "type": "quantitative", "title": "validation loss, nats per character"}
    names = list(dict.fromkeys(each["row"] for each in lines))
    grey = "#6B7280"
    spec = {
        "width": 640,
        "height": 400,
        "encoding": {
            "x": x | {"scale": {"type": "log", "nice": False}, "axis": {"grid": False}},
            "y": y | {"scale": {"zero": False}},
        },
        "layer": [
            {
                "data": {"values": lines},
                "mark": {"type": "line", "strokeWidth": 2},
                "encoding": {"color": {"field": "row", "title": None, "sort": names, "scale": {"range": COLORS}}},
            },
            {"data": {"values": points}, "mark": {"type": "point", "shape": "diamond", "color": grey, "filled": True}},
            {
                "data": {"values": points},
                "mark": {"type": "text", "align": "left", "dx": 8, "color": grey},
                "encoding": {"text": {"field": "row"}, "y": {"field": "label", "type": "quantitative"}},
            },
        ],
        "config": {"background": "#FFFFFF", "font": "sans-serif"},
    }
    return vl_convert.vegalite_to_svg(spec)


def _final(result: Result) -> float:
    return result.curve[-1][1]


HEAD = [
    "",
    "validation loss (seeds)",
    *(f"from {context} characters" for context in CONTEXTS),
    *(f"CPU s to {goal}" for goal in GOALS),
    "CPU s in all",
    "parameters or sequences",
]


def main() -> None:
    """Print one row per contender, as Markdown."""
    flags = parser(__doc__)
    flags.add_argument("--seeds", type=int, default=5)
    flags.add_argument("--processes", type=int, default=1)
    flags.add_argument("--only", nargs="*", choices=[*NETWORKS, *TABLES, *COMPRESSORS], help="only these rows")
    flags.add_argument("--mine", metavar="NAME", help="a row for `quick` with other settings")
    flags.add_argument("--picture", type=Path, metavar="FILE", help="draw all rows as an SVG")
    flags.add_argument("changes", nargs="*", metavar="NAME=VALUE", help="with --mine: the settings that differ")
    options = flags.parse_args()
    if options.changes and not options.mine:
        flags.error("settings are for a row of your own: add --mine NAME")
    if options.mine in {*NETWORKS, *TABLES, *COMPRESSORS}:
        flags.error(f"{options.mine} is the name of another row: choose a different one")
    names = [options.mine] if options.mine else options.only or [*NETWORKS, *TABLES, *COMPRESSORS]
    changes, text = settings(options.changes), corpus()
    with ProcessPoolExecutor(options.processes) as pool:
        waiting = {
            name: [pool.submit(without_network, name)]
            if name in TABLES or name in COMPRESSORS
            else [pool.submit(network, name, changes, seed) for seed in range(1, options.seeds + 1)]
            for name in names
        }
        results = {name: [each.result() for each in found] for name, found in waiting.items()}
    for cells in (HEAD, ["---"] * len(HEAD), *(row(name, found) for name, found in results.items())):
        print("|", " | ".join(cells), "|")
    about = f"{processor()}, one thread, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}"
    print(f"\n{about}; {len(text):,} characters, {text.vocab_size} different.")
    save(options.json, {"record": {name: [vars(result) for result in found] for name, found in results.items()}})
    if options.picture:
        options.picture.write_text(picture(results))


if __name__ == "__main__":
    main()
