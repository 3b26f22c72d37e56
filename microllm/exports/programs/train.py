"""The last section of `train.py`: read the text, train, write a sample."""

from __future__ import annotations

import argparse
import csv
import os
import sys
from typing import TextIO

import torch

from ...config import ModelConfig, TrainConfig
from ...corpus import Corpus
from ...inference import stream
from ...sample import Sampling
from ...tokenizer import CharTokenizer
from ...train import Diverged, Trainer
from .facts import FIRST_STEP, LIVE_CHANGES, THREADS, VOCAB, WEIGHTS_COMMAND
from .text import load_text
from .weights import load_weights


def new_trainer(text: str) -> Trainer:
    """A trainer for this text that repeats the run. Raises ValueError for a text that is too short."""
    torch.set_num_threads(THREADS)
    corpus = Corpus(text, new_tokenizer(text))
    if len(corpus.val) <= ModelConfig.block_size:
        raise ValueError(f"The text has only {len(text):,} characters: too few for this block_size.")
    trainer = Trainer(ModelConfig(), TrainConfig(), corpus)
    if LIVE_CHANGES:
        trainer.to_replay = list(LIVE_CHANGES)
    return trainer


def new_tokenizer(text: str) -> CharTokenizer:
    """A tokenizer for the vocabulary of the run."""
    if VOCAB:
        return CharTokenizer(VOCAB)
    return CharTokenizer.from_text(text)


def last_step() -> int:
    """The step at which the run ends; it may have been moved during training."""
    if LIVE_CHANGES:
        moved = [change["max_steps"] for change in LIVE_CHANGES if "max_steps" in change]
        return int(moved[-1]) if moved else TrainConfig.max_steps
    return TrainConfig.max_steps


def train(trainer: Trainer, max_steps: int, log: TextIO) -> None:
    """Train to `max_steps`, with the training loss of every step in `log`. Raises Diverged."""
    rows = csv.writer(log, lineterminator="\n")
    rows.writerow(["step", "train_loss"])
    for progress in trainer:
        rows.writerow([progress.step, progress.train_loss])
        if progress.val_loss is not None:
            print(
                f"step {progress.step:>6,}   training loss {progress.train_loss:.3f}   "
                f"validation loss {progress.val_loss:.3f} nats per character   {progress.seconds:.1f} s",
                flush=True,
            )
        if progress.step >= max_steps:
            break


def write_sample(trainer: Trainer, length: int = 400) -> None:
    """Print the beginning of the held-out text, and how the model continues it."""
    print("\nBefore the bar is the beginning of the held-out text; after it, the model writes.\n")
    tokenizer = trainer.corpus.tokenizer
    prompt = trainer.corpus.val[: ModelConfig.block_size].long()
    print(tokenizer.decode(prompt), end="|")
    for chosen in stream(trainer.model, prompt[None], length, Sampling(temperature=0.8), TrainConfig.seed):
        print(tokenizer.decode(chosen), end="", flush=True)
    print(flush=True)


def main() -> None:
    """The command line of this file."""
    parser = argparse.ArgumentParser(description="Train a small language model and let it write.")
    parser.add_argument("--text", nargs="+", default=[], metavar="FILE", help="the text; several files are joined")
    if WEIGHTS_COMMAND:
        parser.add_argument("--weights", default="", metavar="FILE", help="the model.safetensors to begin with")
    first, last = FIRST_STEP + 1, last_step()
    parser.add_argument("--max_steps", type=int, default=last, metavar="N", help=f"stop after N steps (of {last:,})")
    parser.add_argument("--log", metavar="FILE.csv", help="write the training loss of every step to this file")
    options = parser.parse_args()
    if not first <= options.max_steps <= last:
        parser.error(f"max_steps is {options.max_steps:,}: it must be from {first:,} to {last:,}.")
    if sys.stdout:  # it may be closed
        sys.stdout.reconfigure(errors="replace")  # a terminal may lack some characters
    try:
        trainer = new_trainer(load_text(options.text))
        if WEIGHTS_COMMAND:
            load_weights(trainer, options.weights)
        with open(options.log or os.devnull, "w", encoding="utf-8") as log:
            train(trainer, options.max_steps, log)
        write_sample(trainer)
    except BrokenPipeError:  # the reader of the output has ended, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains at its end
    except OSError as error:
        parser.error(f"{error.filename or 'A file'} cannot be used: {error.strerror or error}.")
    except (ValueError, Diverged) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
