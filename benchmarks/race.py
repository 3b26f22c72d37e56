"""How much sooner `quick` reaches the article's loss, and which loss `long` reaches in the article's time.

    python -m benchmarks.race

The article's own code (one head after another, 10,000 steps), `quick` and `long`, each on its own schedule and on one
thread, take turns of one second, so that a busy machine slows all three alike. Only steps are timed, not validation
checks. Both comparisons are made twice: with the app's validation loss, where a model with a longer context sees more
characters, and at equal context, where every prediction uses exactly the 8 previous characters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import torch

from microllm import PRESETS, Corpus, Trainer
from microllm.corpus import EVAL_CHARACTERS
from microllm.model import evaluating

from .plain import PlainTraining
from .report import Clock, corpus, parser, save, table

GOAL = 1.7775
"""The final validation loss of the article's recipe on the book, nats per character."""

CONTEXT = 8


@dataclass
class Contestant:
    """`step` takes one step; `val_losses` are (step, seconds, CPU seconds, validation loss, loss at equal context)."""

    name: str
    model: torch.nn.Module
    block_size: int
    max_steps: int
    every: int
    """Steps between validation checks; ten times as many once the article's loss is reached."""
    step: Callable[[], object]
    made: int = 0
    clock: Clock = field(default_factory=Clock)
    val_losses: list[tuple[int, float, float, float, float]] = field(default_factory=list)

    def run(self, text: Corpus, seconds: float) -> Iterator[None]:
        """Train to the end; yields after every `seconds` of steps."""
        pause = seconds
        while self.made < self.max_steps:
            with self.clock:
                self.step()
            self.made += 1
            has_reached_goal = self.val_losses and max(self.val_losses[-1][3:]) <= GOAL
            if self.made % (self.every * (10 if has_reached_goal else 1)) == 0 or self.made == self.max_steps:
                loss, at_8 = validation_loss(self.model, text, self.block_size), equal_context_loss(self.model, text)
                self.val_losses.append((self.made, self.clock.wall, self.clock.cpu, loss, at_8))
            if self.clock.wall >= pause:
                pause += seconds
                yield

    def first(self, column: int, goal: float) -> tuple[int, float, float] | None:
        """(step, seconds, CPU seconds) of the first validation check that reached `goal`."""
        return next((check[:3] for check in self.val_losses if check[column] <= goal), None)

    def best_within(self, column: int, cpu_seconds: float) -> float:
        """The lowest loss of a validation check within `cpu_seconds`."""
        return min(check[column] for check in self.val_losses if check[2] <= cpu_seconds)


def validation_loss(model: torch.nn.Module, text: Corpus, block_size: int) -> float:
    """The validation loss of the app: windows of block_size over the first 32,000 held-out characters."""
    inputs, targets = text.validation_windows(block_size)
    return _loss(model, inputs, targets, slice(None))


def equal_context_loss(model: torch.nn.Module, text: Corpus, context: int = CONTEXT) -> float:
    """The loss of every fourth held-out character, predicted from exactly the `context` characters before it."""
    windows = text.val[:EVAL_CHARACTERS].unfold(0, context + 1, 4)
    return _loss(model, windows[:, :-1], windows[:, 1:], slice(-1, None))


def _loss(model: torch.nn.Module, inputs: torch.Tensor, targets: torch.Tensor, places: slice) -> float:
    total, count = 0.0, 0
    rows = 1_024 // inputs.shape[1]
    with evaluating(model):
        for x, y in zip(inputs.split(rows), targets.split(rows), strict=True):
            logits, answers = model(x.long())[0][:, places], y.long()[:, places]
            total += torch.nn.functional.cross_entropy(logits.flatten(0, 1), answers.flatten(), reduction="sum").item()
            count += answers.numel()
    return total / count


def runners(text: Corpus, seed: int) -> list[Contestant]:
    """The three contestants, ready to start."""
    article = PRESETS["article"]
    plain = PlainTraining(article.model, article.train.batch_size, text.train, text.vocab_size, "per head")
    racing = [Contestant("article, its own code", plain.model, 8, article.train.max_steps, 500, plain.step)]
    for name, every in (("quick", 10), ("long", 10)):
        preset = PRESETS[name]
        trainer = Trainer(preset.model, replace(preset.train, seed=seed), text)
        trainer.evaluate = lambda *_: None  # the race makes its own validation checks
        steps = iter(trainer)
        next(steps)  # step 0 is only a forward pass; each later step is an update and a forward pass
        racing.append(
            Contestant(name, trainer.model, preset.model.block_size, preset.train.max_steps, every, steps.__next__)
        )
    return racing


def main() -> None:
    """Print the final losses, and the two comparisons, each with both losses."""
    flags = parser(__doc__)
    flags.add_argument("--seed", type=int, default=1337)
    options = flags.parse_args()
    torch.set_num_threads(1)
    text = corpus()
    racing = runners(text, options.seed)
    article, quick, long = racing
    going = {runner.name: runner.run(text, seconds=1.0) for runner in racing}
    while going:
        for name, steps in list(going.items()):
            if next(steps, steps) is steps:
                del going[name]
                print(f"{name} has finished", flush=True)

    print()
    head = ["", "steps", "seconds", "CPU s", "validation loss", f"{CONTEXT} characters"]
    table(
        head,
        [
            [r.name, f"{e[0]:,}", f"{e[1]:.1f}", f"{e[2]:.1f}", f"{e[3]:.4f}", f"{e[4]:.4f}"]
            for r in racing
            for e in [r.val_losses[-1]]
        ],
    )
    _, wall, cpu, _, at_8 = article.val_losses[-1]
    numbers = {runner.name: runner.val_losses for runner in racing}
    rows = []
    for title, column, goal in (("validation loss", 3, GOAL), (f"{CONTEXT} characters", 4, at_8)):
        sooner = quick.first(column, goal)
        reached = long.best_within(column, cpu)
        ratio = cpu / sooner[2] if sooner else float("nan")
        rows.append(
            [
                title,
                f"{goal:.4f}",
                f"{sooner[0]:,}" if sooner else "never",
                f"{sooner[2]:.2f}" if sooner else "",
                f"{ratio:.1f}",
                f"{wall / sooner[1]:.1f}" if sooner else "",
                f"{reached:.4f}",
            ]
        )
        numbers[title] = {"goal": goal, "quick": sooner, "times sooner": ratio, "long in the article's time": reached}
    print()
    head = ["", "goal", "quick: step", "CPU s", "times sooner", "by the wall clock", "long in the article's CPU time"]
    table(head, rows)
    save(options.json, {"race": numbers})


if __name__ == "__main__":
    main()
