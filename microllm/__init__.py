"""MicroLLM: a character-level Transformer from scratch, to train and to look inside.

>>> from microllm import Corpus, ModelConfig, TrainConfig, Trainer
>>> corpus = Corpus("the cat sat on the mat. " * 500)
>>> trainer = Trainer(ModelConfig(block_size=16, n_embd=32), TrainConfig(max_steps=100), corpus)
>>> losses = [progress.train_loss for progress in trainer]
>>> losses[-1] < losses[0]
True
"""

from __future__ import annotations

import importlib

__version__ = "0.19.0"

# Imported on first use: `--help` and the first frame of a page do not need torch.
_HOMES = {
    "config": ("PRESETS", "ModelConfig", "Preset", "TrainConfig", "configs_from", "problems"),
    "corpus": ("Corpus", "CountingTables"),
    "model": ("Block", "FeedForward", "Head", "MicroLLM", "MultiHeadAttention", "parameter_count"),
    "inference": ("generate", "stream"),
    "insight.memorization": ("longest_copy", "real_words"),
    "insight.surprisal": ("TokenSurprisals", "top1_accuracy", "token_surprisals"),
    "insight.trace": ("Trace", "trace"),
    "sample": ("Sampling", "probabilities"),
    "tokenizer": ("CharTokenizer",),
    "train": ("Diverged", "Progress", "Trainer", "validation_loss"),
}

__all__ = sorted(name for names in _HOMES.values() for name in names)


def __getattr__(name: str):
    for home, names in _HOMES.items():
        if name in names:
            value = getattr(importlib.import_module(f".{home}", __name__), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
