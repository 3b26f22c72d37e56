"""Repeats the experiments that pages tell of, and fails when a statement about one is no longer true.

    python -m benchmarks.experiments

"A head is born" trains nothing: it looks at the runs that come with MicroLLM. "Say it twice" trains the words-twice run
of the gallery again with one layer. Both use one thread; the book is downloaded, or comes from MICROLLM_MIRROR.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from microllm import Trainer, configs_from
from microllm.config import REFERENCE_NAMES
from microllm.corpus import Corpus
from microllm.data import texts
from microllm.gallery.__main__ import ENTRIES
from microllm.insight.heads import PASSAGE_CHARACTERS, passage_scores
from microllm.insight.knockout import MEAN_CHARACTERS, Part, change, knock_out, mean_outputs, window_losses
from microllm.model import MicroLLM
from microllm.runs.run import Run

from .report import corpus as the_book
from .report import parser, save

Head = tuple[int, int]


@dataclass(frozen=True)
class Finding:
    """A statement, whether it is true, and the numbers that say so."""

    statement: str
    is_true: bool
    numbers: str


def score(model: MicroLLM, corpus: Corpus, name: str) -> tuple[torch.Tensor, float]:
    """(what each head has of a score of `passage_scores`, (L, H); what chance has)."""
    windows, _ = corpus.validation_windows(model.config.block_size, PASSAGE_CHARACTERS)
    space = corpus.tokenizer.vocab.find(" ")
    found = passage_scores(model, windows, None if space < 0 else space)
    one = next(one for one in found if one.name == name)
    return one.shares, one.chance


def best(shares: torch.Tensor) -> Head:
    """The head with the largest share."""
    layer, head = divmod(int(shares.argmax()), shares.shape[1])
    return layer, head


def cost(model: MicroLLM, corpus: Corpus, part: Part) -> float:
    """How much the validation loss rises without a part, whose mean output takes its place, in nats per character."""
    inputs, targets = corpus.validation_windows(model.config.block_size)
    means = mean_outputs(model, corpus.validation_windows(model.config.block_size, MEAN_CHARACTERS)[0])
    before, after = (window_losses(one, inputs, targets) for one in (model, knock_out(model, [part], means)))
    return change(before, after).nats


def a_head_is_born() -> Iterator[Finding]:
    """The best previous-character head of the article's run, its birth, and what it is worth."""
    run = Run.open("pride-article")
    corpus, steps, history = run.load_corpus(), run.list_snapshots(), run.history.read()
    models = {step: run.model_at(step) for step in steps}
    found = {step: score(model, corpus, "previous_token") for step, model in models.items()}
    layer, head = best(found[steps[-1]][0])
    shares = {step: found[step][0][layer, head].item() for step in steps}
    chance = found[steps[-1]][1]
    listed = ", ".join(f"{step:,}: {share:.2f}" for step, share in shares.items())
    yield Finding(
        f"Head {layer + 1}.{head + 1} begins at chance ({chance:.2f}) and ends above 0.9 on the previous character.",
        shares[steps[0]] < 1.2 * chance and shares[steps[-1]] > 0.9,
        listed,
    )
    pairs = run.read_info().references["table_2"]
    passed = next(step for step, loss in history.val_losses if loss < pairs)
    born = next(step for step in steps if shares[step] >= 2 * chance)
    yield Finding(
        f"It is twice chance at the first snapshot with a loss below the line of {REFERENCE_NAMES['table_2']}.",
        born == next(step for step in steps if step >= passed),
        f"below {pairs:.3f} at step {passed:,}; twice chance at step {born:,}",
    )
    last = models[steps[-1]]
    heads = [Part(i, j) for i in range(last.config.n_layer) for j in range(last.config.n_head)]
    costs = {part: cost(last, corpus, part) for part in heads}
    dearest = max(costs, key=costs.get)
    yield Finding(
        "No other head is worth more.",
        dearest == Part(layer, head),
        f"without it {costs[Part(layer, head)]:+.3f} nats per character, next {sorted(costs.values())[-2]:+.3f}",
    )
    first = cost(last, corpus, Part(0, None))
    yield Finding("The first feed-forward network is worth more still.", first > costs[dearest], f"{first:+.3f}")


def say_it_twice() -> Iterator[Finding]:
    """Two layers copy words that they have never seen, one layer cannot: an induction circuit is born."""
    run = Run.open("words-twice")
    corpus, steps = run.load_corpus(), run.list_snapshots()
    found = {step: score(run.model_at(step), corpus, "induction") for step in steps}
    layer, head = best(found[steps[-1]][0])
    shares = {step: found[step][0][layer, head].item() for step in steps}
    chance = found[steps[-1]][1]
    losses = dict(run.history.read().val_losses)
    cliff = losses[32] - losses[128]
    yield Finding(
        "Two layers: the loss falls by more than a nat between step 32 and 128.",
        cliff > 1,
        ", ".join(f"{step:,}: {losses[step]:.3f}" for step in steps if step in losses),
    )
    yield Finding(
        "One head grows from chance to more than ten times chance in the same steps, and it is in the second layer.",
        shares[16] < 6 * chance and shares[128] > 10 * chance and layer == 1,
        f"head {layer + 1}.{head + 1}, chance {chance:.3f}: " + ", ".join(f"{s:,}: {x:.2f}" for s, x in shares.items()),
    )
    entry = ENTRIES["words-twice"]
    model_config, train_config = configs_from(dict(entry.settings) | {"n_layer": 1}, entry.preset)
    trainer = Trainer(model_config, train_config, corpus, device="cpu")
    one = [progress.val_loss for progress in trainer if progress.val_loss is not None][-1]
    two = losses[max(losses)]
    yield Finding("One layer ends more than half a nat higher.", one > two + 0.5, f"{one:.3f}, two layers {two:.3f}")
    alone = score(trainer.model, corpus, "induction")[0].max().item()
    yield Finding(
        "No head of the one layer has half of that share.",
        alone < shares[steps[-1]] / 2,
        f"the largest has {alone:.2f}",
    )


EXPERIMENTS: dict[str, Callable[[], Iterator[Finding]]] = {
    "A head is born": a_head_is_born,
    "Say it twice": say_it_twice,
}


def main() -> int:
    """Print each statement with its numbers; 1 if one is not true."""
    options = parser(__doc__).parse_args()
    torch.set_num_threads(1)
    the_book()
    texts.choose("words-twice")
    findings = {}
    for name, experiment in EXPERIMENTS.items():
        print(name)
        findings[name] = list(experiment())
        for finding in findings[name]:
            print(
                f"  {'true ' if finding.is_true else 'FALSE'}  {finding.statement}\n         {finding.numbers}",
                flush=True,
            )
    save(options.json, {name: [vars(finding) for finding in rows] for name, rows in findings.items()})
    return int(not all(finding.is_true for rows in findings.values() for finding in rows))


if __name__ == "__main__":
    sys.exit(main())
